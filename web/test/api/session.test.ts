// A page that opens a database twice: both share one connection, and each is closed for itself.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";

import { Database } from "../../src/api/database.js";
import { checkOptions } from "../../src/api/options.js";
import { Session } from "../../src/rpc/session.js";
import { EventType, Method } from "../../src/rpc/messages.gen.js";
import type { Change, OpenOptions, SyncStatus } from "../../src/shared/types.js";
import { commit } from "../announcements.js";
import { FakeConnection, rejection, settle, writeStatus } from "../fake.js";

const tables = { notes: true } as const;
const sync = { url: "https://sync.example", space: "family", tables };

async function twice(options: Partial<OpenOptions> = {}, status?: SyncStatus) {
  const c = new FakeConnection();
  const session = new Session(c, checkOptions({ name: "notes", ...options }));
  const connecting = Database.connect(session, options.sync?.token);
  await c.lead("L1", status ? { status, commit: 3 } : { commit: 3 });
  return { c, session, one: await connecting, two: await Database.connect(session, options.sync?.token) };
}

test("two of one page share a connection, which the last one closes", async () => {
  const { c, session, one, two } = await twice();
  equal(await c.has(Method.hello), false);
  await one.close();
  equal(c.closed, false);
  equal((await rejection(one.exec("A"))).code, "HEDDLE_CLOSED");
  const done = two.exec("B");
  const q = await c.next(Method.exec);
  equal(q.r.string(), "B");
  c.result(q.id, 1);
  equal((await done).changes, 1);
  equal(session.ended, false);
  await two.close();
  ok(c.closed && session.ended);
});

test("a leader is told that one does not listen any more, also where that is closed", async () => {
  const { c, one } = await twice();
  const told = async () => {
    const all: boolean[] = [];
    while (await c.has(Method.listen)) all.push((await c.next(Method.listen)).r.bool());
    return all;
  };
  one.listen(null, () => {});
  deepEqual(await told(), [true]);
  await one.close();
  deepEqual(await told(), [false]);
});

test("closing one ends its calls and what they hold at the leader, and nothing of the other", async () => {
  const { c, one, two } = await twice();
  const seen: string[] = [];
  one.live("SELECT 1", [], () => seen.push("one"), { onError: (error) => seen.push(error.code) });
  two.live("SELECT 2", [], () => seen.push("two"), { onError: (error) => seen.push(error.code) });
  const lives = [await c.next(Method.liveStart), await c.next(Method.liveStart)] as const;
  const transaction = rejection(one.transaction(async (tx) => tx.exec("A")));
  const begun = await c.next(Method.txBegin);
  c.reply(begun.id, 0);
  await c.next(Method.txExec);
  const waiting = rejection(one.query("SELECT 3")), other = two.query("SELECT 4");
  const reads = [await c.next(Method.query), await c.next(Method.query)] as const;
  await one.close();
  for (const error of [await waiting, await transaction]) equal(error.code, "HEDDLE_CLOSED");
  const stopped = (await c.next(Method.liveStop)).r.u32(), rolledBack = (await c.next(Method.txRollback)).r.u32();
  deepEqual([stopped, rolledBack], [lives[0].id, begun.id]);
  equal(await c.has(Method.liveStop), false);
  c.rows(reads[1].id, ["x"], [[4]]);
  deepEqual(await other, [{ x: 4 }]);
  deepEqual(seen, []);
});

test("a transaction that begins as its database is closed holds up nobody", async () => {
  const { c, one } = await twice();
  const transaction = rejection(one.transaction(async () => {}));
  const begun = await c.next(Method.txBegin);
  await one.close();
  equal((await transaction).code, "HEDDLE_CLOSED");
  equal((await c.next(Method.txRollback)).r.u32(), begun.id);
});

test("one that joins later hears how things are by now", async () => {
  const { c, session, one, two } = await twice({ sync }, { state: "connecting", seq: 0, pending: 0 });
  c.event(0, EventType.status, (w) => writeStatus(w, { state: "live", seq: 7, pending: 1 }));
  const acknowledged = await c.next(Method.ack);
  equal(acknowledged.r.u8(), EventType.status);
  equal(await c.has(Method.ack), false, "one acknowledgement for all");
  const three = await Database.connect(session);
  for (const db of [one, two, three]) equal(db.sync.status.seq, 7);
  equal(three.sync.status.state, "live");
});

test("listeners of all hear a commit, and take it for this page's", async () => {
  const { c, session, one } = await twice();
  commit(c, { leader: "L1", number: 4, tab: "tab-1" });
  const three = await Database.connect(session);
  const seen: Change[] = [];
  one.listen(null, (change) => seen.push(change));
  three.listen(null, (change) => seen.push(change));
  commit(c, { leader: "L1", number: 5, tab: "tab-1" });
  deepEqual(seen.map(({ seq, origin, missed }) => [seq, origin, missed]), [[5, "local", false], [5, "local", false]]);
});

test("the leader asks one of them for a token: the one that came last", async () => {
  const asked: string[] = [];
  const c = new FakeConnection();
  const token = (name: string) => () => { asked.push(name); return name; };
  const session = new Session(c, checkOptions({ name: "notes", sync: { ...sync, token: token("one") } }));
  const connecting = Database.connect(session, token("one"));
  await c.lead();
  await connecting;
  await Database.connect(session, token("two"));
  c.event(0, EventType.token, (w) => w.u32(1));
  await c.next(Method.token);
  equal(await c.has(Method.token), false);
  deepEqual(asked, ["two"]);
});

test("a failure ends all of them, and those that open yet", async () => {
  const { c, session, one, two } = await twice();
  c.handler.lost(false);
  const opening = rejection(Database.connect(session));
  c.error(0, "HEDDLE_STORAGE", "the file is gone");
  for (const db of [one, two]) equal((await rejection(db.exec("A"))).code, "HEDDLE_STORAGE");
  equal((await opening).code, "HEDDLE_STORAGE");
  await settle();
  ok(c.closed && session.ended);
});

test("one that gives up leaves the other to open", async () => {
  const c = new FakeConnection();
  const session = new Session(c, checkOptions({ name: "notes" }));
  const abort = new AbortController();
  const given = rejection(Database.connect(session, undefined, { signal: abort.signal }));
  const connecting = Database.connect(session);
  abort.abort();
  equal((await given).code, "HEDDLE_ABORTED");
  equal(c.closed, false);
  await c.lead();
  await (await connecting).close();
  ok(c.closed);
});

test("the option that differs is named", () => {
  const base = { name: "notes", migrations: ["A"], sync };
  const session = new Session(new FakeConnection(), checkOptions(base));
  const differs = (options: Partial<OpenOptions>) => session.differs(checkOptions({ ...base, ...options }));
  equal(differs({}), undefined);
  equal(differs({ migrations: ["A", "B"] }), "migrations");
  equal(differs({ recover: true }), "recover");
  equal(differs({ seed: ["INSERT"] }), "seed");
  equal(differs({ sync: { ...sync, space: "others" } }), "sync");
  equal(differs({ sync: { ...sync, token: () => "t" } }), "sync");
});
