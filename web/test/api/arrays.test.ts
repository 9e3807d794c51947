// Rows as arrays: { rows: "array" } of query, iterate and live, and the warning where an object loses a column.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { Method } from "../../src/rpc/messages.gen.js";
import { opened, rejection, sendLive } from "../fake.js";

test("query gives columns and arrays, in the statement's order, over all blocks", async () => {
  const { db, c } = await opened();
  const done = db.query<[number, string]>("SELECT id, id AS id", [], { rows: "array" });
  const q = await c.next(Method.query);
  c.rows(q.id, ["id", "id"], [[1, "x"]], Kind.chunk);
  c.rows(q.id, ["id", "id"], [[2, "y"]], Kind.result, false);
  assert.deepEqual(await done, { columns: ["id", "id"], rows: [[1, "x"], [2, "y"]] });
  const none = db.query("SELECT a", [], { rows: "array" });
  c.rows((await c.next(Method.query)).id, ["a"], []);
  assert.deepEqual(await none, { columns: ["a"], rows: [] });
  assert.equal((await rejection(db.query("A", [], { rows: "map" as never }))).code, "HEDDLE_BAD_PARAM");
});

test("iterate hands out arrays, and has the columns", async () => {
  const { db, c } = await opened();
  const rows = db.iterate("SELECT a, b", [], { rows: "array" });
  assert.deepEqual(rows.columns, []);
  const first = rows.next();
  const q = await c.next(Method.iterate);
  c.rows(q.id, ["a", "b"], [[1, null]], Kind.result);
  assert.deepEqual(await first, { value: [1, null], done: false });
  assert.deepEqual(rows.columns, ["a", "b"]);
});

test("live gives a result set, whose rows stay the same arrays", async () => {
  const { db, c } = await opened();
  const results: { columns: string[]; rows: unknown[][] }[] = [];
  db.live("SELECT a", [], (result) => results.push(result), { rows: "array" });
  const q = await c.next(Method.liveStart);
  c.reply(q.id, Kind.result);
  sendLive(c, 1, [{ id: q.id, reset: true, columns: ["a"], rows: [[5]] }]);
  const runs = [{ copy: true, from: 0, count: 1 } as const, { copy: false, count: 1 } as const];
  sendLive(c, 2, [{ id: q.id, columns: ["a"], rows: [[6]], runs, total: 2 }]);
  assert.deepEqual(results, [{ columns: ["a"], rows: [[5]] }, { columns: ["a"], rows: [[5], [6]] }]);
  assert.equal(results[1]!.rows[0], results[0]!.rows[0]);
});

test("an object that loses a column warns once, on a developer's machine alone", async () => {
  const { db, c } = await opened();
  const warned: string[] = [];
  const console_ = mock.method(console, "warn", (text: string) => { warned.push(text); });
  const ask = async (hostname: string | undefined, columns: string[]) => {
    if (hostname === undefined) delete (globalThis as { location?: object }).location;
    else (globalThis as { location?: object }).location = { hostname };
    const done = db.query("SELECT");
    c.rows((await c.next(Method.query)).id, columns, [columns.map((_, i) => i)]);
    return done;
  };
  try {
    assert.deepEqual(await ask("example.com", ["id", "n", "id"]), [{ id: 2, n: 1 }]);
    assert.deepEqual(warned, []);
    for (const host of ["localhost", "app.localhost", "127.0.0.1", "[::1]"]) await ask(host, ["id", "n", "id"]);
    assert.equal(warned.length, 1);
    assert.match(warned[0]!, /"id".*AS.*rows: "array".*id, n, id/);
    await ask("localhost", ["a", "b"]);
    assert.equal(warned.length, 1);
  } finally {
    console_.mock.restore();
    delete (globalThis as { location?: object }).location;
  }
});
