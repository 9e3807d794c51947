// heddle/svelte: db.store() as objects with members that runes track. Svelte 5.7 and newer. https://svelte.dev

import { getContext, setContext } from "svelte";
import { createSubscriber } from "svelte/reactivity";

import type { Database } from "../api/database.js";
import type { LiveSnapshot, NamedParams, Row, SyncStatus } from "../shared/types.js";
import {
  keeping, liveStore, members, missing, onServer, QUERY_MEMBERS, rowStore, singlesOf, valueOf, type Asked,
  type KeepPrevious, type Key, type MaybeGetter, type Rejections, type Store,
} from "./stores.js";
import { WINDOW_MEMBERS, windowsOf, type LiveWindow, type LiveWindowOptions } from "./window.js";

export type { LiveWindow, LiveWindowOptions, Rejections };

const KEY = Symbol("heddle");

/** Gives the database to the components below: called while a component is made. */
export function provideDatabase(db: Database): void {
  setContext(KEY, db);
}

/** The database that was provided above. */
export function useDatabase(): Database {
  const db = getContext<Database | undefined>(KEY);
  if (!db) throw missing("svelte", "call provideDatabase(db) in a component above it");
  return db;
}

/** Where a server renders there is nothing to ask. */
const asked = (): Database | undefined => onServer() ? undefined : useDatabase();

const subscribers = new WeakMap<Store<unknown>, () => void>();

/** The snapshot: the effect in which it is read runs again when it has changed. */
function read<S>(store: Store<S>): S {
  let track = subscribers.get(store);
  if (!track) subscribers.set(store, track = createSubscriber((changed) => store.subscribe(changed)));
  track();
  return store.getSnapshot();
}

/**
 * The rows of a query, now and after each change of it or of its parameters, which a function gives that reads state:
 * `useLiveQuery(sql, () => [list])`. The object's members are tracked; it is not to be taken apart. Components with the
 * same SQL and parameters share one live query and one array; rows that stayed are the same objects. With null or false
 * in place of params nothing is asked.
 */
export function useLiveQuery<T = Row, P extends object = NamedParams>(
  sql: MaybeGetter<string>, params?: MaybeGetter<Asked<P> | undefined>, options: KeepPrevious = {},
): LiveSnapshot<T> {
  const db = asked();
  return members(keeping(() => read(liveStore<T, P>(db, valueOf(sql), valueOf(params))), options), QUERY_MEMBERS);
}

/** A value that is tracked where `current` is read. */
export interface Current<T> {
  readonly current: T;
}

/** One row, by the values of its key: `useLiveRow("notes", () => ({ id }))`. undefined: there is none, or not yet. */
export function useLiveRow<T = Row>(table: MaybeGetter<string>, key: MaybeGetter<Key>): Current<T | undefined> {
  const db = asked();
  return { get current() { return read(rowStore<T>(db, valueOf(table), valueOf(key))).rows[0]; } };
}

/**
 * A window on a long result: its first rows by `options.key`, and `more()` for further ones. The query has no ORDER BY
 * and no LIMIT.
 */
export function useLiveWindow<T = Row, P extends object = NamedParams>(
  sql: MaybeGetter<string>, params: MaybeGetter<Asked<P> | undefined>, options: LiveWindowOptions,
): LiveWindow<T> {
  const db = asked(), find = windowsOf<T, P>(options);
  return members(keeping(() => read(find(db, valueOf(sql), valueOf(params))), options), WINDOW_MEMBERS);
}

/** Where sync stands. */
export function useSyncStatus(): Current<SyncStatus> {
  const { status } = singlesOf(asked());
  return { get current() { return read(status); } };
}

/** The transactions that the server has refused, oldest first, with what retries and drops one. */
export function useRejections(): Rejections {
  const { rejections } = singlesOf(asked());
  return members(() => read(rejections), ["rejections", "retry", "discard"]);
}
