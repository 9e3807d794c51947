// What db.live.stats() and explain() make of the leader's answers, and the warning of a query that runs in vain.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Kind, type Writer } from "../../src/rpc/codec.js";
import { EventType, Method } from "../../src/rpc/messages.gen.js";
import { opened, rejection } from "../fake.js";

function writeStatement(w: Writer, sql: string, numbers: number[], why: string): void {
  w.string(sql);
  w.u32(2);
  for (const n of numbers) w.u64(n);
  w.u32(1);
  for (const s of ["t", "b", "value"]) w.string(s);
  w.string(why);
}

test("stats tells by statement what commits cost", async () => {
  const { db, c } = await opened();
  const stats = db.live.stats();
  const q = await c.next(Method.liveStats);
  c.reply(q.id, Kind.result, (w) => {
    w.u32(1);
    writeStatement(w, "SELECT a", [1000, 3, 40, 102, 50, 1500], "no ORDER BY");
  });
  assert.deepEqual(await stats, [{
    sql: "SELECT a", queries: 2, commits: 1000, skipped: 860, patched: 40, runs: 102, vain: 50, lastMs: 1.5,
    places: [{ table: "t", column: "b", how: "value" }], why: "no ORDER BY",
  }]);
  await db.close();
});

test("explain asks about a statement with its parameters", async () => {
  const { db, c } = await opened();
  const explained = db.live.explain("SELECT a FROM t WHERE b = ?", [5]);
  const q = await c.next(Method.liveExplain);
  assert.deepEqual([q.r.string(), q.r.u8(), q.r.values()], ["SELECT a FROM t WHERE b = ?", 1, [5]]);
  c.reply(q.id, Kind.result, (w) => writeStatement(w, "SELECT a", [0, 0, 0, 0, 0, 0], ""));
  const { why, places, skipped } = await explained;
  assert.deepEqual([why, places, skipped], ["", [{ table: "t", column: "b", how: "value" }], 0]);
  const failed = rejection(db.live.explain("SELECT nonsense"));
  c.error((await c.next(Method.liveExplain)).id, "SQLITE_ERROR");
  const { code, sql } = await failed;
  assert.deepEqual([code, sql], ["SQLITE_ERROR", "SELECT nonsense"]);
  assert.equal((await rejection(db.live.explain("SELECT ?", [undefined] as never))).code, "HEDDLE_BAD_PARAM");
  await db.close();
});

test("a query that runs in vain is warned of once", async () => {
  const { db, c } = await opened();
  const warned = mock.method(console, "warn", () => {});
  try {
    for (let i = 0; i < 2; i++) {
      c.event(0, EventType.liveVain, (w) => writeStatement(w, "SELECT vain", [100, 0, 0, 101, 100, 5], "volatile"));
    }
    assert.equal(warned.mock.callCount(), 1);
    assert.match(String(warned.mock.calls[0]!.arguments[0]), /101 times, 100 of them in vain.*SELECT vain\nvolatile/);
  } finally {
    warned.mock.restore();
  }
  await db.close();
});
