// db.sync: status, events and control of the leader's sync.

import type { RequestOf, CallSpec } from "../rpc/call.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";
import type { Reader } from "../rpc/codec.js";
import * as messages from "../rpc/messages.gen.js";
import { conflict, progress, quarantinedRow, rejection, syncStatus } from "../rpc/results.js";
import { asHeddleError, HeddleError } from "../shared/errors.js";
import { checkFunction, describe } from "../rpc/params.js";
import { report } from "./emitter.js";
import type {
  CallOptions, PendingTransaction, QuarantinedRow, Rejection, SqlValue, Sync, SyncEvents, SyncOptions, SyncStatus,
} from "../shared/types.js";

const EVENTS: readonly (keyof SyncEvents)[] = ["status", "rejected", "conflict", "progress", "snapshotFailed"];

function checkId(id: number, what: string): void {
  if (Number.isSafeInteger(id) && id >= 0) return;
  throw new HeddleError("HEDDLE_BAD_PARAM", `sync.${what} takes a transaction's id, not ${describe(id)}`);
}

function checkLimit(limit: number | undefined, what: string): number {
  if (limit === undefined) return 1000;
  if (!Number.isInteger(limit) || limit < 1 || limit > 1e6) {
    throw new HeddleError("HEDDLE_BAD_PARAM",
      `sync.${what}'s limit must be a number from 1 to 1000000, it is ${describe(limit)}`);
  }
  return limit;
}

export class SyncApi implements Sync {
  readonly #caller: ScopedCaller;
  readonly #configured: boolean;
  readonly #token: SyncOptions["token"];
  readonly #listeners: { [E in keyof SyncEvents]: Set<(detail: SyncEvents[E]) => void> } = {
    status: new Set(), rejected: new Set(), conflict: new Set(), progress: new Set(),
    snapshotFailed: new Set(),
  };
  #status: SyncStatus = { state: "off", seq: 0, pending: 0 };
  #paused = false;

  constructor(caller: ScopedCaller, configured: boolean, token: SyncOptions["token"]) {
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
      throw new HeddleError("HEDDLE_BAD_PARAM",
        `sync.on: no event is called ${JSON.stringify(event)}; there are ${EVENTS.join(", ")}`);
    }
    checkFunction(fn, "sync.on's callback");
    // A function registered twice is called twice, and stopped one at a time.
    const entry = (detail: SyncEvents[E]) => fn(detail);
    this.#listeners[event].add(entry);
    return () => void this.#listeners[event].delete(entry);
  }

  now(options: CallOptions = {}): Promise<void> {
    return this.#call(messages.syncNow(), options, { writer: true });
  }

  async pause(options: CallOptions & { persist?: boolean } = {}): Promise<void> {
    await this.#call(messages.syncPause(options.persist === true), options);
    this.#paused = true;
  }

  async resume(): Promise<void> {
    this.#paused = false;
    await this.#call(messages.syncResume());
  }

  accept(options: CallOptions & { upload?: boolean } = {}): Promise<void> {
    return this.#call(messages.syncAccept(options.upload !== false), options);
  }

  async digest(options: CallOptions = {}): Promise<{ seq: number; digest: string }> {
    const { seq, hash } = await this.#call(messages.syncDigest(), options);
    return { seq, digest: hash };
  }

  async pending(options: CallOptions = {}): Promise<PendingTransaction[]> {
    const all = await this.#list(messages.syncPending(), options);
    return all.map(rejection).map(({ id, created, operations }) => ({ id, created, operations }));
  }

  async rejected(options: CallOptions = {}): Promise<Rejection[]> {
    return (await this.#list(messages.syncRejected(), options)).map(rejection);
  }

  async retry(id: number, options: CallOptions = {}): Promise<boolean> {
    checkId(id, "retry");
    return this.#call(messages.syncRetry(id), options, { writer: true });
  }

  async discard(id: number, options: CallOptions = {}): Promise<boolean> {
    checkId(id, "discard");
    return this.#call(messages.syncDiscard(id), options, { writer: true });
  }

  async dangling(options: CallOptions & { limit?: number } = {}): Promise<{ table: string; key: SqlValue[] }[]> {
    return this.#call(messages.syncDangling(checkLimit(options.limit, "dangling")), options);
  }

  async quarantined(options: CallOptions & { limit?: number } = {}): Promise<QuarantinedRow[]> {
    const rows = await this.#list(messages.syncQuarantined(checkLimit(options.limit, "quarantined")), options);
    return rows.map(quarantinedRow);
  }

  export(options: CallOptions = {}): Promise<string> {
    return this.#call(messages.syncExport(), options);
  }

  /** A reply that comes in chunks. */
  #list<T>(request: RequestOf<T[]>, options: CallOptions): Promise<T[]> {
    let all: T[] = [];
    const take = (r: Reader): T[] => {
      all.push(...request.result(r));
      return all;
    };
    return this.#call({ ...request, result: take }, options, { sent: () => { all = []; }, chunk: take });
  }

  async #call<T>(
    request: RequestOf<T>, { signal, timeout }: CallOptions = {},
    parts: Pick<CallSpec<T>, "sent" | "chunk" | "writer"> = {},
  ): Promise<T> {
    if (this.#caller.ended) throw this.#caller.ended.clone();
    if (!this.#configured) {
      throw new HeddleError("HEDDLE_NO_SYNC",
        "the database was opened without sync: pass open({ sync: { url, space, tables } })");
    }
    return this.#caller.call({ ...request, signal, timeout, ...parts });
  }

  /** A leader answered: a new one does not know that sync was paused here. */
  welcome(status: SyncStatus): void {
    if (this.#paused && status.state !== "paused") {
      this.#caller.call(messages.syncPause(false)).catch(() => {});
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
      case messages.EventType.status:
        this.#setStatus(syncStatus(messages.readStatus(r)));
        break;
      case messages.EventType.progress:
        this.#emit("progress", progress(messages.readProgress(r)));
        break;
      case messages.EventType.rejected:
        this.#emit("rejected", rejection(messages.readTransaction(r)));
        break;
      case messages.EventType.conflict:
        this.#emit("conflict", conflict(messages.readConflict(r)));
        break;
      case messages.EventType.snapshotFailed:
        this.#emit("snapshotFailed", { error: r.error()!.toJSON() });
        break;
      case messages.EventType.token:
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
    this.#caller.tell(messages.token(ask, token, error));
  }
}
