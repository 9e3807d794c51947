// What the hooks of all frameworks share.

import assert from "node:assert/strict";
import { test } from "node:test";

import { keeping, members, rowStore, singlesOf } from "../../src/adapters/stores.js";
import { Kind, type Writer } from "../../src/rpc/codec.js";
import { EventType, Method } from "../../src/rpc/messages.gen.js";
import { HeddleError } from "../../src/shared/errors.js";
import { type FakeConnection, opened, settle } from "../fake.js";

const sync = { url: "http://sync.example", space: "s", tables: { notes: true as const } };
const live = { state: "live", seq: 1, pending: 0 } as const;

function transaction(w: Writer, id: number): void {
  w.u64(id); w.u64(4); w.u64(1000); w.string("APP_NO"); w.string("no"); w.u32(0);
}

/** Answers the next question for the refused transactions: one with this id, or none. */
async function refused(c: FakeConnection, id?: number): Promise<void> {
  const q = await c.next(Method.syncRejected);
  c.reply(q.id, Kind.result, (w) => {
    w.u32(id === undefined ? 0 : 1);
    if (id === undefined) return;
    transaction(w, id);
  });
  await settle();
}

test("refused transactions are read once for all that show them, and again whenever they have changed", async () => {
  const { db, c } = await opened({ sync }, live);
  const { rejections } = singlesOf(db);
  assert.equal(singlesOf(db).rejections, rejections);
  const shown = () => rejections.getSnapshot().rejections.map(({ id }) => id);
  assert.deepEqual(shown(), []);
  let told = 0;
  const stops = [rejections.subscribe(() => told++), rejections.subscribe(() => told++)];
  await refused(c, 7);
  assert.deepEqual([shown(), told], [[7], 2]);
  assert.equal(rejections.getSnapshot(), rejections.getSnapshot());
  assert.equal(await c.has(Method.syncRejected), false, "two that show it ask once");

  c.event(0, EventType.rejected, (w) => transaction(w, 8));
  await refused(c, 8);
  assert.deepEqual([shown(), told], [[8], 4]);

  const discarded = rejections.getSnapshot().discard(8);
  c.reply((await c.next(Method.syncDiscard)).id, Kind.result, (w) => w.bool(true));
  await refused(c);
  assert.deepEqual([await discarded, shown(), told], [true, [], 6]);

  for (const stop of stops) stop();
  stops[0]!();
  c.event(0, EventType.rejected, (w) => transaction(w, 9));
  assert.equal(await c.has(Method.syncRejected), false, "nobody shows it any more");
  await db.close();
});

test("one statement serves all rows of a table", async () => {
  const { db } = await opened();
  const store = rowStore(db, "my notes", { a: 1, b: "x" });
  assert.equal(store, db.store(`SELECT * FROM "my notes" WHERE "a" = ? AND "b" = ?`, [1, "x"]));
  await db.close();
});

test("rows of before are shown as loading until there are new ones", () => {
  type Snapshot = Parameters<typeof keeping>[0] extends () => infer S ? S : never;
  let now: Snapshot = { rows: [], state: "loading" };
  const read = keeping(() => now, { keepPrevious: true });
  assert.equal(read(), now);
  now = { rows: [1], state: "error", error: new HeddleError("SQLITE_ERROR", "no") };
  assert.equal(read(), now);
  now = { rows: [], state: "loading" };
  assert.deepEqual(read(), { rows: [1], state: "loading", error: undefined });
  now = { rows: [], state: "ready" };
  assert.equal(read(), now);
  const plain = keeping(() => now, {});
  plain();
  now = { rows: [], state: "loading" };
  assert.equal(plain(), now);
});

test("members are read anew each time", () => {
  let n = 1;
  const object = members(() => ({ n }), ["n"]);
  n = 2;
  assert.equal(object.n, 2);
});
