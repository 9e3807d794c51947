import assert from "node:assert/strict";
import { test } from "node:test";

import { Kind, Writer } from "../../src/rpc/codec.js";
import { EventType, Method } from "../../src/rpc/messages.gen.js";
import { HeddleError } from "../../src/shared/errors.js";
import type { SyncOptions, SyncStatus } from "../../src/shared/types.js";
import { type FakeConnection, opened, rejection, writeStatus } from "../fake.js";

const sync: SyncOptions = { url: "https://x.test", space: "s", tables: { notes: true } };
const live: SyncStatus = { state: "live", seq: 5, pending: 0 };

test("without sync there is a status and no more", async () => {
  const { db } = await opened();
  assert.deepEqual(db.sync.status, { state: "off", seq: 0, pending: 0 });
  for (const call of [db.sync.now(), db.sync.pause(), db.sync.resume(), db.sync.digest(), db.sync.pending(),
    db.sync.retry(1), db.sync.export()]) {
    assert.equal((await rejection(call)).code, "HEDDLE_NO_SYNC");
  }
});

test("status follows the leader, and each event is acknowledged", async () => {
  const { db, c } = await opened({ sync }, live);
  assert.deepEqual(db.sync.status, live);
  const seen: SyncStatus[] = [];
  const off = db.sync.on("status", (s) => seen.push(s));
  const lastError = new HeddleError("HEDDLE_NETWORK", "no", { op: "sync: pull" }).toJSON();
  c.event(0, EventType.status, (w) => writeStatus(w, { state: "offline", seq: 6, pending: 2, lastError }));
  const ack = await c.next(Method.ack);
  assert.equal(ack.r.u8(), EventType.status);
  assert.deepEqual([db.sync.status.state, db.sync.status.seq, db.sync.status.pending, db.sync.status.lastError?.code],
    ["offline", 6, 2, "HEDDLE_NETWORK"]);
  c.handler.lost(false);
  assert.equal(db.sync.status.state, "connecting");
  off();
  off();
  await c.lead("L2", { status: { state: "live", seq: 7, pending: 0 } });
  assert.equal(db.sync.status.seq, 7);
  assert.deepEqual(seen.map((s) => s.state), ["offline", "connecting"]);
});

test("a sealed space's status says who has confirmed a snapshot, and a failed one is told", async () => {
  const { db, c } = await opened({ sync }, live);
  assert.equal(db.sync.status.snapshot, undefined);
  const snapshot = { seq: 4, proved: true, confirmed: 1, devices: 2 };
  c.event(0, EventType.status, (w) => writeStatus(w, { ...live, snapshot }));
  assert.deepEqual(db.sync.status, { ...live, snapshot });
  const failures: unknown[] = [];
  const off = db.sync.on("snapshotFailed", (failure) => failures.push(failure));
  const told = (w: Writer) => {
    for (const s of ["HEDDLE_TAMPERED", "it is not", "member: start from a snapshot", ""]) w.string(s);
  };
  c.event(0, EventType.snapshotFailed, told);
  assert.equal((await c.next(Method.ack)).r.u8(), EventType.status);
  off();
  c.event(0, EventType.snapshotFailed, told);
  assert.deepEqual(structuredClone(failures), [{ error: { name: "HeddleError", message: "it is not",
    code: "HEDDLE_TAMPERED", op: "member: start from a snapshot" } }]);
});

test("rejections, conflicts and progress reach their listeners, across leaders", async () => {
  const { db, c } = await opened({ sync }, live);
  const seen: unknown[] = [];
  for (const event of ["rejected", "conflict", "progress"] as const) db.sync.on(event, (detail) => seen.push(detail));
  c.handler.lost(false);
  await c.lead("L2", { status: live });
  c.event(0, EventType.rejected, (w) => {
    w.u64(9); w.u64(4); w.u64(1000); w.string("SQLITE_CONSTRAINT_CHECK"); w.string("no"); w.u32(1);
    w.string("delete"); w.string("notes"); w.u32(1); w.value("k"); w.u32(0); w.u32(0); w.u32(0);
  });
  c.event(0, EventType.conflict, (
    w) => { w.u64(4); w.string("missing"); w.string("notes"); w.u32(1); w.value("k"); w.string(""); w.string(""); });
  c.event(0, EventType.progress, (w) => { w.string("pull"); w.u64(1); w.u64(0); });
  c.event(0, 99, (w) => w.u8(1)); // of a newer leader
  assert.deepEqual(seen, [
    { id: 9, counter: 4, created: 1000, code: "SQLITE_CONSTRAINT_CHECK", message: "no",
      operations: [{ kind: "delete", table: "notes", key: ["k"], cells: {} }] },
    { counter: 4, kind: "missing", table: "notes", key: ["k"] },
    { phase: "pull", done: 1, total: undefined },
  ]);
  assert.throws(() => db.sync.on("nothing" as never, () => {}), { code: "HEDDLE_BAD_PARAM" });
  assert.throws(() => db.sync.on("status", 5 as never), { code: "HEDDLE_BAD_PARAM" });
});

test("now, digest, pause and resume ask the leader", async () => {
  const { db, c } = await opened({ sync }, live);
  const now = db.sync.now();
  c.reply((await c.next(Method.syncNow)).id, Kind.result);
  await now;
  const digest = db.sync.digest();
  c.reply((await c.next(Method.syncDigest)).id, Kind.result, (w) => { w.u64(12); w.string("a1".repeat(32)); });
  assert.deepEqual(await digest, { seq: 12, digest: "a1".repeat(32) });
  const pause = db.sync.pause();
  c.reply((await c.next(Method.syncPause)).id, Kind.result);
  await pause;
  // A leader that comes later is told; after resume none is.
  c.handler.lost(false);
  await c.lead("L2", { status: live });
  c.reply((await c.next(Method.syncPause)).id, Kind.result);
  const resume = db.sync.resume();
  c.reply((await c.next(Method.syncResume)).id, Kind.result);
  await resume;
  c.handler.lost(false);
  await c.lead("L3", { status: live });
  assert.equal(await c.has(Method.syncPause), false);
  const aborted = new AbortController();
  const waits = rejection(db.sync.now({ signal: aborted.signal }));
  await c.next(Method.syncNow);
  aborted.abort();
  assert.equal((await waits).code, "HEDDLE_ABORTED");
});

test("outcomes are asked of the leader, lists in as many chunks as it likes", async () => {
  const { db, c } = await opened({ sync }, live);
  const refused = (id: number) => (w: Writer) => {
    w.u32(1);
    w.u64(id); w.u64(4); w.u64(1000); w.string("APP_NO"); w.string("no"); w.u32(1);
    w.string("update"); w.string("notes"); w.u32(1); w.value("k"); w.strings(["likes"]); w.u32(1); w.value(
      2); w.strings(["add"]);
  };
  const list = db.sync.rejected();
  const { id } = await c.next(Method.syncRejected);
  c.reply(id, Kind.chunk, refused(1));
  c.reply(id, Kind.result, refused(2));
  const operations = [{ kind: "update", table: "notes", key: ["k"], cells: { likes: 2 }, joins: { likes: "add" } }];
  assert.deepEqual(await list, [1,
    2].map((id) => ({ id, counter: 4, created: 1000, code: "APP_NO", message: "no", operations })));

  const pending = db.sync.pending();
  const first = await c.next(Method.syncPending);
  c.reply(first.id, Kind.chunk, refused(1));
  c.handler.lost(false); // half an answer, then another leader: it is asked anew
  await c.lead("L2", { status: live });
  c.reply((await c.next(Method.syncPending)).id, Kind.result, refused(7));
  assert.deepEqual(await pending, [{ id: 7, created: 1000, operations }]);

  const retried = db.sync.retry(7);
  const q = await c.next(Method.syncRetry);
  assert.equal(q.r.u64(), 7);
  c.reply(q.id, Kind.result, (w) => w.bool(true));
  assert.equal(await retried, true);
  const discarded = db.sync.discard(8);
  c.reply((await c.next(Method.syncDiscard)).id, Kind.result, (w) => w.bool(false));
  assert.equal(await discarded, false);

  const dangling = db.sync.dangling();
  const d = await c.next(Method.syncDangling);
  assert.equal(d.r.u32(), 1000);
  c.reply(d.id, Kind.result, (w) => { w.u32(1); w.string("notes"); w.u32(1); w.value("k"); });
  assert.deepEqual(await dangling, [{ table: "notes", key: ["k"] }]);
  const quarantined = db.sync.quarantined({ limit: 5 });
  const lost = await c.next(Method.syncQuarantined);
  assert.equal(lost.r.u32(), 5);
  const row = (n: number) => (w: Writer): void => {
    w.u32(1); w.string("notes"); w.u32(1); w.value(n); w.string("SQLITE_MISMATCH"); w.string("no"); w.u32(1); w.string(
      "a"); w.u32(1); w.value(null);
  };
  c.reply(lost.id, Kind.chunk, row(1));
  c.reply(lost.id, Kind.result, row(2));
  assert.deepEqual(await quarantined, [1, 2].map((n) => ({
    table: "notes", key: [n], code: "SQLITE_MISMATCH", constraint: "no", cells: { a: null },
  })));
  const exported = db.sync.export();
  c.reply((await c.next(Method.syncExport)).id, Kind.result, (w) => w.string("{}"));
  assert.equal(await exported, "{}");

  for (const call of [db.sync.retry("1" as never), db.sync.discard(-1), db.sync.dangling({ limit: 0 }),
    db.sync.quarantined({ limit: 1e7 })]) {
    assert.equal((await rejection(call)).code, "HEDDLE_BAD_PARAM");
  }
});

async function answer(c: FakeConnection): Promise<[number, string, string | undefined]> {
  const q = await c.next(Method.token);
  return [q.r.u32(), q.r.string(), q.r.error()?.code];
}

test("a token is asked of the app, and what goes wrong is said", async () => {
  let token: () => Promise<string> | string = async () => "abc";
  const { c } = await opened({ sync: { ...sync, token: () => token() } }, live);
  const ask = (n: number) => c.event(0, EventType.token, (w) => w.u32(n));
  ask(1);
  assert.deepEqual(await answer(c), [1, "abc", undefined]);
  token = () => { throw new Error("logged out"); };
  ask(2);
  assert.deepEqual(await answer(c), [2, "", "HEDDLE_UNAUTHORIZED"]);
  token = () => undefined as never;
  ask(3);
  assert.deepEqual(await answer(c), [3, "", "HEDDLE_UNAUTHORIZED"]);
});
