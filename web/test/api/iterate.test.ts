// db.iterate() on a leader that is the test: batches, credit, and every way out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isAborted, noteAbort } from "../../src/shared/abort-flags.js";
import { Kind } from "../../src/rpc/codec.js";
import { Method } from "../../src/rpc/messages.gen.js";
import type { HeddleError } from "../../src/shared/errors.js";
import { type FakeConnection, opened, rejection, settle, type Sent } from "../fake.js";

/** Takes the request that begins an iteration. */
async function begun(c: FakeConnection): Promise<Sent & { sql: string; batch: number; credit: number }> {
  const sent = await c.next(Method.iterate);
  const sql = sent.r.string();
  assert.equal(sent.r.u8(), 0, "no parameters");
  return { ...sent, sql, batch: sent.r.u32(), credit: sent.r.u32() };
}

const rows = (from: number, n: number) => Array.from({ length: n }, (_, i) => [from + i]);

test("rows come in batches, and another is asked for as one is taken", async () => {
  const { db, c } = await opened();
  const taken: unknown[] = [];
  const loop = (async () => {
    for await (const row of db.iterate<{ n: number }>("SELECT n", undefined, { batch: 3 })) taken.push(row.n);
  })();
  const q = await begun(c);
  assert.deepEqual([q.sql, q.batch, q.credit], ["SELECT n", 3, 2]);
  c.rows(q.id, ["n"], rows(1, 3), Kind.chunk);
  c.rows(q.id, ["n"], rows(4, 3), Kind.chunk, false);
  for (const from of [7, 10]) {
    const credit = await c.next(Method.credit);
    assert.deepEqual([credit.r.u32(), credit.r.u32()], [q.id, 1]);
    c.rows(q.id, ["n"], rows(from, 3), Kind.chunk, false);
  }
  c.rows(q.id, ["n"], rows(13, 1), Kind.result, false);
  await loop;
  assert.deepEqual(taken, rows(1, 13).flat());
});

test("a consumer that takes nothing asks for nothing", async () => {
  const { db, c } = await opened();
  const it = db.iterate("SELECT n");
  assert.equal(await c.has(Method.iterate), false, "nothing is sent before the first row is wanted");
  const first = it.next();
  const q = await begun(c);
  c.rows(q.id, ["n"], rows(1, 2), Kind.chunk);
  c.rows(q.id, ["n"], rows(3, 2), Kind.chunk, false);
  assert.deepEqual(await first, { value: { n: 1 }, done: false });
  await c.next(Method.credit); // for the batch that is being taken
  assert.equal(await c.has(Method.credit), false);
  await it.next();
  assert.equal(await c.has(Method.credit), false);
  assert.deepEqual(await it.next(), { value: { n: 3 }, done: false });
  await c.next(Method.credit);
});

test("leaving the loop frees the statement", async () => {
  const { db, c } = await opened();
  const loop = (async () => {
    for await (const row of db.iterate("SELECT n")) if (row["n"] === 2) break;
  })();
  const q = await begun(c);
  c.rows(q.id, ["n"], rows(1, 9), Kind.chunk);
  await loop;
  assert.equal((await c.next(Method.cancel)).r.u32(), q.id);
  c.rows(q.id, ["n"], rows(10, 9), Kind.chunk, false); // was on its way
  c.error(q.id, "HEDDLE_ABORTED");
  await settle();
});

test("next and return settle in whatever order they are called", async () => {
  const { db, c } = await opened();
  const it = db.iterate("SELECT n");
  const all = Promise.all([it.next(), it.next(), it.next()]);
  const q = await begun(c);
  c.rows(q.id, ["n"], rows(1, 2), Kind.chunk);
  c.rows(q.id, ["n"], [], Kind.result, false);
  assert.deepEqual(await all, [{ value: { n: 1 }, done: false }, { value: { n: 2 }, done: false },
    { value: undefined, done: true }]);
  assert.deepEqual(await it.next(), { value: undefined, done: true });

  const other = db.iterate("SELECT n");
  const waiting = other.next();
  await begun(c);
  assert.deepEqual(await other.return!(), { value: undefined, done: true });
  assert.deepEqual(await waiting, { value: undefined, done: true });
});

test("an abort ends it between batches, and so do a timeout, an error and a leader's end", async () => {
  const { db, c } = await opened();
  const abort = new AbortController();
  for (const [code, options, end] of [
    ["HEDDLE_ABORTED", { signal: abort.signal }, () => abort.abort()],
    ["HEDDLE_TIMEOUT", { timeout: 5 }, () => {}],
    ["SQLITE_IOERR", {}, (q: Sent) => c.error(q.id, "SQLITE_IOERR")],
    ["HEDDLE_LEADER_LOST", {}, () => c.handler.lost(false)],
  ] as const) {
    const it = db.iterate("SELECT n", [], options);
    const first = it.next();
    const q = await c.next(Method.iterate);
    assert.equal(q.deadline > 0, "timeout" in options);
    c.rows(q.id, ["n"], rows(1, 1), Kind.chunk);
    assert.deepEqual(await first, { value: { n: 1 }, done: false });
    const second = rejection(it.next());
    end(q);
    const error = await second;
    assert.equal(error.code, code);
    assert.deepEqual(await it.next(), { value: undefined, done: true });
  }
});

test("what cannot be iterated over is refused at once", async () => {
  const { db } = await opened();
  for (const call of [
    () => db.iterate(1 as never),
    () => db.iterate("SELECT ?", [undefined as never]),
    () => db.iterate("SELECT 1", [], { batch: 0 }),
    () => db.iterate("SELECT 1", [], { batch: 5000 }),
    () => db.iterate("SELECT 1", [], { batch: "10" as never }),
  ]) {
    assert.throws(call, (error: HeddleError) => error.code === "HEDDLE_BAD_PARAM");
  }
  await db.close();
  assert.throws(() => db.iterate("SELECT 1"), (error: HeddleError) => error.code === "HEDDLE_CLOSED");
});

test("aborts in shared memory are told by their ids", () => {
  const aborts = new Int32Array(new SharedArrayBuffer(1024));
  for (const id of [1, 255, 256, 0xffffffff]) {
    assert.equal(isAborted(aborts, id | 0), false);
    noteAbort(aborts, id);
    assert.equal(isAborted(aborts, id | 0), true); // as it comes from Go, an i32
  }
  noteAbort(aborts, 257);
  assert.deepEqual([isAborted(aborts, 1), isAborted(aborts, 257), isAborted(undefined, 257)], [false, true, false]);
});
