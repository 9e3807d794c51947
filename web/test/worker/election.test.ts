import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Election } from "../../src/worker/election.js";

/** Web Locks for one lock: first come, first served. */
class Locks {
  held = false;
  readonly queue: string[] = [];
  readonly #grants = new Map<string, () => void>();
  /** What was asked for, in order. */
  readonly asked: string[] = [];
  #next = 0;

  async request(
    _name: string, options: { signal?: AbortSignal; ifAvailable?: boolean },
    callback: (lock: object | null) => Promise<unknown>,
  ) {
    this.asked.push(options.ifAvailable ? "look" : "queue");
    if (this.held && options.ifAvailable) return callback(null);
    if (this.held) {
      const id = `waiter ${this.#next++}`;
      this.queue.push(id);
      await new Promise<void>((resolve, reject) => {
        this.#grants.set(id, resolve);
        options.signal?.addEventListener("abort", () => {
          this.queue.splice(this.queue.indexOf(id), 1);
          reject(options.signal!.reason as Error);
        });
      });
    }
    this.held = true;
    try {
      return await callback({});
    } finally {
      this.free();
    }
  }

  /** Somebody else's hold ends. */
  free(): void {
    this.held = false;
    const first = this.queue.shift();
    if (first !== undefined) this.#grants.get(first)!();
  }
}

const settle = async () => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};

let locks: Locks;
let navigator: PropertyDescriptor | undefined;

beforeEach(() => {
  locks = new Locks();
  navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  mock.timers.enable({ apis: ["setTimeout"] });
});

afterEach(() => {
  mock.timers.reset();
  if (navigator) Object.defineProperty(globalThis, "navigator", navigator);
  else Reflect.deleteProperty(globalThis, "navigator");
});

/** A election whose hold lasts until `end`. */
function election(visible: boolean) {
  let holds = 0;
  let end = () => {};
  const c = new Election("lock", visible, () => {
    holds++;
    return new Promise<void>((resolve) => { end = resolve; });
  });
  let over = false;
  const run = c.run().then(() => { over = true; });
  return { c, run, holds: () => holds, end: () => end(), over: () => over };
}

test("a visible tab takes a free lock, and leads once", async () => {
  const t = election(true);
  await settle();
  assert.equal(t.holds(), 1);
  t.end();
  await t.run;
  assert.equal(locks.held, false);
  assert.deepEqual(locks.asked, ["queue"]);
});

test("a visible tab queues; hidden, it leaves the queue; visible again, it queues again", async () => {
  locks.held = true;
  const t = election(true);
  await settle();
  assert.equal(locks.queue.length, 1);
  t.c.setVisible(false);
  await settle();
  assert.equal(locks.queue.length, 0);
  t.c.setVisible(true);
  await settle();
  assert.equal(locks.queue.length, 1);
  locks.free();
  await settle();
  assert.equal(t.holds(), 1);
});

test("a hidden tab looks when a leader leaves, and now and then, but never queues", async () => {
  locks.held = true;
  const t = election(false);
  t.c.leaderKnown();
  await settle();
  t.c.retryLock();
  await settle();
  mock.timers.tick(3_000);
  await settle();
  assert.deepEqual(locks.asked, ["look", "look", "look"]);
  assert.equal(locks.queue.length, 0);
  locks.held = false;
  t.c.retryLock();
  await settle();
  assert.equal(t.holds(), 1);
  t.end();
  await t.run;
  assert.equal(locks.held, false);
});

test("a hidden tab that hears of a leader's end before the lock is free has it soon after", async () => {
  locks.held = true;
  const t = election(false);
  t.c.leaderKnown();
  await settle();
  t.c.retryLock();
  await settle();
  locks.free();
  mock.timers.tick(100);
  await settle();
  assert.equal(t.holds(), 1);
});

test("a free lock that the browser gives to nobody: the one that queues asks anew, unless somebody leads", async () => {
  locks.held = true;
  const t = election(true);
  t.c.leaderKnown();
  await settle();
  mock.timers.tick(10_000);
  await settle();
  assert.deepEqual(locks.asked, ["queue"]);
  locks.held = false; // and nobody in the queue is told
  t.c.retryLock();
  mock.timers.tick(250);
  await settle();
  assert.equal(t.holds(), 1);
  assert.equal(locks.queue.length, 0);
});

test("who asks anew stops when somebody leads", async () => {
  locks.held = true;
  const t = election(true);
  await settle();
  for (const ms of [250, 500, 1_000, 1_000, 1_000, 1_000]) {
    mock.timers.tick(ms);
    await settle();
  }
  assert.equal(locks.asked.length, 7);
  t.c.leaderKnown();
  mock.timers.tick(10_000);
  await settle();
  assert.equal(locks.asked.length, 7);
  locks.free();
  await settle();
  assert.equal(t.holds(), 1);
});

test("who withdraws leaves the queue for good", async () => {
  locks.held = true;
  for (const visible of [true, false]) {
    const t = election(visible);
    await settle();
    t.c.withdraw();
    await t.run;
    assert.equal(locks.queue.length, 0);
    assert.equal(t.holds(), 0);
  }
  locks.free();
  assert.equal(locks.held, false);
});

test("withdrawing while leading waits for the end of the hold", async () => {
  const t = election(true);
  await settle();
  t.c.withdraw();
  await settle();
  assert.equal(t.over(), false);
  assert.equal(locks.held, true);
  t.end();
  await t.run;
  assert.equal(locks.held, false);
});

test("a refusal of the lock itself is not swallowed", async () => {
  locks.request = () => Promise.reject(new DOMException("no", "SecurityError"));
  await assert.rejects(new Election("lock", true, async () => {}).run(), { name: "SecurityError" });
});
