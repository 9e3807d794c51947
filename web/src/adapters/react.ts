// heddle/react: hooks over db.store(). React 18 and newer. https://react.dev

import {
  createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore,
  type ReactElement, type ReactNode,
} from "react";

import type { Database } from "../api/database.js";
import type { LiveSnapshot, NamedParams, Row, SyncStatus } from "../shared/types.js";
import {
  keepRows, liveStore, missing, onServer, rowStore, singlesOf, type Asked, type KeepPrevious, type Key,
  type Rejections, type Store,
} from "./stores.js";
import { windowsOf, type LiveWindow, type LiveWindowOptions } from "./window.js";

export type { Rejections, LiveWindow, LiveWindowOptions };

const Context = createContext<Database | undefined>(undefined);

export interface HeddleProviderProps {
  /**
   * The database, which its opener closes. Or what opens one in the browser, as `() => open({ … })`: called when the
   * provider is mounted, and the database is closed when it is unmounted. What fails there reaches the error boundary.
   */
  db: Database | (() => Promise<Database>);
  /** Shown until the database is open, and where a server renders. */
  fallback?: ReactNode;
  children?: ReactNode;
}

/** Gives its children the database. */
export function HeddleProvider({ db, fallback, children }: HeddleProviderProps): ReactElement {
  const opened = useOpened(db);
  return createElement(Context.Provider, { value: opened }, opened ? children : fallback);
}

function useOpened(db: HeddleProviderProps["db"]): Database | undefined {
  const [opened, set] = useState<Database>();
  const open = useRef(typeof db === "function" ? db : undefined);
  useEffect(() => {
    let left = false;
    const opening = open.current?.();
    opening?.then((it) => { if (!left) set(it); }, (error: unknown) => { if (!left) set(() => { throw error; }); });
    return () => {
      left = true;
      set(undefined);
      opening?.then((it) => it.close(), () => {});
    };
  }, []);
  return typeof db === "function" ? opened : db;
}

/** The database of the HeddleProvider above. */
export function useDatabase(): Database {
  const db = useContext(Context);
  if (!db) throw missing("react", "there is no <HeddleProvider db={…}> above it");
  return db;
}

/** Where a server renders there is nothing to ask. */
function useAsked(): Database | undefined {
  const db = useDatabase();
  return onServer() ? undefined : db;
}

function useStore<S>(store: Store<S>): S {
  const subscribe = useCallback((changed: () => void) => store.subscribe(changed), [store]);
  return useSyncExternalStore(subscribe, () => store.getSnapshot(), () => store.getServerSnapshot());
}

/** What is shown of a snapshot, and the one that was shown before it. */
function useKeptRows<S extends LiveSnapshot<unknown>>(snapshot: S, options: KeepPrevious): S {
  const previous = useRef<S>(undefined);
  useEffect(() => {
    if (snapshot.state !== "loading") previous.current = snapshot;
  });
  return keepRows(snapshot, previous.current, options);
}

export interface LiveQueryOptions extends KeepPrevious {
  /** Suspends until the first result: a <Suspense> above shows its fallback, an error boundary what has failed. */
  suspense?: boolean | undefined;
}

/**
 * The rows of a query, now and after each change. Components with the same SQL and parameters share one live query and
 * one array; rows that stayed are the same objects, so that memo() skips them. With null or false in place of params
 * nothing is asked.
 */
export function useLiveQuery<T = Row, P extends object = NamedParams>(
  sql: string, params?: Asked<P>, options: LiveQueryOptions = {},
): LiveSnapshot<T> {
  const store = liveStore<T, P>(useAsked(), sql, params);
  const snapshot = useKeptRows(useStore(store), options);
  // The rows of before the first result: the store has them from its beginning.
  const waits = options.suspense && params !== null && params !== false
    && snapshot.rows === store.getServerSnapshot().rows;
  if (!waits) return snapshot;
  if (onServer()) throw onlyInBrowser();
  if (snapshot.error) throw snapshot.error;
  // React takes a promise that is thrown for a component that is not ready: https://react.dev/reference/react/Suspense
  // oxlint-disable-next-line only-throw-error
  throw store.first;
}

/**
 * On a server an error, and not a promise, makes React send the fallback and leave the rest to the browser:
 * https://react.dev/reference/react/Suspense#providing-a-fallback-for-server-errors-and-client-only-content
 * By the digest Next.js knows that nothing is wrong.
 */
const onlyInBrowser = () => Object.assign(
  new Error("heddle/react: a query with { suspense: true } waits for the browser; a <Suspense> has to be above it"),
  { digest: "BAILOUT_TO_CLIENT_SIDE_RENDERING" });

/** One row, by the values of its key: `useLiveRow("notes", { id })`. undefined: there is none, or not yet. */
export function useLiveRow<T = Row>(table: string, key: Key): T | undefined {
  return useStore(rowStore<T>(useAsked(), table, key)).rows[0];
}

/**
 * A window on a long result: its first rows by `options.key`, and `more()` for further ones. The query has no ORDER BY
 * and no LIMIT.
 */
export function useLiveWindow<T = Row, P extends object = NamedParams>(
  sql: string, params: Asked<P> | undefined, options: LiveWindowOptions,
): LiveWindow<T> {
  const { size, descending } = options, key = options.key.join("\n");
  // oxlint-disable-next-line exhaustive-deps -- of the options these alone make another window
  const find = useMemo(() => windowsOf<T, P>(options), [key, size, descending]);
  const store = find(useAsked(), sql, params);
  return useKeptRows(useStore(store), options);
}

/** Where sync stands. */
export function useSyncStatus(): SyncStatus {
  return useStore(singlesOf(useDatabase()).status);
}

/** The transactions that the server has refused, oldest first, with what retries and drops one. */
export function useRejections(): Rejections {
  return useStore(singlesOf(useDatabase()).rejections);
}
