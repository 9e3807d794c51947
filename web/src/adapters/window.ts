// A window on a long result, in pages that are found by the key of the row before: an OFFSET would have to run again
// for each change above it. https://use-the-index-luke.com/no-offset

import type { Database } from "../api/database.js";
import { LOADING } from "../api/live-store.js";
import type { LiveSnapshot, LiveStore, NamedParams, Params, ParamsOf, SqlValue } from "../shared/types.js";
import { constant, liveStore, quote, QUERY_MEMBERS, type Asked, type KeepPrevious, type Store } from "./stores.js";

export interface LiveWindowOptions extends KeepPrevious {
  /** Columns of the result that give its order. None is ever NULL, and together they tell each row from all others. */
  key: readonly string[];
  /** From the greatest key to the least. */
  descending?: boolean | undefined;
  /** How many rows each page begins with: 50, unless told otherwise. */
  size?: number | undefined;
}

export interface LiveWindow<T> extends LiveSnapshot<T> {
  /** How many rows the query has, those of the window among them. */
  readonly total: number;
  readonly hasMore: boolean;
  /** Adds a page. Nothing happens where there is no more, or a page is on its way. */
  more(): void;
}

export const WINDOW_MEMBERS = [...QUERY_MEMBERS, "total", "hasMore", "more"] as const;

type Values = readonly SqlValue[];

/** The rows after the key `low`, up to the key `high` and with it. The last page has no `high`, but a LIMIT. */
interface Page<T> {
  low: Values | undefined;
  store: LiveStore<T>;
  /** The rows that the page had while it was the last one: shown until the store has its own. */
  former: readonly T[];
  /** For rows of the store, the equal ones of `former`: what shows them need not show them anew. */
  twins: WeakMap<object, T>;
}

const EMPTY: LiveWindow<never> = Object.freeze({ ...LOADING, total: 0, hasMore: false, more: () => {} });

/**
 * The pages of a result as one store. A page that another one follows is bounded by keys alone: it grows by what is
 * inserted into it, so no row falls between two pages.
 */
class WindowStore<T, P extends object> implements Store<LiveWindow<T>> {
  readonly #db: Database;
  readonly #sql: string;
  readonly #params: ParamsOf<P> | undefined;
  readonly #key: readonly string[];
  readonly #descending: boolean;
  readonly #size: number;
  readonly #count: LiveStore<{ n: number }>;
  readonly #listeners = new Set<() => void>();
  #pages: Page<T>[];
  #stops: (() => void)[] = [];
  #snapshot: LiveWindow<T> = EMPTY;
  /** The snapshots of the stores that #snapshot was made of. */
  #parts: readonly LiveSnapshot<unknown>[] = [];

  constructor(
    db: Database, sql: string, params: ParamsOf<P> | undefined, options: LiveWindowOptions,
    count: LiveStore<{ n: number }>,
  ) {
    this.#db = db;
    this.#sql = sql;
    this.#params = params;
    this.#key = options.key;
    this.#descending = options.descending === true;
    this.#size = options.size ?? 50;
    this.#count = count;
    this.#pages = [this.#page(undefined, undefined, [])];
  }

  subscribe(changed: () => void): () => void {
    const listener = () => changed();
    if (this.#listeners.add(listener).size === 1) this.#follow();
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#leave();
    };
  }

  getSnapshot(): LiveWindow<T> {
    const parts = this.#stores().map((store) => store.getSnapshot());
    if (!sameItems(parts, this.#parts)) {
      this.#parts = parts;
      this.#snapshot = this.#read(parts);
    }
    return this.#snapshot;
  }

  getServerSnapshot(): LiveWindow<T> {
    return EMPTY;
  }

  readonly #more = (): void => {
    const { state, hasMore } = this.getSnapshot(), last = this.#pages.at(-1)!, rows = rowsOf(last);
    if (state === "loading" || !hasMore) return;
    const end = rows.at(-1) as { [column: string]: SqlValue };
    const high = this.#key.map((name) => end[name]!);
    this.#pages = [...this.#pages.slice(0, -1), this.#page(last.low, high, rows), this.#page(high, undefined, [])];
    const leave = this.#stops;
    if (this.#listeners.size > 0) this.#follow();
    for (const stop of leave) stop();
    this.#changed();
  };

  #stores(): LiveStore<unknown>[] {
    return [this.#count, ...this.#pages.map(({ store }) => store)];
  }

  #follow(): void {
    this.#stops = this.#stores().map((store) => store.subscribe(() => this.#changed()));
  }

  #leave(): void {
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  #changed(): void {
    const before = this.#snapshot;
    if (this.getSnapshot() === before) return; // told of it by another store already
    for (const listener of [...this.#listeners]) listener();
  }

  #page(low: Values | undefined, high: Values | undefined, former: readonly T[]): Page<T> {
    const given: Params | NamedParams = this.#params ?? [], list = Array.isArray(given) ? given as Values : undefined;
    const bound: { [name: string]: SqlValue } = {}, values: SqlValue[] = [];
    const mark = (value: SqlValue): string => {
      const name = `heddle_${values.push(value)}`;
      bound[name] = value;
      return list ? "?" : `:${name}`;
    };
    const key = this.#key.map(quote), [after, upTo] = this.#descending ? ["<", ">="] as const : [">", "<="] as const;
    const side = (operator: string, limits: Values | undefined) =>
      limits ? [`(${key.join(", ")}) ${operator} (${limits.map(mark).join(", ")})`] : [];
    const where = [...side(after, low), ...side(upTo, high)].join(" AND ");
    const order = key.map((column) => column + (this.#descending ? " DESC" : "")).join(", ");
    const sql = `SELECT * FROM (\n${this.#sql}\n)${where && ` WHERE ${where}`} ORDER BY ${order}`
      + (high ? "" : ` LIMIT ${this.#size}`);
    const params: Params = list ? [...list, ...values] : Object.assign(bound, given);
    return { low, store: this.#db.store<T>(sql, params), former, twins: new WeakMap() };
  }

  #read(parts: readonly LiveSnapshot<unknown>[]): LiveWindow<T> {
    const rows = this.#pages.flatMap(rowsOf), total = this.#count.getSnapshot().rows[0]?.n ?? 0;
    const state = (["error", "loading", "stale"] as const).find((one) => parts.some((part) => part.state === one));
    const error = parts.find((part) => part.error)?.error;
    return {
      rows: sameItems(rows, this.#snapshot.rows) ? this.#snapshot.rows : rows, state: state ?? "ready",
      ...(error ? { error } : {}), total, more: this.#more,
      hasMore: rowsOf(this.#pages.at(-1)!).length >= this.#size && total > rows.length,
    };
  }
}

const sameItems = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);

const equal = (a: object, b: object): boolean =>
  Object.entries(a).every(([name, value]) => Object.is(value, (b as { [column: string]: unknown })[name]));

function rowsOf<T>({ store, former, twins }: Page<T>): readonly T[] {
  const { rows, state } = store.getSnapshot();
  if (state === "loading") return former;
  if (former.length === 0) return rows;
  return rows.map((row, i) => {
    const object = row as object, twin = former[i];
    if (twin && !twins.has(object) && equal(object, twin)) twins.set(object, twin);
    return twins.get(object) ?? row;
  });
}

/**
 * Finds the window that a component shows: the same one for the same SQL and parameters, which the store that counts
 * the rows tells, since it is followed as long as the window is.
 */
export function windowsOf<T, P extends object>(
  options: LiveWindowOptions,
): (db: Database | undefined, sql: string, params: Asked<P> | undefined) => Store<LiveWindow<T>> {
  const found = new WeakMap<LiveStore<unknown>, Store<LiveWindow<T>>>();
  return (db, sql, params) => {
    const count = liveStore<{ n: number }, P>(db, `SELECT count(*) AS n FROM (\n${sql}\n)`, params);
    let store = found.get(count);
    if (!store) {
      store = !db || params === null || params === false ? constant<LiveWindow<T>>(EMPTY)
        : new WindowStore<T, P>(db, sql, params, options, count);
      found.set(count, store);
    }
    return store;
  };
}
