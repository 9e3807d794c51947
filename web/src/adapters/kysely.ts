// heddle/kysely: a dialect for Kysely. https://kysely.dev

import {
  DummyDriver, InsertQueryNode, Kysely, SelectQueryNode, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler,
  type Compilable, type CompiledQuery, type DatabaseConnection, type DatabaseIntrospector,
  type DatabaseMetadataOptions, type Dialect, type Driver, type QueryResult, type TableMetadata,
} from "kysely";

import type { Database } from "../api/database.js";
import { isRead } from "../rpc/params.js";
import type { LiveDiff, LiveOptions, OpenTransaction, Params, Row } from "../shared/types.js";

/**
 * `new Kysely<DB>({ dialect: new HeddleDialect(db) })`. The database stays its opener's: `destroy()` does not close it.
 * Transactions are db.begin()'s, controlled ones and savepoints too; isolation levels are ignored, as SQLite's only one
 * is serializable.
 */
export class HeddleDialect implements Dialect {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  createDriver(): Driver {
    return new HeddleDriver(this.#db);
  }

  createQueryCompiler(): SqliteQueryCompiler {
    return new SqliteQueryCompiler();
  }

  createAdapter(): SqliteAdapter {
    return new SqliteAdapter();
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new Introspector(db);
  }
}

/** Calls fn with the query's rows now, and whenever they have changed: db.live() of a query, without plugins. */
export function live<O>(
  db: Database, query: Compilable<O>, fn: (rows: O[], diff: LiveDiff) => void, options: Omit<LiveOptions, "rows"> = {},
): () => void {
  const { sql, parameters } = query.compile();
  return db.live<O>(sql, parameters as Params, fn, options);
}

/** A step of a migration: what Kysely's schema builder makes. No type knows the tables of all versions. */
// oxlint-disable-next-line no-explicit-any
export type Step = (db: Kysely<any>) => Compilable | readonly Compilable[];

/** The SQL of the steps, one text each, for open({ migrations }). */
export function migrations(...steps: readonly Step[]): string[] {
  const compiler = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new Introspector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
  return steps.map((step, i) => {
    const made = step(compiler);
    const statements: readonly Compilable[] = "compile" in made ? [made] : made;
    return statements.map((one) => text(one.compile(), i)).join(";\n");
  });
}

function text({ sql, parameters }: CompiledQuery, step: number): string {
  if (parameters.length === 0) return sql;
  throw new TypeError(`migrations: step ${step} has parameters, and a migration is SQL text: `
    + `write values with sql.lit(), or rows with open({ seed }): ${sql}`);
}

class HeddleDriver implements Driver {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<Connection> {
    return new Connection(this.#db);
  }

  beginTransaction(connection: Connection): Promise<void> {
    return connection.begin();
  }

  commitTransaction(connection: Connection): Promise<void> {
    return connection.end((tx) => tx.commit());
  }

  rollbackTransaction(connection: Connection): Promise<void> {
    return connection.end((tx) => tx.rollback());
  }

  savepoint(connection: Connection, name: string): Promise<void> {
    return connection.run(`SAVEPOINT ${quote(name)}`);
  }

  rollbackToSavepoint(connection: Connection, name: string): Promise<void> {
    return connection.run(`ROLLBACK TO ${quote(name)}`);
  }

  releaseSavepoint(connection: Connection, name: string): Promise<void> {
    return connection.run(`RELEASE ${quote(name)}`);
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

class Connection implements DatabaseConnection {
  readonly #db: Database;
  #tx: OpenTransaction | undefined;

  constructor(db: Database) {
    this.#db = db;
  }

  async begin(): Promise<void> {
    this.#tx = await this.#db.begin();
  }

  async end(how: (tx: OpenTransaction) => Promise<void>): Promise<void> {
    const tx = this.#tx!;
    this.#tx = undefined;
    await how(tx);
  }

  async run(sql: string): Promise<void> {
    await this.#tx!.exec(sql);
  }

  async executeQuery<R>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<R>> {
    const params = parameters as Params;
    if (!this.#tx && isRead(sql)) return { rows: await this.#db.query<R>(sql, params) };
    const { rows = [], changes, lastInsertRowid } = await (this.#tx ?? this.#db).exec<R>(sql, params);
    if (SelectQueryNode.is(query)) return { rows };
    const inserted = InsertQueryNode.is(query) && changes > 0 ? { insertId: BigInt(lastInsertRowid) } : {};
    return { rows, numAffectedRows: BigInt(changes), ...inserted };
  }

  async *streamQuery<R>({ sql, parameters }: CompiledQuery, chunkSize?: number): AsyncIterableIterator<QueryResult<R>> {
    const params = parameters as Params;
    // A statement inside a transaction reads what that has written: its rows come whole.
    const rows = this.#tx ? await this.#tx.query<Row>(sql, params)
      : this.#db.iterate<Row>(sql, params, { batch: chunkSize });
    let chunk: Row[] = [];
    for await (const row of rows) {
      if (chunk.push(row) < (chunkSize ?? 1)) continue;
      yield { rows: chunk as R[] };
      chunk = [];
    }
    if (chunk.length > 0) yield { rows: chunk as R[] };
  }
}

/** Without Heddle's own tables. */
class Introspector extends SqliteIntrospector {
  override async getTables(options?: DatabaseMetadataOptions): Promise<TableMetadata[]> {
    return (await super.getTables(options)).filter(({ name }) => !name.startsWith("heddle_"));
  }
}
