// The page's half of package rpc (internal/rpc/doc.go is the specification, internal/rpc/testdata
// the vectors): primitives, requests and the small replies. Rows are in rows.ts.

import { asHeddleError, HeddleError, type ErrorCode, type ErrorRecord } from "../shared/errors.js";
import type {
  Conflict, ExecResult, Join, Merge, Operation, Progress, QuarantinedRow, Rejection, SqlValue, Storage, SyncState, SyncStatus,
} from "../shared/types.js";

/** The version of the language, told in hello. */
export const VERSION = 1;

export const Method = {
  hello: 1, ping: 2, cancel: 3, close: 4, outcome: 5, within: 6,
  exec: 10, query: 11, batch: 12, bulkBegin: 13, bulkRows: 14, bulkEnd: 15, iterate: 16, credit: 17,
  txBegin: 20, txExec: 21, txQuery: 22, txBatch: 23, txCommit: 24, txRollback: 25,
  liveStart: 30, liveStop: 31, ack: 32,
  export: 40, importBegin: 41, importPart: 42, importEnd: 43, exportFile: 44, exportPart: 45, exportEnd: 46,
  syncStatus: 50, syncNow: 51, syncPause: 52, syncResume: 53, syncDigest: 54, token: 55,
  syncPending: 56, syncRejected: 57, syncRetry: 58, syncDiscard: 59, syncDangling: 60, syncExport: 61, syncQuarantined: 62,
  syncAccept: 63,
  health: 70,
} as const;

export const Kind = { result: 0, error: 1, chunk: 2, event: 3 } as const;

export const EventType = {
  live: 1, liveError: 2, status: 3, progress: 4, rejected: 5, conflict: 6, token: 7, storage: 8, recovered: 9,
} as const;

const Tag = { null: 0, int: 1, float: 2, text: 3, blob: 4 } as const;

/** A bound value, checked and made one of SQLite's: see params.ts. */
export type CheckedValue = null | number | bigint | string | Uint8Array;

/** Checked parameters. */
export type CheckedParams =
  | { kind: "none" }
  | { kind: "positional"; values: CheckedValue[] }
  | { kind: "named"; names: string[]; values: CheckedValue[] };

export interface Statement {
  sql: string;
  params: CheckedParams;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const protocolError = (what: string): HeddleError =>
  new HeddleError("HEDDLE_PROTOCOL", `a message between tabs does not decode: ${what}`);

/** Appends primitives to a message that grows. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #at = 0;

  constructor(room = 128) {
    this.#bytes = new Uint8Array(room);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  /** The message, filling its buffer wholly. The writer is done for. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#at === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, this.#at);
  }

  #room(n: number): number {
    const at = this.#at;
    if (at + n > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, at + n));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#at = at + n;
    return at;
  }

  u8(v: number): void {
    const at = this.#room(1);
    this.#bytes[at] = v;
  }
  u16(v: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, v, true);
  }
  u32(v: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, v, true);
  }
  u64(v: number): void {
    const at = this.#room(8);
    this.#view.setUint32(at, v % 4294967296, true);
    this.#view.setUint32(at + 4, Math.floor(v / 4294967296), true);
  }
  bool(v: boolean): void {
    this.u8(v ? 1 : 0);
  }
  raw(v: Uint8Array): void {
    const at = this.#room(v.length);
    this.#bytes.set(v, at);
  }
  bytes(v: Uint8Array): void {
    this.u32(v.length);
    this.raw(v);
  }

  string(v: string): void {
    const n = v.length;
    // Room for the worst case: a code unit is three bytes at most.
    const start = this.#room(4 + n * 3);
    const bytes = this.#bytes;
    let at = start + 4;
    let i = 0;
    if (n <= 64) { // short and ASCII, as most are: faster than the encoder
      for (; i < n; i++) {
        const c = v.charCodeAt(i);
        if (c > 127) break;
        bytes[at++] = c;
      }
    }
    if (i < n) at += encoder.encodeInto(i === 0 ? v : v.slice(i), bytes.subarray(at)).written;
    this.#view.setUint32(start, at - start - 4, true);
    this.#at = at;
  }

  strings(list: readonly string[]): void {
    this.u32(list.length);
    for (const s of list) this.string(s);
  }

  value(v: CheckedValue): void {
    if (typeof v === "string") {
      this.u8(Tag.text);
      this.string(v);
    } else if (typeof v === "number") {
      const at = this.#room(9);
      if (Number.isInteger(v) && Math.abs(v) <= 9007199254740992 && !Object.is(v, -0)) {
        this.#bytes[at] = Tag.int;
        this.#view.setInt32(at + 1, v | 0, true);
        this.#view.setInt32(at + 5, Math.floor(v / 4294967296), true);
      } else {
        this.#bytes[at] = Tag.float;
        this.#view.setFloat64(at + 1, v, true);
      }
    } else if (v === null) {
      this.u8(Tag.null);
    } else if (typeof v === "bigint") {
      const at = this.#room(9);
      this.#bytes[at] = Tag.int;
      this.#view.setBigInt64(at + 1, v, true);
    } else {
      this.u8(Tag.blob);
      this.bytes(v);
    }
  }

  params(p: CheckedParams): void {
    switch (p.kind) {
      case "none":
        return this.u8(0);
      case "positional":
        this.u8(1);
        this.u32(p.values.length);
        for (const v of p.values) this.value(v);
        return;
      case "named":
        this.u8(2);
        this.u32(p.names.length);
        for (let i = 0; i < p.names.length; i++) {
          this.string(p.names[i]!);
          this.value(p.values[i]!);
        }
    }
  }

  statement(s: Statement): void {
    this.string(s.sql);
    this.params(s.params);
  }
  statements(list: readonly Statement[]): void {
    this.u32(list.length);
    for (const s of list) this.statement(s);
  }
  /** Names a write of this tab; 0 stands for a mere read. What the tab knows of others is put in as it goes out: setAck. */
  write(counter: number): void {
    this.u64(counter);
    this.u64(0);
  }
  error(e: Pick<ErrorRecord, "code" | "message" | "op" | "sql"> | undefined): void {
    this.string(e?.code ?? "");
    this.string(e?.message ?? "");
    this.string(e?.op ?? "");
    this.string(e?.sql ?? "");
  }
}

/** Takes primitives off a message; throws HEDDLE_PROTOCOL at its end. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }
  /** Moves on by n bytes and returns where they begin. */
  skip(n: number): number {
    const at = this.at;
    if (n > this.bytes.length - at) throw protocolError(`it ends ${n - (this.bytes.length - at)} bytes early`);
    this.at = at + n;
    return at;
  }
  u8(): number {
    return this.view.getUint8(this.skip(1));
  }
  u16(): number {
    return this.view.getUint16(this.skip(2), true);
  }
  u32(): number {
    return this.view.getUint32(this.skip(4), true);
  }
  u64(): number {
    const at = this.skip(8);
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 4294967296;
  }
  /** An i64: a number where it is exact, else a bigint. */
  i64(): number | bigint {
    return this.i64At(this.skip(8));
  }
  i64At(at: number): number | bigint {
    const high = this.view.getInt32(at + 4, true);
    if (high >= -0x200000 && high < 0x200000) return high * 4294967296 + this.view.getUint32(at, true);
    const big = this.view.getBigInt64(at, true);
    return big === 9007199254740992n ? 9007199254740992 : big;
  }
  bool(): boolean {
    return this.u8() === 1;
  }
  /** Counts items of at least size bytes each. */
  count(size: number): number {
    const n = this.u32();
    if (n * size > this.left) throw protocolError(`a count of ${n} where ${this.left} bytes are left`);
    return n;
  }
  /** A byte string, a copy of its own. */
  blob(): Uint8Array<ArrayBuffer> {
    const n = this.u32();
    const at = this.skip(n);
    return this.bytes.slice(at, at + n) as Uint8Array<ArrayBuffer>;
  }
  string(): string {
    const n = this.u32();
    const at = this.skip(n);
    return n === 0 ? "" : decoder.decode(this.bytes.subarray(at, at + n));
  }
  strings(): string[] {
    return Array.from({ length: this.count(4) }, () => this.string());
  }
  value(): SqlValue {
    const tag = this.u8();
    switch (tag) {
      case Tag.null: return null;
      case Tag.int: return this.i64();
      case Tag.float: return this.view.getFloat64(this.skip(8), true);
      case Tag.text: return this.string();
      case Tag.blob: return this.blob();
      default: throw protocolError(`no value has tag ${tag}`);
    }
  }
  values(): SqlValue[] {
    return Array.from({ length: this.count(1) }, () => this.value());
  }
  /** An error, or undefined where its code is empty. */
  error(): HeddleError | undefined {
    const code = this.string();
    const message = this.string();
    const op = this.string();
    const sql = this.string();
    return code === "" ? undefined : new HeddleError(code as ErrorCode, message, { op, sql });
  }
  result(): ExecResult {
    return { changes: Number(this.i64()), lastInsertRowid: this.i64() };
  }
  results(): ExecResult[] {
    return Array.from({ length: this.count(16) }, () => this.result());
  }
  status(): SyncStatus {
    const status: SyncStatus = { state: this.string() as SyncState, seq: this.u64(), pending: this.u64() };
    const lastError = this.error();
    if (lastError) status.lastError = lastError.toJSON();
    const told = this.left > 0; // an older leader does not tell
    const repairs = told ? this.u64() : 0;
    if (repairs > 0) status.repairs = repairs;
    if (told && this.bool()) status.incomplete = true;
    const polling = told ? this.string() : "";
    if (polling !== "") status.polling = polling as NonNullable<SyncStatus["polling"]>;
    return status;
  }
  digest(): { seq: number; digest: string } {
    const seq = this.u64();
    const at = this.skip(32);
    let digest = "";
    for (const byte of this.bytes.subarray(at, at + 32)) digest += byte.toString(16).padStart(2, "0");
    return { seq, digest };
  }
  rejection(): Rejection {
    const counter = this.u64();
    const code = this.string();
    const message = this.string();
    const operations = this.#operations();
    if (this.left === 0) return { id: 0, counter, created: 0, code, message, operations }; // an older leader tells no more
    const rejection = { id: this.u64(), counter, created: this.u64(), code, message, operations };
    this.#joins(operations);
    return rejection;
  }
  transactions(): Rejection[] {
    return Array.from({ length: this.count(36) }, () => {
      const transaction: Rejection = {
        id: this.u64(), counter: this.u64(), created: this.u64(), code: this.string(), message: this.string(), operations: this.#operations(),
      };
      this.#joins(transaction.operations);
      return transaction;
    });
  }
  #operations(): Operation[] {
    return Array.from({ length: this.count(20) }, () => {
      const kind = this.string() as Operation["kind"];
      const table = this.string();
      const key = this.values();
      const columns = this.strings();
      const cells = this.values();
      return { kind, table, key, cells: Object.fromEntries(columns.map((c, i) => [c, cells[i] ?? null])) };
    });
  }
  #joins(operations: Operation[]): void {
    for (const operation of operations) {
      const columns = Object.keys(operation.cells);
      const joins = this.strings().flatMap((join, i) => join === "last" ? [] : [[columns[i]!, join]] as [string, Join][]);
      if (joins.length > 0) operation.joins = Object.fromEntries(joins);
    }
  }
  keys(): { table: string; key: SqlValue[] }[] {
    return Array.from({ length: this.count(8) }, () => ({ table: this.string(), key: this.values() }));
  }
  conflict(): Conflict {
    const conflict: Conflict = { counter: this.u64(), kind: this.string(), table: this.string(), key: this.values() };
    if (this.left === 0) return conflict; // an older leader tells no more
    const code = this.string();
    const constraint = this.string();
    return code === "" ? conflict : { ...conflict, code, constraint };
  }
  quarantined(): QuarantinedRow[] {
    return Array.from({ length: this.count(24) }, () => {
      const row = { table: this.string(), key: this.values(), code: this.string(), constraint: this.string() };
      const columns = this.strings();
      const values = this.values();
      return { ...row, cells: Object.fromEntries(columns.map((column, i) => [column, values[i] ?? null])) };
    });
  }
  progress(): Progress {
    const phase = this.string();
    const done = this.u64();
    const total = this.u64();
    return { phase, done, total: total === 0 ? undefined : total };
  }
}

/** Begins a request. */
export function request(id: number, method: number, room?: number): Writer {
  const w = new Writer(room);
  w.u32(id);
  w.u8(method);
  return w;
}

/** The same request with a limit of so many milliseconds. */
export function within(message: Uint8Array, ms: number): Uint8Array<ArrayBuffer> {
  const w = new Writer(message.length + 5);
  w.raw(message.subarray(0, 4));
  w.u8(Method.within);
  w.u32(ms);
  w.raw(message.subarray(4));
  return w.finish();
}

/** The methods whose payload begins with the name of a write. */
const WRITES: ReadonlySet<number> = new Set<number>([
  Method.outcome, Method.exec, Method.query, Method.batch, Method.bulkBegin, Method.txBegin, Method.importBegin,
]);

/** Tells the leader, with a request that names a write, that the outcomes of all up to one are known. */
export function setAck(message: Uint8Array<ArrayBuffer>, counter: number): void {
  if (!WRITES.has(message[4]!)) return;
  const view = new DataView(message.buffer);
  view.setUint32(13, counter % 4294967296, true);
  view.setUint32(17, Math.floor(counter / 4294967296), true);
}

/** Asks what became of a write that is not to be done. */
export function askOutcome(counter: number): Uint8Array<ArrayBuffer> {
  const w = request(0, Method.outcome, 21);
  w.write(counter);
  return w.finish();
}

/** The reply to hello. */
export interface Welcome {
  version: number;
  leader: string;
  storage: Storage;
  migrations: number;
  commit: number;
  sync: boolean;
  status: SyncStatus;
}

export function readWelcome(r: Reader): Welcome {
  return {
    version: r.u16(), leader: r.string(), storage: r.string() as Storage,
    migrations: r.u32(), commit: r.u64(), sync: r.bool(), status: r.status(),
  };
}

/** open()'s options, checked: what a worker that leads must know. */
export interface OpenConfig {
  name: string;
  storage: "persistent" | "memory";
  migrations: readonly string[];
  sync?: {
    url: string;
    space: string;
    integerKey: boolean;
    token: boolean;
    tables: [name: string, merges: [column: string, merge: Merge][]][];
  };
  recover?: boolean;
  seed?: readonly Statement[];
}

export function encodeOpenConfig(c: OpenConfig): Uint8Array<ArrayBuffer> {
  const w = new Writer(1024);
  w.u16(VERSION);
  w.string(c.name);
  w.string(c.storage);
  w.strings(c.migrations);
  w.bool(c.sync !== undefined);
  if (c.sync) {
    w.string(c.sync.url);
    w.string(c.sync.space);
    w.bool(c.sync.integerKey);
    w.bool(c.sync.token);
    w.u32(c.sync.tables.length);
    for (const [name, merges] of c.sync.tables) {
      w.string(name);
      w.u32(merges.length);
      for (const [column, merge] of merges) {
        w.string(column);
        w.string(merge);
      }
    }
  }
  w.bool(c.recover ?? false);
  w.statements(c.seed ?? []);
  return w.finish();
}

/** Reads a message that can only be an error, such as a worker's failure to start. */
export function readFailure(message: Uint8Array): HeddleError {
  try {
    const r = new Reader(message);
    r.skip(5);
    return r.error() ?? protocolError("an error without a code");
  } catch (thrown) {
    return asHeddleError(thrown);
  }
}
