import assert from "node:assert/strict";
import { test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { Method } from "../../src/rpc/messages.gen.js";
import type { Transaction } from "../../src/shared/types.js";
import { type FakeConnection, opened, rejection, settle } from "../fake.js";

/** Answers a begin; returns the transaction's id. */
async function begin(c: FakeConnection): Promise<number> {
  const q = await c.next(Method.txBegin);
  c.reply(q.id, Kind.result);
  return q.id;
}

/** Answers the next statement of the transaction. */
async function statement(c: FakeConnection, id: number, code?: string): Promise<void> {
  const q = await c.next(Method.txExec);
  assert.equal(q.r.u32(), id);
  if (code) c.error(q.id, code);
  else c.result(q.id, 1);
}

async function end(c: FakeConnection, method: number, id: number): Promise<void> {
  const q = await c.next(method);
  assert.equal(q.r.u32(), id);
  c.reply(q.id, Kind.result);
}

test("commits and gives what the function returned", async () => {
  const { db, c } = await opened();
  const done = db.transaction(async (tx) => {
    assert.equal((await tx.exec("A")).changes, 1);
    const rows = await tx.query<{ n: number }>("SELECT n");
    return rows[0]!.n;
  });
  const id = await begin(c);
  await statement(c, id);
  const q = await c.next(Method.txQuery);
  c.rows(q.id, ["n"], [[5]]);
  const commit = await c.next(Method.txCommit);
  assert.deepEqual([commit.r.u32(), commit.r.left], [id, 0]);
  c.reply(commit.id, Kind.result);
  assert.equal(await done, 5);
});

test("a throw rolls back and comes out as it was thrown", async () => {
  const { db, c } = await opened();
  const reason = new RangeError("mine");
  const done = rejection(db.transaction(async (tx) => { await tx.exec("A"); throw reason; }));
  const id = await begin(c);
  await statement(c, id);
  await end(c, Method.txRollback, id);
  assert.equal(await done, reason);
  assert.equal(await c.has(Method.txCommit), false);
});

test("a synchronous throw, and a synchronous function, are no special case", async () => {
  const { db, c } = await opened();
  const failing = rejection(db.transaction(() => { throw new RangeError("now"); }));
  await end(c, Method.txRollback, await begin(c));
  assert.equal((await failing).message, "now");
  const done = db.transaction(() => 7);
  await end(c, Method.txCommit, await begin(c));
  assert.equal(await done, 7);
});

test("a failed statement that the function catches does not stop it", async () => {
  const { db, c } = await opened();
  const done = db.transaction(async (tx) => {
    assert.equal((await rejection(tx.exec("A"))).code, "SQLITE_CONSTRAINT_UNIQUE");
    await tx.exec("B");
  });
  const id = await begin(c);
  await statement(c, id, "SQLITE_CONSTRAINT_UNIQUE");
  await statement(c, id);
  await end(c, Method.txCommit, id);
  await done;
});

test("statements that nobody awaited are part of it, and their failure undoes it", async () => {
  const { db, c } = await opened();
  const good = db.transaction(async (tx) => { void tx.exec("A"); });
  let id = await begin(c);
  assert.equal(await c.has(Method.txCommit), false, "committed before its statement was answered");
  await statement(c, id);
  await end(c, Method.txCommit, id);
  await good;
  const bad = rejection(db.transaction(async (tx) => { void tx.exec("A"); void tx.exec("B"); }));
  id = await begin(c);
  await statement(c, id);
  await statement(c, id, "SQLITE_FULL");
  await end(c, Method.txRollback, id);
  assert.equal((await bad).code, "SQLITE_FULL");
});

test("one that failed while the function did something else, unseen, undoes it too", async () => {
  const { db, c } = await opened();
  const done = rejection(db.transaction(async (tx) => {
    void tx.exec("A");
    await tx.exec("B");
  }));
  const id = await begin(c);
  await statement(c, id, "SQLITE_CONSTRAINT_UNIQUE");
  await statement(c, id);
  await end(c, Method.txRollback, id);
  assert.equal((await done).code, "SQLITE_CONSTRAINT_UNIQUE");
});

test("tx cannot be used after the end", async () => {
  const { db, c } = await opened();
  let kept!: Transaction;
  const done = db.transaction(async (tx) => { kept = tx; });
  await end(c, Method.txCommit, await begin(c));
  await done;
  for (const call of [kept.exec("A"), kept.query("B"), kept.batch(["C"])]) assert.equal((await rejection(call)).code,
    "HEDDLE_TX_CLOSED");
  const failed = rejection(db.transaction(async (tx) => { kept = tx; throw new Error("x"); }));
  await end(c, Method.txRollback, await begin(c));
  await failed;
  assert.equal((await rejection(kept.exec("A"))).code, "HEDDLE_TX_CLOSED");
  assert.equal(c.sent.length, 0);
});

test("a commit that fails rejects", async () => {
  const { db, c } = await opened();
  const done = rejection(db.transaction(async () => {}));
  await begin(c);
  c.error((await c.next(Method.txCommit)).id, "HEDDLE_TOO_BIG");
  assert.equal((await done).code, "HEDDLE_TOO_BIG");
});

test("a leader that goes before the transaction began is no loss; one that goes later is", async () => {
  const { db, c } = await opened();
  let runs = 0;
  const done = rejection(db.transaction(async (tx) => {
    runs++;
    await tx.exec("A");
  }));
  await c.next(Method.txBegin);
  c.handler.lost(false);
  await c.lead("L2");
  const id = await begin(c);
  const q = await c.next(Method.txExec);
  assert.equal(q.r.u32(), id);
  c.handler.lost(false);
  assert.equal((await done).code, "HEDDLE_TX_LOST");
  await c.lead("L3");
  assert.equal(await c.has(Method.txBegin), false);
  assert.equal(runs, 1);
});

test("a leader that goes while the function awaits something else leaves nothing to commit", async () => {
  const { db, c } = await opened();
  let go!: () => void;
  const waits = new Promise<void>((resolve) => { go = resolve; });
  const done = rejection(db.transaction(async () => { await waits; }));
  await begin(c);
  await settle();
  c.handler.lost(false);
  await c.lead("L2");
  go();
  assert.equal((await done).code, "HEDDLE_TX_LOST");
  assert.equal(await c.has(Method.txCommit), false, "the new leader was sent the old one's commit");
});

test("a commit whose answer was lost is asked about, and has happened or not", async () => {
  for (const happened of [true, false]) {
    const { db, c } = await opened();
    let runs = 0;
    const done = db.transaction(async () => ++runs);
    const code = happened ? undefined : rejection(done);
    await begin(c);
    await c.next(Method.txCommit);
    c.handler.lost(false);
    await c.lead("L2");
    const q = await c.next(Method.outcome);
    assert.equal(q.write, 1, "the counter is that of the beginning");
    if (happened) c.reply(q.id, Kind.result);
    else c.error(q.id, "HEDDLE_TX_LOST");
    if (happened) assert.equal(await done, 1);
    else assert.equal((await code!).code, "HEDDLE_TX_LOST");
    assert.equal(runs, 1);
    assert.equal(await c.has(Method.txBegin), false);
  }
});

test("with retry the function runs again, when its first run is over", async () => {
  const { db, c } = await opened();
  const log: string[] = [];
  let runs = 0;
  const done = db.transaction(async (tx) => {
    const run = ++runs;
    log.push(`begins ${run}`);
    try {
      await tx.exec("A");
      return run;
    } finally {
      log.push(`ends ${run}`);
    }
  }, { retry: true });
  const first = await begin(c);
  assert.equal((await c.next(Method.txExec)).r.u32(), first);
  c.handler.lost(false);
  await c.lead("L2");
  const id = await begin(c);
  await statement(c, id);
  await end(c, Method.txCommit, id);
  assert.equal(await done, 2);
  assert.deepEqual(log, ["begins 1", "ends 1", "begins 2", "ends 2"]);
  // What fails for a reason of its own is not run again.
  const mine = new Error("mine");
  const failing = rejection(db.transaction(() => { throw mine; }, { retry: true }));
  await end(c, Method.txRollback, await begin(c));
  assert.equal(await failing, mine);
  assert.equal(await c.has(Method.txBegin), false);
});

test("a transaction that two engines died over is not run a third time", async () => {
  const { db, c } = await opened();
  const done = rejection(db.transaction((tx) => tx.exec("deadly"), { retry: true }));
  for (const leader of ["L2", "L3"]) {
    await begin(c);
    await c.next(Method.txExec);
    c.handler.lost(true);
    await c.lead(leader);
  }
  assert.equal((await done).code, "HEDDLE_ENGINE_CRASH");
  assert.equal(await c.has(Method.txBegin), false);
});

test("an aborted transaction rolls back", async () => {
  const { db, c } = await opened();
  const abort = new AbortController();
  const done = rejection(db.transaction(() => new Promise(() => {}), { signal: abort.signal }));
  const id = await begin(c);
  await settle();
  abort.abort();
  await end(c, Method.txRollback, id);
  assert.equal((await done).code, "HEDDLE_ABORTED");
});

test("closing the database ends it", async () => {
  const { db, c } = await opened();
  let kept!: Transaction;
  const done = rejection(db.transaction((tx) => { kept = tx; return new Promise<void>(() => {}); }));
  await begin(c);
  await settle();
  await db.close();
  assert.equal((await rejection(kept.exec("A"))).code, "HEDDLE_CLOSED");
  const late = await Promise.race([done.then((e) => e.code), settle().then(() => "it hangs")]);
  assert.equal(late, "HEDDLE_CLOSED");
});
