// The codec against the vectors that Go writes and reads: internal/rpc/testdata.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { encodeOpenConfig, EventType, Kind, Method, Reader, readWelcome, request, setAck, within, type Writer } from "../src/rpc/codec.js";
import { HeddleError } from "../src/shared/errors.js";
import { checkParams } from "../src/rpc/params.js";
import { readRows } from "../src/rpc/rows.js";
import type { Params, Row } from "../src/shared/types.js";
import { checkOptions } from "../src/api/options.js";

interface Vectors {
  requests: Record<string, string>;
  replies: Record<string, string>;
  configs: Record<string, string>;
}

const vectors = JSON.parse(readFileSync(new URL("../../internal/rpc/testdata/vectors.json", import.meta.url), "utf8")) as Vectors;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

const write = 7;
const statement = (sql: string, params?: Params) => ({ sql, params: checkParams(params, sql) });
const make = (id: number, method: number, fill: (w: Writer) => void = () => {}) => {
  const w = request(id, method, 5);
  fill(w);
  const message = w.finish();
  if (method !== Method.query) setAck(message, 5);
  return message;
};
const forTarget = (id: number, method: number, target: number) => make(id, method, (w) => w.u32(target));

const requests: Record<string, Uint8Array> = {
  "hello": make(1, Method.hello, (w) => { w.u16(1); w.string("tab-1"); w.u32(3); w.bool(true); }),
  "ping": make(2, Method.ping),
  "cancel": forTarget(3, Method.cancel, 2),
  "close": make(4, Method.close),
  "outcome": make(39, Method.outcome, (w) => w.write(write)),
  "exec": make(5, Method.exec, (w) => { w.write(write); w.statement(statement("DELETE FROM t")); }),
  "exec-positional": make(6, Method.exec, (w) => {
    w.write(write);
    w.statement(statement("INSERT INTO t VALUES(?,?,?,?,?,?,?,?)",
      [null, 1, -9007199254740993n, 9223372036854775807n, 1.5, "a\0ü€😀", new Uint8Array([0, 255]), -0]));
  }),
  "exec-empty": make(7, Method.exec, (w) => { w.write(write); w.statement(statement("SELECT 1", [])); }),
  "query-named": make(8, Method.query, (w) => {
    w.write(0);
    w.statement(statement("SELECT :a, $b", { $b: "x", a: 1 }));
  }),
  "batch": make(9, Method.batch, (w) => { w.write(write); w.statements([statement("A"), statement("B", [1])]); }),
  "bulkBegin": make(10, Method.bulkBegin, (w) => { w.write(write); w.string("INSERT INTO t VALUES(?,?)"); }),
  "bulkRows": make(11, Method.bulkRows, (w) => {
    w.u32(10); w.u32(2); w.u32(2);
    for (const v of [1, "a", null, 2.5]) w.value(v);
  }),
  "bulkEnd": forTarget(12, Method.bulkEnd, 10),
  "iterate": make(40, Method.iterate, (w) => { w.statement(statement("SELECT ?", [1])); w.u32(1000); w.u32(2); }),
  "credit": make(41, Method.credit, (w) => { w.u32(40); w.u32(1); }),
  "within": within(make(42, Method.txExec, (w) => { w.u32(13); w.statement(statement("A")); }), 1500),
  "txBegin": make(13, Method.txBegin, (w) => w.write(write)),
  "txExec": make(14, Method.txExec, (w) => { w.u32(13); w.statement(statement("A")); }),
  "txQuery": make(15, Method.txQuery, (w) => { w.u32(13); w.statement(statement("B")); }),
  "txBatch": make(16, Method.txBatch, (w) => { w.u32(13); w.statements([statement("C")]); }),
  "txCommit": forTarget(17, Method.txCommit, 13),
  "txRollback": forTarget(18, Method.txRollback, 13),
  "liveStart": make(19, Method.liveStart, (w) => w.statement(statement("SELECT * FROM t"))),
  "liveStop": forTarget(20, Method.liveStop, 19),
  "ack": make(21, Method.ack, (w) => { w.u32(19); w.u8(EventType.live); }),
  "export": make(22, Method.export),
  "importBegin": make(23, Method.importBegin, (w) => { w.write(write); w.u64(5 * 2 ** 32); }),
  "importPart": make(24, Method.importPart, (w) => { w.u32(23); w.raw(new TextEncoder().encode("SQLite")); }),
  "importEnd": forTarget(25, Method.importEnd, 23),
  "syncStatus": make(26, Method.syncStatus),
  "syncNow": make(27, Method.syncNow),
  "syncPause": make(28, Method.syncPause, (w) => w.bool(true)),
  "syncAccept": make(45, Method.syncAccept, (w) => w.bool(true)),
  "syncResume": make(29, Method.syncResume),
  "syncDigest": make(30, Method.syncDigest),
  "syncPending": make(33, Method.syncPending),
  "syncRejected": make(34, Method.syncRejected),
  "syncRetry": make(35, Method.syncRetry, (w) => w.u64(2 ** 33)),
  "syncDiscard": make(36, Method.syncDiscard, (w) => w.u64(5)),
  "syncDangling": make(37, Method.syncDangling, (w) => w.u32(100)),
  "syncExport": make(38, Method.syncExport),
  "syncQuarantined": make(44, Method.syncQuarantined, (w) => w.u32(100)),
  "exportFile": make(39, Method.exportFile),
  "importStream": make(40, Method.importBegin, (w) => { w.write(write); w.u32(0xffffffff); w.u32(0xffffffff); }),
  "exportPart": make(42, Method.exportPart, (w) => { w.u32(39); w.u64(2 ** 33); }),
  "exportEnd": forTarget(43, Method.exportEnd, 39),
  "health": make(41, Method.health, (w) => w.bool(true)),
  "token": make(31, Method.token, (w) => { w.u32(4); w.string("abc"); w.error(undefined); }),
  "token-error": make(32, Method.token, (w) => {
    w.u32(4); w.string(""); w.error(new HeddleError("HEDDLE_UNAUTHORIZED", "no token"));
  }),
};

test("requests are the vectors' bytes, and every vector is made", () => {
  for (const [name, want] of Object.entries(vectors.requests)) {
    assert.ok(requests[name], `no request is called ${name}`);
    assert.equal(hex(requests[name]), want, name);
  }
});

test("open configurations are the vectors' bytes", () => {
  assert.equal(hex(encodeOpenConfig(checkOptions({
    name: "notes", migrations: ["CREATE TABLE t(a)", "CREATE TABLE ü(a)"], recover: true,
    seed: ["INSERT INTO t VALUES (1)", ["INSERT INTO t VALUES (?)", ["x"]]],
  }))), vectors.configs["plain"]);
  assert.equal(hex(encodeOpenConfig(checkOptions({
    name: "notes", storage: "memory",
    sync: { url: "https://example.test", space: "family", token: () => "x", tables: { notes: true, posts: { likes: "counter" } } },
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
  const state = { columns: [] as string[] };
  const out: Row[] = [];
  readRows(reply(name).r, state, out);
  return { columns: state.columns, rows: out };
}

const failure = { code: "SQLITE_CONSTRAINT_UNIQUE", message: "UNIQUE constraint failed: t.a", op: "store: exec", sql: "INSERT …" };
const pick = ({ code, message, op, sql }: Pick<HeddleError, "code" | "message" | "op" | "sql">) => ({ code, message, op, sql });

test("small replies decode", () => {
  const error = reply("error");
  assert.deepEqual([error.id, error.kind, pick(error.r.error()!)], [5, Kind.error, failure]);
  assert.deepEqual(reply("result").r.result(), { changes: 2, lastInsertRowid: 2n ** 60n });
  assert.deepEqual(reply("results").r.results(), [{ changes: 1, lastInsertRowid: 2 }, { changes: 3, lastInsertRowid: 4 }]);
  assert.deepEqual(readWelcome(reply("welcome").r), {
    version: 1, leader: "L", storage: "persistent", migrations: 2, commit: 9, sync: true,
    status: { state: "offline", seq: 0, pending: 0 },
  });
  for (const name of ["status", "status-event"]) {
    const { lastError, ...status } = reply(name).r.status();
    assert.deepEqual([status, pick(lastError!)], [{ state: "live", seq: 12, pending: 3, repairs: 2, incomplete: true, polling: "buffered" }, failure]);
  }
  assert.deepEqual(reply("digest").r.digest(), { seq: 12, digest: "ab" + "00".repeat(30) + "cd" });
  assert.deepEqual(reply("progress").r.progress(), { phase: "pull", done: 10, total: 200 });
  const refused = {
    id: 9, counter: 4, created: 1700000000000, code: "SQLITE_CONSTRAINT_CHECK", message: "no",
    operations: [{ kind: "update", table: "t", key: ["k"], cells: { a: 5, b: "x" }, joins: { a: "add" } }],
  };
  assert.deepEqual(reply("rejected").r.rejection(), refused);
  assert.deepEqual(reply("rejected-old").r.rejection(), {
    id: 0, counter: 4, created: 0, code: "SQLITE_CONSTRAINT_CHECK", message: "no",
    operations: [{ kind: "update", table: "t", key: ["k"], cells: { a: 5 } }],
  });
  assert.deepEqual(reply("transactions").r.transactions(), [refused, {
    id: 8, counter: 0, created: 1700000000000, code: "", message: "", operations: [{ kind: "delete", table: "t", key: ["k"], cells: {} }],
  }]);
  assert.equal(reply("flag").r.bool(), true);
  assert.deepEqual(reply("keys").r.keys(), [{ table: "t", key: ["k", 2] }, { table: "u", key: [new Uint8Array([1])] }]);
  assert.equal(reply("text").r.string(), `{"a":"ü"}`);
  assert.deepEqual(reply("conflict").r.conflict(), { counter: 4, kind: "missing", table: "t", key: [1, new Uint8Array([2])] });
  const why = { code: "SQLITE_CONSTRAINT_NOTNULL", constraint: "NOT NULL constraint failed: t.n" };
  assert.deepEqual(reply("conflict-constraint").r.conflict(), { counter: 0, kind: "constraint", table: "t", key: ["k"], ...why });
  assert.deepEqual(reply("quarantined").r.quarantined(), [{ table: "t", key: ["k"], ...why, cells: { b: 5, n: null } }]);
  assert.equal(reply("ask").r.u32(), 77);
  assert.equal(reply("storage").r.string(), "best-effort");
  assert.equal(pick(reply("live-error").r.error()!).code, failure.code);
});

test("rows of every form decode", () => {
  assert.deepEqual(rows("rows-none"), { columns: ["a", "b"], rows: [] });
  assert.deepEqual(rows("rows-no-columns"), { columns: [], rows: [] });
  assert.deepEqual(rows("rows-types").rows, [
    { nil: null, i32: 1, f64: 1.5, i53: 2 ** 53, i64: 2n ** 53n + 1n, text: "a", blob: new Uint8Array([1]), mixed: -(2n ** 63n) },
    { nil: null, i32: -2147483648, f64: Infinity, i53: -(2 ** 53), i64: -1, text: "", blob: new Uint8Array(), mixed: "x" },
    { nil: null, i32: 2147483647, f64: 3, i53: 7, i64: -(2n ** 63n), text: "\ufeffä\0€😀", blob: new Uint8Array([0, 254, 255]), mixed: new Uint8Array([9]) },
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
  const w = request(1, 0, 5);
  w.bool(true);
  w.strings(["__proto__"]);
  w.u16(1); w.u32(1); w.u32(0); w.u32(0);
  w.u8(1);
  while (w.length % 8) w.u8(0);
  w.u32(42);
  const r = new Reader(w.finish());
  r.skip(5);
  const out: Row[] = [];
  readRows(r, { columns: [] }, out);
  assert.deepEqual(Object.entries(out[0]!), [["__proto__", 42]]);
  assert.equal(Object.getPrototypeOf(out[0]), Object.prototype);
});

test("blobs have buffers of their own", () => {
  const blob = rows("rows-types").rows[2]!["blob"] as Uint8Array;
  assert.equal(blob.buffer.byteLength, 3);
});

test("a reply cut anywhere is a HEDDLE_PROTOCOL error, never nonsense", () => {
  for (const name of ["rows-types", "rows-nulls", "results", "welcome", "transactions"]) {
    const whole = unhex(vectors.replies[name]!);
    for (let n = 5; n < whole.length; n++) {
      if (name === "welcome" && n === whole.length - 13) continue; // what an older leader says
      const r = new Reader(whole.slice(0, n));
      r.skip(5);
      assert.throws(() => {
        if (name.startsWith("rows")) readRows(r, { columns: [] }, []);
        else if (name === "results") r.results();
        else if (name === "welcome") readWelcome(r);
        else r.transactions();
      }, { code: "HEDDLE_PROTOCOL" }, `${name} cut to ${n} of ${whole.length}`);
    }
  }
});

test("Writer.value and Reader.value are inverse, at every edge of the types", () => {
  const values = [
    null, 0, 1, -1, 2 ** 31, -(2 ** 31) - 1, 2 ** 32 + 5, -(2 ** 32) - 5, 2 ** 53, -(2 ** 53), 2 ** 53 + 2, 1e300, -1e-300,
    0.1, Infinity, -Infinity, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, "", "a".repeat(64), "a".repeat(65) + "ü", "ü".repeat(200), "\ud83d",
    new Uint8Array(), new Uint8Array([1, 2, 3]),
  ];
  const w = request(0, 0, 5);
  for (const v of values) w.value(v);
  const r = new Reader(w.finish());
  r.skip(5);
  for (const v of values) assert.deepEqual(r.value(), v === "\ud83d" ? "\ufffd" : v);
  assert.equal(r.left, 0);
});

test("a number beyond what is exact is bound as REAL, one within as INTEGER", () => {
  const tags = [2 ** 53, 2 ** 53 + 2, 0.5, -0, 5n].map((v) => {
    const w = request(0, 0, 5);
    w.value(v);
    return w.finish()[5];
  });
  assert.deepEqual(tags, [1, 2, 2, 2, 1]);
});
