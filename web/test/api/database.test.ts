import assert from "node:assert/strict";
import { test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { EventType, Method } from "../../src/rpc/messages.gen.js";
import { Database } from "../../src/api/database.js";
import { Session } from "../../src/rpc/session.js";
import { HeddleError } from "../../src/shared/errors.js";
import { checkOptions } from "../../src/api/options.js";
import { FakeConnection, opened, rejection, settle, writeResult } from "../fake.js";

test("exec sends its write's name, its SQL and its parameters", async () => {
  const { db, c } = await opened();
  for (const counter of [1, 2]) {
    const done = db.exec("INSERT INTO notes VALUES(?)", ["a"]);
    const q = await c.next(Method.exec);
    assert.deepEqual([q.write, q.ack, q.r.string()], [counter, counter - 1, "INSERT INTO notes VALUES(?)"]);
    assert.deepEqual([q.r.u8(), q.r.values()], [1, ["a"]]);
    c.result(q.id, 1, 7);
    assert.deepEqual(await done, { changes: 1, lastInsertRowid: 7 });
  }
});

test("query gathers the rows of all blocks", async () => {
  const { db, c } = await opened();
  const done = db.query("SELECT a, b FROM t");
  const q = await c.next(Method.query);
  assert.deepEqual([q.write, q.ack], [0, 0]);
  c.rows(q.id, ["a", "b"], [[1, "x"], [2, null]], Kind.chunk);
  c.rows(q.id, ["a", "b"], [[3, new Uint8Array([5])]], Kind.result, false);
  assert.deepEqual(await done, [{ a: 1, b: "x" }, { a: 2, b: null }, { a: 3, b: new Uint8Array([5]) }]);
});

test("a query that may write is named as a write", async () => {
  const { db, c } = await opened();
  void db.query("INSERT INTO t VALUES(1) RETURNING a").catch(() => {});
  const q = await c.next(Method.query);
  assert.deepEqual([q.write, q.ack], [1, 0]);
});

test("batch sends all statements at once", async () => {
  const { db, c } = await opened();
  const done = db.batch([["A", [1]], "B"]);
  const q = await c.next(Method.batch);
  assert.equal(q.r.u32(), 2);
  c.reply(q.id, Kind.result, (w) => { w.u32(2); writeResult(w, 1, 2); writeResult(w, 3, 4); });
  assert.deepEqual(await done, [{ changes: 1, lastInsertRowid: 2 }, { changes: 3, lastInsertRowid: 4 }]);
});

test("errors keep code, message and SQL", async () => {
  const { db, c } = await opened();
  const done = rejection(db.exec("INSERT …"));
  const q = await c.next(Method.exec);
  c.error(q.id, "SQLITE_CONSTRAINT_UNIQUE", "UNIQUE constraint failed");
  const error = await done;
  assert.ok(error instanceof HeddleError && error instanceof Error);
  assert.deepEqual([error.code, error.message, error.sql, error.name],
    ["SQLITE_CONSTRAINT_UNIQUE", "UNIQUE constraint failed", "INSERT …", "HeddleError"]);
});

test("a bad call rejects, it does not throw, and sends nothing", async () => {
  const { db, c } = await opened();
  const calls: (() => Promise<unknown>)[] = [
    () => db.exec(5 as never), () => db.query("SELECT ?", [undefined] as never), () => db.batch([[1]] as never),
    () => db.bulk("X", 5 as never), () => db.transaction(5 as never), () => db.import(5 as never),
  ];
  for (const call of calls) {
    let promise!: Promise<unknown>;
    assert.doesNotThrow(() => { promise = call(); }, String(call));
    assert.equal((await rejection(promise)).code, "HEDDLE_BAD_PARAM", String(call));
  }
  assert.equal(c.sent.length, 0);
});

test("after close every call gives HEDDLE_CLOSED, also those that waited", async () => {
  const { db, c } = await opened({ sync: { url: "https://x.test", space: "s", tables: { notes: true } } });
  const waiting = [db.exec("A"), db.query("SELECT 1"), db.transaction(async () => {}), db.bulk("B", [[1]]),
    db.export(), db.sync.now()].map(rejection);
  await settle();
  await db.close();
  await db.close();
  assert.ok(c.closed);
  for (const error of await Promise.all(waiting)) assert.equal(error.code, "HEDDLE_CLOSED");
  const calls: (() => Promise<unknown>)[] = [
    () => db.exec("A"), () => db.query("B"), () => db.batch(["C"]), () => db.bulk("D", []),
      () => db.transaction(async () => {}),
    () => db.export(), () => db.import(new Uint8Array()), () => db.sync.now(), () => db.sync.pause(),
      () => db.sync.digest(),
  ];
  for (const call of calls) assert.equal((await rejection(call())).code, "HEDDLE_CLOSED", String(call));
  assert.throws(() => db.live("SELECT 1", [], () => {}), { code: "HEDDLE_CLOSED" });
  assert.throws(() => db.listen(null, () => {}), { code: "HEDDLE_CLOSED" });
  assert.equal(db.sync.status.state, "off");
});

test("a failed connection ends every call with its reason", async () => {
  const { db, c } = await opened();
  const errors: HeddleError[] = [];
  db.live("SELECT 1", [], () => {}, { onError: (e) => errors.push(e) });
  const waiting = rejection(db.exec("A"));
  c.handler.failed(new HeddleError("HEDDLE_ENGINE_CRASH", "the engine died"));
  assert.equal((await waiting).code, "HEDDLE_ENGINE_CRASH");
  assert.equal((await rejection(db.query("SELECT 1"))).message, "the engine died");
  assert.deepEqual(errors.map((e) => e.code), ["HEDDLE_ENGINE_CRASH"]);
  assert.ok(c.closed);
});

test("bytes that do not decode end the connection, and hang nobody", async () => {
  const { db, c } = await opened();
  const waiting = rejection(db.query("SELECT 1"));
  const q = await c.next(Method.query);
  c.reply(q.id, Kind.result, (w) => w.u8(9));
  assert.equal((await waiting).code, "HEDDLE_PROTOCOL");
  assert.equal((await rejection(db.exec("A"))).code, "HEDDLE_PROTOCOL");
});

test("an error with id 0 is the leader's own end", async () => {
  const { db, c } = await opened();
  c.error(0, "HEDDLE_STORAGE", "the file is gone");
  assert.equal((await rejection(db.exec("A"))).code, "HEDDLE_STORAGE");
});

test("connect rejects when there will be no leader, and closes", async () => {
  const config = checkOptions({ name: "n" });
  for (const [what, code] of [
    [(c: FakeConnection) => c.handler.failed(new HeddleError("HEDDLE_MIGRATION", "step 1")), "HEDDLE_MIGRATION"],
    [(c: FakeConnection) => c.lead("L", { version: 99 }), "HEDDLE_PROTOCOL"],
    [async (c: FakeConnection) => {
      c.handler.connected();
      c.error((await c.next(Method.hello)).id, "HEDDLE_MIGRATION", "older");
    }, "HEDDLE_MIGRATION"],
  ] as const) {
    const c = new FakeConnection();
    const connecting = rejection(Database.connect(new Session(c, config)));
    await what(c);
    assert.equal((await connecting).code, code);
    assert.ok(c.closed);
  }
  const c = new FakeConnection();
  const abort = new AbortController();
  const connecting = rejection(Database.connect(new Session(c, config), undefined, { signal: abort.signal }));
  abort.abort(new Error("enough"));
  assert.equal((await connecting).code, "HEDDLE_ABORTED");
  assert.ok(c.closed);
  assert.equal((await rejection(Database.connect(new Session(new FakeConnection(), config), undefined,
    { signal: abort.signal }))).code, "HEDDLE_ABORTED");
});

test("what is called before there is a leader is sent to it, in order", async () => {
  const { db, c } = await opened();
  c.handler.lost(false);
  const calls = [db.exec("A"), db.query("SELECT 1"), db.exec("B")];
  await settle();
  assert.equal(c.sent.length, 0);
  await c.lead("L2");
  const a = await c.next(Method.exec), q = await c.next(Method.query), b = await c.next(Method.exec);
  assert.equal(a.r.string(), "A");
  c.result(a.id, 1);
  c.rows(q.id, ["x"], []);
  c.result(b.id, 1);
  await Promise.all(calls);
});

test("when the leader goes, reads and writes are asked again, in order and by their names", async () => {
  const { db, c } = await opened();
  const write = db.exec("A");
  const read = db.query("SELECT x");
  const returning = db.query("INSERT … RETURNING x");
  const q = await c.next(Method.query);
  c.rows(q.id, ["x"], [[1], [2]], Kind.chunk); // half of the answer is lost with the leader
  c.handler.lost(false);
  c.sent.length = 0;
  await c.lead("L2");
  const a = await c.next(Method.exec);
  assert.deepEqual([a.write, a.ack, a.r.string()], [1, 0, "A"]);
  const b = await c.next(Method.query);
  assert.deepEqual([b.write, b.ack, b.r.string()], [2, 0, "INSERT … RETURNING x"]);
  const again = await c.next(Method.query);
  c.rows(q.id, ["x"], [[9]]); // an answer to the old id means nothing
  c.rows(again.id, ["y"], [[3]]);
  assert.deepEqual(await read, [{ y: 3 }]);
  c.result(a.id, 1, 7);
  assert.deepEqual(await write, { changes: 1, lastInsertRowid: 7 });
  c.rows(b.id, ["x"], [[5]]);
  assert.deepEqual(await returning, [{ x: 5 }]);
});

test("a write tells up to which one the outcomes are known", async () => {
  const { db, c } = await opened();
  const calls = ["A", "B", "C"].map((sql) => db.exec(sql));
  const sent = [await c.next(Method.exec), await c.next(Method.exec), await c.next(Method.exec)];
  const ack = async () => {
    const done = db.exec("N");
    const q = await c.next(Method.exec);
    const known = q.ack;
    c.result(q.id, 1);
    await done;
    return known;
  };
  c.result(sent[1]!.id, 1);
  await calls[1];
  assert.equal(await ack(), 0, "the first one is not answered");
  c.error(sent[0]!.id, "SQLITE_FULL");
  await rejection(calls[0]!);
  assert.equal(await ack(), 2);
  c.result(sent[2]!.id, 1);
  await calls[2];
  assert.equal(await ack(), 5);
});

test("a leader that is lost between connected and hello is no end", async () => {
  const { db, c } = await opened();
  c.handler.lost(false);
  c.handler.connected();
  await c.next(Method.hello);
  c.handler.lost(false);
  await c.lead("L3");
  const done = db.exec("A");
  c.result((await c.next(Method.exec)).id, 1);
  await done;
  // A line that comes anew without a word that the old one went.
  const again = db.exec("B");
  await c.next(Method.exec);
  await c.lead("L3");
  c.result((await c.next(Method.exec)).id, 1);
  await again;
});

test("a call that two engines died over is not tried a third time", async () => {
  const { db, c } = await opened();
  const write = rejection(db.exec("A"));
  const read = rejection(db.query("SELECT deadly"));
  await c.next(Method.query);
  c.handler.lost(true);
  c.sent.length = 0;
  await c.lead("L2");
  // They go one by one: if the engine dies again, it is known over which.
  const a = await c.next(Method.exec);
  assert.equal(await c.has(Method.query), false);
  c.error(a.id, "SQLITE_FULL");
  assert.equal((await write).code, "SQLITE_FULL");
  await c.next(Method.query);
  c.handler.lost(true);
  assert.equal((await read).code, "HEDDLE_ENGINE_CRASH");
  c.sent.length = 0;
  await c.lead("L3");
  assert.equal(await c.has(Method.query), false);
});

test("a write that two engines died over is asked about, and has happened or not", async () => {
  for (const happened of [true, false]) {
    const { db, c } = await opened();
    const write = db.exec("A");
    const code = rejection(write.then(() => { throw new HeddleError("HEDDLE_INTERNAL", "it resolved"); }));
    for (const leader of ["L2", "L3"]) {
      await c.next(Method.exec);
      c.handler.lost(true);
      await c.lead(leader);
    }
    const q = await c.next(Method.outcome);
    assert.equal(q.write, 1);
    assert.equal(await c.has(Method.exec), false);
    if (happened) c.result(q.id, 1);
    else c.error(q.id, "HEDDLE_TX_LOST");
    assert.equal((await code).code, happened ? "HEDDLE_INTERNAL" : "HEDDLE_ENGINE_CRASH");
  }
});

test("who gives a write up while nobody leads is told that it may have happened", async () => {
  const { db, c } = await opened();
  const abort = new AbortController();
  const { signal } = abort;
  const sent = rejection(db.exec("A", [], { signal }));
  await c.next(Method.exec);
  c.handler.lost(false);
  const waiting = rejection(db.exec("B", [], { signal }));
  const read = rejection(db.query("SELECT 1", [], { signal }));
  abort.abort();
  assert.equal((await sent).code, "HEDDLE_LEADER_LOST");
  assert.equal((await waiting).code, "HEDDLE_ABORTED");
  assert.equal((await read).code, "HEDDLE_ABORTED");
  await c.lead("L2");
  assert.equal(await c.has(Method.exec), false);
});

test("an aborted read rejects at once, and the leader hears of it", async () => {
  const { db, c } = await opened();
  const abort = new AbortController();
  const read = rejection(db.query("SELECT 1", [], { signal: abort.signal }));
  const q = await c.next(Method.query);
  abort.abort();
  assert.equal((await read).code, "HEDDLE_ABORTED");
  assert.equal((await c.next(Method.cancel)).r.u32(), q.id);
  c.error(q.id, "HEDDLE_ABORTED"); // the leader's own answer is too late to matter
  assert.equal((await rejection(db.query("SELECT 1", [], { signal: abort.signal }))).code, "HEDDLE_ABORTED");
  assert.equal(c.sent.length, 0);
});

test("an aborted write says what became of it", async () => {
  const { db, c } = await opened();
  for (const done of [true, false]) {
    const abort = new AbortController();
    const write = db.exec("A", [], { signal: abort.signal });
    const q = await c.next(Method.exec);
    abort.abort();
    assert.equal((await c.next(Method.cancel)).r.u32(), q.id);
    if (done) {
      c.result(q.id, 1);
      assert.equal((await write).changes, 1);
    } else {
      c.error(q.id, "HEDDLE_ABORTED");
      assert.equal((await rejection(write)).code, "HEDDLE_ABORTED");
    }
  }
});

test("only so many calls are at the leader; the rest wait here and can be aborted", async () => {
  const { db, c } = await opened();
  const abort = new AbortController();
  const calls = Array.from({ length: 300 }, (_, i) => db.exec(`W${i}`, [], i === 250 ? { signal: abort.signal } : {}));
  const aborted = rejection(calls[250]!);
  await settle();
  assert.ok(c.sent.length < 200, `${c.sent.length} requests are on their way`);
  const sent = c.sent.length;
  abort.abort();
  assert.equal((await aborted).code, "HEDDLE_ABORTED");
  assert.equal(c.sent.length, sent, "what was never sent needs no cancel");
  for (let i = 0; i < 299; i++) {
    const q = await c.next(Method.exec);
    assert.equal(q.r.string(), `W${i < 250 ? i : i + 1}`);
    c.result(q.id, 1);
  }
  await Promise.all(calls.filter((_, i) => i !== 250));
});

test("role and storage are the connection's and the leader's", async () => {
  const { db, c } = await opened();
  assert.deepEqual([db.role, db.storage, db.name], ["leader", "persistent", "notes"]);
  c.role = "follower";
  c.event(0, EventType.storage, (w) => w.string("best-effort"));
  assert.deepEqual([db.role, db.storage], ["follower", "best-effort"]);
});

test("export gathers chunks; import sends parts, two ahead", async () => {
  const { db, c } = await opened();
  const exported = db.export();
  const q = await c.next(Method.export);
  for (const chunk of [[1, 2], [3]]) c.reply(q.id, Kind.chunk, (w) => w.raw(new Uint8Array(chunk)));
  c.reply(q.id, Kind.result);
  assert.deepEqual(await exported, new Uint8Array([1, 2, 3]));

  assert.equal((await rejection(db.import(new Uint8Array(600)))).code, "HEDDLE_BAD_PARAM");
  const file = new Uint8Array(3.5 * 2 ** 20);
  file.set(new TextEncoder().encode("SQLite format 3\0"));
  file[file.length - 1] = 9;
  const imported = db.import(new Blob([file]));
  const begin = await c.next(Method.importBegin);
  assert.deepEqual([begin.write, begin.ack, begin.r.u64()], [1, 0, file.length]);
  let size = 0, last = 0;
  for (let n = 0; n < 4; n++) {
    const part = await c.next(Method.importPart);
    assert.equal(part.r.u32(), begin.id);
    size += part.r.left;
    last = part.r.bytes.at(-1)!;
    await settle();
    assert.ok(c.sent.length <= 1, "more than two parts are on their way");
    c.reply(part.id, Kind.result);
  }
  assert.deepEqual([size, last], [file.length, 9]);
  assert.equal((await c.next(Method.importEnd)).r.u32(), begin.id);
  c.reply(begin.id, Kind.result);
  await imported;
});

test("import sends SQL text as it is, from a string or a Blob, and refuses other bytes", async () => {
  const { db, c } = await opened();
  const text = "BEGIN;\nCREATE TABLE \u00fc(a);\tCOMMIT;\n";
  for (const source of [text, new Blob([text]), new TextEncoder().encode(text).buffer]) {
    const imported = db.import(source);
    const begin = await c.next(Method.importBegin);
    const part = await c.next(Method.importPart);
    assert.equal(part.r.u32(), begin.id);
    assert.equal(new TextDecoder().decode(part.r.bytes.subarray(part.r.at)), text);
    c.reply(part.id, Kind.result);
    await c.next(Method.importEnd);
    c.reply(begin.id, Kind.result);
    await imported;
  }
  for (const wrong of ["", "\u0000", new Uint8Array([0x1f, 0x8b, 8])]) {
    assert.equal((await rejection(db.import(wrong))).code, "HEDDLE_BAD_PARAM");
  }
});

test("an import begins anew with the next leader", async () => {
  const { db, c } = await opened();
  const file = new Uint8Array(2.5 * 2 ** 20);
  file.set(new TextEncoder().encode("SQLite format 3\0"));
  const imported = db.import(file);
  await c.next(Method.importBegin);
  c.reply((await c.next(Method.importPart)).id, Kind.result);
  await settle();
  c.handler.lost(false);
  c.sent.length = 0;
  await c.lead("L2");
  const begin = await c.next(Method.importBegin);
  assert.equal(begin.write, 1);
  for (let left = 3; left > 0; left--) {
    const part = await c.next(Method.importPart);
    assert.equal(part.r.u32(), begin.id);
    c.reply(part.id, Kind.result);
  }
  await c.next(Method.importEnd);
  c.reply(begin.id, Kind.result);
  await imported;
});

test("an import that is refused in its middle rejects with the reason", async () => {
  const { db, c } = await opened();
  const file = new Uint8Array(5 * 2 ** 20);
  file.set(new TextEncoder().encode("SQLite format 3\0"));
  const imported = rejection(db.import(file));
  const begin = await c.next(Method.importBegin);
  c.error((await c.next(Method.importPart)).id, "HEDDLE_TX_CLOSED");
  c.error(begin.id, "SQLITE_FULL", "the disk is full");
  assert.equal((await imported).code, "SQLITE_FULL");
});
