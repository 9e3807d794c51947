/// <reference lib="esnext.disposable" preserve="true" />
// The public types: what an app sees of Heddle.

import type { HeddleError } from "./errors.js";
import type {
  BatchStatement, CallOptions, ExecResult, NamedParams, ParamsOf, ResultSet, Row, RowShape, SqlValue,
} from "./sql-types.js";
import type { SyncStatus } from "./sync-types.js";

export type * from "./sql-types.js";
export type * from "./sync-types.js";

/** What import takes: an SQLite file, or SQL text. Bytes that do not begin like a file are text, in UTF-8. */
export type ImportSource = string | Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array>;

/** Options of query. */
export interface QueryOptions extends CallOptions {
  /** "array": the rows come as arrays, in a ResultSet. */
  rows?: RowShape | undefined;
}

/** Asks for rows as arrays. */
export interface AsArrays {
  rows: "array";
}

/** Asks for rows as objects, or does not ask. */
export interface AsObjects {
  rows?: "object" | undefined;
}

/** Rows one by one. */
export interface RowIterable<T> extends AsyncIterableIterator<T> {
  /** The names of the result's columns. Empty before the first row has come. */
  readonly columns: readonly string[];
}

/** Options of iterate. */
export interface IterateOptions extends QueryOptions {
  /** The most rows that come at a time, up to 4,096. */
  batch?: number | undefined;
}

/** Options of transaction. */
export interface TransactionOptions extends CallOptions {
  /** Runs the function again if the leading tab went away in its middle: nothing of the first run was kept. */
  retry?: boolean | undefined;
}

/** Options of bulk. */
export interface BulkOptions extends CallOptions {
  /** Called after each part that SQLite has taken; nothing is committed before the end. */
  onProgress?: ((progress: { done: number; total: number | undefined }) => void) | undefined;
}

/** Options of live. */
export interface LiveOptions {
  /** "array": the function gets a ResultSet, with the rows as arrays. */
  rows?: RowShape | undefined;
  /** The query failed; it stays subscribed and is tried again after the next relevant commit. */
  onError?: ((error: HeddleError) => void) | undefined;
}

/** What changed between two results of a live query. Rows that stayed are the same objects. */
export interface LiveDiff {
  /** The first result, or one after which nothing of the former is kept. */
  first: boolean;
  /** Indexes, in the new result, of rows that were not in the former one. */
  added: number[];
  /** Indexes, in the former result, of rows that are not in the new one. */
  removed: number[];
  /**
   * The number of the commit that the result is of. All results that a page gets in one task are of the same, and it
   * does not go down.
   */
  commit: number;
}

/** db.live(): see Database.live. */
export interface Live {
  <T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined | null, fn: (result: ResultSet<T>, diff: LiveDiff) => void,
    options: LiveOptions & AsArrays,
  ): () => void;
  <T = Row, P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined | null, fn: (rows: T[], diff: LiveDiff) => void,
    options?: LiveOptions & AsObjects,
  ): () => void;
  /** What became of the live queries of all tabs, by SQL text. */
  stats(options?: CallOptions): Promise<LiveStatistics[]>;
  /** The same of a statement that need not be live. */
  explain<P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P> | null, options?: CallOptions,
  ): Promise<LiveStatistics>;
}

/** What became of the live queries of one SQL text since each began, under the leader that there is now. */
export interface LiveStatistics {
  sql: string;
  /** The live queries: they differ in their parameters. All parts of all tabs with the same ones share one. */
  queries: number;
  /** Commits since they began, counted for each query. */
  commits: number;
  /** Commits that made a query neither run nor be patched. Of several that came together one is counted elsewhere. */
  skipped: number;
  /** How often a new result was made of the rows that had changed, without a run. */
  patched: number;
  /** How often one ran, its first time among them. */
  runs: number;
  /** Runs that found the result that was there. */
  vain: number;
  /** How long the slowest of their last runs and patches took, in milliseconds. */
  lastMs: number;
  /**
   * How a changed row finds them, at each place where they read a table: by the "value" of a column, by a "range" of
   * it, as a "family" (one run over the row tells for all of them), or "all" are looked at.
   */
  places: { table: string; column: string; how: string }[];
  /** Why they run where they could be cheaper; "" if they need not. */
  why: string;
}

/** A live query that all parts of a page share: the object that hooks of frameworks subscribe to. */
export interface LiveStore<T> {
  /**
   * Calls changed after the snapshot has changed. The first subscriber begins the query; the last one ends it, two
   * seconds after it has left.
   */
  subscribe(changed: () => void): () => void;
  /** The same object until something has changed. */
  getSnapshot(): LiveSnapshot<T>;
  /** What a server renders: no rows, "loading". */
  getServerSnapshot(): LiveSnapshot<T>;
  /** Settles at the first result or error. */
  readonly first: Promise<void>;
  /** Runs the query again: after an error, for example. */
  refresh(): void;
}

/** What a store shows. */
export interface LiveSnapshot<T> {
  /** Not to be changed: it is shared, and frozen on a page of localhost. Rows that stayed are the same objects. */
  readonly rows: readonly T[];
  /**
   * "loading": there was no result yet. "stale": the leading tab went away; the rows stay until the next one answers.
   * "error": the query failed; the rows before stay.
   */
  readonly state: "loading" | "ready" | "stale" | "error";
  readonly error?: HeddleError;
}

/** Who made a commit: this database object, another tab, or another device. */
export type ChangeOrigin = "local" | "tab" | "sync";

/** Keys of the rows of one table that a commit touched: each the values of its primary key. */
export interface TableChange {
  inserted: SqlValue[][];
  updated: SqlValue[][];
  deleted: SqlValue[][];
  /** Rows beyond those listed: a large commit does not name them all. */
  more: number;
}

/** One commit, as listen reports it. */
export interface Change {
  /** The commit's number, counted from the leader's start. */
  seq: number;
  origin: ChangeOrigin;
  /** Empty if `missed`. */
  tables: { [table: string]: TableChange };
  /** This tab missed commits (it was frozen, or the leader changed): anything may have changed. */
  missed: boolean;
}

/** What a transaction told every tab, with notify(). */
export interface Notification {
  channel: string;
  /** A copy of what notify() was given; undefined if `missed`. */
  payload: unknown;
  /** "local": this tab's own. */
  origin: "local" | "tab";
  /** This tab missed commits (it was frozen, or the leader changed), and perhaps notifications with them. */
  missed: boolean;
}

/** Inside db.transaction(): the same calls, in that transaction. */
export interface Transaction {
  exec<T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined, options: CallOptions & AsArrays,
  ): Promise<ExecResult<T>>;
  exec<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options?: CallOptions & AsObjects,
  ): Promise<ExecResult<T>>;
  query<T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined, options: CallOptions & AsArrays,
  ): Promise<ResultSet<T>>;
  query<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options?: CallOptions & AsObjects,
  ): Promise<T[]>;
  batch(statements: readonly BatchStatement[], options?: CallOptions): Promise<ExecResult[]>;
  /** Runs one statement for each row. If it fails, none of the rows is kept, and the transaction goes on. */
  bulk(
    sql: string, rows: Iterable<readonly unknown[]> | AsyncIterable<readonly unknown[]>, options?: BulkOptions,
  ): Promise<ExecResult>;
  /** Begins a part that can be undone by itself: SAVEPOINT. Parts end in the opposite order of their beginnings. */
  savepoint(options?: CallOptions): Promise<Savepoint>;
  /** Delivers payload to onNotify(channel) of every tab when the transaction is committed, and only then. */
  notify(channel: string, payload?: unknown, options?: CallOptions): Promise<void>;
}

/** A part of a transaction. `await using` undoes it unless it was released. */
export interface Savepoint extends AsyncDisposable {
  /** Keeps what was done since. */
  release(): Promise<void>;
  /** Undoes what was done since. */
  rollback(): Promise<void>;
}

/** A transaction that its caller ends. `await using` rolls it back unless it was committed. */
export interface OpenTransaction extends Transaction, AsyncDisposable {
  /** It has neither been committed nor rolled back, by whatever cause. */
  readonly open: boolean;
  /** Fails, and rolls back, if a statement failed whose promise was not awaited. */
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

/** Whether this tab's worker holds the database. */
export type Role = "leader" | "follower";

/** How safe the database is: granted, at the browser's discretion, or gone with the tab. */
export type Storage = "persistent" | "best-effort" | "memory";

/**
 * How the values of a column written on two devices join: the later write wins;
 * differences add up; the greatest or the smallest stays; a JSON array as a set.
 */
export type Merge = "last" | "counter" | "max" | "min" | "set";

/** What db.on() tells. A state that has begun already is told at once. */
export interface DatabaseEvents {
  /**
   * Calls wait for the tab that leads, and it does not answer: the browser has frozen it, perhaps. They are answered
   * when it wakes, or has gone.
   */
  blocked: { message: string };
  /** It answers again, or another tab leads. */
  unblocked: Record<never, never>;
  /**
   * A newer build of the app has migrated the database, or taken it over: this page should be reloaded. Writes
   * fail with HEDDLE_OUTDATED.
   */
  outdated: { message: string };
  /** The file was damaged. */
  recovered: Recovery;
}

/** Which tables sync, and how their columns join. */
export interface SyncOptions {
  /** The server: `https://host`, without the path of the API. */
  url: string;
  /**
   * What is shared: all members of a space see the same rows. Its name has 1 to 128 ASCII letters, digits and
   * `-._~!$&'()+=:@`, such as `user@example.com`, and does not begin with `.` or `-`. Case counts.
   */
  space: string;
  /** A token for the server, asked for whenever one is needed. Without it none is sent. */
  token?: (() => string | Promise<string>) | undefined;
  tables: { [table: string]: true | { [column: string]: Merge } };
  /** Allows INTEGER PRIMARY KEY on synced tables; two devices may then choose one id. */
  integerKey?: boolean | undefined;
  /**
   * The space is sealed: its server orders what it cannot read. `heddle/sealed` creates it, brings this device into it
   * and lists its members; until then `status.lastError.code` is HEDDLE_LOCKED. A space is sealed or plain for good.
   */
  sealed?: boolean | undefined;
}

/**
 * URLs of the package's files; relative ones begin at the page's. Each is the file of heddle/dist, unchanged: worker.js
 * and broker.js are ES modules that are not to be bundled into another script.
 */
export interface AssetUrls {
  worker?: string | URL | undefined;
  broker?: string | URL | undefined;
  heddle?: string | URL | undefined;
  /** heddle-rest.wasm, which is fetched after the first answer. It is of the same build as heddle.wasm and sqlite. */
  heddleRest?: string | URL | undefined;
  /** heddle-sealed.wasm, which is fetched where a database's sync is sealed. It is of the same build. */
  heddleSealed?: string | URL | undefined;
  sqlite?: string | URL | undefined;
}

/** What open() takes. */
export interface OpenOptions extends CallOptions {
  /** Names the database in this origin: one SQLite file. */
  name: string;
  /** Schema steps, in order; each runs once, in a transaction. Append, never edit. */
  migrations?: readonly string[] | undefined;
  /**
   * Statements with the rows that a new database begins with, in one transaction: once, when the file is made. With
   * sync, rows of synced tables come once a space: with the first contact with the server, if the space is empty by
   * then.
   */
  seed?: readonly BatchStatement[] | undefined;
  sync?: SyncOptions | undefined;
  /** Called when open() waits for another tab that holds the database and does not answer, a frozen one perhaps. open()
   * then waits on, until its signal; without this function it fails with HEDDLE_BLOCKED after 20 seconds. */
  onBlocked?: ((message: string) => void) | undefined;
  /** "memory": keep nothing. Never chosen without being asked for. */
  storage?: "persistent" | "memory" | undefined;
  /**
   * Allows to quarantine a damaged file and to start over with what can be read
   * of it, also without sync. With sync that is done anyway.
   */
  recover?: boolean | undefined;
  /**
   * Encrypts the database's files on this device: docs/SECURITY.md, section 12, says against whom that helps. Plain
   * files are encrypted by the first open() with a key, and `{ key, was }` takes another key; with `key: null` the
   * files are plain from then on. Another tab's key counts once that tab leads. Without effect on `storage: "memory"`.
   * HEDDLE_LOCKED: the files are encrypted with another key, or this option is missing; nothing was changed.
   */
  encryptAtRest?: AtRest | undefined;
  /**
   * What `openLock()` of `heddle/sealed` makes of a passphrase: the keys that this browser profile has for the database
   * (`sync.sealed`, `encryptAtRest: true`) lie under it. Another tab's counts once that tab leads. HEDDLE_LOCKED: the
   * lock is missing, or another one.
   */
  lock?: CryptoKey | undefined;
  /** Where the package's files are, for a bundler that does not leave them beside the module. */
  assets?: AssetUrls | undefined;
}

/**
 * A key of 32 bytes that the app keeps elsewhere; a CryptoKey of AES-GCM for encrypting and decrypting, which need not
 * be extractable; or true: a key of this browser profile, which no script can read and destroy() deletes.
 */
export type AtRestKey = true | Uint8Array | CryptoKey;

export type AtRest = false | AtRestKey | { key: AtRestKey | null; was?: AtRestKey | undefined };

/** What became of a damaged database. */
export interface Recovery {
  /** Where the file was quarantined: see quarantinedFiles(). */
  file: string;
  /** What was wrong. */
  reason: string;
  /** Own transactions that go to the server, and those kept in db.sync.rejected(). */
  pending: number;
  rejected: number;
  /** Rows taken over of tables that are not synced, and which of those could not be read whole. */
  rows: number;
  tables: string[];
  /** There may have been more transactions than could be read. */
  lost: boolean;
}

/** The app's tables, views and virtual tables, by name. Heddle's own are left out. */
export interface Schema {
  tables: SchemaTable[];
}

export interface SchemaTable {
  name: string;
  type: "table" | "view" | "virtual";
  /** The statement that made it. */
  sql: string;
  withoutRowid: boolean;
  strict: boolean;
  columns: {
    name: string;
    /** As it was declared; "" if it was not. */
    type: string;
    notNull: boolean;
    /** An expression of SQL; null: none. */
    default: string | null;
    /** Its place in the primary key, from 1; 0: none. */
    key: number;
    generated: boolean;
  }[];
  indexes: {
    name: string;
    unique: boolean;
    partial: boolean;
    /** By CREATE INDEX, and not by a constraint. */
    made: boolean;
    /** null: an expression, or the rowid. */
    columns: (string | null)[];
  }[];
}

/** Options of health. */
export interface HealthOptions extends CallOptions {
  /** Ends with SQLite's integrity check, during which no other call gets an answer. */
  full?: boolean | undefined;
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

/** What db.health() found. */
export interface Health {
  /** No problem was found. */
  ok: boolean;
  problems: string[];
  /** Whether a flipped bit on the disk would show. */
  checksums: boolean;
  pages: number;
  pageSize: number;
  /** Tables and indexes that were walked. */
  trees: number;
  /** Bytes of the file, and of the log that waits to be taken into it. */
  bytes: number;
  logBytes: number;
  storage: Storage;
  /** The origin's, as the browser estimates it. */
  quota: { usage: number; quota: number } | undefined;
  /** How the worker that led before ended: "unclean" was followed by a check in the background. */
  lastExit: "new" | "clean" | "unclean" | "damaged" | "";
  /** The database was damaged, and this worker has put it right. */
  recovered: Recovery | undefined;
  /** Files that were quarantined, for good: see quarantinedFiles(). */
  quarantined: { name: string; size: number }[];
  sync: SyncStatus;
}
