// heddle/drizzle: a driver for Drizzle ORM. https://orm.drizzle.team

import {
  createTableRelationsHelpers, DefaultLogger, entityKind, extractTablesRelationalConfig, fillPlaceholders, NoopLogger,
  type DrizzleConfig, type ExtractTablesWithRelations, type Logger, type Query, type RelationalSchemaConfig,
  type TablesRelationalConfig,
} from "drizzle-orm";
import {
  BaseSQLiteDatabase, SQLiteAsyncDialect, SQLitePreparedQuery, SQLiteSession, SQLiteTransaction,
  type PreparedQueryConfig, type SelectedFieldsOrdered, type SQLiteExecuteMethod,
} from "drizzle-orm/sqlite-core";
import type { RunnableQuery } from "drizzle-orm/runnable-query";
import * as utils from "drizzle-orm/utils";

import type { Database } from "../api/database.js";
import { isRead } from "../rpc/params.js";
import type { ExecResult, LiveDiff, LiveOptions, Params, ResultSet, SqlValue, Transaction } from "../shared/types.js";

/** Drizzle's own drivers use it; its declarations leave it out. */
const { mapResultRow } = utils as unknown as {
  mapResultRow(fields: SelectedFieldsOrdered, row: unknown[], nullable: Record<string, boolean> | undefined): unknown;
};

type Schema = Record<string, unknown>;
type Relations<T extends Schema> = ExtractTablesWithRelations<T>;

/** A query of Drizzle's builders. */
type Runnable<T = unknown> = RunnableQuery<T, "sqlite">;

/** What a query is prepared to; Drizzle's declarations leave it out. */
function prepare(query: Runnable): PreparedQuery {
  return (query as unknown as { _prepare(): PreparedQuery })._prepare();
}

/** A Drizzle database over Heddle. */
export class HeddleDatabase<T extends Schema = Record<string, never>>
  extends BaseSQLiteDatabase<"async", ExecResult, T, Relations<T>> {
  static override readonly [entityKind] = "HeddleDatabase";

  /** Runs the queries in one transaction; resolves with the result of each. */
  batch<const Q extends readonly Runnable[]>(
    queries: Q,
  ): Promise<{ -readonly [I in keyof Q]: Q[I]["_"]["result"] }> {
    return (this as unknown as { session: Session<T, Relations<T>> }).session.batch(queries) as never;
  }
}

/** `drizzle(db, { schema })`. The database stays its opener's. */
export function drizzle<T extends Schema = Record<string, never>>(
  db: Database, config: DrizzleConfig<T> = {},
): HeddleDatabase<T> {
  const dialect = new SQLiteAsyncDialect(config.casing ? { casing: config.casing } : {});
  const logger = config.logger === true ? new DefaultLogger() : config.logger || new NoopLogger();
  let schema: RelationalSchemaConfig<Relations<T>> | undefined;
  if (config.schema) {
    const { tables, tableNamesMap } = extractTablesRelationalConfig(config.schema, createTableRelationsHelpers);
    schema = { fullSchema: config.schema, schema: tables as Relations<T>, tableNamesMap };
  }
  const session = new Session<T, Relations<T>>(db, dialect, schema, logger, undefined);
  return new HeddleDatabase<T>("async", dialect, session, schema);
}

/** Calls fn with the query's result now, and whenever it has changed: db.live() of a query, typed as Drizzle's. */
export function live<T>(
  db: Database, query: Runnable<T>, fn: (result: T, diff: LiveDiff) => void, options: Omit<LiveOptions, "rows"> = {},
): () => void {
  const prepared = prepare(query);
  const { sql, params } = prepared.getQuery();
  const bound = fillPlaceholders(params, {}) as SqlValue[];
  return db.live(sql, bound, (result, diff) => fn(prepared.mapResult(result, true) as T, diff),
    { ...options, rows: "array" });
}

/**
 * The SQL files that drizzle-kit generates as the steps that open({ migrations }) takes, in the order of their names:
 * `migrations(import.meta.glob("./drizzle/*.sql", { query: "?raw", import: "default", eager: true }))`. The breakpoints
 * between statements are comments of SQL.
 */
export function migrations(files: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(files).sort().map((path) => {
    const text = files[path];
    if (typeof text === "string") return text;
    throw new TypeError(`migrations: ${path} is no text: import the files with { query: "?raw", import: "default" }`);
  });
}

class Session<T extends Schema, R extends TablesRelationalConfig> extends SQLiteSession<"async", ExecResult, T, R> {
  static override readonly [entityKind] = "HeddleSession";
  readonly #db: Database;
  readonly #dialect: SQLiteAsyncDialect;
  readonly #schema: RelationalSchemaConfig<R> | undefined;
  readonly #logger: Logger;
  readonly #tx: Transaction | undefined;

  constructor(
    db: Database, dialect: SQLiteAsyncDialect, schema: RelationalSchemaConfig<R> | undefined, logger: Logger,
    tx: Transaction | undefined,
  ) {
    super(dialect);
    this.#db = db;
    this.#dialect = dialect;
    this.#schema = schema;
    this.#logger = logger;
    this.#tx = tx;
  }

  override prepareQuery(
    query: Query, fields: SelectedFieldsOrdered | undefined, method: SQLiteExecuteMethod, _arrays: boolean,
    mapper?: (rows: unknown[][]) => unknown,
  ): PreparedQuery {
    return new PreparedQuery(method, query, fields, mapper, (sql, params) => {
      this.#logger.logQuery(sql, params);
      return this.#run(sql, params as Params);
    });
  }

  async #run(sql: string, params: Params): Promise<Result> {
    if (this.#tx || !isRead(sql)) return (this.#tx ?? this.#db).exec<SqlValue[]>(sql, params, { rows: "array" });
    return { changes: 0, lastInsertRowid: 0, ...await this.#db.query(sql, params, { rows: "array" }) };
  }

  override transaction<V>(fn: (tx: SQLiteTransaction<"async", ExecResult, T, R>) => Promise<V>): Promise<V> {
    return this.#db.transaction((tx) => {
      const session = new Session<T, R>(this.#db, this.#dialect, this.#schema, this.#logger, tx);
      return fn(new HeddleTransaction<T, R>(this.#dialect, session, this.#schema, tx, 0));
    });
  }

  batch(queries: readonly Runnable[]): Promise<unknown[]> {
    return this.#db.transaction(async (tx) => {
      const results: unknown[] = [];
      for (const query of queries) {
        const prepared = prepare(query);
        const { sql, params } = prepared.getQuery();
        this.#logger.logQuery(sql, params);
        results.push(prepared.mapResult(await tx.exec(sql, params as Params, { rows: "array" }), true));
      }
      return results;
    });
  }
}

class HeddleTransaction<T extends Schema, R extends TablesRelationalConfig>
  extends SQLiteTransaction<"async", ExecResult, T, R> {
  static override readonly [entityKind] = "HeddleTransaction";
  readonly #parts: [SQLiteAsyncDialect, Session<T, R>, RelationalSchemaConfig<R> | undefined, Transaction];

  constructor(
    dialect: SQLiteAsyncDialect, session: Session<T, R>, schema: RelationalSchemaConfig<R> | undefined, tx: Transaction,
    depth: number,
  ) {
    super("async", dialect, session, schema, depth);
    this.#parts = [dialect, session, schema, tx];
  }

  override async transaction<V>(fn: (tx: SQLiteTransaction<"async", ExecResult, T, R>) => Promise<V>): Promise<V> {
    const tx = this.#parts[3];
    const savepoint = await tx.savepoint();
    try {
      const value = await fn(new HeddleTransaction<T, R>(...this.#parts, this.nestedIndex + 1));
      await savepoint.release();
      return value;
    } catch (error) {
      await savepoint.rollback().catch(() => {}); // error is the one that matters
      throw error;
    }
  }
}

/** What a statement did, and its rows as arrays. */
type Result = ExecResult<SqlValue[]>;

class PreparedQuery extends SQLitePreparedQuery<PreparedQueryConfig & { type: "async"; run: ExecResult }> {
  static override readonly [entityKind] = "HeddlePreparedQuery";
  readonly #fields: SelectedFieldsOrdered | undefined;
  readonly #mapper: ((rows: unknown[][]) => unknown) | undefined;
  readonly #send: (sql: string, params: unknown[]) => Promise<Result>;

  constructor(
    method: SQLiteExecuteMethod, query: Query, fields: SelectedFieldsOrdered | undefined,
    mapper: ((rows: unknown[][]) => unknown) | undefined, send: (sql: string, params: unknown[]) => Promise<Result>,
  ) {
    super("async", method, query);
    this.#fields = fields;
    this.#mapper = mapper;
    this.#send = send;
  }

  override async run(values?: Record<string, unknown>): Promise<ExecResult> {
    const { changes, lastInsertRowid } = await this.#execute(values);
    return { changes, lastInsertRowid };
  }

  override async all(values?: Record<string, unknown>): Promise<unknown> {
    return this.mapAllResult(await this.#execute(values));
  }

  override async get(values?: Record<string, unknown>): Promise<unknown> {
    return this.mapGetResult(await this.#execute(values));
  }

  override async values(values?: Record<string, unknown>): Promise<unknown[][]> {
    return (await this.#execute(values)).rows ?? [];
  }

  override mapRunResult(result: unknown): ExecResult {
    const { changes, lastInsertRowid } = result as Result;
    return { changes, lastInsertRowid };
  }

  override mapAllResult(result: unknown): unknown {
    const { rows = [], columns = [] } = result as Result;
    if (this.#mapper) return this.#mapper(rows);
    return rows.map((row) => this.#row(row, columns));
  }

  override mapGetResult(result: unknown): unknown {
    const { rows = [], columns = [] } = result as Result;
    if (rows.length === 0) return undefined;
    return this.#mapper ? this.#mapper(rows) : this.#row(rows[0]!, columns);
  }

  #row(row: SqlValue[], columns: ResultSet["columns"]): unknown {
    if (!this.#fields) return Object.fromEntries(columns.map((name, i) => [name, row[i]]));
    const { joinsNotNullableMap } = this as unknown as { joinsNotNullableMap: Record<string, boolean> | undefined };
    return mapResultRow(this.#fields, row, joinsNotNullableMap);
  }

  #execute(values: Record<string, unknown> = {}): Promise<Result> {
    return this.#send(this.query.sql, fillPlaceholders(this.query.params, values));
  }
}
