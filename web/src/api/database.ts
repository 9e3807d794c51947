// The database as an app sees it: every call of the JavaScript API, made of
// requests on a Connection.

import { PATIENCE_MS } from "../shared/bounds.js";
import { Bulk } from "./bulk.js";
import { MAX_DEATHS, type CallSpec, type Request, type RequestOf } from "../rpc/call.js";
import type { Reader, Statement } from "../rpc/codec.js";
import {
  batch, EventType, exec, notify, query, readRecovered, type Welcome,
} from "../rpc/messages.gen.js";
import { syncStatus } from "../rpc/results.js";
import { asyncDispose } from "../shared/dispose.js";
import { abortError, asHeddleError, HeddleError } from "../shared/errors.js";
import { RowIterator } from "./iterate.js";
import { checkHealth } from "./health.js";
import { dump } from "./dump.js";
import { exportFile, exportStream, importFile } from "./export-import.js";
import { Emitter } from "./emitter.js";
import { Listeners } from "./listen.js";
import { LiveQuery, explain, readStats, warnOfVain, type LiveCallback } from "./live.js";
import { LiveStores } from "./live-store.js";
import {
  checkBatch, checkChannel, checkFunction, checkParams, checkPayload, checkShape, checkSql, checkTimeout, isRead,
} from "../rpc/params.js";
import { collectExec, collectRows } from "../rpc/collect-rows.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";
import { readSchema, SCHEMA_SQL, type SchemaRow } from "./schema.js";
import type { Session, SessionEvents } from "../rpc/session.js";
import { SyncApi } from "./sync.js";
import { OpenTx, runTransaction } from "./transaction.js";
import { TxState } from "./tx-state.js";
import type {
  AsArrays, AsObjects, BatchStatement, BulkOptions, Bytes, CallOptions, Change, DatabaseEvents, ExecResult, Health,
  HealthOptions, ImportSource, IterateOptions, Live, LiveDiff, LiveOptions, LiveStore, NamedParams, Notification,
  OpenTransaction, ParamsOf, QueryOptions, Recovery, ResultSet, Role, Row, RowIterable, Schema, SqlValue, Storage, Sync,
  SyncOptions, Transaction, TransactionOptions,
} from "../shared/types.js";

const inTheWay = (name: string) =>
  `another tab holds the database "${name}" and does not answer; close that tab, or bring it to the front`;

/** @internal */
export interface ConnectOptions extends CallOptions {
  onBlocked?: ((message: string) => void) | undefined;
}

/** An open database. Made by open(). */
export class Database {
  readonly #session: Session;
  readonly #caller: ScopedCaller;
  readonly #lives = new Set<LiveQuery>();
  readonly #stores = new LiveStores((statement, onRows, onError) =>
    this.#follow(statement, (rows) => onRows(rows as Row[]), { onError }));
  readonly #transactions = new Set<TxState>();
  readonly #listeners: Listeners;
  readonly #sync: SyncApi;
  readonly #events = new Emitter<DatabaseEvents>("on", ["blocked", "unblocked", "outdated", "recovered"]);
  readonly #migrations: number;
  #outdated: string | undefined;
  #storage: Storage;
  #recovered: Recovery | undefined;
  #closing: Promise<void> | undefined;
  /** The name that open() was given. */
  readonly name: string;

  /**
   * Joins the session, and resolves when a leader answered. Rejects when there will be
   * none, or when the signal ends the wait; it has left the session then.
   * @internal
   */
  static async connect(
    session: Session, token?: SyncOptions["token"], options: ConnectOptions = {},
  ): Promise<Database> {
    const { signal, onBlocked } = options;
    let database = undefined as Database | undefined;
    let onAbort: (() => void) | undefined;
    let patience: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        if (signal?.aborted) reject(abortError(signal));
        onAbort = () => reject(abortError(signal!));
        signal?.addEventListener("abort", onAbort, { once: true });
        database = new Database(session, token, resolve, reject, (now) => {
          clearTimeout(patience);
          if (!now) return;
          if (onBlocked) onBlocked(inTheWay(session.config.name));
          else {
            const error = new HeddleError("HEDDLE_BLOCKED", inTheWay(session.config.name));
            patience = setTimeout(() => reject(error), PATIENCE_MS);
          }
        });
      });
      return database!;
    } catch (error) {
      await session.leave(database!.#caller, asHeddleError(error)).catch(() => {});
      throw error;
    } finally {
      clearTimeout(patience);
      if (onAbort) signal?.removeEventListener("abort", onAbort);
    }
  }

  private constructor(
    session: Session, token: SyncOptions["token"], opened: () => void, failed: (e: HeddleError) => void,
    blocked: (now: boolean) => void,
  ) {
    const { config, connection } = session;
    this.name = config.name;
    this.#migrations = config.migrations.length;
    this.#session = session;
    this.#storage = config.storage === "memory" ? "memory" : "best-effort";
    const events: SessionEvents = {
      ready: (welcome, again) => {
        this.#ready(welcome, again);
        opened();
      },
      lost: (crashed) => this.#lost(crashed),
      event: (type, r) => this.#event(type, r),
      announced: (announcement) => this.#listeners.announce(announcement),
      blocked: (now) => {
        blocked(now);
        if (now) this.#events.emit("blocked", { message: inTheWay(this.name) });
        else this.#events.emit("unblocked", {});
      },
      outdated: (error) => this.#outdate(error.message),
      failed: (error) => {
        failed(error);
        this.#fail(error);
      },
      destroyed: () => {
        failed(new HeddleError("HEDDLE_CLOSED", `open: the database "${this.name}" was destroyed meanwhile`));
        void this.close();
      },
    };
    this.#caller = session.join(events);
    this.#listeners = new Listeners(connection.session, this.#caller);
    this.#sync = new SyncApi(this.#caller, config.sync !== undefined, token);
    session.start(this.#caller);
  }

  /** @internal The key of the key ring, where that is locked. */
  get lock(): CryptoKey | undefined {
    return this.#session.lock;
  }

  /** @internal A call of heddle/sealed. */
  async ask<T>(spec: CallSpec<T>): Promise<T> {
    this.#alive();
    return this.#caller.call(spec);
  }

  /** @internal */
  tell(request: Request): void {
    this.#caller.tell(request);
  }

  /** Whether this tab's worker holds the database. It changes as tabs come and go. */
  get role(): Role {
    return this.#session.connection.role;
  }

  /** How safe the file is from the browser's own cleaning up. */
  get storage(): Storage {
    return this.#storage;
  }

  /** Calls fn for each event; returns what stops it. */
  on<E extends keyof DatabaseEvents>(event: E, fn: (detail: DatabaseEvents[E]) => void): () => void {
    this.#alive();
    let stopped = false;
    const off = this.#events.on(event, fn);
    const detail = this.#past()[event];
    if (detail) {
      queueMicrotask(() => {
        if (!stopped) fn(detail);
      });
    }
    return () => {
      stopped = true;
      off();
    };
  }

  // Conditions that hold already: a new listener is told of them at once.
  #past(): Partial<DatabaseEvents> {
    return {
      ...(this.#session.connection.blocked ? { blocked: { message: inTheWay(this.name) } } : {}),
      ...(this.#outdated !== undefined ? { outdated: { message: this.#outdated } } : {}),
      ...(this.#recovered ? { recovered: this.#recovered } : {}),
    };
  }

  /** Sync with the server: status, events and control. */
  get sync(): Sync {
    return this.#sync;
  }

  /** Runs a statement, or without params several. The rows that the last one returns come with what it did. */
  exec<T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined, options: CallOptions & AsArrays,
  ): Promise<ExecResult<T>>;
  exec<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options?: CallOptions & AsObjects,
  ): Promise<ExecResult<T>>;
  async exec(sql: string, params?: object, options: QueryOptions = {}): Promise<ExecResult<never>> {
    const statement = this.#statement(sql, params);
    const { signal, timeout } = options;
    return collectExec(this.#caller, exec(statement), checkShape(options.rows), {
      write: this.#caller.newWrite(), sql: statement.sql, signal, timeout,
    });
  }

  /** Runs a statement and resolves with its rows: as objects, or with { rows: "array" } as arrays in a ResultSet. */
  query<T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined, options: CallOptions & AsArrays,
  ): Promise<ResultSet<T>>;
  query<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options?: CallOptions & AsObjects,
  ): Promise<T[]>;
  async query(sql: string, params?: object, options: QueryOptions = {}): Promise<unknown> {
    const statement = this.#statement(sql, params);
    const read = isRead(statement.sql);
    const write = read ? undefined : this.#caller.newWrite();
    // A PRAGMA rarely writes, and then it does not wait for a transaction either.
    const writer = !read && !/^\s*PRAGMA\b/i.test(statement.sql);
    const request = { ...query(statement), lane: read ? "read" as const : "write" as const };
    return collectRows(this.#caller, request, checkShape(options.rows), {
      writer, write, sql: statement.sql, signal: options.signal, timeout: options.timeout,
    });
  }

  /**
   * Runs a statement that reads and hands out its rows as they are taken, a batch
   * ahead: `for await (const row of db.iterate(…))`. It reads one snapshot, on a
   * connection of its own: writes and other reads go on. Leaving the loop frees
   * it; it fails with HEDDLE_TIMEOUT when its snapshot is a minute old.
   */
  iterate<T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined, options: IterateOptions & AsArrays,
  ): RowIterable<T>;
  iterate<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options?: IterateOptions & AsObjects,
  ): RowIterable<T>;
  iterate(sql: string, params?: object, options: IterateOptions = {}): RowIterable<unknown> {
    return new RowIterator(this.#caller, this.#statement(sql, params), options);
  }

  /** Runs statements in one transaction and one round trip. */
  async batch(statements: readonly BatchStatement[], options: CallOptions = {}): Promise<ExecResult[]> {
    this.#alive();
    const checked = checkBatch(statements);
    return this.#write(batch(checked), options);
  }

  /**
   * Runs one statement for each row of parameters, all in one transaction. Rows
   * may come from an array, a generator or a stream; they are sent in parts.
   */
  async bulk(
    sql: string, rows: Iterable<readonly unknown[]> | AsyncIterable<readonly unknown[]>, options: BulkOptions = {},
  ): Promise<ExecResult> {
    this.#alive();
    return new Bulk(this.#caller, checkSql(sql), rows, options).run();
  }

  /**
   * Runs fn in a transaction of its own: committed when fn's promise resolves,
   * rolled back when it rejects. Other tabs' writes wait meanwhile, and so do
   * this database's own that are not made on tx: inside fn they would wait for
   * themselves, and fail with HEDDLE_TX_NESTED. If the leading tab goes
   * away in the middle, nothing of it was kept and it fails with HEDDLE_TX_LOST;
   * with { retry: true } fn is run again instead.
   */
  async transaction<T>(fn: (tx: Transaction) => T | Promise<T>, options: TransactionOptions = {}): Promise<T> {
    this.#alive();
    checkFunction(fn, "transaction's argument");
    let left = checkTimeout(options.timeout);
    const start = performance.now();
    for (let deaths = 0; ;) {
      const state = new TxState(this.#caller);
      this.#transactions.add(state);
      try {
        return await runTransaction(state, fn, left === undefined ? options : { ...options, timeout: left });
      } catch (error) {
        if (state.crashed && ++deaths >= MAX_DEATHS) {
          const what = `the engine died ${deaths} times during the transaction: nothing of it was kept`;
          throw new HeddleError("HEDDLE_ENGINE_CRASH", what);
        }
        if (!options.retry || !state.wasLost) throw error;
        await state.over(options.signal);
        if (left !== undefined) left = Math.max(1, options.timeout! - (performance.now() - start));
      } finally {
        this.#transactions.delete(state);
      }
    }
  }

  /**
   * Begins a transaction that the caller ends: with commit(), rollback(), or by
   * leaving the block of `await using tx = await db.begin()`. The rules are those
   * of transaction(); one without a statement for half a minute is rolled back. The
   * timeout and the signal are of the whole transaction.
   */
  async begin(options: CallOptions = {}): Promise<OpenTransaction> {
    this.#alive();
    const state = new TxState(this.#caller);
    this.#transactions.add(state);
    return OpenTx.begin(state, options, () => this.#transactions.delete(state));
  }

  /**
   * Calls fn with the query's rows now, and again after each commit, by any tab or by sync, that changed them. Rows
   * that stay the same are the same objects. Returns what stops it. `live.stats()` and `live.explain()` tell what live
   * queries cost.
   */
  readonly live: Live = Object.assign(
    (
      sql: string, params: object | undefined | null, fn: (rows: never, diff: LiveDiff) => void,
      options: LiveOptions = {},
    ): (() => void) => {
      const statement = this.#statement(sql, params ?? undefined);
      checkFunction(fn, "live's callback");
      if (options.onError !== undefined) checkFunction(options.onError, "onError");
      return this.#follow(statement, fn as LiveCallback, options);
    }, {
      stats: async (options: CallOptions = {}) => readStats(this.#caller, options),
      explain: async (sql: string, params?: object | null, options: CallOptions = {}) =>
        explain(this.#caller, this.#statement(sql, params ?? undefined), options),
    });

  /**
   * The query's rows as a store, for hooks of frameworks: the same object for the same SQL and parameters, and one live
   * query however many components show it.
   */
  store<T = Row, P extends object = NamedParams>(sql: string, params?: ParamsOf<P> | null): LiveStore<T> {
    return this.#stores.get(this.#statement(sql, params ?? undefined)) as unknown as LiveStore<T>;
  }

  /** Calls fn for each commit, of any tab or of sync, that touches one of the tables (null: any). */
  listen(tables: readonly string[] | null, fn: (change: Change) => void): () => void {
    this.#alive();
    checkFunction(fn, "listen's callback");
    return this.#listeners.add(tables, fn);
  }

  /**
   * Delivers payload, as JSON, to onNotify(channel) of every tab, this one among them, when it is committed: a
   * transaction of its own. See also tx.notify.
   */
  async notify(channel: string, payload?: unknown, options: CallOptions = {}): Promise<void> {
    this.#alive();
    return this.#write(notify(checkChannel(channel), checkPayload(payload)), options);
  }

  /** Calls fn for each notification on the channel; returns what stops it. */
  onNotify(channel: string, fn: (notification: Notification) => void): () => void {
    this.#alive();
    checkFunction(fn, "onNotify's callback");
    return this.#listeners.onNotify(checkChannel(channel), fn);
  }

  /** The database as the bytes of a valid SQLite file; with "sql" as text, as `sqlite3 FILE .dump` writes it. */
  export(format: "sql", options?: CallOptions): Promise<string>;
  export(options?: CallOptions): Promise<Bytes>;
  async export(format: "sql" | CallOptions = {}, options: CallOptions = {}): Promise<string | Bytes> {
    this.#alive();
    return format === "sql" ? dump(this, options) : exportFile(this.#caller, format);
  }

  /**
   * The same bytes as a stream: they are read from a copy as they are asked for,
   * so a database of any size passes through.
   */
  exportStream(options: CallOptions = {}): ReadableStream<Bytes> {
    this.#alive();
    return exportStream(this.#caller, options);
  }

  /**
   * Replaces the database's contents with those of an SQLite file, or of the
   * database that SQL text describes, as `sqlite3 FILE .dump` writes it. It is read
   * as it is sent.
   */
  async import(file: ImportSource, options: CallOptions = {}): Promise<void> {
    this.#alive();
    return importFile(this.#caller, file, options);
  }

  /** The app's tables with their columns and indexes, as they are now. */
  async schema(options: CallOptions = {}): Promise<Schema> {
    return readSchema(await this.query<SchemaRow>(SCHEMA_SQL, [], options));
  }

  /**
   * Walks every table and index, beside all other work, and reports what it
   * found, with what is known of the storage.
   */
  async health(options: HealthOptions = {}): Promise<Health> {
    this.#alive();
    return checkHealth(this.#caller,
      () => ({ storage: this.#storage, recovered: this.#recovered, sync: this.#sync.status }),
      this.#session.disk, options);
  }

  /** Lets go of the database. Calls that wait, and all later ones, fail with HEDDLE_CLOSED. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** close(), for `await using`. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    for (const live of [...this.#lives]) live.stop();
    await this.#shut(new HeddleError("HEDDLE_CLOSED", "the database is closed"));
  }

  // ---- requests

  #alive(): void {
    if (this.#caller.ended) throw this.#caller.ended.clone();
  }

  #statement(sql: string, params: object | undefined): Statement {
    this.#alive();
    const checked = checkSql(sql);
    return { sql: checked, params: checkParams(params, checked) };
  }

  #follow(statement: Statement, fn: LiveCallback, options: LiveOptions): () => void {
    const live: LiveQuery = new LiveQuery(this.#caller, statement, fn, options, () => this.#lives.delete(live));
    this.#lives.add(live);
    if (this.#caller.ready) live.start();
    return () => live.stop();
  }

  #write<T>(request: RequestOf<T>, { signal, timeout }: CallOptions): Promise<T> {
    return this.#caller.call({ ...request, write: this.#caller.newWrite(), signal, timeout });
  }

  // ---- leaders

  #ready(welcome: Welcome, again: boolean): void {
    this.#storage = welcome.storage as Storage;
    if (welcome.migrations > this.#migrations) {
      this.#outdate("a newer build of this app has migrated the database: reload this page");
    }
    this.#sync.welcome(syncStatus(welcome.status));
    this.#listeners.leader(welcome.leader, welcome.commit, again);
    for (const live of [...this.#lives]) live.start();
  }

  #lost(crashed: boolean): void {
    this.#stores.lost();
    for (const live of [...this.#lives]) live.lost(crashed);
    for (const tx of this.#transactions) tx.lost(crashed);
    this.#sync.lost();
  }

  #outdate(message: string): void {
    if (this.#outdated !== undefined) return;
    this.#outdated = message;
    this.#events.emit("outdated", { message });
  }

  #event(type: number, r: Reader): void {
    if (type === EventType.storage) this.#storage = r.string() as Storage;
    else if (type === EventType.recovered) this.#tellRecovered(readRecovered(r));
    else if (type === EventType.liveVain) warnOfVain(r);
    else this.#sync.event(type, r);
  }

  // A leader sends the event to each new connection: a page that connects twice gets it twice.
  #tellRecovered(recovery: Recovery): void {
    if (recovery.file === this.#recovered?.file) return;
    this.#recovered = recovery;
    this.#events.emit("recovered", recovery);
  }

  #shut(error: HeddleError): Promise<void> {
    const left = this.#session.leave(this.#caller, error);
    this.#stores.end();
    this.#lives.clear();
    for (const tx of this.#transactions) tx.lost(false, error);
    this.#listeners.clear();
    this.#events.clear();
    this.#sync.end();
    return left;
  }

  #fail(error: HeddleError): void {
    const lives = [...this.#lives];
    const left = this.#shut(error).catch(() => {});
    for (const live of lives) live.fail(error.clone());
    this.#closing ??= left;
  }
}
