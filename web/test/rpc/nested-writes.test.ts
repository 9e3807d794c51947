// Writes on the database inside the function of its own transaction.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { Method } from "../../src/rpc/messages.gen.js";
import type { Database } from "../../src/api/database.js";
import type { Transaction } from "../../src/shared/types.js";
import { type FakeConnection, opened, rejection, settle } from "../fake.js";

let warned: string[] = [];
beforeEach(() => {
  mock.reset();
  warned = [];
  mock.method(console, "warn", (text: string) => { warned.push(text); });
});

const sync = { url: "https://x.test", space: "s", tables: { notes: true as const } };

/** Answers all that a transaction asks until it has ended. */
async function serve(c: FakeConnection, done: Promise<unknown>): Promise<void> {
  let over = false;
  done.then(() => { over = true; }, () => { over = true; });
  while (!over) {
    await settle();
    for (const { id, method } of c.sent.splice(0)) {
      if (method === Method.txExec || method === Method.exec) c.result(id, 1);
      else if (method === Method.txQuery || method === Method.query) c.rows(id, ["n"], [[1]]);
      else c.reply(id, Kind.result);
    }
  }
}

/** What may be written in a transaction's function, and is not of it. */
const writes: Record<string, (db: Database) => Promise<unknown>> = {
  exec: (db) => db.exec("INSERT INTO notes VALUES (1)"),
  "query that writes": (db) => db.query("INSERT INTO notes VALUES (1) RETURNING id"),
  batch: (db) => db.batch(["INSERT INTO notes VALUES (1)"]),
  bulk: (db) => db.bulk("INSERT INTO notes VALUES (?)", [[1]]),
  transaction: (db) => db.transaction(() => assert.fail("it began")),
  import: (db) => db.import(new TextEncoder().encode("SQLite format 3\0".padEnd(512, "\0"))),
  "sync.now": (db) => db.sync.now(),
  "sync.retry": (db) => db.sync.retry(1),
  "sync.discard": (db) => db.sync.discard(1),
};

/** Where in the function, as far as the page knows for sure. */
const places: Record<string, (tx: Transaction, write: () => Promise<unknown>) => Promise<unknown>> = {
  "at the start": (_, write) => write(),
  "after a statement": async (tx, write) => { await tx.exec("A"); return write(); },
  "after a query": async (tx, write) => { await tx.query("SELECT 1"); await tx.exec("A"); await write(); },
  "in a then": (tx, write) => tx.exec("A").then(write),
  "after one that failed": async (tx, write) => {
    const bad = tx.exec(5 as never);
    await bad.catch(() => {});
    await tx.exec("A");
    await write();
  },
  "in a function of its own": async (tx, write) => {
    const save = async () => { await write(); };
    await tx.exec("A");
    await save();
  },
};

for (const [what, write] of Object.entries(writes)) {
  test(`${what} inside a transaction fails at once and says what to do`, async () => {
    const { db, c } = await opened({ sync });
    const failed = rejection(db.transaction(async (tx) => { await tx.exec("A"); await write(db); }));
    await serve(c, failed);
    const error = await failed;
    assert.equal(error.code, "HEDDLE_TX_NESTED");
    assert.match(error.message, /make it on tx/);
    assert.equal(warned.length, 1);
    // The transaction is over: the same call is good.
    void write(db).catch(() => {});
    await settle();
    assert.ok(c.sent.length > 0);
    await db.close();
  });
}

for (const [where, fn] of Object.entries(places)) {
  test(`a write ${where} of the function is known`, async () => {
    const { db, c } = await opened();
    const failed = rejection(db.transaction((tx) => fn(tx, () => db.exec("INSERT INTO notes VALUES (1)"))));
    await serve(c, failed);
    assert.equal((await failed).code, "HEDDLE_TX_NESTED");
    await db.close();
  });
}

test("a nested write that is caught leaves the transaction whole", async () => {
  const { db, c } = await opened();
  const done = db.transaction(async (tx) => {
    await tx.exec("A");
    const error = await rejection(db.exec("B"));
    await tx.exec("C");
    return error.code;
  });
  await serve(c, done);
  assert.equal(await done, "HEDDLE_TX_NESTED");
});

test("other parts of the page write while a transaction runs, and wait for their turn", async () => {
  const { db, c } = await opened();
  const others: Promise<unknown>[] = [];
  let on = true;
  // Timers and promise jobs of others, in between every step of the transaction.
  const timer = setInterval(() => {
    if (others.length < 2_000) others.push(db.exec("B"), db.transaction(async (tx) => { await tx.exec("D"); }));
  }, 0);
  const jobs = (async () => {
    for (let i = 0; on; i++) {
      await (i % 50 === 0 ? settle() : Promise.resolve());
      if (others.length < 2_000) others.push(db.exec("C"));
    }
  })();
  const done = db.transaction(async (tx) => {
    for (let i = 0; i < 50; i++) await (i % 2 ? tx.exec("A") : tx.query("SELECT 1"));
  });
  await serve(c, done);
  on = false;
  clearInterval(timer);
  await jobs;
  await serve(c, Promise.all(others));
  await Promise.all(others);
  assert.ok(others.length > 100);
  assert.deepEqual(warned, []);
});

test("reads and pragmas are no writes", async () => {
  const { db, c } = await opened();
  const done = db.transaction(async (tx) => {
    await tx.exec("A");
    return [await db.query("SELECT 1"), await db.query(" pragma table_info(notes)")];
  });
  await serve(c, done);
  assert.equal((await done).length, 2);
});

test("a write that nobody could know of waits, and fails before the transaction does", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const { db, c } = await opened();
  let inner: Promise<unknown> | undefined;
  const done = db.transaction(async (tx) => {
    await tx.exec("A");
    await new Promise((resolve) => setTimeout(resolve, 1)); // as a fetch would: whose code this is now, nobody knows
    inner = db.exec("INSERT INTO notes VALUES (1)");
    const error = await rejection(inner);
    await tx.exec("B");
    return error;
  });
  c.reply((await c.next(Method.txBegin)).id, Kind.result);
  c.result((await c.next(Method.txExec)).id, 1);
  await settle();
  t.mock.timers.tick(1);
  const q = await c.next(Method.exec);
  t.mock.timers.tick(1_000);
  assert.equal(warned.length, 1);
  assert.match(warned[0]!, /make it on tx.*INSERT INTO notes/);
  t.mock.timers.tick(3_500);
  assert.equal(await c.has(Method.cancel), false);
  t.mock.timers.tick(500);
  assert.equal((await c.next(Method.cancel)).r.u32(), q.id);
  c.error(q.id, "HEDDLE_ABORTED");
  c.result((await c.next(Method.txExec)).id, 1);
  c.reply((await c.next(Method.txCommit)).id, Kind.result);
  const error = await done;
  assert.deepEqual([error.code, error.sql], ["HEDDLE_TX_NESTED", "INSERT INTO notes VALUES (1)"]);
  assert.match(error.message, /did nothing for 5 seconds/);
  // Nothing ticks on.
  t.mock.timers.tick(60_000);
  assert.equal(warned.length, 1);
});

test("a transaction that goes on lets others wait for as long as it takes", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const { db, c } = await opened();
  let go!: () => void;
  const done = db.transaction(async (tx) => {
    for (let i = 0; i < 5; i++) {
      await new Promise<void>((resolve) => { go = resolve; });
      await tx.exec("A");
    }
  });
  c.reply((await c.next(Method.txBegin)).id, Kind.result);
  await settle();
  const other = db.exec("B");
  for (let i = 0; i < 5; i++) {
    t.mock.timers.tick(4_000);
    go();
    const q = await c.next(Method.txExec);
    t.mock.timers.tick(20_000); // a long statement is no idleness
    c.result(q.id, 1);
    await settle();
  }
  c.reply((await c.next(Method.txCommit)).id, Kind.result);
  await done;
  c.result((await c.next(Method.exec)).id, 1);
  await other;
});

test("a function that outlives its transaction writes freely", async () => {
  const { db, c } = await opened();
  const abort = new AbortController();
  let written: Promise<unknown> | undefined;
  const done = rejection(db.transaction(async (tx) => {
    abort.abort();
    await tx.exec("A").catch(() => {});
    written = db.exec("B");
    await written;
  }, { signal: abort.signal }));
  await serve(c, done);
  assert.equal((await done).code, "HEDDLE_ABORTED");
  while (!written) await settle();
  await serve(c, written);
  await written;
});
