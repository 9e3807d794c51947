// The codec against the vectors that Go writes and reads: internal/rpc/testdata.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { checkOptions } from "../../src/api/options.js";
import { encodeRequest, type CheckedValue, HEADER, Kind, Reader, Writer } from "../../src/rpc/codec.js";
import { decodeAnnouncement } from "../../src/rpc/commits.js";
import type { Request } from "../../src/rpc/call.js";
import { LiveDelivery, type LiveResult, type LiveTarget } from "../../src/rpc/live-delivery.js";
import * as messages from "../../src/rpc/messages.gen.js";
import { checkParams } from "../../src/rpc/params.js";
import { conflict, progress, quarantinedRow, rejection, syncStatus } from "../../src/rpc/results.js";
import { hashMigrations } from "../../src/rpc/migrations.js";
import { type AnyRow, newRows, readRows } from "../../src/rpc/rows.js";
import { HeddleError } from "../../src/shared/errors.js";
import type { Params, Row } from "../../src/shared/types.js";

interface Vectors {
  requests: Record<string, string>;
  replies: Record<string, string>;
  configs: Record<string, string>;
  announcements: Record<string, string>;
}

const vectors = JSON.parse(readFileSync(new URL("../../../internal/rpc/testdata/vectors.json", import.meta.url),
  "utf8")) as Vectors;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

const statement = (sql: string, params?: Params) => ({ sql, params: checkParams(params, sql) });

/** A whole request: with the name of a write if it is one, and with a deadline if there is one. */
function make(id: number, { method, body, lane }: Request, deadline = 0): Uint8Array {
  const write = lane === "write" ? { write: 7, ack: 5 } : { write: 0, ack: 0 };
  return encodeRequest({ id, method, deadline, ...write }, body);
}

function values(...list: CheckedValue[]): Uint8Array {
  const w = new Writer();
  for (const v of list) w.value(v);
  return w.finish();
}

const requests: Record<string, Uint8Array> = {
  "hello": make(1, messages.hello({
    version: messages.VERSION, session: "tab-1", migrations: 3, token: true, leader: "L0", commit: 2 ** 40,
    texts: hashMigrations([" CREATE TABLE t(a)\r\n", "", "SELECT 'é€😀'"]) })),
  "cancel": make(3, messages.cancel(2)),
  "outcome": make(39, messages.outcome()),
  "exec": make(5, messages.exec(statement("DELETE FROM t"))),
  "exec-positional": make(6, messages.exec(statement("INSERT INTO t VALUES(?,?,?,?,?,?,?,?)",
    [null, 1, -9007199254740993n, 9223372036854775807n, 1.5, "a\0ü€😀", new Uint8Array([0, 255]), -0]))),
  "exec-empty": make(7, messages.exec(statement("SELECT 1", []))),
  "query-named": make(8, messages.query(statement("SELECT :a, $b", { $b: "x", a: 1 }))),
  "batch": make(9, messages.batch([statement("A"), statement("B", [1])])),
  "bulkBegin": make(10, messages.bulkBegin(statement("INSERT INTO t VALUES(?,?)"))),
  "bulkRows": make(11, messages.bulkRows(10, { count: 2, columns: 2, values: values(1, "a", null, 2.5) })),
  "bulkEnd": make(12, messages.bulkEnd(10)),
  "notify": make(46, messages.notify("chat", `{"a":"ü"}`)),
  "txNotify": make(47, messages.txNotify(13, "chat", "null")),
  "iterate": make(40, messages.iterate(statement("SELECT ?", [1]), 1000, 2)),
  "credit": make(41, messages.credit(40, 1)),
  "deadline": make(42, messages.txExec(13, statement("A")), 1500),
  "txBegin": make(13, messages.txBegin()),
  "txExec": make(14, messages.txExec(13, statement("A"))),
  "txQuery": make(15, messages.txQuery(13, statement("B"))),
  "txBulk": make(46, messages.txBulk(13, statement("D"), { count: 2, columns: 1, values: values(1, "x") })),
  "txBatch": make(16, messages.txBatch(13, [statement("C")])),
  "txCommit": make(17, messages.txCommit(13)),
  "txRollback": make(18, messages.txRollback(13)),
  "liveStart": make(19, messages.liveStart(statement("SELECT * FROM t"))),
  "liveStop": make(20, messages.liveStop(19)),
  "ack": make(21, messages.ack(messages.EventType.live)),
  "liveStats": make(48, messages.liveStats()),
  "liveExplain": make(49, messages.liveExplain(statement("SELECT 1"))),
  "livePause": make(46, messages.livePause(true)),
  "listen": make(52, messages.listen(true)),
  "export": make(22, messages.exportAll()),
  "importBegin": make(23, messages.importBegin(5 * 2 ** 32)),
  "importPart": make(24, messages.importPart(23, new TextEncoder().encode("SQLite"))),
  "importEnd": make(25, messages.importEnd(23)),
  "syncNow": make(27, messages.syncNow()),
  "syncPause": make(28, messages.syncPause(true)),
  "sealedCreate": make(60, messages.sealedCreate("Laptop")),
  "sealedUnlock": make(61, messages.sealedUnlock("Tablet", "Y29kZQ")),
  "sealedJoin": make(62, messages.sealedJoin("Phone", "bGluaw")),
  "sealedInvite": make(63, messages.sealedInvite("write", true)),
  "sealedAnswer": make(64, messages.sealedAnswer(63, "a2V5")),
  "sealedMembers": make(65, messages.sealedMembers()),
  "sealedRemove": make(66, messages.sealedRemove(["00ff"])),
  "sealedCode": make(67, messages.sealedCode()),
  "sealedUnlockBy": make(68, messages.sealedUnlockBy("Tablet", "AAEC")),
  "sealedPassphrase": make(69, messages.sealedPassphrase(true)),
  "sealedEvidence": make(71, messages.sealedEvidence()),
  "sealedFingerprint": make(72, messages.sealedFingerprint(13)),
  "syncAccept": make(45, messages.syncAccept(true)),
  "syncResume": make(29, messages.syncResume()),
  "syncDigest": make(30, messages.syncDigest()),
  "syncPending": make(33, messages.syncPending()),
  "syncRejected": make(34, messages.syncRejected()),
  "syncRetry": make(35, messages.syncRetry(2 ** 33)),
  "syncDiscard": make(36, messages.syncDiscard(5)),
  "syncDangling": make(37, messages.syncDangling(100)),
  "syncExport": make(38, messages.syncExport()),
  "syncQuarantined": make(44, messages.syncQuarantined(100)),
  "exportFile": make(39, messages.exportFile()),
  "exportPart": make(42, messages.exportPart(39, 2 ** 33)),
  "exportEnd": make(43, messages.exportEnd(39)),
  "health": make(41, messages.health(true)),
  "token": make(31, messages.token(4, "abc", undefined)),
  "token-error": make(32, messages.token(4, "", new HeddleError("HEDDLE_UNAUTHORIZED", "no token"))),
};

test("requests are the vectors' bytes, and every vector is made", () => {
  for (const [name, want] of Object.entries(vectors.requests)) {
    assert.ok(requests[name], `no request is called ${name}`);
    assert.equal(hex(requests[name]), want, name);
  }
});

test("open configurations are the vectors' bytes", () => {
  assert.equal(hex(messages.encodeOpenConfig(checkOptions({
    name: "notes", migrations: ["CREATE TABLE t(a)", "CREATE TABLE ü(a)"], recover: true,
    seed: ["INSERT INTO t VALUES (1)", ["INSERT INTO t VALUES (?)", ["x"]]],
  }))), vectors.configs["plain"]);
  assert.equal(hex(messages.encodeOpenConfig(checkOptions({
    name: "notes", storage: "memory",
    sync: { url: "https://example.test", space: "family", sealed: true, token: () => "x",
      tables: { notes: true, posts: { likes: "counter" } } },
  }))), vectors.configs["sync"]);
});

/** Opens a reply: its reader stands after the head. */
function reply(name: string): { r: Reader; id: number; kind: number; event: number } {
  const text = vectors.replies[name];
  assert.ok(text, `no reply is called ${name}`);
  const r = new Reader(unhex(text));
  const id = r.u32();
  const kind = r.u8();
  return { r, id, kind, event: kind === Kind.event ? r.u8() : 0 };
}

function rows(name: string): { columns: string[]; rows: Row[] } {
  const state = newRows("object");
  const out: Row[] = [];
  readRows(reply(name).r, state, out);
  return { columns: state.columns, rows: out };
}

const failure = { code: "SQLITE_CONSTRAINT_UNIQUE", message: "UNIQUE constraint failed: t.a", op: "store: exec",
  sql: "INSERT …" };
const pick = ({ code, message, op, sql }: Pick<HeddleError, "code" | "message" | "op" | "sql">) =>
  ({ code, message, op, sql });

test("a live event decodes", () => {
  const results = new Map<number, LiveResult>();
  const target = (id: number, shown: AnyRow[]): LiveTarget => ({
    shape: "array", shown, take: (result) => () => results.set(id, result),
  });
  let acks = 0;
  const lives = new LiveDelivery({ ack: () => acks++, pause: () => assert.fail() });
  lives.add(19, target(19, []));
  lives.add(20, target(20, [["first", 1], ["second", 2]]));
  lives.add(21, target(21, []));
  lives.event(reply("live").r);
  assert.equal(acks, 1);
  assert.deepEqual(results.get(19)!.rows, {
    rows: [[1, "x"], [2, null]], columns: ["a", "b"], diff: { first: true, added: [0, 1], removed: [], commit: 9 },
  });
  assert.deepEqual(results.get(20)!.rows, {
    rows: [["second", 2], [3, "y"], ["first", 1]], columns: ["a", "b"],
    diff: { first: false, added: [1], removed: [], commit: 9 },
  });
  assert.deepEqual([20, 21].map((id) => pick(results.get(id)!.error!)), [failure, failure]);
});

test("what live queries cost decodes", () => {
  const told = {
    sql: "SELECT a", queries: 2, commits: 1000, probed: 3, patched: 4, runs: 102, vain: 100, micros: 1500,
    places: [{ table: "t", column: "b", how: "value" }], why: "no ORDER BY",
  };
  assert.deepEqual(messages.liveStats().result(reply("live-stats").r), [told]);
  assert.deepEqual(messages.readLiveStatement(reply("live-vain").r), told);
  assert.deepEqual(messages.liveExplain(statement("SELECT 1")).result(reply("live-explain").r), told);
});

test("small replies decode", () => {
  const error = reply("error");
  assert.deepEqual([error.id, error.kind, pick(error.r.error()!)], [5, Kind.error, failure]);
  assert.deepEqual(reply("result").r.result(), { changes: 2, lastInsertRowid: 2n ** 60n });
  const { r } = reply("result-rows");
  const returned: Row[] = [];
  assert.deepEqual(r.result(), { changes: 1, lastInsertRowid: 7 });
  readRows(r, newRows("object"), returned);
  assert.deepEqual([returned, r.left], [[{ id: 7 }], 0]);
  assert.deepEqual(reply("results").r.results(),
    [{ changes: 1, lastInsertRowid: 2 }, { changes: 3, lastInsertRowid: 4 }]);
  assert.deepEqual(messages.readWelcome(reply("welcome").r), {
    version: messages.VERSION, leader: "L", storage: "persistent", migrations: 2, commit: 9, sync: true,
    status: { state: "offline", seq: 0, pending: 0, err: undefined, repairs: 0, incomplete: false, polling: "",
      findings: [], snapshot: undefined },
  });
  const { lastError, ...status } = syncStatus(messages.readStatus(reply("status-event").r));
  assert.deepEqual(status, { state: "live", seq: 12, pending: 3, repairs: 2, incomplete: true, polling: "buffered",
    withheld: { device: "0102", seq: 13 }, tampered: { kind: "fork", seq: 12 },
    snapshot: { seq: 11, proved: true, confirmed: 1, devices: 2 } });
  assert.deepEqual(pick(reply("snapshot-failed").r.error()!), failure);
  assert.deepEqual(pick(lastError!), failure);
  assert.deepEqual(syncStatus({ state: "live", seq: 1, pending: 0, err: undefined, repairs: 0, incomplete: false,
    polling: "", findings: [], snapshot: undefined }),
    { state: "live", seq: 1, pending: 0 });
  assert.deepEqual(messages.readDigest(reply("digest").r), { seq: 12, hash: "abcd" });
  assert.deepEqual(progress(messages.readProgress(reply("progress").r)), { phase: "pull", done: 10, total: 200 });
  const refused = {
    id: 9, counter: 4, created: 1700000000000, code: "SQLITE_CONSTRAINT_CHECK", message: "no",
    operations: [{ kind: "update", table: "t", key: ["k"], cells: { a: 5, b: "x" }, joins: { a: "add" } }],
  };
  assert.deepEqual(rejection(messages.readTransaction(reply("rejected").r)), refused);
  assert.deepEqual(messages.syncPending().result(reply("transactions").r).map(rejection), [refused, {
    id: 8, counter: 0, created: 1700000000000, code: "", message: "",
      operations: [{ kind: "delete", table: "t", key: ["k"], cells: {} }],
  }]);
  assert.equal(messages.syncRetry(1).result(reply("flag").r), true);
  assert.deepEqual(messages.syncDangling(1).result(reply("keys").r),
    [{ table: "t", key: ["k", 2] }, { table: "u", key: [new Uint8Array([1])] }]);
  assert.equal(reply("text").r.string(), `{"a":"ü"}`);
  assert.deepEqual(conflict(messages.readConflict(reply("conflict").r)),
    { counter: 4, kind: "missing", table: "t", key: [1, new Uint8Array([2])] });
  const why = { code: "SQLITE_CONSTRAINT_NOTNULL", constraint: "NOT NULL constraint failed: t.n" };
  assert.deepEqual(conflict(messages.readConflict(reply("conflict-constraint").r)),
    { counter: 0, kind: "constraint", table: "t", key: ["k"], ...why });
  assert.deepEqual(messages.sealedFingerprint(13).result(reply("fingerprint").r), { seq: 13, digits: "00000 12345" });
  assert.deepEqual(messages.sealedMembers().result(reply("members").r), [
    { id: "00ff", name: "Laptop", role: "admin", code: false, passphrase: false, self: true },
    { id: "01", name: "", role: "write", code: true, passphrase: false, self: false },
  ]);
  assert.deepEqual(messages.readPairing(reply("pairing").r), { link: "", name: "Phone", digits: "012345" });
  assert.deepEqual(messages.readKDF(reply("kdf").r), { time: 3, memory: 65536, salt: "00ff" });
  const [row] = messages.syncQuarantined(1).result(reply("quarantined").r);
  assert.deepEqual(quarantinedRow(row!), { table: "t", key: ["k"], ...why, cells: { b: 5, n: null } });
  assert.equal(reply("ask").r.u32(), 77);
  assert.equal(reply("storage").r.string(), "best-effort");
  assert.deepEqual(messages.readChecked(reply("checking").r), { done: 10, total: 300 });
  assert.deepEqual(messages.health(true).result(reply("health").r), {
    pages: 300, trees: 7, problems: ["page 4: bad"], checksums: true, pageSize: 4096, bytes: 2 ** 33, logBytes: 5000,
      lastExit: "unclean",
  });
  assert.deepEqual(messages.readRecovered(reply("recovered").r), {
    file: "notes.db-aside-1", reason: "malformed", pending: 3, rejected: 1, rows: 500, tables: ["drafts"], lost: true,
  });
  assert.equal(messages.exportFile().result(reply("exported").r), 2 ** 33);
});

test("announcements decode; one of another version, or a damaged one, is undefined", () => {
  const read = (name: string) => decodeAnnouncement(unhex(vectors.announcements[name]!));
  assert.deepEqual(read("head"), { version: messages.VERSION, leader: "leader-1", number: 41, commit: undefined });
  assert.deepEqual(read("schema")?.commit, { sync: true, tab: "", schema: true, tables: [], notified: [] });
  assert.deepEqual(read("commit"), {
    version: messages.VERSION, leader: "leader-1", number: 7, commit: {
      sync: false, tab: "tab-1", schema: false, tables: [
        { table: "notes", inserted: [["a"], ["é"]], updated: [], deleted: [[null]], more: 0 },
        {
          table: "posts", inserted: [], deleted: [], more: 12,
          updated: [[1, "x"], [-(2n ** 63n), 1.5], [2n ** 53n + 1n, new Uint8Array([0, 255])],
            [-0.5, new Uint8Array()]],
        },
      ], notified: [],
    },
  });
  assert.deepEqual(read("notified")?.commit?.notified,
    [{ channel: "chat", payload: `{"a":"ü"}` }, { channel: "chat", payload: "null" }]);
  const whole = unhex(vectors.announcements["commit"]!);
  for (let n = 0; n < whole.length; n++) assert.equal(decodeAnnouncement(whole.slice(0, n)), undefined);
  whole[0] = messages.VERSION + 1;
  assert.equal(decodeAnnouncement(whole), undefined);
});

test("rows of every form decode", () => {
  assert.deepEqual(rows("rows-none"), { columns: ["a", "b"], rows: [] });
  assert.deepEqual(rows("rows-no-columns"), { columns: [], rows: [] });
  assert.deepEqual(rows("rows-types").rows, [
    { nil: null, i32: 1, f64: 1.5, i53: 2 ** 53, i64: 2n ** 53n + 1n, text: "a", blob: new Uint8Array([1]),
      mixed: -(2n ** 63n) },
    { nil: null, i32: -2147483648, f64: Infinity, i53: -(2 ** 53), i64: -1, text: "", blob: new Uint8Array(),
      mixed: "x" },
    { nil: null, i32: 2147483647, f64: 3, i53: 7, i64: -(2n ** 63n), text: "\ufeffä\0€😀",
      blob: new Uint8Array([0, 254, 255]), mixed: new Uint8Array([9]) },
  ]);
  const none = { i32: null, f64: null, i64: null, text: null, blob: null, mixed: null };
  assert.deepEqual(rows("rows-nulls").rows, [
    none,
    { i32: 1, f64: 0.5, i64: 2n ** 63n - 1n, text: "é", blob: new Uint8Array([1, 2]), mixed: 2.5 },
    { ...none, mixed: 1 }, { ...none, mixed: "m" }, none, none, none, none,
    { i32: -5, f64: -1, i64: 2, text: "end", blob: new Uint8Array([3]), mixed: new Uint8Array() },
  ]);
});

test("repaired text is what TextDecoder makes of the bytes, and shifts nothing", () => {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const bytes = ["61ff62", "f09f98", "eda080", "e2826f6b", "c0af", "f4908080", "66696e65"];
  assert.deepEqual(rows("rows-invalid-utf8").rows.map((row) => row["t"]), bytes.map((b) => decoder.decode(unhex(b))));
});

test("a column called __proto__ is a column", () => {
  // One row, one column, one i32: by hand.
  const w = new Writer();
  for (let i = 0; i < 5; i++) w.u8(0);
  w.bool(true);
  w.strings(["__proto__"]);
  w.u16(1); w.u32(1); w.u32(0); w.u32(0);
  w.u8(1);
  while (w.length % 8) w.u8(0);
  w.u32(42);
  const r = new Reader(w.finish());
  r.skip(5);
  const out: Row[] = [];
  readRows(r, newRows("object"), out);
  assert.deepEqual(Object.entries(out[0]!), [["__proto__", 42]]);
  assert.equal(Object.getPrototypeOf(out[0]), Object.prototype);
});

test("blobs have buffers of their own", () => {
  const blob = rows("rows-types").rows[2]!["blob"] as Uint8Array;
  assert.equal(blob.buffer.byteLength, 3);
});

test("a request is its header and its body", () => {
  const body = new Uint8Array([1, 2, 3]);
  const message = encodeRequest({ id: 1, method: 2, deadline: 3, write: 2 ** 40, ack: 5 }, body);
  assert.equal(message.length, HEADER + body.length);
  assert.equal(message.buffer.byteLength, message.length);
  const r = new Reader(message);
  assert.deepEqual([r.u32(), r.u8(), r.u8(), r.u32(), r.u64(), r.u64()], [1, 2, 0, 3, 2 ** 40, 5]);
  assert.equal(r.at, HEADER);
});

test("a reply cut anywhere is a HEDDLE_PROTOCOL error, never nonsense", () => {
  for (const name of ["rows-types", "rows-nulls", "results", "welcome", "transactions"]) {
    const whole = unhex(vectors.replies[name]!);
    for (let n = 5; n < whole.length; n++) {
      const r = new Reader(whole.slice(0, n));
      r.skip(5);
      assert.throws(() => {
        if (name.startsWith("rows")) readRows(r, newRows("object"), []);
        else if (name === "results") r.results();
        else if (name === "welcome") messages.readWelcome(r);
        else messages.syncPending().result(r);
      }, { code: "HEDDLE_PROTOCOL" }, `${name} cut to ${n} of ${whole.length}`);
    }
  }
});

test("Writer.value and Reader.value are inverse, at every edge of the types", () => {
  const values = [
    null, 0, 1, -1, 2 ** 31, -(2 ** 31) - 1, 2 ** 32 + 5, -(2 ** 32) - 5, 2 ** 53, -(2 ** 53), 2 ** 53 + 2, 1e300,
      -1e-300,
    0.1, Infinity, -Infinity, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, "", "a".repeat(64), "a".repeat(65) + "ü",
      "ü".repeat(200), "\ud83d",
    new Uint8Array(), new Uint8Array([1, 2, 3]),
  ];
  const w = new Writer();
  for (const v of values) w.value(v);
  const r = new Reader(w.finish());
  for (const v of values) assert.deepEqual(r.value(), v === "\ud83d" ? "\ufffd" : v);
  assert.equal(r.left, 0);
});

test("a number beyond what is exact is bound as REAL, one within as INTEGER", () => {
  const tags = [2 ** 53, 2 ** 53 + 2, 0.5, -0, 5n].map((v) => {
    const w = new Writer();
    w.value(v);
    return w.finish()[0];
  });
  assert.deepEqual(tags, [1, 2, 2, 2, 1]);
});
