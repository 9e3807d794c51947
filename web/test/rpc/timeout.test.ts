// `timeout` of every call that can wait, on a leader that is the test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Method } from "../../src/rpc/messages.gen.js";
import type { Database } from "../../src/api/database.js";
import { type FakeConnection, opened, rejection, type Sent, settle } from "../fake.js";

/** Takes the next request with a deadline. */
async function limited(c: FakeConnection): Promise<Sent> {
  for (;;) {
    const at = c.sent.findIndex((sent) => sent.deadline > 0);
    if (at >= 0) return c.sent.splice(at, 1)[0]!;
    await settle();
  }
}

test("the leader is told what is left of a call's time", async () => {
  const { db, c } = await opened({ sync: { url: "https://sync.example", space: "s", tables: { notes: true } } });
  const calls: [number, (db: Database) => Promise<unknown>][] = [
    [Method.exec, () => db.exec("A", [], { timeout: 60_000 })],
    [Method.query, () => db.query("SELECT 1", [], { timeout: 60_000 })],
    [Method.query, () => db.query("DELETE FROM t RETURNING 1", [], { timeout: 60_000 })],
    [Method.batch, () => db.batch(["A"], { timeout: 60_000 })],
    [Method.bulkBegin, () => db.bulk("A", [[1]], { timeout: 60_000 })],
    [Method.txBegin, () => db.transaction(() => {}, { timeout: 60_000 })],
    [Method.export, () => db.export({ timeout: 60_000 })],
    [Method.importBegin, () => db.import(new TextEncoder().encode("SQLite format 3\0"), { timeout: 60_000 })],
    [Method.syncNow, () => db.sync.now({ timeout: 60_000 })],
    [Method.syncDigest, () => db.sync.digest({ timeout: 60_000 })],
    [Method.iterate, () => db.iterate("SELECT 1", [], { timeout: 60_000 }).next()],
  ];
  for (const [method, call] of calls) {
    const failed = rejection(call(db));
    const q = await limited(c);
    assert.equal(q.method, method);
    assert.ok(q.deadline > 0 && q.deadline <= 60_000, `${q.deadline} ms`);
    c.error(q.id, "SQLITE_ERROR");
    assert.equal((await failed).code, "SQLITE_ERROR");
  }
});

test("a read whose time is over rejects at once, and the leader hears of it", async () => {
  const { db, c } = await opened();
  const read = rejection(db.query("SELECT 1", [], { timeout: 5 }));
  const q = await limited(c);
  const error = await read;
  assert.deepEqual([error.code, error.sql, error.message],
    ["HEDDLE_TIMEOUT", "SELECT 1", "the call's time, 5 ms, is over"]);
  assert.equal((await c.next(Method.cancel)).r.u32(), q.id);
});

test("a write whose time is over says what became of it", async () => {
  const { db, c } = await opened();
  const write = db.exec("A", [], { timeout: 1 });
  const q = await limited(c);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await c.has(Method.cancel), false);
  c.result(q.id, 1);
  assert.equal((await write).changes, 1);
});

test("time passes while there is no leader, and is gone for ever", async () => {
  const { db, c } = await opened();
  c.handler.lost(false);
  for (const call of [db.exec("A", [], { timeout: 5 }), db.query("SELECT 1", [], { timeout: 5 })]) {
    assert.equal((await rejection(call)).code, "HEDDLE_TIMEOUT");
  }
  const late = db.query("SELECT 1", [], { timeout: 60_000 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  await c.lead("L2");
  const q = await limited(c);
  assert.ok(q.deadline < 60_000, `${q.deadline} ms`);
  assert.equal(await c.has(Method.exec), false);
  c.rows(q.id, ["a"], [[1]]);
  assert.deepEqual(await late, [{ a: 1 }]);
});

test("a transaction's time bounds its statements, and rolls it back", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { db, c } = await opened();
  const failed = rejection(db.transaction(async (tx) => {
    await tx.exec("A");
    await tx.query("B", [], { timeout: 10_000 });
    await new Promise(() => {});
  }, { timeout: 60_000 }));
  const begin = await limited(c);
  c.reply(begin.id, 0);
  const exec = await limited(c);
  assert.deepEqual([exec.method, exec.deadline <= 60_000], [Method.txExec, true]);
  c.result(exec.id, 1);
  const query = await limited(c);
  assert.deepEqual([query.method, query.deadline <= 10_000], [Method.txQuery, true]);
  c.rows(query.id, ["a"], []);
  await settle();
  t.mock.timers.tick(60_000);
  c.reply((await c.next(Method.txRollback)).id, 0);
  const error = await failed;
  assert.deepEqual([error.code, error.message], ["HEDDLE_TIMEOUT", "the call's time, 60000 ms, is over"]);
});

test("a timeout is a number of milliseconds", async () => {
  const { db, c } = await opened();
  for (const timeout of [0, -1, NaN, "5", null] as number[]) {
    assert.equal((await rejection(db.exec("A", [], { timeout }))).code, "HEDDLE_BAD_PARAM");
  }
  for (const timeout of [Infinity, 2 ** 40, undefined] as number[]) {
    const done = db.exec("A", [], { timeout });
    c.result((await c.next(Method.exec)).id, 1); // no limit is sent
    await done;
  }
});
