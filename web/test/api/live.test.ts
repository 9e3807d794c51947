import assert from "node:assert/strict";
import { test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { newRows } from "../../src/rpc/rows.js";
import { applyRuns, check, compose, type Run, type Update } from "../../src/rpc/live-delivery.js";
import { EventType, Method } from "../../src/rpc/messages.gen.js";
import type { LiveDiff, Row } from "../../src/shared/types.js";
import { type FakeConnection, type LivePart, opened, sendLive, settle } from "../fake.js";

const columns = ["id", "n"];

function update(c: FakeConnection, id: number, part: Omit<LivePart, "id">): void {
  sendLive(c, 1, [{ id, columns, ...part }]);
}

const fresh = (count: number): Run => ({ copy: false, count });
const copy = (from: number, count: number): Run => ({ copy: true, from, count });

test("rows that stay are the same objects, and the diff says what is not", async () => {
  const { db, c } = await opened();
  const calls: [Row[], LiveDiff][] = [];
  const stop = db.live("SELECT id, n FROM t WHERE n > ?", [1], (rows, diff) => calls.push([rows, diff]));
  const q = await c.next(Method.liveStart);
  assert.deepEqual([q.r.string(), q.r.u8(), q.r.values()], ["SELECT id, n FROM t WHERE n > ?", 1, [1]]);
  c.reply(q.id, Kind.result);
  update(c, q.id, { reset: true, total: 3, runs: [fresh(3)], blocks: [[["a", 1], ["b", 2]], [["c", 3]]] });
  const ack = await c.next(Method.ack);
  assert.equal(ack.r.u8(), EventType.live);
  update(c, q.id, { total: 3, runs: [copy(2, 1), fresh(1), copy(0, 1)], rows: [["x", 9]] });
  assert.equal(calls.length, 2);
  const [first, firstDiff] = calls[0]!, [second, secondDiff] = calls[1]!;
  assert.deepEqual(first, [{ id: "a", n: 1 }, { id: "b", n: 2 }, { id: "c", n: 3 }]);
  assert.deepEqual(firstDiff, { first: true, added: [0, 1, 2], removed: [], commit: 1 });
  assert.deepEqual(second, [{ id: "c", n: 3 }, { id: "x", n: 9 }, { id: "a", n: 1 }]);
  assert.deepEqual(secondDiff, { first: false, added: [1], removed: [1], commit: 1 });
  assert.equal(second[0], first[2]);
  assert.equal(second[2], first[0]);
  stop();
  stop();
  assert.equal((await c.next(Method.liveStop)).r.u32(), q.id);
  assert.equal(await c.has(Method.liveStop), false);
  update(c, q.id, { reset: true, total: 0, runs: [] });
  assert.equal(calls.length, 2, "called after stop");
});

test("two engines in a row that die while they begin it end it; one now and then does not", async () => {
  const { db, c } = await opened();
  const errors: string[] = [];
  db.live("SELECT 1", [], () => {}, { onError: (error) => errors.push(error.code) });
  for (let i = 0; i < 3; i++) {
    await c.next(Method.liveStart);
    c.handler.lost(true);
    c.sent.length = 0;
    await c.lead(`a ${i}`);
    const q = await c.next(Method.liveStart);
    c.reply(q.id, Kind.result);
    update(c, q.id, { reset: true, total: 0, runs: [] });
    c.handler.lost(true);
    c.sent.length = 0;
    await c.lead(`b ${i}`);
  }
  assert.deepEqual(errors, []);
  for (let i = 0; i < 2; i++) {
    await c.next(Method.liveStart);
    c.handler.lost(true);
    c.sent.length = 0;
    await c.lead(`c ${i}`);
  }
  assert.deepEqual(errors, ["HEDDLE_ENGINE_CRASH"]);
});

test("the app may do with its array what it likes", async () => {
  const { db, c } = await opened();
  let last: Row[] = [];
  db.live("S", null, (rows) => { last = rows.slice(); rows.length = 0; });
  const q = await c.next(Method.liveStart);
  update(c, q.id, { reset: true, total: 1, runs: [fresh(1)], rows: [["a", 1]] });
  update(c, q.id, { total: 2, runs: [copy(0, 1), fresh(1)], rows: [["b", 2]] });
  assert.deepEqual(last, [{ id: "a", n: 1 }, { id: "b", n: 2 }]);
});

test("a query that cannot start is over; one that fails later goes on", async () => {
  const { db, c } = await opened();
  const errors: string[] = [];
  db.live("SELECT nonsense", [], () => assert.fail(), { onError: (e) => errors.push(`${e.code} ${e.sql}`) });
  const bad = await c.next(Method.liveStart);
  c.error(bad.id, "SQLITE_ERROR", "no such column");
  await settle();
  assert.deepEqual(errors, ["SQLITE_ERROR SELECT nonsense"]);
  let calls = 0;
  db.live("SELECT abs(n)", [], () => calls++, { onError: (e) => errors.push(e.code) });
  const q = await c.next(Method.liveStart);
  c.reply(q.id, Kind.result);
  update(c, q.id, { error: "SQLITE_ERROR" });
  await c.next(Method.ack);
  update(c, q.id, { reset: true, total: 0, runs: [] });
  assert.deepEqual([errors.length, calls], [2, 1]);
  c.handler.lost(false);
  await c.lead("L2");
  await c.next(Method.liveStart);
  assert.equal(await c.has(Method.liveStart), false, "the query that could not start was started again");
});

test("a new leader is asked anew, and the old one's messages mean nothing", async () => {
  const { db, c } = await opened();
  const results: number[] = [];
  db.live("S", [], (rows) => results.push(rows.length));
  const old = await c.next(Method.liveStart);
  update(c, old.id, { reset: true, total: 1, runs: [fresh(1)], rows: [["a", 1]] });
  c.handler.lost(false);
  await c.lead("L2");
  const q = await c.next(Method.liveStart);
  assert.notEqual(q.id, old.id);
  update(c, old.id, { total: 0, runs: [] });
  update(c, q.id, { reset: true, total: 2, runs: [fresh(2)], rows: [["a", 1], ["b", 2]] });
  assert.deepEqual(results, [1, 2]);
});

test("a query started with no leader there starts with the next one; stopped before, never", async () => {
  const { db, c } = await opened();
  c.handler.lost(true);
  db.live("A", [], () => {});
  db.live("B", [], () => {})();
  await c.lead("L2");
  assert.equal((await c.next(Method.liveStart)).r.string(), "A");
  assert.equal(await c.has(Method.liveStart), false);
});

test("a callback that throws stops nothing", async () => {
  const { db, c } = await opened();
  const seen: unknown[] = [];
  const scope = globalThis as { reportError?: (e: unknown) => void };
  const before = scope.reportError;
  scope.reportError = (e) => seen.push(e);
  try {
    db.live("S", [], () => { throw new Error("app"); });
    const q = await c.next(Method.liveStart);
    update(c, q.id, { reset: true, total: 0, runs: [] });
    await c.next(Method.ack);
    update(c, q.id, { total: 0, runs: [] });
    await c.next(Method.ack);
    assert.deepEqual(seen.map((e) => (e as Error).message), ["app", "app"]);
  } finally {
    if (before) scope.reportError = before;
    else delete scope.reportError;
  }
});

test("an update that does not fit its result ends the connection", () => {
  const row = (n: number): Row => ({ n });
  for (const [runs, rows, reset, total] of [
    [[copy(1, 2)], [], false, 2], [[copy(0, 1)], [], true, 1], [[fresh(1)], [], false, 1], [[], [row(3)], false, 0],
    [[copy(0, 2)], [], false, 3],
  ] as [Run[], Row[], boolean, number][]) {
    assert.throws(() => check({ ...newRows("object"), runs, rows, reset, total }, 2), { code: "HEDDLE_PROTOCOL" });
  }
});

test("updates that wait for a frame are one: its rows and its difference are those of all", () => {
  let seed = 7;
  const below = (n: number) => { seed = (seed * 48271) % 2147483647; return seed % n; };
  let made = 0;
  const update = (size: number): Update => {
    const reset = below(8) === 0, runs: Run[] = [], rows: Row[] = [];
    let total = 0;
    const add = (run: Run) => { runs.push(run); total += run.count; };
    for (let at = below(3); !reset && at < size; at += below(3)) {
      const count = 1 + below(size - at);
      add(copy(at, count));
      at += count;
      if (below(2)) { rows.push({ n: ++made }, { n: ++made }); add(fresh(2)); }
    }
    if (below(2)) { rows.push({ n: ++made }); add(fresh(1)); }
    return { ...newRows("object"), reset, runs, rows, total };
  };
  const resets = [0, 0];
  for (let i = 0; i < 3000; i++) {
    const shown: Row[] = Array.from({ length: below(9) }, () => ({ n: ++made }));
    let whole: Update | undefined, rows: readonly Row[] = shown;
    for (let k = 1 + below(4); k > 0; k--) {
      const next = update(rows.length);
      check(next, rows.length);
      rows = applyRuns(rows, next.runs, next.rows, next.reset).rows as Row[];
      whole = whole ? compose(whole, next) : next;
    }
    check(whole!, shown.length);
    const got = applyRuns(shown, whole!.runs, whole!.rows, whole!.reset);
    assert.deepEqual(got.rows, rows);
    assert.ok(got.rows.every((row, at) => row === rows[at]), "a row that stayed is another object");
    const { added, removed, first } = got.diff;
    const kept = shown.filter((_, at) => !removed.includes(at)), stayed = rows.filter((_, at) => !added.includes(at));
    assert.deepEqual(kept, stayed);
    assert.deepEqual(stayed, first ? [] : rows.filter((row) => shown.includes(row)));
    resets[first ? 1 : 0]!++;
  }
  assert.ok(resets[0]! > 500 && resets[1]! > 500, `the test is hollow: ${resets.join()}`);
});

test("live's arguments are checked", async () => {
  const { db } = await opened();
  assert.throws(() => db.live("S", [undefined] as never, () => {}), { code: "HEDDLE_BAD_PARAM" });
  assert.throws(() => db.live("S", [], 5 as never), { code: "HEDDLE_BAD_PARAM" });
  assert.throws(() => db.live("S", [], () => {}, { onError: 5 as never }), { code: "HEDDLE_BAD_PARAM" });
});
