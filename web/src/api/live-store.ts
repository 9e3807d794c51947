// db.store(): one live query for all parts of a page that show it, as an object that hooks of frameworks subscribe to.

import { KEEP_MS, UNUSED_MS } from "../shared/bounds.js";
import type { CheckedValue, Statement } from "../rpc/codec.js";
import { isDevelopment } from "../shared/development.js";
import type { HeddleError } from "../shared/errors.js";
import type { LiveSnapshot, LiveStore, Row } from "../shared/types.js";
import { report } from "./emitter.js";

/** Starts a live query; the function that it returns stops it. */
export type Start = (
  statement: Statement, onRows: (rows: Row[]) => void, onError: (error: HeddleError) => void,
) => () => void;

/** What a page that is rendered on a server shows, and a store before its first result. */
export const LOADING: LiveSnapshot<never> = Object.freeze({ rows: Object.freeze([]), state: "loading" });

/** The stores of a database, by statement and parameters. */
export class LiveStores {
  readonly #start: Start;
  readonly #stores = new Map<string, Store>();
  readonly #changed = new Set<Store>();
  #ended = false;

  constructor(start: Start) {
    this.#start = start;
  }

  get(statement: Statement): LiveStore<Row> {
    const key = keyOf(statement);
    let store = this.#stores.get(key);
    if (!store) {
      store = new Store(statement, this.#start, (changed) => this.#tell(changed), (one, runs) => {
        // A component may hold a store that has ended, and subscribe to it beside the one that came after.
        if (runs && !this.#stores.has(key)) this.#stores.set(key, one);
        if (!runs && this.#stores.get(key) === one) this.#stores.delete(key);
      });
    }
    return store;
  }

  /** The leader went away: what is shown may be old until the next one has answered. */
  lost(): void {
    for (const store of this.#stores.values()) store.stale();
  }

  end(): void {
    this.#ended = true;
    for (const store of [...this.#stores.values()]) store.end();
  }

  // All stores that changed in one turn have their snapshots before the first listener runs.
  #tell(store: Store): void {
    if (this.#changed.size === 0) {
      queueMicrotask(() => {
        const changed = [...this.#changed];
        this.#changed.clear();
        if (!this.#ended) for (const one of changed) one.notify();
      });
    }
    this.#changed.add(store);
  }
}

class Store implements LiveStore<Row> {
  readonly #statement: Statement;
  readonly #start: Start;
  readonly #changed: (store: Store) => void;
  readonly #listed: (store: Store, runs: boolean) => void;
  readonly #listeners = new Set<() => void>();
  #snapshot: LiveSnapshot<Row> = LOADING;
  #stop: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly first: Promise<void>;
  #settle: () => void = () => {};

  /** @param listed is told when the query begins and when it has ended */
  constructor(
    statement: Statement, start: Start, changed: (store: Store) => void,
    listed: (store: Store, runs: boolean) => void,
  ) {
    this.#statement = statement;
    this.#start = start;
    this.#changed = changed;
    this.#listed = listed;
    this.first = new Promise((resolve) => { this.#settle = resolve; });
    this.#begin();
    // A component that is suspended has no effects yet: its store waits for it here, however long the query takes.
    void this.first.then(() => {
      if (this.#stop && this.#listeners.size === 0) this.#endAfter(UNUSED_MS);
    });
  }

  subscribe(changed: () => void): () => void {
    clearTimeout(this.#timer);
    if (!this.#stop) this.#begin(); // it had ended, and is still held by a component
    const listener = () => changed();
    this.#listeners.add(listener);
    return () => {
      if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return;
      this.#endAfter(KEEP_MS);
    };
  }

  getSnapshot(): LiveSnapshot<Row> {
    return this.#snapshot;
  }

  getServerSnapshot(): LiveSnapshot<Row> {
    return LOADING;
  }

  refresh(): void {
    if (!this.#stop) return;
    this.#stop();
    this.#begin();
  }

  stale(): void {
    if (this.#snapshot.state === "ready") this.#set({ ...this.#snapshot, state: "stale" });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#stop?.();
    this.#stop = undefined;
    this.#settle();
    this.#listed(this, false);
  }

  notify(): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (thrown) {
        report(thrown);
      }
    }
  }

  #endAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(), ms);
  }

  #begin(): void {
    this.#listed(this, true);
    this.#stop = this.#start(this.#statement,
      (rows) => this.#set({ rows: isDevelopment() ? Object.freeze(rows) : rows, state: "ready" }),
      (error) => this.#set({ rows: this.#snapshot.rows, state: "error", error }));
  }

  #set(snapshot: LiveSnapshot<Row>): void {
    this.#snapshot = snapshot;
    this.#settle();
    this.#changed(this);
  }
}

const text = (value: CheckedValue): string =>
  value instanceof Uint8Array ? `b${Array.from(value).join()}` : `${typeof value} ${String(value)}`;

/** Names a statement with its parameters: two that are equal have one store. */
function keyOf({ sql, params }: Statement): string {
  const values = params.kind === "none" ? [] : params.values.map(text);
  const names = params.kind === "named" ? params.names : [];
  return JSON.stringify([sql, params.kind, names, values]);
}
