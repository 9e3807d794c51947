// Values, parameters, rows, and what every call takes: the public types that the others are made of.

/** A value that SQLite hands out: INTEGER beyond 2^53 as bigint, BLOB as Uint8Array. */
export type SqlValue = null | number | bigint | string | Uint8Array;

/**
 * A value that may be bound. true and false are 1 and 0, NaN is NULL, a whole
 * number up to 2^53 is an INTEGER and any other number a REAL.
 */
export type BindValue = SqlValue | boolean | ArrayBuffer | ArrayBufferView;

/** Parameters: by position, or by name (with or without SQL's `:`, `@` or `$`). */
export type Params = readonly BindValue[] | { readonly [name: string]: BindValue };

/**
 * Parameters by name in an object of any type: an interface, which TypeScript does not take for one with an index
 * signature. Whether its values can be bound is checked when the call is made.
 */
export type NamedParams = object & {
  readonly [Symbol.iterator]?: never; // no array or Map
  readonly [Symbol.toPrimitive]?: never; // no Date
  readonly [Symbol.toStringTag]?: never; // no Promise, no bytes
  readonly [Symbol.hasInstance]?: never; // no function
};

/**
 * What a call takes as its parameters. P is the type of an object with names and values: TypeScript tells it from the
 * argument, and every member has to be one that can be bound. Where it cannot tell, as in `query<Note>(sql, filter)`,
 * any object is taken; `query<Note, Filter>(sql, filter)` looks at its members.
 */
export type ParamsOf<P> = Params | (P & NamedParams & { readonly [K in Extract<keyof P, string>]: BindValue });

/** Bytes of a buffer of their own. Which type that is depends on the version of TypeScript. */
export type Bytes = ReturnType<Uint8Array["slice"]>;

/** A row as an object: column name to value. */
export type Row = Record<string, SqlValue>;

/** How rows come: each as an object, or as an array of its values in the statement's order. */
export type RowShape = "object" | "array";

/** A result whose rows are arrays, in the order of its columns. Two columns may have one name. */
export interface ResultSet<T extends readonly unknown[] = SqlValue[]> {
  columns: string[];
  rows: T[];
}

/** What a statement did. */
export interface ExecResult<T = Row> {
  /** Rows inserted, updated or deleted, without those of triggers. */
  changes: number;
  /** The rowid of the last row inserted; 0 if there was none. */
  lastInsertRowid: number | bigint;
  /** The rows of a statement that returns rows: with RETURNING, for example. Of several statements, the last one's. */
  rows?: T[];
  /** The names of their columns, if they were asked for as arrays. */
  columns?: string[];
}

/** One statement of a batch. */
export type BatchStatement = readonly [sql: string, params?: Params | NamedParams | undefined] | string;

/** Options of every call that can wait. */
export interface CallOptions {
  /** Ends the wait. A write that was already committed resolves all the same. One that was under way when the leading
   * tab went away, and is given up before the next one leads, fails with HEDDLE_LEADER_LOST: it may have happened. */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds from the call on, the wait for its turn included. When they are
   * over it fails with HEDDLE_TIMEOUT, also in the middle of a statement.
   */
  timeout?: number | undefined;
}
