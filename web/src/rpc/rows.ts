// Rows blocks (internal/rpc/doc.go, "Rows") into rows: objects or arrays. One
// TextDecoder call decodes a block's text; blocks are small, so that a string kept
// alive keeps little else alive.

import { type Reader } from "./codec.js";
import { HeddleError } from "../shared/errors.js";
import { warnOnce } from "../shared/development.js";
import type { Row, RowShape, SqlValue } from "../shared/types.js";

const enum Form { null, int32, float, int64, text, blob, mixed }
const NULLS = 0x80;
const MAX_ROWS = 4096;

// A byte order mark is text like any other: without ignoreBOM the decoder
// would drop one at the block's start and shift every string after it.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A row in either shape. */
export type AnyRow = Row | SqlValue[];

/** What carries over from block to block of one result. */
export interface RowsState {
  columns: string[];
  readonly shape: RowShape;
}

/** A result that has not begun. */
export const newRows = (shape: RowShape): RowsState => ({ columns: [], shape });

/**
 * Reads the block at r and appends its rows, in the result's shape, to out. A block with columns begins the result: one
 * that was begun before, by a leader that is gone or a transaction that ran again, is dropped.
 */
export function readRows(r: Reader, state: RowsState, out: AnyRow[]): void {
  if (r.bool()) {
    setColumns(state, r.strings());
    out.length = 0;
  }
  const width = r.u16();
  const count = r.u32();
  const textBytes = r.u32();
  const blobBytes = r.u32();
  const { columns } = state;
  if (width !== columns.length) fail(`${width} columns have ${columns.length} names`);
  if (width === 0) {
    if (count !== 0) fail(`${count} rows without columns`);
    return;
  }
  if (count > MAX_ROWS) fail(`${count} rows in one block`);
  const heads: Head[] = new Array(width);
  for (let i = 0; i < width; i++) heads[i] = readHead(r, count);
  const textAt = r.skip(textBytes);
  const blobAt = r.skip(blobBytes);
  const heap: Heap = {
    text: textBytes === 0 ? "" : decoder.decode(r.bytes.subarray(textAt, textAt + textBytes)),
    textAt: 0,
    bytes: r.bytes,
    blobAt,
    blobEnd: blobAt + blobBytes,
  };
  const first = out.length;
  const cells: SqlValue[] = new Array(count);
  for (let i = 0; i < width; i++) {
    readColumn(r, heads[i]!, count, heap, cells);
    if (state.shape === "array") addElement(out as SqlValue[][], first, i, cells);
    else addProperty(out as Row[], first, i, columns[i]!, cells);
  }
  if (heap.textAt !== heap.text.length || heap.blobAt !== heap.blobEnd) fail("lengths that do not add up");
}

/** Sets the columns of a result. Two of one name are one property of an object. */
export function setColumns(state: RowsState, columns: string[]): void {
  state.columns = columns;
  if (state.shape === "array" || new Set(columns).size === columns.length) return;
  const twice = columns.find((name, i) => columns.indexOf(name) !== i)!;
  warnOnce(`two columns of a result are named ${JSON.stringify(twice)}, and a row as an object keeps the last of them: `
    + `name one with AS, or ask for { rows: "array" }. The columns: ${columns.join(", ")}`);
}

// Column i of the rows from first on.
function addElement(out: SqlValue[][], first: number, i: number, cells: readonly SqlValue[]): void {
  const count = cells.length;
  if (i === 0) for (let row = 0; row < count; row++) out.push([cells[row]!]);
  else for (let row = 0; row < count; row++) out[first + row]!.push(cells[row]!);
}

function addProperty(out: Row[], first: number, i: number, name: string, cells: readonly SqlValue[]): void {
  const count = cells.length;
  if (i === 0) {
    if (name === "__proto__") for (let row = 0; row < count; row++) define(out[first + row] = {}, name, cells[row]!);
    else for (let row = 0; row < count; row++) out.push({ [name]: cells[row]! });
  } else if (name === "__proto__") {
    for (let row = 0; row < count; row++) define(out[first + row]!, name, cells[row]!);
  } else {
    for (let row = 0; row < count; row++) out[first + row]![name] = cells[row]!;
  }
}

// A column called __proto__ must not become the row's prototype.
function define(row: Row, name: string, value: SqlValue): void {
  Object.defineProperty(row, name, { value, writable: true, enumerable: true, configurable: true });
}

interface Heap {
  text: string;
  textAt: number;
  readonly bytes: Uint8Array;
  blobAt: number;
  readonly blobEnd: number;
}

interface Head {
  form: number;
  nullsAt: number; // -1: none
  tagsAt: number;
  dataAt: number;
}

function readHead(r: Reader, count: number): Head {
  const flags = r.u8();
  const head: Head = { form: flags & ~NULLS, nullsAt: -1, tagsAt: 0, dataAt: 0 };
  pad(r);
  if (flags & NULLS) {
    head.nullsAt = r.skip((count + 7) >> 3);
    pad(r);
  }
  switch (head.form) {
    case Form.null:
      break;
    case Form.int32: case Form.text: case Form.blob:
      head.dataAt = r.skip(count * 4);
      break;
    case Form.float: case Form.int64:
      head.dataAt = r.skip(count * 8);
      break;
    case Form.mixed:
      head.tagsAt = r.skip(count);
      pad(r);
      head.dataAt = r.skip(count * 8);
      break;
    default:
      fail(`a column has form ${flags}`);
  }
  return head;
}

function pad(r: Reader): void {
  r.skip((8 - (r.at & 7)) & 7);
}

function readColumn(r: Reader, head: Head, count: number, heap: Heap, out: SqlValue[]): void {
  const { view } = r;
  const { dataAt } = head;
  switch (head.form) {
    case Form.null:
      out.fill(null, 0, count);
      return;
    case Form.int32:
      for (let i = 0; i < count; i++) out[i] = view.getInt32(dataAt + i * 4, true);
      break;
    case Form.float:
      for (let i = 0; i < count; i++) out[i] = view.getFloat64(dataAt + i * 8, true);
      break;
    case Form.int64:
      for (let i = 0; i < count; i++) out[i] = r.i64At(dataAt + i * 8);
      break;
    case Form.text:
      for (let i = 0; i < count; i++) out[i] = takeText(heap, view.getUint32(dataAt + i * 4, true));
      break;
    case Form.blob:
      for (let i = 0; i < count; i++) out[i] = takeBlob(heap, view.getUint32(dataAt + i * 4, true));
      break;
    default:
      for (let i = 0; i < count; i++) {
        const at = dataAt + i * 8;
        switch (r.bytes[head.tagsAt + i]) {
          case 0: out[i] = null; break;
          case 1: out[i] = r.i64At(at); break;
          case 2: out[i] = view.getFloat64(at, true); break;
          case 3: out[i] = takeText(heap, view.getUint32(at, true)); break;
          case 4: out[i] = takeBlob(heap, view.getUint32(at, true)); break;
          default: fail(`no value has tag ${r.bytes[head.tagsAt + i]}`);
        }
      }
  }
  if (head.nullsAt >= 0) {
    for (let i = 0; i < count; i++) {
      if (r.bytes[head.nullsAt + (i >> 3)]! & (1 << (i & 7))) out[i] = null;
    }
  }
}

function takeText(heap: Heap, units: number): string {
  const at = heap.textAt;
  heap.textAt = at + units;
  if (heap.textAt > heap.text.length) fail("a text longer than the block's");
  return heap.text.slice(at, heap.textAt);
}

// Each blob is a copy with a buffer of its own: the message's lives no longer
// than the call, and a shared one could not be transferred by the app.
function takeBlob(heap: Heap, size: number): Uint8Array {
  const at = heap.blobAt;
  heap.blobAt = at + size;
  if (heap.blobAt > heap.blobEnd) fail("a blob longer than the block's");
  return heap.bytes.slice(at, heap.blobAt);
}

function fail(what: string): never {
  throw new HeddleError("HEDDLE_PROTOCOL", `a block of rows does not decode: ${what}`);
}
