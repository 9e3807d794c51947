// Checks what an app passes in, before anything is sent: parameters become
// SQLite's types, and what has none is refused with what to do about it.

import type { CheckedParams, CheckedValue, Statement } from "./codec.js";
import { HeddleError } from "../shared/errors.js";
import type { BatchStatement, RowShape } from "../shared/types.js";

const MIN_INTEGER = -(2n ** 63n);
const MAX_INTEGER = 2n ** 63n - 1n;

function refuse(what: string, sql?: string): never {
  throw new HeddleError("HEDDLE_BAD_PARAM", what, { sql });
}

/** The statement's text, checked. */
export function checkSql(sql: unknown): string {
  if (typeof sql !== "string") refuse(`the SQL must be a string, it is ${describe(sql)}`);
  if (sql.includes("\0")) refuse("the SQL holds a NUL character, where SQLite would stop reading", sql);
  return sql;
}

/** A value as SQLite stores it. `where` is said in the error. */
export function checkValue(value: unknown, where: string | (() => string), sql?: string): CheckedValue {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return Number.isNaN(value) ? null : value;
    case "boolean":
      return value ? 1 : 0;
    case "bigint":
      if (value < MIN_INTEGER || value > MAX_INTEGER) {
        refuse(`${say(where)} is ${value}, outside SQLite's 64-bit integers; store it as text`, sql);
      }
      return value;
    case "object":
      if (value === null) return null;
      if (value instanceof Uint8Array) return value;
      if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      if (isBuffer(value)) return new Uint8Array(value);
      if (value instanceof Date) {
        refuse(`${say(where)} is a Date, which SQLite has not: pass date.toISOString() or date.getTime()`, sql);
      }
      if (typeof Blob !== "undefined" && value instanceof Blob) {
        refuse(`${say(where)} is a Blob: pass new Uint8Array(await blob.arrayBuffer())`, sql);
      }
      return refuse(`${say(where)} is ${describe(value)}: pass JSON.stringify(value), or its parts`, sql);
    case "undefined":
      return refuse(`${say(where)} is undefined: pass null for NULL`, sql);
    default:
      return refuse(`${say(where)} is ${describe(value)}, which SQLite cannot store`, sql);
  }
}

const say = (where: string | (() => string)) => (typeof where === "string" ? where : where());

// An ArrayBuffer of another realm, or a SharedArrayBuffer, is one too.
function isBuffer(value: object): value is ArrayBuffer {
  const tag = Object.prototype.toString.call(value);
  return tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]";
}

/** Names a value for an error text. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "undefined";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Promise) return "a Promise (a forgotten await?)";
  if (typeof value === "object") {
    const name = (value as { constructor?: { name?: unknown } }).constructor?.name;
    return typeof name === "string" && name !== "" && name !== "Object" ? `of type ${name}` : "an object";
  }
  return `a ${typeof value}`;
}

/** Parameters, by position or by name. */
export function checkParams(params: object | undefined, sql: string): CheckedParams {
  if (params === undefined) return { kind: "none" };
  if (Array.isArray(params)) {
    const values: CheckedValue[] = new Array(params.length);
    // An index loop: forEach and map skip the holes of a sparse array.
    for (let i = 0; i < params.length; i++) values[i] = checkValue(params[i], () => `parameter ${i + 1}`, sql);
    return { kind: "positional", values };
  }
  const prototype = typeof params === "object" && params !== null ? Object.getPrototypeOf(params) : undefined;
  const plain = prototype === null || (prototype !== undefined && Object.getPrototypeOf(prototype) === null);
  if (!plain) {
    refuse(`the parameters must be an array or an object of names and values, they are ${describe(params)}`, sql);
  }
  const names = Object.keys(params);
  const record = params as Record<string, unknown>;
  const values = names.map((name) => checkValue(record[name], () => `parameter ${JSON.stringify(name)}`, sql));
  return { kind: "named", names, values };
}

/** The statements of a batch, or of what else takes as many; `what` is said in the error. */
export function checkBatch(statements: readonly BatchStatement[], what = "batch"): Statement[] {
  if (!Array.isArray(statements)) refuse(`${what} takes an array of [sql, params] pairs, not ${describe(statements)}`);
  return statements.map((entry: unknown, i) => {
    if (typeof entry === "string") return { sql: checkSql(entry), params: { kind: "none" } };
    if (!Array.isArray(entry)) refuse(`${what}: entry ${i} must be [sql, params], it is ${describe(entry)}`);
    const sql = checkSql(entry[0]);
    return { sql, params: checkParams(entry[1] as object | undefined, sql) };
  });
}

/** The most UTF-16 code units of a channel, and of a payload as JSON. */
const MAX_CHANNEL = 128;
const MAX_PAYLOAD = 8_000;

/** The name of a channel, for notify and onNotify. */
export function checkChannel(channel: unknown): string {
  if (typeof channel !== "string") refuse(`a channel's name must be a string, it is ${describe(channel)}`);
  if (channel === "" || channel.length > MAX_CHANNEL) {
    refuse(`a channel's name has 1 to ${MAX_CHANNEL} characters, this one ${channel.length}`);
  }
  return channel;
}

/** A notification's payload as JSON. */
export function checkPayload(payload: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(payload ?? null);
  } catch (thrown) {
    refuse(`notify: the payload cannot be written as JSON: ${(thrown as Error).message}`);
  }
  if (json === undefined) refuse(`notify: the payload cannot be written as JSON: it is ${describe(payload)}`);
  if (json.length > MAX_PAYLOAD) {
    throw new HeddleError("HEDDLE_TOO_BIG",
      `notify: the payload has ${json.length} characters as JSON, and ${MAX_PAYLOAD} are the most: send a row's key`);
  }
  return json;
}

/** The shape that an option `rows` asks for. */
export function checkShape(rows: unknown): RowShape {
  if (rows === undefined || rows === "object" || rows === "array") return rows ?? "object";
  return refuse(`rows must be "object" or "array", it is ${typeof rows === "string" ? rows : describe(rows)}`);
}

const MAX_TIMEOUT = 2 ** 31 - 1; // of setTimeout

/** A call's timeout in whole milliseconds; undefined if there is none. */
export function checkTimeout(timeout: unknown): number | undefined {
  if (timeout === undefined) return undefined;
  if (typeof timeout !== "number" || !(timeout > 0)) {
    const it = typeof timeout === "number" ? timeout : describe(timeout);
    refuse(`timeout must be a number of milliseconds greater than 0, it is ${it}`);
  }
  return timeout > MAX_TIMEOUT ? undefined : Math.ceil(timeout);
}

/** Whether value can be called; `what` is said in the error. */
export function checkFunction(value: unknown, what: string): void {
  if (typeof value !== "function") refuse(`${what} must be a function, it is ${describe(value)}`);
}

/**
 * Whether a statement surely only reads, so that it may be sent again to a new
 * leader. When in doubt it does not: then losing the leader is an error.
 */
export function isRead(sql: string): boolean {
  const text = sql.replace(/^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, "");
  const word = /^[a-z]+/i.exec(text)?.[0].toUpperCase();
  switch (word) {
    case "SELECT": case "VALUES": case "EXPLAIN":
      return true;
    case "WITH":
      return !/\b(?:insert|update|delete|replace)\b/i.test(text);
    default:
      return false;
  }
}
