// heddle/react: hooks over db.store(). React 18 and newer. https://react.dev

import {
  createContext, createElement, useCallback, useContext, useEffect, useRef, useState, useSyncExternalStore,
  type ReactElement, type ReactNode,
} from "react";

import type { Database } from "../api/database.js";
import type {
  LiveSnapshot, LiveStore, NamedParams, Params, ParamsOf, Rejection, Row, SyncStatus,
} from "../shared/types.js";

const Context = createContext<Database | undefined>(undefined);

/** Gives its children the database. Who has opened it closes it. */
export function HeddleProvider({ db, children }: { db: Database; children?: ReactNode }): ReactElement {
  return createElement(Context.Provider, { value: db }, children);
}

/** The database of the HeddleProvider above. */
export function useDatabase(): Database {
  const db = useContext(Context);
  if (!db) throw new Error("heddle/react: there is no <HeddleProvider db={…}> above this component");
  return db;
}

export interface LiveQueryOptions {
  /** Suspends until the first result: a <Suspense> above shows its fallback. */
  suspense?: boolean | undefined;
  /** After the parameters have changed, shows the rows before, as "loading", until the new ones are there. */
  keepPrevious?: boolean | undefined;
}

const LOADING: LiveSnapshot<never> = Object.freeze({ rows: Object.freeze([]), state: "loading" });

/** What is shown where nothing is asked for. */
const NONE: LiveStore<never> = {
  subscribe: () => () => {}, getSnapshot: () => LOADING, getServerSnapshot: () => LOADING, first: Promise.resolve(),
  refresh: () => {},
};

/**
 * The rows of a query, now and after each change. Components with the same SQL and parameters share one live query and
 * one array; rows that stayed are the same objects, so that memo() skips them. Without params (null, false) nothing is
 * asked.
 */
export function useLiveQuery<T = Row, P extends object = NamedParams>(
  sql: string, params?: ParamsOf<P> | null | false, options: LiveQueryOptions = {},
): LiveSnapshot<T> {
  const db = useDatabase();
  const asks = params !== null && params !== false;
  const onServer = typeof window === "undefined";
  const store: LiveStore<T> = asks && !onServer ? db.store<T>(sql, params) : NONE;
  const subscribe = useCallback((changed: () => void) => store.subscribe(changed), [store]);
  const snapshot = useSyncExternalStore(subscribe, store.getSnapshot.bind(store), store.getServerSnapshot.bind(store));
  const previous = useRef<LiveSnapshot<T>>(snapshot);
  useEffect(() => {
    if (snapshot.state !== "loading") previous.current = snapshot;
  });
  // React takes a promise that is thrown for a component that is not ready: https://react.dev/reference/react/Suspense
  // oxlint-disable-next-line only-throw-error
  if (options.suspense && asks && snapshot.state === "loading") throw store.first;
  if (options.keepPrevious && snapshot.state === "loading" && previous.current.rows.length > 0) {
    return { rows: previous.current.rows, state: "loading" };
  }
  return snapshot;
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** One row, by the values of its key: `useLiveRow("notes", { id })`. undefined: there is none, or not yet. */
export function useLiveRow<T = Row>(table: string, key: Params & Record<string, unknown>): T | undefined {
  const names = Object.keys(key);
  const where = names.map((name) => `${quote(name)} = ?`).join(" AND ");
  const { rows } = useLiveQuery<T>(`SELECT * FROM ${quote(table)} WHERE ${where}`, Object.values(key) as Params);
  return rows[0];
}

/** Where sync stands. */
export function useSyncStatus(): SyncStatus {
  const { sync } = useDatabase();
  const subscribe = useCallback((changed: () => void) => sync.on("status", changed), [sync]);
  return useSyncExternalStore(subscribe, () => sync.status, () => sync.status);
}

/** The transactions that the server has refused, oldest first, with what retries and drops one. */
export function useRejections(): {
  rejections: readonly Rejection[]; retry: (id: number) => Promise<boolean>; discard: (id: number) => Promise<boolean>;
} {
  const { sync } = useDatabase();
  const [rejections, set] = useState<readonly Rejection[]>([]);
  const read = useCallback(async () => set(await sync.rejected()), [sync]);
  useEffect(() => {
    // A database that is closed meanwhile has none to show.
    const again = () => void read().catch(() => {});
    again();
    return sync.on("rejected", again);
  }, [sync, read]);
  const then = (done: Promise<boolean>) => done.finally(() => void read().catch(() => {}));
  return { rejections, retry: (id) => then(sync.retry(id)), discard: (id) => then(sync.discard(id)) };
}
