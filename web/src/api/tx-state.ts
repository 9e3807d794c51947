// One interactive transaction at the leader, from its beginning to its end: for
// db.transaction() and db.begin().

import type { ScopedCaller } from "../rpc/scoped-caller.js";
import { txBegin, txCommit, txRollback } from "../rpc/messages.gen.js";
import { abortError, HeddleError, timeoutError } from "../shared/errors.js";
import type { Running } from "../rpc/nested-writes.js";
import { checkTimeout } from "../rpc/params.js";
import type { CallOptions } from "../shared/types.js";

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
  readonly caller: ScopedCaller;
  /** Names it to the leader; 0 before it has begun. */
  id = 0;
  /** The same, from when its beginning is on its way. */
  #sent = 0;
  /** Ends it from outside: the app's signal, and its timeout. */
  signal: AbortSignal | undefined;
  /** The leader went away before the end; by its engine's death. */
  wasLost = false;
  crashed = false;
  /** What the function does. */
  work: Promise<unknown> = Promise.resolve();
  /** Rejects when the transaction ends from outside. */
  readonly gone: Promise<never>;
  /** When its time is over, on performance's clock. */
  #late = Infinity;
  /** Names it as a write of this tab. */
  #write = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #pending = new Set<Promise<void>>();
  readonly #failed: { statement: Watched<unknown>; error: unknown }[] = [];
  #ended: HeddleError | undefined;
  #goes!: (error: HeddleError) => void;

  constructor(caller: ScopedCaller) {
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
    // It may be begun by now, though its answer is not here. Other members of the session wait for its end.
    if (error && this.#sent !== 0) this.caller.tell(txRollback(this.#sent));
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
    const left = Math.min(timeout, Math.max(1, this.#late - performance.now()));
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

  /** Waits for its turn. It is sent again to a new leader if the first went away: nothing has begun yet. */
  async begin({ signal, timeout }: CallOptions): Promise<void> {
    const limit = checkTimeout(timeout);
    if (limit !== undefined) {
      const over = new AbortController();
      this.#late = performance.now() + limit;
      this.#timer = setTimeout(() => over.abort(timeoutError(limit)), limit);
      signal = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
    }
    this.signal = signal;
    this.#write = this.caller.newWrite();
    try {
      await this.caller.call({
        ...txBegin(), begins: this.#write, signal, timeout: this.timeout(),
        sent: (id) => { this.#sent = id; }, result: () => { this.id = this.#sent; },
      });
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /** Commits, unless it has ended. */
  async commit(): Promise<void> {
    const ended = this.#ended;
    this.end(new HeddleError("HEDDLE_TX_CLOSED", "the transaction was committed: its tx cannot be used any more"));
    try {
      if (ended) throw ended.clone();
      // If the leader goes before it answers, the next one knows whether it did it.
      await this.caller.call({ ...txCommit(this.id), lane: "direct", retry: true, instead: this.#write });
    } catch (error) {
      if (!ended) this.wasLost = error instanceof HeddleError && error.code === "HEDDLE_TX_LOST";
      throw error;
    } finally {
      this.#release();
    }
  }

  /** Rolls back, unless it has ended. Whatever goes wrong here, the leader rolls back too. */
  async rollback(): Promise<void> {
    const over = this.#ended !== undefined;
    this.end(new HeddleError("HEDDLE_TX_CLOSED", "the transaction was rolled back: its tx cannot be used any more"));
    const request = txRollback(this.id);
    if (!over && this.signal?.aborted) this.caller.tell(request);
    else if (!over) await this.caller.call({ ...request, lane: "direct" }).catch(() => {});
    this.#release();
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.caller.settled(this.#write);
  }
}

/** Waits for work until the signal ends the wait. */
export function raceAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    const aborted = () => reject(abortError(signal));
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted, { once: true });
  });
}
