import assert from "node:assert/strict";
import { test } from "node:test";

import { Method } from "../../src/rpc/messages.gen.js";
import { type FakeConnection, opened, rejection, settle } from "../fake.js";

/** Takes parts until bulkEnd, answers each, and gives all rows. */
async function take(c: FakeConnection, id: number): Promise<{ rows: unknown[][]; parts: number[] }> {
  const rows: unknown[][] = [];
  const parts: number[] = [];
  for (;;) {
    await settle();
    const part = c.sent.shift();
    if (!part) continue;
    if (part.method === Method.bulkEnd) {
      assert.equal(part.r.u32(), id);
      return { rows, parts };
    }
    assert.equal(part.method, Method.bulkRows);
    assert.equal(part.r.u32(), id);
    const count = part.r.u32(), width = part.r.u32();
    for (let i = 0; i < count; i++) rows.push(Array.from({ length: width }, () => part.r.value()));
    parts.push(count);
    assert.equal(part.r.left, 0);
    c.result(part.id, 0);
  }
}

async function begin(c: FakeConnection): Promise<number> {
  const q = await c.next(Method.bulkBegin);
  assert.equal(q.r.string(), "INSERT");
  return q.id;
}

function* generated(n: number): Generator<unknown[]> {
  for (let i = 0; i < n; i++) yield [i, `row ${i}`, null];
}

test("rows of an array, a generator or a stream arrive in order, in parts", async () => {
  const { db, c } = await opened();
  async function* streamed() {
    for (const row of generated(4500)) yield row;
  }
  for (const rows of [[...generated(4500)], generated(4500), streamed()]) {
    const progress: unknown[] = [];
    const done = db.bulk("INSERT", rows, { onProgress: ({ done, total }) => progress.push([done, total]) });
    const id = await begin(c);
    const got = await take(c, id);
    c.result(id, 4500, 9);
    assert.deepEqual(await done, { changes: 4500, lastInsertRowid: 9 });
    assert.deepEqual(got.parts, [2000, 2000, 500]);
    assert.deepEqual(got.rows, [...generated(4500)]);
    const total = Array.isArray(rows) ? 4500 : undefined;
    assert.deepEqual(progress, [[2000, total], [4000, total], [4500, total]]);
  }
});

test("large rows make small parts", async () => {
  const { db, c } = await opened();
  const done = db.bulk("INSERT", Array.from({ length: 10 }, () => ["x".repeat(100_000)]));
  const id = await begin(c);
  assert.deepEqual((await take(c, id)).parts, [3, 3, 3, 1]);
  c.result(id, 10);
  await done;
});

test("no rows", async () => {
  const { db, c } = await opened();
  const done = db.bulk("INSERT", []);
  const id = await begin(c);
  assert.deepEqual((await take(c, id)).parts, []);
  c.result(id, 0);
  assert.equal((await done).changes, 0);
});

test("no more than two parts are on their way", async () => {
  const { db, c } = await opened();
  let taken = 0;
  const done = db.bulk("INSERT", (function* () { for (const row of generated(20_000)) { taken++; yield row; } })());
  const id = await begin(c);
  await settle();
  await settle();
  assert.equal(c.sent.length, 2);
  assert.ok(taken <= 4000, `${taken} rows were taken ahead`);
  const { rows } = await take(c, id);
  c.result(id, rows.length);
  assert.equal((await done).changes, 20_000);
});

test("a row that the database refuses ends it, with the database's reason", async () => {
  const { db, c } = await opened();
  let taken = 0;
  const done = rejection(db.bulk("INSERT", (function* () { for (;;) { taken++; yield [1]; } })()));
  const id = await begin(c);
  const part = await c.next(Method.bulkRows);
  c.error(part.id, "HEDDLE_TX_CLOSED");
  c.error(id, "SQLITE_CONSTRAINT_UNIQUE");
  assert.equal((await done).code, "SQLITE_CONSTRAINT_UNIQUE");
  const before = taken;
  await settle();
  assert.equal(taken, before, "an endless generator is still being read");
});

test("the database's reason also when it comes first", async () => {
  const { db, c } = await opened();
  const done = rejection(db.bulk("INSERT", generated(9000)));
  const id = await begin(c);
  await c.next(Method.bulkRows);
  c.error(id, "SQLITE_FULL");
  assert.equal((await done).code, "SQLITE_FULL");
  assert.equal(await c.has(Method.bulkEnd), false);
});

test("bad rows and throwing iterators cancel the load and come out as they are", async () => {
  const { db, c } = await opened();
  const mine = new RangeError("mine");
  for (const [rows, want] of [
    [[[1], [2, 3]], /row 1 has 2 values, the first had 1/],
    [[[1], "ab"], /row 1 must be an array/],
    [[[]], /row 0 is empty/],
    [[[1], [undefined]], /row 1, value 1 is undefined/],
    [(function* () { yield [1]; throw mine; })(), /mine/],
  ] as [Iterable<unknown[]>, RegExp][]) {
    const done = rejection(db.bulk("INSERT", rows));
    const id = await begin(c);
    assert.equal((await c.next(Method.cancel)).r.u32(), id);
    c.error(id, "HEDDLE_ABORTED");
    const error = await done;
    assert.match(error.message, want);
    if (want.source !== "mine") assert.equal(error.code, "HEDDLE_BAD_PARAM");
    else assert.equal(error, mine);
  }
  assert.equal((await rejection(db.bulk("INSERT", "text" as never))).code, "HEDDLE_BAD_PARAM");
});

test("a signal ends it", async () => {
  const { db, c } = await opened();
  const abort = new AbortController();
  const done = rejection(db.bulk("INSERT", generated(50_000), { signal: abort.signal }));
  const id = await begin(c);
  c.result((await c.next(Method.bulkRows)).id, 0);
  abort.abort();
  assert.equal((await c.next(Method.cancel)).r.u32(), id);
  c.error(id, "HEDDLE_ABORTED");
  assert.equal((await done).code, "HEDDLE_ABORTED");
});

test("when the leader goes in the middle, rows that can be read twice are sent again", async () => {
  const { db, c } = await opened();
  const rows = [...generated(4500)];
  for (const source of [rows, new Set(rows)]) {
    const progress: number[] = [];
    const done = db.bulk("INSERT", source, { onProgress: ({ done }) => progress.push(done) });
    await begin(c);
    c.result((await c.next(Method.bulkRows)).id, 0);
    await settle();
    c.handler.lost(false);
    c.sent.length = 0;
    await c.lead();
    const id = await begin(c);
    assert.deepEqual((await take(c, id)).rows, rows);
    c.result(id, 4500, 9);
    assert.deepEqual(await done, { changes: 4500, lastInsertRowid: 9 });
    assert.deepEqual(progress, [2000, 2000, 4000, 4500]);
  }
});

test("rows that can be read once are not, and the next leader says whether they had all come", async () => {
  for (const ended of [false, true]) {
    const { db, c } = await opened();
    const done = db.bulk("INSERT", generated(3000));
    const lost = ended ? undefined : rejection(done);
    const id = await begin(c);
    if (ended) await take(c, id);
    else c.result((await c.next(Method.bulkRows)).id, 0);
    await settle();
    c.handler.lost(false);
    c.sent.length = 0;
    await c.lead("L2");
    const q = await c.next(Method.outcome);
    assert.equal(q.write, 1);
    if (ended) c.result(q.id, 3000, 9);
    else c.error(q.id, "HEDDLE_TX_LOST");
    if (ended) assert.equal((await done).changes, 3000);
    else assert.equal((await lost!).code, "HEDDLE_TX_LOST");
    assert.equal(await c.has(Method.bulkRows), false);
  }
});

test("rows that fail while nobody leads end it all the same", async () => {
  const { db, c } = await opened();
  const mine = new Error("mine");
  let fail!: (error: Error) => void;
  const wall = new Promise<void>((_, reject) => { fail = reject; });
  async function* rows() {
    yield [1];
    await wall;
  }
  const done = rejection(db.bulk("INSERT", rows()));
  await begin(c);
  await settle();
  c.handler.lost(false);
  fail(mine);
  await settle();
  await c.lead("L2");
  const q = await c.next(Method.outcome);
  assert.equal((await c.next(Method.cancel)).r.u32(), q.id);
  c.error(q.id, "HEDDLE_TX_LOST");
  assert.equal(await done, mine);
});
