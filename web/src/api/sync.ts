// db.sync: status, events and control of the leader's sync.

import type { CallSpec } from "../rpc/call.js";
import type { Caller } from "../rpc/client.js";
import { EventType, Method, request, type Reader, type Writer } from "../rpc/codec.js";
import { asHeddleError, HeddleError } from "../shared/errors.js";
import { checkFunction, describe } from "../rpc/params.js";
import { report } from "./report-error.js";
import type {
  CallOptions, PendingTransaction, QuarantinedRow, Rejection, SqlValue, Sync, SyncEvents, SyncOptions, SyncStatus,
} from "../shared/types.js";

const EVENTS: readonly (keyof SyncEvents)[] = ["status", "rejected", "conflict", "progress"];

function checkId(id: number, what: string): void {
  if (!Number.isSafeInteger(id) || id < 0) throw new HeddleError("HEDDLE_BAD_PARAM", `sync.${what} takes a transaction's id, not ${describe(id)}`);
}

function checkLimit(limit: number | undefined, what: string): number {
  if (limit === undefined) return 1000;
  if (!Number.isInteger(limit) || limit < 1 || limit > 1e6) {
    throw new HeddleError("HEDDLE_BAD_PARAM", `sync.${what}'s limit must be a number from 1 to 1000000, it is ${describe(limit)}`);
  }
  return limit;
}

export class SyncApi implements Sync {
  readonly #caller: Caller;
  readonly #configured: boolean;
  readonly #token: SyncOptions["token"];
  readonly #listeners: { [E in keyof SyncEvents]: Set<(detail: SyncEvents[E]) => void> } = {
    status: new Set(), rejected: new Set(), conflict: new Set(), progress: new Set(),
  };
  #status: SyncStatus = { state: "off", seq: 0, pending: 0 };
  #paused = false;

  constructor(caller: Caller, configured: boolean, token: SyncOptions["token"]) {
    this.#caller = caller;
    this.#configured = configured;
    this.#token = token;
    if (configured) this.#status = { state: "connecting", seq: 0, pending: 0 };
  }

  get status(): SyncStatus {
    return this.#status;
  }

  on<E extends keyof SyncEvents>(event: E, fn: (detail: SyncEvents[E]) => void): () => void {
    if (!EVENTS.includes(event)) {
      throw new HeddleError("HEDDLE_BAD_PARAM", `sync.on: no event is called ${JSON.stringify(event)}; there are ${EVENTS.join(", ")}`);
    }
    checkFunction(fn, "sync.on's callback");
    // A function registered twice is called twice, and stopped one at a time.
    const entry = (detail: SyncEvents[E]) => fn(detail);
    this.#listeners[event].add(entry);
    return () => void this.#listeners[event].delete(entry);
  }

  now(options: CallOptions = {}): Promise<void> {
    return this.#call(Method.syncNow, () => undefined, options, () => {}, { writer: true });
  }

  async pause(options: CallOptions & { persist?: boolean } = {}): Promise<void> {
    await this.#call(Method.syncPause, () => undefined, options, (w) => w.bool(options.persist === true));
    this.#paused = true;
  }

  async resume(): Promise<void> {
    this.#paused = false;
    await this.#call(Method.syncResume, () => undefined);
  }

  accept(options: CallOptions & { upload?: boolean } = {}): Promise<void> {
    return this.#call(Method.syncAccept, () => undefined, options, (w) => w.bool(options.upload !== false));
  }

  digest(options: CallOptions = {}): Promise<{ seq: number; digest: string }> {
    return this.#call(Method.syncDigest, (r) => r.digest(), options);
  }

  async pending(options: CallOptions = {}): Promise<PendingTransaction[]> {
    const all = await this.#list(Method.syncPending, (r) => r.transactions(), options);
    return all.map(({ id, created, operations }) => ({ id, created, operations }));
  }

  rejected(options: CallOptions = {}): Promise<Rejection[]> {
    return this.#list(Method.syncRejected, (r) => r.transactions(), options);
  }

  async retry(id: number, options: CallOptions = {}): Promise<boolean> {
    checkId(id, "retry");
    return this.#call(Method.syncRetry, (r) => r.bool(), options, (w) => w.u64(id), { writer: true });
  }

  async discard(id: number, options: CallOptions = {}): Promise<boolean> {
    checkId(id, "discard");
    return this.#call(Method.syncDiscard, (r) => r.bool(), options, (w) => w.u64(id), { writer: true });
  }

  async dangling(options: CallOptions & { limit?: number } = {}): Promise<{ table: string; key: SqlValue[] }[]> {
    const limit = checkLimit(options.limit, "dangling");
    return this.#call(Method.syncDangling, (r) => r.keys(), options, (w) => w.u32(limit));
  }

  async quarantined(options: CallOptions & { limit?: number } = {}): Promise<QuarantinedRow[]> {
    const limit = checkLimit(options.limit, "quarantined");
    return this.#list(Method.syncQuarantined, (r) => r.quarantined(), options, (w) => w.u32(limit));
  }

  export(options: CallOptions = {}): Promise<string> {
    return this.#call(Method.syncExport, (r) => r.string(), options);
  }

  /** A reply that comes in chunks. */
  #list<T>(method: number, read: (r: Reader) => T[], options: CallOptions, fill?: (w: Writer) => void): Promise<T[]> {
    let all: T[] = [];
    const take = (r: Reader): void => void all.push(...read(r));
    return this.#call(method, (r) => { take(r); return all; }, options, fill, { sent: () => { all = []; }, chunk: take });
  }

  async #call<T>(
    method: number, result: (r: Reader) => T, options: CallOptions = {}, fill: (w: Writer) => void = () => {},
    parts: Pick<CallSpec<T>, "sent" | "chunk" | "writer"> = {},
  ): Promise<T> {
    if (this.#caller.ended) throw this.#caller.ended.clone();
    if (!this.#configured) {
      throw new HeddleError("HEDDLE_NO_SYNC", "the database was opened without sync: pass open({ sync: { url, space, tables } })");
    }
    const w = request(0, method, 16);
    fill(w);
    return this.#caller.call({ message: w.finish(), lane: "side", retry: true, signal: options.signal, timeout: options.timeout, result, ...parts });
  }

  /** A leader answered: a new one does not know that sync was paused here. */
  welcome(status: SyncStatus): void {
    if (this.#paused && status.state !== "paused") {
      const w = request(0, Method.syncPause, 6);
      w.bool(false);
      this.#caller.call({ message: w.finish(), lane: "side", retry: true, result: () => undefined }).catch(() => {});
    }
    this.#setStatus(status);
  }

  /** The leader went away: nothing syncs until the next one does. */
  lost(): void {
    if (this.#configured && !this.#paused) this.#setStatus({ ...this.#status, state: "connecting" });
  }

  end(): void {
    for (const set of Object.values(this.#listeners)) set.clear();
    this.#status = { ...this.#status, state: "off" };
  }

  event(type: number, r: Reader): void {
    switch (type) {
      case EventType.status:
        this.#setStatus(r.status());
        this.#caller.ack(0, type);
        break;
      case EventType.progress:
        this.#emit("progress", r.progress());
        this.#caller.ack(0, type);
        break;
      case EventType.rejected:
        this.#emit("rejected", r.rejection());
        break;
      case EventType.conflict:
        this.#emit("conflict", r.conflict());
        break;
      case EventType.token:
        void this.#answer(r.u32());
        break;
      default: // a newer leader's event: nothing that this build could tell
    }
  }

  #setStatus(status: SyncStatus): void {
    this.#status = status;
    if (status.state === "paused") this.#paused = true;
    else if (status.state === "live" || status.state === "offline") this.#paused = false;
    this.#emit("status", status);
  }

  #emit<E extends keyof SyncEvents>(event: E, detail: SyncEvents[E]): void {
    for (const fn of [...this.#listeners[event]]) {
      try {
        fn(detail);
      } catch (thrown) {
        report(thrown);
      }
    }
  }

  async #answer(ask: number): Promise<void> {
    if (!this.#token) return;
    let token = "";
    let error: HeddleError | undefined;
    try {
      token = await this.#token();
      if (typeof token !== "string" || token === "") {
        error = new HeddleError("HEDDLE_UNAUTHORIZED", "sync.token() gave no token");
        token = "";
      }
    } catch (thrown) {
      const cause = asHeddleError(thrown, "HEDDLE_UNAUTHORIZED");
      error = new HeddleError("HEDDLE_UNAUTHORIZED", `sync.token() failed: ${cause.message}`);
    }
    const w = request(0, Method.token);
    w.u32(ask);
    w.string(token);
    w.error(error);
    this.#caller.tell(w.finish());
  }
}
