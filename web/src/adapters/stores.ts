// What the hooks of all frameworks have in common: the stores that they follow. The file of a framework makes a store's
// snapshot part of what that framework tracks, and has nothing else to do.

import type { Database } from "../api/database.js";
import { LOADING } from "../api/live-store.js";
import type { LiveSnapshot, LiveStore, Params, ParamsOf, Rejection, Sync, SyncStatus } from "../shared/types.js";

/** What a hook follows. A LiveStore is one. */
export interface Store<S> {
  /** Calls changed after the snapshot has changed; returns what stops that. */
  subscribe(changed: () => void): () => void;
  /** The same object until something has changed. */
  getSnapshot(): S;
  /** What a server renders, and a page while it takes over what a server has rendered. */
  getServerSnapshot(): S;
}

/** A store that never changes. */
export const constant = <S>(snapshot: S): Store<S> =>
  ({ subscribe: () => () => {}, getSnapshot: () => snapshot, getServerSnapshot: () => snapshot });

/** A server has no database: its hooks are given undefined in place of one, and ask nothing. */
export const onServer = (): boolean => typeof window === "undefined";

/** The error of a hook without a database above it. */
export const missing = (framework: string, cure: string): Error =>
  new Error(`heddle/${framework}: no database was given to this component: ${cure}`);

/** Parameters as hooks take them: null and false ask nothing. */
export type Asked<P> = ParamsOf<P> | null | false;

const NOTHING: LiveStore<never> = { ...constant(LOADING), first: Promise.resolve(), refresh: () => {} };

export function liveStore<T, P extends object>(
  db: Database | undefined, sql: string, params: Asked<P> | undefined,
): LiveStore<T> {
  return !db || params === null || params === false ? NOTHING : db.store<T, P>(sql, params);
}

export interface KeepPrevious {
  /** After the parameters have changed, shows the rows before, as "loading", until the new ones are there. */
  keepPrevious?: boolean | undefined;
}

/** What to show of `now` after `before`, the last snapshot of other parameters that was not "loading". */
export function keepRows<S extends LiveSnapshot<unknown>>(now: S, before: S | undefined, options: KeepPrevious): S {
  const keeps = options.keepPrevious && now.state === "loading" && now.rows.length === 0;
  if (!keeps || !before || before.rows.length === 0) return now;
  return { ...before, state: "loading", error: undefined }; // an error was of other parameters
}

/** Reads snapshots as keepRows shows them. */
export function keeping<S extends LiveSnapshot<unknown>>(read: () => S, options: KeepPrevious): () => S {
  let before: S | undefined;
  return () => {
    const now = read();
    if (now.state !== "loading") before = now;
    return keepRows(now, before, options);
  };
}

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The values of a row's key by the names of its columns. */
export type Key = Params & { readonly [column: string]: unknown };

/** The store of one row: one statement for each table, so that a thousand of them cost little. */
export function rowStore<T>(db: Database | undefined, table: string, key: Key): LiveStore<T> {
  const where = Object.keys(key).map((name) => `${quote(name)} = ?`).join(" AND ");
  return liveStore<T, never>(db, `SELECT * FROM ${quote(table)} WHERE ${where}`, Object.values(key) as Params);
}

/** The transactions that the server has refused, oldest first, with what retries and drops one. */
export interface Rejections {
  readonly rejections: readonly Rejection[];
  retry(id: number): Promise<boolean>;
  discard(id: number): Promise<boolean>;
}

class RejectionStore implements Store<Rejections> {
  readonly #sync: Sync;
  readonly #listeners = new Set<() => void>();
  readonly #none: Rejections;
  #snapshot: Rejections;
  #stop = () => {};

  constructor(sync: Sync) {
    this.#sync = sync;
    const then = (done: Promise<boolean>) => done.finally(() => void this.#read());
    this.#none = { rejections: [], retry: (id) => then(sync.retry(id)), discard: (id) => then(sync.discard(id)) };
    this.#snapshot = this.#none;
  }

  subscribe(changed: () => void): () => void {
    const listener = () => changed();
    if (this.#listeners.add(listener).size === 1) {
      this.#stop = this.#sync.on("rejected", () => void this.#read());
      void this.#read();
    }
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#stop();
    };
  }

  getSnapshot(): Rejections {
    return this.#snapshot;
  }

  getServerSnapshot(): Rejections {
    return this.#none;
  }

  async #read(): Promise<void> {
    const rejections = await this.#sync.rejected().catch(() => undefined);
    if (!rejections) return; // the database was closed meanwhile
    this.#snapshot = { ...this.#none, rejections };
    for (const listener of [...this.#listeners]) listener();
  }
}

/** The stores of a database that have no parameters. */
interface Singles {
  status: Store<SyncStatus>;
  rejections: Store<Rejections>;
}

const singles = new WeakMap<Database, Singles>();
const never = () => Promise.resolve(false);
const SERVER: Singles = {
  status: constant({ state: "off", seq: 0, pending: 0 }),
  rejections: constant({ rejections: [], retry: never, discard: never }),
};

export function singlesOf(db: Database | undefined): Singles {
  if (!db) return SERVER;
  const { sync } = db;
  const found = singles.get(db);
  if (found) return found;
  const status: Store<SyncStatus> = {
    subscribe: (changed) => sync.on("status", changed), getSnapshot: () => sync.status,
    getServerSnapshot: () => sync.status,
  };
  const made = { status, rejections: new RejectionStore(sync) };
  singles.set(db, made);
  return made;
}

/** A value, or a function that reads it and whatever it depends on. */
export type MaybeGetter<V> = V | (() => V);

export const valueOf = <V>(value: MaybeGetter<V>): V => typeof value === "function" ? (value as () => V)() : value;

/** An object with the members of what `read` returns: reading one calls it, so that a framework tracks it. */
export function members<S extends object>(read: () => S, names: readonly (keyof S)[]): S {
  const getters = names.map((name) => [name, { get: () => read()[name], enumerable: true }]);
  return Object.defineProperties({}, Object.fromEntries(getters) as PropertyDescriptorMap) as S;
}

export const QUERY_MEMBERS = ["rows", "state", "error"] as const;
