// heddle/vue: composables over db.store(). Vue 3.3 and newer. https://vuejs.org

import {
  computed, inject, provide, shallowRef, toValue, watch,
  type App, type ComputedRef, type InjectionKey, type MaybeRefOrGetter, type ShallowRef,
} from "vue";

import type { Database } from "../api/database.js";
import type { LiveSnapshot, NamedParams, Row, SyncStatus } from "../shared/types.js";
import {
  keeping, liveStore, missing, onServer, rowStore, singlesOf, type Asked, type KeepPrevious, type Key,
  type Rejections, type Store,
} from "./stores.js";
import { windowsOf, type LiveWindow as Shown, type LiveWindowOptions } from "./window.js";

export type { LiveWindowOptions };

const KEY: InjectionKey<Database> = Symbol("heddle");

/** Gives the database to the components of an app, or, in a component's setup, to those below it. */
export function provideDatabase(db: Database, app?: App): void {
  if (app) app.provide(KEY, db);
  else provide(KEY, db);
}

/** The database that was provided above. */
export function useDatabase(): Database {
  const db = inject(KEY, undefined);
  if (!db) throw missing("vue", "call provideDatabase(db, app)");
  return db;
}

/** Where a server renders there is nothing to ask. */
const asked = (): Database | undefined => onServer() ? undefined : useDatabase();

/** The snapshot of the store that `source` gives now, as long as the component is there. */
function follow<S>(source: () => Store<S>): Readonly<ShallowRef<S>> {
  const snapshot = shallowRef() as ShallowRef<S>;
  watch(source, (store, _before, onCleanup) => {
    snapshot.value = store.getSnapshot();
    onCleanup(store.subscribe(() => { snapshot.value = store.getSnapshot(); }));
  }, { immediate: true, flush: "sync" });
  return snapshot;
}

/** What a query shows. */
export type LiveQuery<T> = { readonly [M in keyof LiveSnapshot<T>]-?: ComputedRef<LiveSnapshot<T>[M]> };

/**
 * The rows of a query, now and after each change of it or of its parameters. Components with the same SQL and
 * parameters share one live query and one array; rows that stayed are the same objects. With null or false in place of
 * params nothing is asked.
 */
export function useLiveQuery<T = Row, P extends object = NamedParams>(
  sql: MaybeRefOrGetter<string>, params?: MaybeRefOrGetter<Asked<P> | undefined>, options: KeepPrevious = {},
): LiveQuery<T> {
  const db = asked();
  const snapshot = follow(() => liveStore<T, P>(db, toValue(sql), toValue(params)));
  return refs(keeping(() => snapshot.value, options));
}

const refs = <T>(read: () => LiveSnapshot<T>): LiveQuery<T> => ({
  rows: computed(() => read().rows), state: computed(() => read().state), error: computed(() => read().error),
});

/** One row, by the values of its key: `useLiveRow("notes", () => ({ id }))`. undefined: there is none, or not yet. */
export function useLiveRow<T = Row>(
  table: MaybeRefOrGetter<string>, key: MaybeRefOrGetter<Key>,
): ComputedRef<T | undefined> {
  const db = asked(), snapshot = follow(() => rowStore<T>(db, toValue(table), toValue(key)));
  return computed(() => snapshot.value.rows[0]);
}

/** What a window shows, and what adds a page to it. */
export interface LiveWindow<T> extends LiveQuery<T> {
  /** How many rows the query has, those of the window among them. */
  readonly total: ComputedRef<number>;
  readonly hasMore: ComputedRef<boolean>;
  more(): void;
}

/**
 * A window on a long result: its first rows by `options.key`, and `more()` for further ones. The query has no ORDER BY
 * and no LIMIT.
 */
export function useLiveWindow<T = Row, P extends object = NamedParams>(
  sql: MaybeRefOrGetter<string>, params: MaybeRefOrGetter<Asked<P> | undefined>, options: LiveWindowOptions,
): LiveWindow<T> {
  const db = asked(), find = windowsOf<T, P>(options);
  const snapshot = follow(() => find(db, toValue(sql), toValue(params)));
  const read: () => Shown<T> = keeping(() => snapshot.value, options);
  return {
    ...refs(read), total: computed(() => read().total), hasMore: computed(() => read().hasMore),
    more: () => snapshot.value.more(),
  };
}

/** Where sync stands. */
export function useSyncStatus(): Readonly<ShallowRef<SyncStatus>> {
  const { status } = singlesOf(asked());
  return follow(() => status);
}

/** The transactions that the server has refused, oldest first, with what retries and drops one. */
export function useRejections(): Omit<Rejections, "rejections"> & {
  readonly rejections: ComputedRef<Rejections["rejections"]>;
} {
  const { rejections } = singlesOf(asked()), snapshot = follow(() => rejections), { retry, discard } = snapshot.value;
  return { rejections: computed(() => snapshot.value.rejections), retry, discard };
}
