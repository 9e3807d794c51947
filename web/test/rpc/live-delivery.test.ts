// What a page shows of its live queries: all of an event in one task, once a frame, and nothing of two leaders at once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FRAME_MS } from "../../src/shared/bounds.js";
import { EventType, Method } from "../../src/rpc/messages.gen.js";
import type { Database } from "../../src/api/database.js";
import { type FakeConnection, opened, sendLive, settle } from "../fake.js";

/** Two live queries, and what the app saw: the values of both at each call. */
async function pair(db: Database, c: FakeConnection) {
  const seen: string[] = [];
  const shown: Record<string, number | undefined> = {};
  let stop = () => {};
  for (const name of ["a", "b"]) {
    stop = db.live<{ n: number }>(`SELECT ${name}`, [], (rows, diff) => {
      shown[name] = rows[0]?.n;
      // What else one task brings is there before a microtask runs.
      queueMicrotask(() => seen.push(`${shown["a"]} ${shown["b"]} at ${diff.commit}`));
    }, { onError: (error) => seen.push(error.code) });
  }
  const start = async () => {
    const ids = [await c.next(Method.liveStart), await c.next(Method.liveStart)].map(({ id }) => id);
    for (const id of ids) c.reply(id, 0);
    return ids as [number, number];
  };
  return { seen, start, ids: await start(), stop: () => stop() };
}

const one = (n: number) => ({ reset: true, rows: [[n]] });

async function acked(c: FakeConnection): Promise<boolean> {
  if (!await c.has(Method.ack)) return false;
  assert.equal((await c.next(Method.ack)).r.u8(), EventType.live);
  return true;
}

test("an event of several messages is shown when its last one is there, all in one task", async () => {
  const { db, c } = await opened();
  const { seen, ids: [a, b] } = await pair(db, c);
  sendLive(c, 5, [{ id: a, ...one(1) }], false);
  await settle();
  assert.deepEqual(seen, []);
  assert.equal(await acked(c), false);
  sendLive(c, 5, [{ id: b, ...one(2) }]);
  await settle();
  assert.deepEqual(seen, ["1 2 at 5", "1 2 at 5"]);
  assert.ok(await acked(c));
  sendLive(c, 6, [{ id: a, error: "SQLITE_ERROR" }, { id: b, ...one(3) }, { id: 4711, ...one(9) }]);
  await settle();
  assert.deepEqual(seen.slice(2).sort(), ["1 3 at 6", "SQLITE_ERROR"]);
});

test("a page shows the results of a new leader once it has all of them", async () => {
  const { db, c } = await opened();
  const { seen, ids, start, stop } = await pair(db, c);
  sendLive(c, 5, [{ id: ids[0], ...one(1) }, { id: ids[1], ...one(2) }]);
  await settle();
  assert.ok(await acked(c));
  seen.length = 0;
  c.handler.lost(false);
  await c.lead("L2");
  let [a, b] = await start();
  sendLive(c, 7, [{ id: a, ...one(3) }]);
  await settle();
  assert.deepEqual(seen, []);
  assert.ok(await acked(c), "the leader waits for the page, and the page for the leader");
  sendLive(c, 8, [{ id: a, rows: [[4]], runs: [{ copy: false, count: 1 }] }, { id: b, ...one(1) }]);
  await settle();
  assert.deepEqual(seen, ["4 1 at 8", "4 1 at 8"]);
  assert.ok(await acked(c));
  assert.equal(await acked(c), false, "one event was acknowledged twice");

  // Nobody waits for a query that ends, nor for one that fails.
  for (const end of [stop, () => sendLive(c, 10, [{ id: b, error: "SQLITE_ERROR" }])]) {
    seen.length = 0;
    c.handler.lost(false);
    await c.lead("L3");
    if (end === stop) {
      a = (await c.next(Method.liveStart)).id;
      b = (await c.next(Method.liveStart)).id;
    } else a = b = (await c.next(Method.liveStart)).id;
    sendLive(c, 9, [{ id: a, ...one(7) }]);
    await settle();
    if (end === stop) {
      assert.deepEqual(seen, []);
      end();
      await settle();
    }
    assert.deepEqual(seen, ["7 1 at 9"]);
  }
});

test("a page tells the next leader the last commit that it has heard of", async () => {
  const { db, c } = await opened();
  const { ids: [a] } = await pair(db, c);
  sendLive(c, 41, [{ id: a, ...one(1) }]);
  c.handler.lost(false);
  c.handler.connected();
  const { r } = await c.next(Method.hello);
  assert.deepEqual([r.u16(), r.string(), r.u32(), r.bool(), r.u32()].length, 5);
  assert.deepEqual([r.string(), r.u64()], ["L1", 41]);
  await db.close();
});

/** A page whose frames the test makes. */
function page() {
  const frames = new Map<number, () => void>();
  const listeners = new Set<() => void>();
  const scope = globalThis as unknown as Record<string, unknown>;
  const document = {
    visibilityState: "visible",
    addEventListener: (_: string, listener: () => void) => listeners.add(listener),
  };
  let handle = 0;
  Object.assign(scope, {
    document,
    requestAnimationFrame: (fn: () => void) => { frames.set(++handle, fn); return handle; },
    cancelAnimationFrame: (id: number) => frames.delete(id),
  });
  return {
    /** Makes a frame. What comes back ends with the first task after it. */
    frame(): Promise<void> {
      const now = [...frames.values()];
      frames.clear();
      for (const fn of now) fn();
      return new Promise((resolve) => setTimeout(resolve));
    },
    show(state: "visible" | "hidden"): void {
      document.visibilityState = state;
      for (const listener of listeners) listener();
    },
    [Symbol.dispose](): void {
      for (const name of ["document", "requestAnimationFrame", "cancelAnimationFrame"]) delete scope[name];
    },
  };
}

test("a frame has one event at most, and what is the first of its frame waits for none", async () => {
  using browser = page();
  const { db, c } = await opened();
  const { seen, ids: [a, b] } = await pair(db, c);
  const send = async (n: number) => {
    sendLive(c, n, [{ id: a, ...one(n) }, { id: b, ...one(-n) }]);
    await settle();
  };
  const shown = () => seen.splice(0);
  await send(1);
  assert.deepEqual(shown(), ["1 -1 at 1", "1 -1 at 1"], "the first event waited for a frame");
  assert.ok(await acked(c));
  await send(2);
  assert.deepEqual(shown(), [], "a frame was given two events");
  assert.ok(await acked(c), "the leader waits for the page's frame");
  const first = browser.frame(); // it is made with what event 1 changed
  await Promise.resolve();
  assert.deepEqual(shown(), [], "the frame that is being made was given a second event");
  await first;
  assert.deepEqual(shown(), ["2 -2 at 2", "2 -2 at 2"], "what waited is not the first of its frame");
  await send(3);
  sendLive(c, 4, [{ id: a, rows: [[8]], runs: [{ copy: false, count: 1 }] }]);
  sendLive(c, 5, [{ id: b, error: "SQLITE_ERROR" }], false); // the rest of it is to come
  await settle();
  assert.deepEqual(shown(), []);
  await browser.frame();
  assert.deepEqual(shown(), ["8 -3 at 4", "8 -3 at 4"], "what one task shows is not of one commit");
  sendLive(c, 5, []);
  await settle();
  await browser.frame();
  assert.deepEqual(shown(), ["SQLITE_ERROR"]);
  await browser.frame(); // nothing came meanwhile
  await send(6);
  assert.deepEqual(shown(), ["6 -6 at 6", "6 -6 at 6"], "after a quiet frame an event waited for another one");
  await db.close();
});

test("a page that makes no frames is shown what came all the same", async () => {
  using browser = page();
  const { db, c } = await opened();
  const { seen, ids: [a] } = await pair(db, c);
  sendLive(c, 1, [{ id: a, ...one(1) }]);
  sendLive(c, 2, [{ id: a, ...one(2) }]);
  while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, FRAME_MS / 2));
  assert.deepEqual(seen, ["1 undefined at 1", "2 undefined at 2"]);
  await browser.frame(); // comes late, and has nothing to show
  assert.equal(seen.length, 2);
  await db.close();
});

test("a hidden page says so, to each leader, and shows what is on its way", async () => {
  using browser = page();
  const { db, c } = await opened();
  const paused = async () => (await c.next(Method.livePause)).r.bool();
  const { seen, ids: [a] } = await pair(db, c);
  browser.show("hidden");
  assert.equal(await paused(), true);
  for (const n of [1, 2]) {
    sendLive(c, n, [{ id: a, ...one(n) }]);
    await settle();
  }
  assert.deepEqual(seen, ["1 undefined at 1", "2 undefined at 2"]);
  c.handler.lost(false);
  await c.lead("L2");
  assert.equal(await paused(), true);
  browser.show("visible");
  assert.equal(await paused(), false);
  c.handler.lost(false);
  await c.lead("L3");
  assert.equal(await c.has(Method.livePause), false);
  await db.close();
});
