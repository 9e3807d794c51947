// The one error class. Codes are those of internal/errcode: codes.gen.ts.

import type { HeddleCode } from "./codes.gen.js";

/** SQLite's extended result name, such as SQLITE_CONSTRAINT_UNIQUE. */
export type SqliteCode = `SQLITE_${string}`;

/** What HeddleError.code may be. */
export type ErrorCode = HeddleCode | SqliteCode;

/** What error.code, error.sql and error.cause may be given beside a message. */
export interface HeddleErrorOptions {
  sql?: string | undefined;
  op?: string | undefined;
  cause?: unknown;
}

/** An error as a plain object: it can be posted, cloned, stored and written as JSON, and nothing of it is lost. */
export interface ErrorRecord {
  name: string;
  /** Of a HeddleError. */
  code?: ErrorCode;
  message: string;
  /** The part of Heddle that failed. */
  op?: string;
  sql?: string;
  /** What it followed from. */
  cause?: ErrorRecord;
}

/** How many causes a record goes back: some errors are their own. */
const MAX_CAUSES = 8;

/** Every error that Heddle rejects or throws with. */
export class HeddleError extends Error {
  /** SQLite's extended name, or one of Heddle's own codes. */
  readonly code: ErrorCode;
  /** The statement, where there is one. */
  readonly sql?: string;
  /** The part of Heddle that failed, for a bug report. */
  readonly op?: string;

  constructor(code: ErrorCode, message: string, options: HeddleErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "HeddleError";
    this.code = code;
    if (options.sql) this.sql = options.sql;
    if (options.op) this.op = options.op;
  }

  /**
   * The error as a plain object. JSON.stringify calls it; call it yourself before you post an error to another tab or
   * worker, since a structured clone of any Error keeps its message and drops its code.
   */
  toJSON(): ErrorRecord & { code: ErrorCode } {
    return { ...recordOf(this, MAX_CAUSES), code: this.code };
  }

  /** The same error with a stack of its own, so that each caller sees where it called. */
  clone(): HeddleError {
    return new HeddleError(this.code, this.message, { sql: this.sql, op: this.op, cause: this });
  }
}

function recordOf(thrown: unknown, left: number): ErrorRecord {
  if (!(thrown instanceof Error)) return { name: typeof thrown, message: String(thrown) };
  const record: ErrorRecord = { name: String(thrown.name), message: String(thrown.message) };
  if (thrown instanceof HeddleError) {
    record.code = thrown.code;
    if (thrown.op !== undefined) record.op = thrown.op;
    if (thrown.sql !== undefined) record.sql = thrown.sql;
  }
  let { cause } = thrown;
  for (let n = left; n > 0 && cause instanceof HeddleError && isSame(cause, thrown); n--) cause = cause.cause;
  if (cause !== undefined && left > 0) record.cause = recordOf(cause, left - 1);
  return record;
}

// clone() makes an error the cause of its like, for the stack's sake.
const isSame = (cause: HeddleError, error: Error) =>
  error instanceof HeddleError && cause.code === error.code && cause.message === error.message;

/** Makes a HeddleError of anything thrown. */
export function asHeddleError(thrown: unknown, code: ErrorCode = "HEDDLE_INTERNAL"): HeddleError {
  if (thrown instanceof HeddleError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new HeddleError(code, message, { cause: thrown });
}

/** The error of a call whose time is over. */
export function timeoutError(ms: number, sql?: string): HeddleError {
  return new HeddleError("HEDDLE_TIMEOUT", `the call's time, ${ms} ms, is over`, { sql });
}

/** The error of a call that its AbortSignal ended. */
export function abortError(signal: AbortSignal, sql?: string): HeddleError {
  // A timeout of ours is one as well.
  if (signal.reason instanceof HeddleError && signal.reason.code === "HEDDLE_TIMEOUT") return signal.reason.clone();
  return new HeddleError("HEDDLE_ABORTED", "the call was aborted by its signal", { sql, cause: signal.reason });
}
