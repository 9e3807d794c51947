// What an app does inside a transaction, and its two ways in: db.transaction(fn) and db.begin().

import { BEGUN_IDLE_MS } from "../shared/bounds.js";
import { asyncDispose } from "../shared/dispose.js";
import type { RequestOf } from "../rpc/call.js";
import type { Statement } from "../rpc/codec.js";
import { collectExec, collectRows } from "../rpc/collect-rows.js";
import { txBatch, txBulk, txExec, txNotify, txQuery } from "../rpc/messages.gen.js";
import { HeddleError } from "../shared/errors.js";
import { checkBatch, checkChannel, checkParams, checkPayload, checkShape, checkSql } from "../rpc/params.js";
import { rowParts, type BulkRows } from "./row-parts.js";
import { raceAbort, type TxState } from "./tx-state.js";
import type {
  AsArrays, AsObjects, BatchStatement, BulkOptions, CallOptions, ExecResult, NamedParams, OpenTransaction, ParamsOf,
  QueryOptions, ResultSet, Row, RowShape, Savepoint, SqlValue, Transaction,
} from "../shared/types.js";

/** What fn of db.transaction(fn) gets. */
export class Tx implements Transaction {
  readonly #state: TxState;
  #savepoints = 0;

  constructor(state: TxState) {
    this.#state = state;
  }

  exec<T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined, options: CallOptions & AsArrays,
  ): Promise<ExecResult<T>>;
  exec<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options?: CallOptions & AsObjects,
  ): Promise<ExecResult<T>>;
  exec(sql: string, params?: object, options: QueryOptions = {}): Promise<ExecResult<never>> {
    return this.#rows(sql, params, options, (statement, shape, rest) =>
      collectExec(this.#state.caller, txExec(this.#state.id, statement), shape, rest));
  }

  query<T extends readonly unknown[] = SqlValue[], P extends object = NamedParams>(
    sql: string, params: ParamsOf<P> | undefined, options: CallOptions & AsArrays,
  ): Promise<ResultSet<T>>;
  query<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options?: CallOptions & AsObjects,
  ): Promise<T[]>;
  query(sql: string, params?: object, options: QueryOptions = {}): Promise<never> {
    return this.#rows(sql, params, options, (statement, shape, rest) =>
      collectRows(this.#state.caller, txQuery(this.#state.id, statement), shape, rest));
  }

  batch(statements: readonly BatchStatement[], options: CallOptions = {}): Promise<ExecResult[]> {
    return this.#state.track(async () => {
      const checked = checkBatch(statements);
      return this.#call(txBatch(this.#state.id, checked), options);
    });
  }

  bulk(sql: string, rows: BulkRows, options: BulkOptions = {}): Promise<ExecResult> {
    return this.#state.track(async () => {
      const parts = rowParts(checkSql(sql), rows);
      const savepoint = await this.#savepoint(options);
      const done = { changes: 0, lastInsertRowid: 0 as number | bigint };
      try {
        for await (const part of parts) {
          const request = txBulk(this.#state.id, { sql, params: { kind: "none" } }, part);
          const { changes, lastInsertRowid } = await this.#call({ ...request, sql }, options);
          done.changes += changes;
          done.lastInsertRowid = lastInsertRowid;
          parts.done(part.count, options);
        }
      } catch (error) {
        await savepoint.rollback().catch(() => {}); // error is the one that matters
        throw error;
      }
      await savepoint.release();
      return done;
    });
  }

  savepoint(options: CallOptions = {}): Promise<Savepoint> {
    return this.#state.track(() => this.#savepoint(options));
  }

  notify(channel: string, payload?: unknown, options: CallOptions = {}): Promise<void> {
    return this.#state.track(async () => {
      const json = checkPayload(payload);
      return this.#call(txNotify(this.#state.id, checkChannel(channel), json), options);
    });
  }

  async #savepoint(options: CallOptions): Promise<Savepoint> {
    const name = `savepoint_${++this.#savepoints}`;
    const run = async (sql: string) => {
      await this.#call({ ...txExec(this.#state.id, { sql, params: { kind: "none" } }), sql }, options);
    };
    await run(`SAVEPOINT ${name}`);
    let ended = false;
    const end = (sql: string) => {
      if (ended) return Promise.reject(new HeddleError("HEDDLE_TX_CLOSED", "the savepoint has ended"));
      ended = true;
      return this.#state.track(() => run(sql));
    };
    return {
      release: () => end(`RELEASE ${name}`),
      rollback: () => end(`ROLLBACK TO ${name}; RELEASE ${name}`),
      [asyncDispose]: async () => {
        if (!ended && !this.#state.ended) await end(`ROLLBACK TO ${name}; RELEASE ${name}`);
      },
    };
  }

  #rows<T>(
    sql: string, params: object | undefined, options: QueryOptions,
    collect: (statement: Statement, shape: RowShape, options: CallOptions & { sql: string }) => Promise<T>,
  ): Promise<T> {
    return this.#state.track(async () => {
      const text = checkSql(sql);
      const rest = { sql: text, signal: options.signal, timeout: this.#state.timeout(options) };
      return collect({ sql: text, params: checkParams(params, text) }, checkShape(options.rows), rest);
    });
  }

  #call<T>(request: RequestOf<T> & { sql?: string }, { signal, timeout }: CallOptions): Promise<T> {
    return this.#state.caller.call({ ...request, signal, timeout: this.#state.timeout({ timeout }) });
  }
}

/** db.transaction(): begins, runs fn, and commits or rolls back. */
export async function runTransaction<T>(
  state: TxState, fn: (tx: Transaction) => T | Promise<T>, options: CallOptions,
): Promise<T> {
  await state.begin(options);
  let value: T;
  try {
    if (state.ended) throw state.ended.clone();
    // A function that waits for something else must not keep the call from
    // ending when the transaction is over.
    const { nesting } = state.caller;
    const work = (async () => nesting.begin(state, () => fn(new Tx(state))))();
    state.work = work;
    try {
      value = await raceAbort(Promise.race([work, state.gone]), state.signal);
    } finally {
      nesting.end(state);
    }
    await state.settle();
  } catch (error) {
    await state.rollback();
    throw error;
  }
  await state.commit();
  return value;
}

/** What db.begin() gives: a transaction that its caller ends. */
export class OpenTx extends Tx implements OpenTransaction {
  readonly #state: TxState;
  readonly #over: () => void;
  #idle: ReturnType<typeof setInterval> | undefined;
  #done = 0;

  /** Begins; over is called once, when the transaction has ended. */
  static async begin(state: TxState, options: CallOptions, over: () => void): Promise<OpenTx> {
    try {
      await state.begin(options);
      if (state.ended) throw state.ended.clone();
      return new OpenTx(state, over);
    } catch (error) {
      over();
      throw error;
    }
  }

  private constructor(state: TxState, over: () => void) {
    super(state);
    this.#state = state;
    this.#over = over;
    const { nesting } = state.caller;
    nesting.begin(state, () => {});
    this.#idle = setInterval(() => this.#tick(), BEGUN_IDLE_MS);
    state.gone.catch(() => this.#end());
    state.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  get open(): boolean {
    return this.#state.ended === undefined;
  }

  async commit(): Promise<void> {
    if (this.open) {
      try {
        await this.#state.settle();
      } catch (error) {
        await this.rollback();
        throw error;
      }
    }
    this.#end();
    await this.#state.commit();
  }

  async rollback(): Promise<void> {
    this.#end();
    await this.#state.rollback();
  }

  async [asyncDispose](): Promise<void> {
    if (this.open) await this.rollback();
  }

  readonly #abort = () => { void this.rollback(); };

  // The leader rolls a transaction back that does nothing. Its page may have forgotten it: so it is ended here as well.
  #tick(): void {
    const { statements, done } = this.#state;
    if (statements > 0 || done !== this.#done) {
      this.#done = done;
      return;
    }
    this.#state.end(new HeddleError("HEDDLE_TX_CLOSED",
      `the transaction was rolled back: it had no statement for ${BEGUN_IDLE_MS / 1_000} seconds`));
    void this.rollback();
  }

  #end(): void {
    clearInterval(this.#idle);
    this.#state.signal?.removeEventListener("abort", this.#abort);
    this.#state.caller.nesting.end(this.#state);
    this.#over();
  }
}
