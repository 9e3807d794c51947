// A Connection whose leader is the test itself.

import assert from "node:assert/strict";

import { type CheckedValue, type Header, Kind, Reader, Writer } from "../src/rpc/codec.js";
import { EventType, Method, VERSION } from "../src/rpc/messages.gen.js";
import type { Run } from "../src/rpc/live-delivery.js";
import { Database } from "../src/api/database.js";
import { Session } from "../src/rpc/session.js";
import type { HeddleError } from "../src/shared/errors.js";
import { checkOptions } from "../src/api/options.js";
import type { Connection, ConnectionHandler } from "../src/rpc/connection.js";
import type { OpenOptions, Role, SyncStatus } from "../src/shared/types.js";

/** A request that the page sent: r stands after its header. */
export interface Sent extends Header {
  r: Reader;
}

export class FakeConnection implements Connection {
  readonly session = "tab-1";
  role: Role = "leader";
  blocked = false;
  closed = false;
  handler!: ConnectionHandler;
  /** Requests that next() has not taken. */
  readonly sent: Sent[] = [];
  #wake: () => void = () => {};

  start(handler: ConnectionHandler): void {
    this.handler = handler;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    assert.equal(message.byteOffset, 0);
    assert.equal(message.length, message.buffer.byteLength, "a message fills its buffer");
    // What is sent may be transferred: the page must not look at it again.
    const copy = structuredClone(message.buffer, { transfer: [message.buffer] });
    const r = new Reader(new Uint8Array(copy));
    const id = r.u32(), method = r.u8();
    r.u8();
    this.sent.push({ id, method, deadline: r.u32(), write: r.u64(), ack: r.u64(), r });
    this.#wake();
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Waits for the next request of a method; what comes before stays. */
  async next(method: number): Promise<Sent> {
    for (;;) {
      const at = this.sent.findIndex((s) => s.method === method);
      if (at >= 0) return this.sent.splice(at, 1)[0]!;
      await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
  }

  /** Whether a request of the method waits, once the page has settled. */
  async has(method: number): Promise<boolean> {
    await settle();
    return this.sent.some((s) => s.method === method);
  }

  reply(id: number, kind: number, fill: (w: Writer) => void = () => {}): void {
    const w = new Writer();
    w.u32(id);
    w.u8(kind);
    fill(w);
    this.handler.message(w.finish());
  }

  result(id: number, changes: number, rowid = 0): void {
    this.reply(id, Kind.result, (w) => writeResult(w, changes, rowid));
  }

  error(id: number, code: string, message = "no", sql = ""): void {
    this.reply(id, Kind.error, (w) => { for (const s of [code, message, "test", sql]) w.string(s); });
  }

  event(id: number, type: number, fill: (w: Writer) => void = () => {}): void {
    this.reply(id, Kind.event, (w) => { w.u8(type); fill(w); });
  }

  rows(id: number, columns: string[], rows: CheckedValue[][], kind: number = Kind.result, header = true): void {
    this.reply(id, kind, (w) => writeRows(w, columns, rows, header));
  }

  /** Becomes a leader and answers hello. */
  async lead(leader = "L1", options: { commit?: number; status?: SyncStatus; version?: number } = {}): Promise<void> {
    this.handler.connected();
    const hello = await this.next(Method.hello);
    assert.deepEqual([hello.r.u16(), hello.r.string()], [VERSION, this.session]);
    this.reply(hello.id, Kind.result, (w) => {
      w.u16(options.version ?? VERSION);
      w.string(leader);
      w.string("persistent");
      w.u32(1);
      w.u64(options.commit ?? 0);
      w.bool(options.status !== undefined);
      writeStatus(w, options.status ?? { state: "off", seq: 0, pending: 0 });
    });
  }
}

export function writeStatus(w: Writer, status: SyncStatus): void {
  w.string(status.state);
  w.u64(status.seq);
  w.u64(status.pending);
  w.error(status.lastError);
  w.u64(status.repairs ?? 0);
  w.bool(status.incomplete ?? false);
  w.string(status.polling ?? "");
  w.u32(0); // findings
  w.bool(status.snapshot !== undefined);
  if (!status.snapshot) return;
  const { seq, proved, confirmed, devices } = status.snapshot;
  w.u64(seq); w.bool(proved); w.u32(confirmed); w.u32(devices);
}

export function writeResult(w: Writer, changes: number, rowid: number): void {
  for (const n of [changes, rowid]) {
    w.u32(n);
    w.u32(0);
  }
}

/** A rows block whose columns are all of the mixed form. */
export function writeRows(w: Writer, columns: string[], rows: CheckedValue[][], header = true): void {
  const encoder = new TextEncoder();
  const texts: Uint8Array[] = [];
  const blobs: Uint8Array[] = [];
  const pad = () => { while (w.length % 8) w.u8(0); };
  const body: (() => void)[] = [];
  for (let i = 0; i < columns.length; i++) {
    const cells = rows.map((row) => row[i]!);
    const tags = cells.map((v) => (v === null ? 0 : typeof v === "number" ? 2 : typeof v === "string" ? 3
      : typeof v === "bigint" ? 1 : 4));
    for (const v of cells) {
      if (typeof v === "string") texts.push(encoder.encode(v));
      if (v instanceof Uint8Array) blobs.push(v);
    }
    body.push(() => {
      w.u8(6);
      pad();
      for (const tag of tags) w.u8(tag);
      pad();
      for (const v of cells) {
        const cell = new DataView(new ArrayBuffer(8));
        if (typeof v === "number") cell.setFloat64(0, v, true);
        else if (typeof v === "bigint") cell.setBigInt64(0, v, true);
        else if (v !== null) cell.setUint32(0, v.length, true);
        w.raw(new Uint8Array(cell.buffer));
      }
    });
  }
  const size = (list: Uint8Array[]) => list.reduce((sum, p) => sum + p.length, 0);
  w.bool(header);
  if (header) w.strings(columns);
  w.u16(columns.length);
  w.u32(rows.length);
  w.u32(size(texts));
  w.u32(size(blobs));
  for (const write of body) write();
  for (const p of [...texts, ...blobs]) w.raw(p);
}

/** What a live event tells of a query: an update, perhaps in several blocks, or an error. */
export interface LivePart {
  id: number;
  reset?: boolean;
  total?: number;
  runs?: Run[];
  columns?: string[];
  rows?: CheckedValue[][];
  blocks?: CheckedValue[][][];
  error?: string;
}

/** Sends a live event as one message; not the last one of its event if last is false. */
export function sendLive(c: FakeConnection, commit: number, parts: LivePart[], last = true): void {
  c.event(0, EventType.live, (w) => {
    w.u64(commit);
    w.bool(last);
    for (const part of parts) writePart(w, part);
  });
}

function writePart(w: Writer, part: LivePart): void {
  const { id, reset = false, total, runs, columns = ["n"], rows = [], blocks = [rows], error } = part;
  w.u32(id);
  if (error !== undefined) {
    w.u8(2);
    for (const s of [error, "", "", ""]) w.string(s);
    return;
  }
  blocks.forEach((block, i) => {
    if (i > 0) w.u32(id);
    w.u8(i === 0 ? 0 : 1);
    if (i === 0) {
      const all = blocks.flat().length;
      w.bool(reset);
      w.strings(columns);
      w.u32(total ?? all);
      const list = runs ?? [{ copy: false as const, count: all }];
      w.u32(list.length);
      for (const run of list) {
        w.u8(run.copy ? 0 : 1);
        if (run.copy) w.u32(run.from);
        w.u32(run.count);
      }
    }
    writeRows(w, columns, block, false);
  });
}

/** A whole result of one query, in an event of its own. */
export const sendResult = (c: FakeConnection, id: number, rows: CheckedValue[][], columns = ["n"]) =>
  sendLive(c, 1, [{ id, reset: true, columns, rows }]);

/** Lets everything that waits for promises run. */
export const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A database on a fake connection that leads. */
export async function opened(
  options: Partial<OpenOptions> = {}, status?: SyncStatus,
): Promise<{ db: Database; c: FakeConnection }> {
  const c = new FakeConnection();
  const full: OpenOptions = { name: "notes", migrations: ["CREATE TABLE notes(id)"], ...options };
  const connecting = Database.connect(new Session(c, checkOptions(full)), full.sync?.token);
  await c.lead("L1", status ? { status } : {});
  return { db: await connecting, c };
}

/** The error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<HeddleError> {
  try {
    await promise;
  } catch (error) {
    return error as HeddleError;
  }
  assert.fail("the promise did not reject");
}
