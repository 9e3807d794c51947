// db.store(): one live query for all that show it.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Method } from "../../src/rpc/messages.gen.js";
import { KEEP_MS, UNUSED_MS } from "../../src/shared/bounds.js";
import { type FakeConnection, opened, sendResult, settle } from "../fake.js";

/** Answers the next subscription; returns its id. */
async function started(c: FakeConnection): Promise<number> {
  const q = await c.next(Method.liveStart);
  c.reply(q.id, 0);
  return q.id;
}

const result = sendResult;

test("the same statement and parameters are one store and one live query", async () => {
  const { db, c } = await opened();
  const store = db.store<{ n: number }>("SELECT n", [1, "a", new Uint8Array([1])]);
  assert.equal(db.store("SELECT n", [1, "a", new Uint8Array([1])]), store);
  for (const other of [db.store("SELECT n", [1, "a", new Uint8Array([2])]), db.store("SELECT n", ["1", "a"]),
    db.store("SELECT n", { n: 1 }), db.store("SELECT n")]) assert.notEqual(other, store);
  assert.deepEqual(store.getSnapshot(), { rows: [], state: "loading" });
  assert.equal(store.getSnapshot(), store.getServerSnapshot());
  const id = await started(c);
  let told = 0;
  const unsubscribe = store.subscribe(() => told++);
  store.subscribe(() => told++);
  result(c, id, [[1]]);
  await store.first;
  assert.deepEqual(store.getSnapshot(), { rows: [{ n: 1 }], state: "ready" });
  assert.equal(store.getSnapshot(), store.getSnapshot());
  assert.equal(told, 2);
  unsubscribe();
  unsubscribe();
  result(c, id, [[2]]);
  await settle();
  assert.equal(told, 3);
  await db.close();
});

test("all stores of a turn have their snapshots before anything is told", async () => {
  const { db, c } = await opened();
  const [a, b] = [db.store<{ n: number }>("SELECT a"), db.store<{ n: number }>("SELECT b")];
  const ids = [await started(c), await started(c)];
  const seen: unknown[] = [];
  const shown = () => [a, b].map((store) => store.getSnapshot().rows[0]?.n);
  for (const store of [a, b]) store.subscribe(() => seen.push(shown()));
  result(c, ids[0]!, [[1]]);
  result(c, ids[1]!, [[2]]);
  await settle();
  assert.deepEqual(seen, [[1, 2], [1, 2]]);
  await db.close();
});

test("a store outlives its last subscriber for a moment, and one that was never used is let go", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { db, c } = await opened();
    const store = db.store("SELECT a");
    const id = await started(c);
    store.subscribe(() => {})();
    mock.timers.tick(KEEP_MS - 1);
    const unsubscribe = store.subscribe(() => {});
    mock.timers.tick(KEEP_MS);
    assert.equal(await c.has(Method.liveStop), false);
    unsubscribe();
    mock.timers.tick(KEEP_MS);
    assert.equal((await c.next(Method.liveStop)).r.u32(), id);
    const next = db.store("SELECT a");
    assert.notEqual(next, store);
    const began = await started(c);
    const leave = store.subscribe(() => {}); // a component has kept it: it begins again
    await started(c);
    leave();
    mock.timers.tick(KEEP_MS);
    await c.next(Method.liveStop);
    assert.equal(db.store("SELECT a"), next, "the end of the one before leaves it");
    mock.timers.tick(UNUSED_MS);
    assert.equal(await c.has(Method.liveStop), false, "what it is waited for takes longer");
    result(c, began, [[1]]);
    await settle();
    mock.timers.tick(UNUSED_MS);
    await c.next(Method.liveStop);
    store.subscribe(() => {});
    await started(c);
    assert.equal(db.store("SELECT a"), store, "it is found again");
    c.handler.lost(false);
    await db.close();
  } finally {
    mock.timers.reset();
  }
});

test("rows stay while they are stale and after an error; refresh asks again", async () => {
  const { db, c } = await opened();
  const store = db.store("SELECT a");
  store.subscribe(() => {});
  const id = await started(c);
  result(c, id, [[1]]);
  c.handler.lost(false);
  assert.deepEqual(store.getSnapshot(), { rows: [{ n: 1 }], state: "stale" });
  await c.lead("L2");
  result(c, await started(c), [[2]]);
  assert.deepEqual(store.getSnapshot(), { rows: [{ n: 2 }], state: "ready" });
  store.refresh();
  await c.next(Method.liveStop);
  const q = await c.next(Method.liveStart);
  c.error(q.id, "SQLITE_ERROR", "no such table");
  await settle();
  const { rows, state, error } = store.getSnapshot();
  assert.deepEqual([rows, state, error?.code], [[{ n: 2 }], "error", "SQLITE_ERROR"]);
  await db.close();
});
