// db.begin(): transactions that their caller ends, and what is new on every tx with
// them: savepoints, bulk, rows of exec.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { Method } from "../../src/rpc/messages.gen.js";
import { BEGUN_IDLE_MS } from "../../src/shared/bounds.js";
import { asyncDispose } from "../../src/shared/dispose.js";
import type { OpenTransaction } from "../../src/shared/types.js";
import { type FakeConnection, opened, rejection, settle, writeResult, writeRows } from "../fake.js";

async function begun(options = {}): Promise<{ db: Awaited<ReturnType<typeof opened>>["db"]; c: FakeConnection;
  tx: OpenTransaction; id: number; write: number }> {
  const { db, c } = await opened();
  const beginning = db.begin(options);
  const q = await c.next(Method.txBegin);
  c.reply(q.id, Kind.result);
  return { db, c, tx: await beginning, id: q.id, write: q.write };
}

/** Answers the next request of the method, which belongs to the transaction; returns the SQL of a statement. */
async function answer(c: FakeConnection, method: number, id: number, code?: string): Promise<string> {
  const q = await c.next(method);
  assert.equal(q.r.u32(), id);
  if (code) c.error(q.id, code);
  else if (method === Method.txExec || method === Method.txBulk) c.result(q.id, 1, 7);
  else c.reply(q.id, Kind.result);
  return method === Method.txExec || method === Method.txBulk ? q.r.string() : "";
}

test("statements run until commit, and its write is settled", async () => {
  const { db, c, tx, id, write } = await begun();
  const done = tx.exec("A");
  await answer(c, Method.txExec, id);
  assert.deepEqual(await done, { changes: 1, lastInsertRowid: 7 });
  assert.equal(tx.open, true);
  const committed = tx.commit();
  await answer(c, Method.txCommit, id);
  await committed;
  assert.equal(tx.open, false);
  assert.equal((await rejection(tx.exec("B"))).code, "HEDDLE_TX_CLOSED");
  assert.equal((await rejection(tx.commit())).code, "HEDDLE_TX_CLOSED");
  await tx.rollback();
  void db.exec("C").catch(() => {});
  assert.equal((await c.next(Method.exec)).ack, write, "the leader need not keep its outcome");
});

test("rollback, and leaving the block of await using", async () => {
  for (const end of [(tx: OpenTransaction) => tx.rollback(), (tx: OpenTransaction) => tx[asyncDispose]()]) {
    const { c, tx, id } = await begun();
    const ended = end(tx);
    await answer(c, Method.txRollback, id);
    await ended;
    assert.equal((await rejection(tx.exec("A"))).code, "HEDDLE_TX_CLOSED");
  }
  const { c, tx, id } = await begun();
  const committed = tx.commit();
  await answer(c, Method.txCommit, id);
  await committed;
  await tx[asyncDispose]();
  assert.equal(await c.has(Method.txRollback), false);
});

test("a statement that failed unseen is not committed", async () => {
  const { c, tx, id } = await begun();
  void tx.exec("A");
  const committed = rejection(tx.commit());
  await answer(c, Method.txExec, id, "SQLITE_CONSTRAINT_UNIQUE");
  await answer(c, Method.txRollback, id);
  assert.equal((await committed).code, "SQLITE_CONSTRAINT_UNIQUE");
});

test("the leader's end, the app's signal and closing the database end it", async () => {
  const lost = await begun();
  lost.c.handler.lost(false);
  assert.equal(lost.tx.open, false);
  assert.equal((await rejection(lost.tx.exec("A"))).code, "HEDDLE_TX_LOST");
  assert.equal((await rejection(lost.tx.commit())).code, "HEDDLE_TX_LOST");

  const abort = new AbortController();
  const aborted = await begun({ signal: abort.signal });
  abort.abort();
  await answer(aborted.c, Method.txRollback, aborted.id);
  assert.equal((await rejection(aborted.tx.exec("A"))).code, "HEDDLE_TX_CLOSED");

  const closed = await begun();
  await closed.db.close();
  assert.equal((await rejection(closed.tx.exec("A"))).code, "HEDDLE_CLOSED");
});

test("a write on the database behind an awaited statement would wait for itself", async () => {
  const warned = mock.method(console, "warn", () => {});
  try {
    const { db, c, tx, id } = await begun();
    const both = rejection((async () => { await tx.exec("A"); await db.exec("B"); })());
    await answer(c, Method.txExec, id);
    assert.equal((await both).code, "HEDDLE_TX_NESTED");
    const ended = tx.rollback();
    await answer(c, Method.txRollback, id);
    await ended;
    const free = db.exec("C");
    c.result((await c.next(Method.exec)).id, 1);
    await free;
  } finally {
    warned.mock.restore();
  }
});

test("one that was forgotten ends, and holds up nothing", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    const { db, c, tx, id, write } = await begun();
    const working = tx.exec("A");
    mock.timers.tick(BEGUN_IDLE_MS);
    assert.equal(tx.open, true, "a statement is at the leader");
    await answer(c, Method.txExec, id);
    await working;
    await settle();
    mock.timers.tick(2 * BEGUN_IDLE_MS);
    assert.equal(tx.open, false);
    assert.match((await rejection(tx.exec("B"))).message, /no statement for 35 seconds/);
    void db.exec("C").catch(() => {});
    assert.equal((await c.next(Method.exec)).ack, write);
  } finally {
    mock.timers.reset();
  }
});

test("savepoints are released, undone, and undone by await using", async () => {
  const { db, c, tx, id } = await begun();
  const make = async () => {
    const made = tx.savepoint();
    const sql = await answer(c, Method.txExec, id);
    return { sql, point: await made };
  };
  const { sql, point } = await make();
  assert.equal(sql, "SAVEPOINT savepoint_1");
  const inner = await make();
  const undone = inner.point[asyncDispose]();
  assert.equal(await answer(c, Method.txExec, id), "ROLLBACK TO savepoint_2; RELEASE savepoint_2");
  await undone;
  const released = point.release();
  assert.equal(await answer(c, Method.txExec, id), "RELEASE savepoint_1");
  await released;
  await point[asyncDispose]();
  assert.equal((await rejection(point.rollback())).code, "HEDDLE_TX_CLOSED");
  assert.equal(await c.has(Method.txExec), false);
  await db.close();
});

test("bulk is one part of the transaction, kept whole or not at all", async () => {
  const { db, c, tx, id } = await begun();
  const rows = Array.from({ length: 4500 }, (_, i) => [i]);
  const seen: number[] = [];
  const loaded = tx.bulk("INSERT", rows, { onProgress: ({ done }) => seen.push(done) });
  assert.equal(await answer(c, Method.txExec, id), "SAVEPOINT savepoint_1");
  for (let i = 0; i < 3; i++) assert.equal(await answer(c, Method.txBulk, id), "INSERT");
  assert.equal(await answer(c, Method.txExec, id), "RELEASE savepoint_1");
  assert.deepEqual(await loaded, { changes: 3, lastInsertRowid: 7 });
  assert.deepEqual(seen, [2000, 4000, 4500]);

  const refused = rejection(tx.bulk("INSERT", [[1], [1, 2]]));
  await answer(c, Method.txExec, id);
  assert.equal(await answer(c, Method.txExec, id), "ROLLBACK TO savepoint_2; RELEASE savepoint_2");
  assert.equal((await refused).code, "HEDDLE_BAD_PARAM");
  assert.equal((await rejection(tx.bulk("INSERT", 5 as never))).code, "HEDDLE_BAD_PARAM");
  await db.close();
});

test("exec hands out what it has done, and the rows of RETURNING in either shape", async () => {
  const { db, c } = await opened();
  const objects = db.exec<{ a: number }>("INSERT … RETURNING a, a AS b");
  const arrays = db.exec("INSERT … RETURNING a, b", [], { rows: "array" });
  for (let i = 0; i < 2; i++) {
    const q = await c.next(Method.exec);
    c.rows(q.id, ["a", "b"], [[0, 0]], Kind.chunk); // of an attempt that was rolled back
    c.rows(q.id, ["a", "b"], [[1, 2]], Kind.chunk);
    c.reply(q.id, Kind.result, (w) => { writeResult(w, 2, 7); writeRows(w, ["a", "b"], [[3, 4]], false); });
  }
  assert.deepEqual(await objects, { changes: 2, lastInsertRowid: 7, rows: [{ a: 1, b: 2 }, { a: 3, b: 4 }] });
  assert.deepEqual(await arrays, { changes: 2, lastInsertRowid: 7, columns: ["a", "b"], rows: [[1, 2], [3, 4]] });
});
