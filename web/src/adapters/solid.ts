// heddle/solid: db.store() as objects with members that Solid tracks. Solid 1.6 and newer. https://www.solidjs.com

import {
  createComponent, createComputed, createContext, createMemo, createSignal, onCleanup, useContext,
  type Accessor, type JSX,
} from "solid-js";

import type { Database } from "../api/database.js";
import type { LiveSnapshot, NamedParams, Row, SyncStatus } from "../shared/types.js";
import {
  keeping, liveStore, members, missing, onServer, QUERY_MEMBERS, rowStore, singlesOf, valueOf, type Asked,
  type KeepPrevious, type Key, type MaybeGetter, type Rejections, type Store,
} from "./stores.js";
import { WINDOW_MEMBERS, windowsOf, type LiveWindow, type LiveWindowOptions } from "./window.js";

export type { LiveWindow, LiveWindowOptions, Rejections };

const Context = createContext<Database>();

/** Gives its children the database. Who has opened it closes it. */
export function HeddleProvider(props: { db: Database; children?: JSX.Element }): JSX.Element {
  return createComponent(Context.Provider, {
    get value() { return props.db; },
    get children() { return props.children; },
  });
}

/** The database of the HeddleProvider above. */
export function useDatabase(): Database {
  const db = useContext(Context);
  if (!db) throw missing("solid", "there is no <HeddleProvider db={…}> above it");
  return db;
}

/** Where a server renders there is nothing to ask. */
const asked = (): Database | undefined => onServer() ? undefined : useDatabase();

/** The snapshot of the store that `source` gives now, as long as the component is there. */
function follow<S>(source: () => Store<S>): Accessor<S> {
  const store = createMemo(source), [version, changed] = createSignal(undefined, { equals: false });
  createComputed(() => onCleanup(store().subscribe(() => changed())));
  return () => {
    version();
    return store().getSnapshot(); // what changed with it in other stores is there as well
  };
}

/**
 * The rows of a query, now and after each change of it or of its parameters, which a function gives that reads signals:
 * `useLiveQuery(sql, () => [list()])`. The object's members are tracked; it is not to be taken apart. Components with
 * the same SQL and parameters share one live query and one array; rows that stayed are the same objects, so that <For>
 * keeps what it has made of them. With null or false in place of params nothing is asked.
 */
export function useLiveQuery<T = Row, P extends object = NamedParams>(
  sql: MaybeGetter<string>, params?: MaybeGetter<Asked<P> | undefined>, options: KeepPrevious = {},
): LiveSnapshot<T> {
  const db = asked();
  return members(keeping(follow(() => liveStore<T, P>(db, valueOf(sql), valueOf(params))), options), QUERY_MEMBERS);
}

/** One row, by the values of its key: `useLiveRow("notes", () => ({ id }))`. undefined: there is none, or not yet. */
export function useLiveRow<T = Row>(table: MaybeGetter<string>, key: MaybeGetter<Key>): Accessor<T | undefined> {
  const db = asked(), snapshot = follow(() => rowStore<T>(db, valueOf(table), valueOf(key)));
  return () => snapshot().rows[0];
}

/**
 * A window on a long result: its first rows by `options.key`, and `more()` for further ones. The query has no ORDER BY
 * and no LIMIT.
 */
export function useLiveWindow<T = Row, P extends object = NamedParams>(
  sql: MaybeGetter<string>, params: MaybeGetter<Asked<P> | undefined>, options: LiveWindowOptions,
): LiveWindow<T> {
  const db = asked(), find = windowsOf<T, P>(options);
  return members(keeping(follow(() => find(db, valueOf(sql), valueOf(params))), options), WINDOW_MEMBERS);
}

/** Where sync stands. */
export function useSyncStatus(): Accessor<SyncStatus> {
  const { status } = singlesOf(asked());
  return follow(() => status);
}

/** The transactions that the server has refused, oldest first, with what retries and drops one. */
export function useRejections(): Rejections {
  const { rejections } = singlesOf(asked());
  return members(follow(() => rejections), ["rejections", "retry", "discard"]);
}
