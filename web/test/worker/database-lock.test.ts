// What becomes of each request for the lock, whichever comes first: its grant or its withdrawal.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { DatabaseLock } from "../../src/worker/database-lock.js";

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
});

afterEach(() => {
  if (navigator) Object.defineProperty(globalThis, "navigator", navigator);
  else Reflect.deleteProperty(globalThis, "navigator");
});

/** A lock, and what it reports. */
function databaseLock() {
  const told: string[] = [];
  const lock = new DatabaseLock("lock", ([event]) => void told.push(event));
  return { lock, async told() { await settle(); return told.splice(0); } };
}

test("a request in the queue is granted, and freed", async () => {
  const t = databaseLock();
  t.lock.queue();
  assert.deepEqual(await t.told(), ["granted"]);
  assert.equal(locks.held, true);
  t.lock.free();
  assert.deepEqual(await t.told(), ["freed"]);
  assert.equal(locks.held, false);
});

test("a request leaves the queue, and queues again at its end", async () => {
  locks.held = true;
  const t = databaseLock();
  t.lock.queue();
  t.lock.withdraw();
  assert.deepEqual(await t.told(), ["withdrawn"]);
  assert.equal(locks.queue.length, 0);
  t.lock.queue();
  locks.free();
  assert.deepEqual(await t.told(), ["granted"]);
  t.lock.withdraw(); // too late: the lock is held
  assert.deepEqual(await t.told(), []);
  assert.equal(locks.held, true);
});

test("a look takes a free lock, and waits for none", async () => {
  locks.held = true;
  const t = databaseLock();
  t.lock.look();
  assert.deepEqual(await t.told(), ["taken"]);
  locks.held = false;
  t.lock.look();
  assert.deepEqual(await t.told(), ["granted"]);
  assert.deepEqual(locks.asked, ["look", "look"]);
});

test("builds that are newer lead first; waiting for them ends by withdrawal as well", async () => {
  const t = databaseLock();
  void t.lock.yieldTo([]);
  assert.deepEqual(await t.told(), ["yielded"]);
  locks.held = true;
  void t.lock.yieldTo(["newer"]);
  assert.deepEqual(await t.told(), []);
  t.lock.withdraw();
  assert.deepEqual(await t.told(), ["yielded"]);
});

test("a refusal of the lock itself is not swallowed", async () => {
  locks.request = () => Promise.reject(new DOMException("no", "SecurityError"));
  const t = databaseLock();
  t.lock.queue();
  t.lock.look();
  assert.deepEqual(await t.told(), ["crashed", "crashed"]);
});
