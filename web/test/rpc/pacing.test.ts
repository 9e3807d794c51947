// How many requests the page lets out at a time: never more than a leader takes
// of one tab, and none is lost for it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { Method } from "../../src/rpc/messages.gen.js";
import { type FakeConnection, opened, rejection, settle, sendLive } from "../fake.js";

const MANY = 1_600;
/** leader.MaxQueued: what waits beyond it gets HEDDLE_BUSY. */
const MAX_QUEUED = 1_024;

/** Takes the requests of the method that are out, and answers them, until no more come. */
async function serve(c: FakeConnection, method: number,
  answer: (id: number) => void): Promise<{ served: number; most: number }> {
  let served = 0, most = 0;
  while (await c.has(method)) {
    const out = c.sent.filter((s) => s.method === method);
    most = Math.max(most, out.length);
    for (const { id } of out) {
      c.sent.splice(c.sent.findIndex((s) => s.id === id), 1);
      answer(id);
      served++;
    }
  }
  return { served, most };
}

function first(c: FakeConnection, id: number): void {
  c.reply(id, Kind.result);
  sendLive(c, 1, [{ id, reset: true, runs: [] }]);
}

test("1,600 live queries started at once all begin, and never too many are out", async () => {
  const { db, c } = await opened();
  const seen = new Set<number>();
  const errors: string[] = [];
  for (let i = 0; i < MANY; i++) db.live("SELECT 1", [], () => seen.add(i),
    { onError: (error) => errors.push(error.code) });
  const { served, most } = await serve(c, Method.liveStart, (id) => first(c, id));
  assert.deepEqual([served, seen.size, errors], [MANY, MANY, []]);
  assert.ok(most < MAX_QUEUED, `${most} were out`);
});

test("live queries that wait for their turn go to the next leader, once each; one that was stopped never does",
  async () => {
  const { db, c } = await opened();
  const stops = Array.from({ length: MANY },
    (_, i) => db.live(`SELECT ${i}`, [], () => {}, { onError: () => assert.fail() }));
  await settle();
  stops[3]!(); // is out
  stops[1_500]!(); // waits
  c.handler.lost(false);
  c.sent.length = 0;
  await c.lead("L2");
  const asked: string[] = [];
  await serve(c, Method.liveStart, (id) => {
    first(c, id);
    asked.push(String(id));
  });
  assert.equal(asked.length, MANY - 2);
  stops.forEach((stop) => stop());
  assert.equal((await serve(c, Method.liveStop, () => {})).served, MANY - 2);
});

test("a live query that the leader had no room for is asked for again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { db, c } = await opened();
  let calls = 0;
  const stop = db.live("SELECT 1", [], () => calls++, { onError: () => assert.fail() });
  for (let wait = 50; wait <= 200; wait *= 2) {
    c.error((await c.next(Method.liveStart)).id, "HEDDLE_BUSY");
    await settle();
    t.mock.timers.tick(wait - 1);
    assert.equal(await c.has(Method.liveStart), false);
    t.mock.timers.tick(1);
  }
  const refused = await c.next(Method.liveStart);
  c.error(refused.id, "HEDDLE_BUSY");
  await settle();
  // The next leader is asked at once, and only once.
  c.handler.lost(false);
  await c.lead("L2");
  first(c, (await c.next(Method.liveStart)).id);
  t.mock.timers.tick(60_000);
  assert.equal(await c.has(Method.liveStart), false);
  assert.equal(calls, 1);
  stop();
});

test("a live query that is stopped while it waits to ask again does not", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { db, c } = await opened();
  const stop = db.live("SELECT 1", [], () => {});
  c.error((await c.next(Method.liveStart)).id, "HEDDLE_BUSY");
  await settle();
  stop();
  t.mock.timers.tick(60_000);
  assert.equal(await c.has(Method.liveStart), false);
});

test("statements of a transaction that nobody waits for are paced as well", async () => {
  const { db, c } = await opened();
  const done = db.transaction(async (tx) => {
    await Promise.all(Array.from({ length: MANY }, (_, i) => tx.exec(`INSERT INTO t VALUES (${i})`)));
  });
  c.reply((await c.next(Method.txBegin)).id, Kind.result);
  const { served, most } = await serve(c, Method.txExec, (id) => c.result(id, 1));
  assert.equal(served, MANY);
  assert.ok(most < MAX_QUEUED, `${most} were out`);
  c.reply((await c.next(Method.txCommit)).id, Kind.result);
  await done;
});

test("statements of a transaction that waited when the leader went fail with it", async () => {
  const { db, c } = await opened();
  const done = rejection(db.transaction(async (tx) => {
    await Promise.all(Array.from({ length: MANY }, (_, i) => tx.exec(`INSERT INTO t VALUES (${i})`)));
  }));
  c.reply((await c.next(Method.txBegin)).id, Kind.result);
  await c.next(Method.txExec);
  c.handler.lost(false);
  assert.equal((await done).code, "HEDDLE_TX_LOST");
  c.sent.length = 0;
  await c.lead("L2");
  assert.equal(await c.has(Method.txExec), false);
});

test("calls that wait for the network hold up no read", async () => {
  const { db, c } = await opened({ sync: { url: "https://x.test", space: "s", tables: { notes: true } } });
  const waiting = Array.from({ length: MANY }, () => rejection(db.sync.now()));
  const rows = db.query("SELECT 1");
  c.rows((await c.next(Method.query)).id, ["1"], [[1]]);
  assert.deepEqual(await rows, [{ 1: 1 }]);
  await db.close();
  for (const error of await Promise.all(waiting)) assert.equal(error.code, "HEDDLE_CLOSED");
});
