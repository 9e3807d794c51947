// One call: what the database asks of the caller, how it is queued, and the errors
// that it ends with on this side.

import { HEADER, type Reader } from "./codec.js";
import { HeddleError } from "../shared/errors.js";
import { checkTimeout } from "./params.js";
import { MAX_MESSAGE } from "../shared/message-shapes.js";

/** A call that so many engines died over is not sent again. */
export const MAX_DEATHS = 2;

/**
 * Which queue a call goes through. Each queue keeps its order and has a window of its own, so that no number of calls
 * is too many for the leader. "tx" has the statements of interactive transactions, which are for the leader that began
 * them;
 * "side" has what may wait for the network and must not hold up reads.
 */
export type Queue = "read" | "write" | "tx" | "side";
export const QUEUES: readonly Queue[] = ["write", "read", "tx", "side"];

/** "direct" goes out at once: it belongs to something the leader already knows. */
export type Lane = Queue | "direct";

/** One value for each queue. */
export const each = <T>(make: () => T): Record<Queue, T> => ({ read: make(), write: make(), tx: make(), side: make() });

/** A request without its header, as messages.gen.ts makes it. */
export interface Request {
  method: number;
  lane: Lane;
  /** Sent again when a new leader comes; else the call fails with HEDDLE_TX_LOST. */
  retry: boolean;
  body: Uint8Array;
}

/** A request whose last reply is a T. */
export interface RequestOf<T> extends Request {
  result: (r: Reader) => T;
}

export interface CallSpec<T> extends RequestOf<T> {
  /**
   * It waits for the writer, and so for a transaction that is open: what the lane "write" has, unless told otherwise.
   */
  writer?: boolean;
  /** Of a write: the counter that names it (newWrite). A leader that it is sent to again knows whether it was done. */
  write?: number | undefined;
  /** The same of a write that goes on when this call is answered: a transaction. */
  begins?: number;
  /** Of a write that cannot be done again: the counter. The next leader is only asked for its outcome. */
  instead?: number;
  sql?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds that it may take. */
  timeout?: number | undefined;
  /** Called as the request goes out, with the id it got; again when it is retried. */
  sent?: (id: number) => void;
  /** Takes a chunk. */
  chunk?: (r: Reader) => void;
}

export interface Call {
  spec: CallSpec<unknown>;
  /** Whose it is: see Caller.endCalls. */
  owner: object | undefined;
  id: number;
  resolve: (value: unknown) => void;
  reject: (error: HeddleError) => void;
  unlisten: () => void;
  /** When its time is over, on performance's clock. */
  end: number;
  /** How many leaders were sent it, and how many engines died while they had it. */
  times: number;
  deaths: number;
  /** It waits for the writer, and was made while the function of a transaction ran. */
  nested: boolean;
  /** Why it was ended from here, if its caller should hear more than that it was aborted. */
  reason: HeddleError | undefined;
  /** The lane it is in: one that is sent again is no longer direct. */
  lane: Lane;
}

export const isRead = (lane: Lane) => lane === "read" || lane === "side";

export function newCall(
  spec: CallSpec<unknown>, resolve: Call["resolve"], reject: Call["reject"], owner?: object,
): Call {
  return { spec, owner, resolve, reject, lane: spec.lane, id: 0, times: 0, deaths: 0, nested: false, reason: undefined,
    end: Infinity, unlisten: () => {} };
}

export function badTimeout(timeout: number | undefined): HeddleError | undefined {
  try {
    checkTimeout(timeout);
    return undefined;
  } catch (error) {
    return error as HeddleError;
  }
}

export function tooBig({ body, sql }: CallSpec<unknown>): HeddleError | undefined {
  const size = HEADER + body.length;
  if (size <= MAX_MESSAGE) return undefined;
  const what = `the call has ${size} bytes, and ${MAX_MESSAGE} are the most: use bulk(), or several calls`;
  return new HeddleError("HEDDLE_TOO_BIG", what, { sql });
}

export function engineCrash(): HeddleError {
  return new HeddleError("HEDDLE_ENGINE_CRASH", `the engine died ${MAX_DEATHS} times over this call: it was not done`);
}

export function gone(sql?: string): HeddleError {
  return new HeddleError("HEDDLE_TX_LOST", "the leading tab went away in the middle: nothing was written", { sql });
}

export function givenUp(): HeddleError {
  return new HeddleError("HEDDLE_LEADER_LOST",
    "the call was given up while no leading tab answered: it may have happened or not");
}

export function withSql(error: HeddleError, sql: string | undefined): HeddleError {
  return new HeddleError(error.code, error.message,
    { sql: error.sql ?? sql, op: error.op, cause: error.cause ?? error });
}
