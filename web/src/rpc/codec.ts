// The page's half of package rpc (internal/rpc/doc.go): primitives, and the header of a request. What
// internal/rpc/messages.spec declares is in messages.gen.ts; rows are in rows.ts.

import { HeddleError, type ErrorCode, type ErrorRecord } from "../shared/errors.js";
import type { ExecResult, SqlValue } from "../shared/types.js";

export const enum Kind { result, error, chunk, event }

const enum Tag { null, int, float, text, blob }

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

/** The rows of a part of a bulk load: their values one after another, row by row. */
export interface BulkRows {
  count: number;
  columns: number;
  values: Uint8Array;
}

/** The body of a request that has no fields. */
export const NONE = new Uint8Array();

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

  /** What was written. The writer is not to be used afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#at);
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
    setU64(this.#view, at, v);
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
    this.list(list, (s) => this.string(s));
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
    this.list(list, (s) => this.statement(s));
  }
  rows(rows: BulkRows): void {
    this.u32(rows.count);
    this.u32(rows.columns);
    this.raw(rows.values);
  }
  list<T>(list: readonly T[], write: (v: T) => void): void {
    this.u32(list.length);
    for (const v of list) write(v);
  }
  optional<T>(v: T | undefined, write: (v: T) => void): void {
    this.bool(v !== undefined);
    if (v !== undefined) write(v);
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
    return this.bytes.slice(at, at + n);
  }
  string(): string {
    const n = this.u32();
    const at = this.skip(n);
    return n === 0 ? "" : decoder.decode(this.bytes.subarray(at, at + n));
  }
  /** A list of what read reads, of at least size bytes each. */
  list<T>(size: number, read: () => T): T[] {
    return Array.from({ length: this.count(size) }, read);
  }
  strings(): string[] {
    return this.list(4, () => this.string());
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
    return this.list(1, () => this.value());
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
    return this.list(16, () => this.result());
  }
}

/** What stands before the body of a request, made when it is sent. */
export interface Header {
  id: number;
  method: number;
  /** Milliseconds that the request may take; 0: without limit. */
  deadline: number;
  /** The counter that names a write; 0 for a read. */
  write: number;
  /** The outcome of every write up to this one is known here. */
  ack: number;
}

/** The bytes of a header. */
export const HEADER = 26;

/** A whole request, which fills its buffer. */
export function encodeRequest(header: Header, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEADER + body.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, header.id, true);
  view.setUint8(4, header.method); // then the flags, which are 0
  view.setUint32(6, header.deadline, true);
  setU64(view, 10, header.write);
  setU64(view, 18, header.ack);
  message.set(body, HEADER);
  return message;
}

function setU64(view: DataView, at: number, v: number): void {
  view.setUint32(at, v % 4294967296, true);
  view.setUint32(at + 4, Math.floor(v / 4294967296), true);
}
