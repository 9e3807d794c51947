// db.transaction(): one interactive transaction at the leader.

import type { Caller } from "../rpc/client.js";
import type { RequestOf } from "../rpc/call.js";
import { txBatch, txBegin, txCommit, txExec, txNotify, txQuery, txRollback } from "../rpc/messages.gen.js";
import { collectRows } from "../rpc/collect-rows.js";
import { abortError, HeddleError, timeoutError } from "../shared/errors.js";
import type { Running } from "../rpc/nested-writes.js";
import { checkBatch, checkChannel, checkParams, checkPayload, checkSql, checkTimeout } from "../rpc/params.js";
import type {
  BatchStatement, CallOptions, ExecResult, NamedParams, ParamsOf, Row, Transaction,
} from "../shared/types.js";

/** A statement's promise that knows whether anybody looked at it. */
class Watched<T> extends Promise<T> {
  seen = false;
  /** Calls what waits for it: more of the transaction's function. */
  resume: <R>(fn: () => R) => R = (fn) => fn();

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  // `await` calls this too: it takes the short way for plain promises alone.
  // oxlint-disable-next-line no-thenable
  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.seen = true;
    const resumed = <V, R>(fn: ((value: V) => R) | null | undefined) => fn
      && ((value: V) => this.resume(() => fn(value)));
    return super.then(resumed(onFulfilled), resumed(onRejected));
  }
}

/** A transaction between begin and end. */
export class TxState implements Running {
  readonly caller: Caller;
  /** The request that began it, and the same once it has begun. */
  begun = 0;
  id = 0;
  /** The leader went away before the end; by its engine's death. */
  wasLost = false;
  crashed = false;
  /** What the function does. */
  work: Promise<unknown> = Promise.resolve();
  /** Rejects when the transaction ends from outside. */
  readonly gone: Promise<never>;
  /** When its time is over, on performance's clock. */
  late = Infinity;
  readonly #pending = new Set<Promise<void>>();
  readonly #failed: { statement: Watched<unknown>; error: unknown }[] = [];
  #ended: HeddleError | undefined;
  #goes!: (error: HeddleError) => void;

  constructor(caller: Caller) {
    this.caller = caller;
    this.gone = new Promise<never>((_, reject) => { this.#goes = reject; });
    this.gone.catch(() => {});
  }

  /** Statements that were answered. */
  done = 0;

  get statements(): number {
    return this.#pending.size;
  }

  get ended(): HeddleError | undefined {
    return this.#ended;
  }

  end(error: HeddleError): void {
    this.#ended ??= error;
  }

  /** The leader, or the database, went away: what was not committed is gone. */
  lost(crashed: boolean, error?: HeddleError): void {
    if (this.id === 0 || this.#ended) return;
    this.wasLost = !error;
    this.crashed = crashed;
    this.#ended = error ?? new HeddleError("HEDDLE_TX_LOST",
      "the leading tab went away during the transaction: nothing of it was kept");
    this.#goes(this.#ended.clone());
  }

  /** Settles when the function has, so that it does not run twice at a time. */
  async over(signal: AbortSignal | undefined): Promise<void> {
    await raceAbort(this.work.catch(() => {}), signal);
  }

  /** A statement takes no longer than what is left of the transaction's time. */
  timeout({ timeout = Infinity }: CallOptions = {}): number | undefined {
    const left = Math.min(timeout, Math.max(1, this.late - performance.now()));
    return left === Infinity ? undefined : left;
  }

  /** Makes a statement part of the transaction. */
  track<T>(make: () => Promise<T>): Promise<T> {
    const ended = this.#ended;
    if (ended) return Promise.reject(ended.clone());
    const statement = new Watched<T>((resolve) => resolve(make()));
    statement.resume = (fn) => this.caller.nesting.resume(this, fn);
    const settled: Promise<void> = Promise.prototype.then.call(statement, () => {}, (error: unknown) => {
      this.#failed.push({ statement, error });
    }).then(() => {
      this.#pending.delete(settled);
      this.done++;
    });
    this.#pending.add(settled);
    return statement;
  }

  /**
   * Waits for statements that the function did not await. They were sent, so they are part of the transaction; if one
   * failed and its error was not seen, the transaction must not be committed.
   */
  async settle(): Promise<void> {
    const known = this.#failed.length;
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    const forgotten = this.#failed.find(({ statement }, i) => i >= known || !statement.seen);
    if (forgotten) throw forgotten.error;
  }
}

/** What fn of db.transaction(fn) gets. */
export class Tx implements Transaction {
  readonly #state: TxState;

  constructor(state: TxState) {
    this.#state = state;
  }

  exec<P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options: CallOptions = {},
  ): Promise<ExecResult> {
    return this.#state.track(async () => {
      const text = checkSql(sql);
      const statement = { sql: text, params: checkParams(params, text) };
      return this.#call(txExec(this.#state.id, statement), text, options);
    });
  }

  query<T = Row, P extends object = NamedParams>(
    sql: string, params?: ParamsOf<P>, options: CallOptions = {},
  ): Promise<T[]> {
    return this.#state.track(async () => {
      const text = checkSql(sql);
      const statement = { sql: text, params: checkParams(params, text) };
      return collectRows<T>(this.#state.caller, txQuery(this.#state.id, statement), {
        sql: text, signal: options.signal, timeout: this.#state.timeout(options),
      });
    });
  }

  batch(statements: readonly BatchStatement[], options: CallOptions = {}): Promise<ExecResult[]> {
    return this.#state.track(async () => {
      const checked = checkBatch(statements);
      return this.#call(txBatch(this.#state.id, checked), undefined, options);
    });
  }

  notify(channel: string, payload?: unknown, options: CallOptions = {}): Promise<void> {
    return this.#state.track(async () => {
      const json = checkPayload(payload);
      return this.#call(txNotify(this.#state.id, checkChannel(channel), json), undefined, options);
    });
  }

  #call<T>(request: RequestOf<T>, sql: string | undefined, { signal, timeout }: CallOptions): Promise<T> {
    return this.#state.caller.call({ ...request, sql, signal, timeout: this.#state.timeout({ timeout }) });
  }

  /** Begins, runs fn, and commits or rolls back. */
  async run<T>(fn: (tx: Transaction) => T | Promise<T>, options: CallOptions): Promise<T> {
    const state = this.#state;
    const { caller } = state;
    const timeout = checkTimeout(options.timeout);
    const over = new AbortController();
    let { signal } = options;
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (timeout !== undefined) {
      state.late = performance.now() + timeout;
      timer = setTimeout(() => over.abort(timeoutError(timeout)), timeout);
      signal = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
    }
    const write = caller.newWrite();
    try {
      return await this.#run(write, fn, signal);
    } finally {
      clearTimeout(timer);
      caller.settled(write);
    }
  }

  async #run<T>(write: number, fn: (tx: Transaction) => T | Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const state = this.#state;
    // Sent again to a new leader if the first went away: nothing has begun yet.
    await state.caller.call({
      ...txBegin(), begins: write, signal, timeout: state.timeout(),
      sent: (sent) => { state.begun = sent; }, result: () => { state.id = state.begun; },
    });
    const id = state.id;
    let value: T;
    try {
      if (state.ended) throw state.ended.clone();
      // A function that waits for something else must not keep the call from
      // ending when the transaction is over.
      const { nesting } = state.caller;
      const work = (async () => nesting.begin(state, () => fn(this)))();
      state.work = work;
      try {
        value = await raceAbort(Promise.race([work, state.gone]), signal);
      } finally {
        nesting.end(state);
      }
      await state.settle();
    } catch (error) {
      await this.#rollback(signal?.aborted === true);
      throw error;
    }
    const lost = state.ended as HeddleError | undefined;
    if (lost) throw lost.clone();
    state.end(new HeddleError("HEDDLE_TX_CLOSED", "the transaction was committed: its tx cannot be used any more"));
    try {
      // If the leader goes before it answers, the next one knows whether it did it.
      await state.caller.call({ ...txCommit(id), lane: "direct", retry: true, instead: write });
    } catch (error) {
      state.wasLost = error instanceof HeddleError && error.code === "HEDDLE_TX_LOST";
      throw error;
    }
    return value;
  }

  async #rollback(givenUp: boolean): Promise<void> {
    const state = this.#state;
    const over = state.ended !== undefined;
    state.end(new HeddleError("HEDDLE_TX_CLOSED", "the transaction was rolled back: its tx cannot be used any more"));
    if (over) return;
    const request = txRollback(state.id);
    // Whatever goes wrong here, the leader rolls back too; fn's error matters.
    if (givenUp) state.caller.tell(request);
    else await state.caller.call({ ...request, lane: "direct" }).catch(() => {});
  }
}

function raceAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    const aborted = () => reject(abortError(signal));
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted, { once: true });
  });
}
