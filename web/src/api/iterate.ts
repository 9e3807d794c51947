// db.iterate(): rows a batch at a time. The leader sends a batch for each credit,
// and keeps its place while there is none: a slow consumer delays no other call.

import type { ScopedCaller } from "../rpc/scoped-caller.js";
import type { Reader, Statement } from "../rpc/codec.js";
import { credit, iterate } from "../rpc/messages.gen.js";
import { asHeddleError, HeddleError } from "../shared/errors.js";
import { checkShape, describe } from "../rpc/params.js";
import { newRows, readRows, type AnyRow, type RowsState } from "../rpc/rows.js";
import type { IterateOptions, RowIterable } from "../shared/types.js";

/** Batches that may be here, or on their way, untouched. */
const AHEAD = 2;
const MAX_BATCH = 4096;

/** How many rows a batch may have; 0: as the leader likes. */
export function checkBatchSize(batch: unknown): number {
  if (batch === undefined) return 0;
  if (!Number.isInteger(batch) || (batch as number) < 1 || (batch as number) > MAX_BATCH) {
    const it = typeof batch === "number" ? batch : describe(batch);
    const what = `iterate: batch must be a whole number from 1 to ${MAX_BATCH}, it is ${it}`;
    throw new HeddleError("HEDDLE_BAD_PARAM", what);
  }
  return batch as number;
}

export class RowIterator<T> implements RowIterable<T> {
  readonly #caller: ScopedCaller;
  readonly #statement: Statement;
  readonly #options: IterateOptions;
  readonly #batch: number;
  readonly #stop = new AbortController();
  #id = 0;
  /** The batch that is being taken, and where. */
  #rows: AnyRow[] = [];
  #at = 0;
  readonly #batches: AnyRow[][] = [];
  readonly #state: RowsState;
  #begun = false;
  /** No more batches come. */
  #ended = false;
  #error: HeddleError | undefined;
  #filling: Promise<void> | undefined;
  #wake: () => void = () => {};

  constructor(caller: ScopedCaller, statement: Statement, options: IterateOptions) {
    this.#caller = caller;
    this.#statement = statement;
    this.#options = options;
    this.#batch = checkBatchSize(options.batch);
    this.#state = newRows(checkShape(options.rows));
  }

  get columns(): readonly string[] {
    return this.#state.columns;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#at < this.#rows.length) return Promise.resolve(this.#take());
    return this.#later();
  }

  /** Lets go of the statement: what `break` calls. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.#end();
    this.#stop.abort();
    return { value: undefined, done: true };
  }

  #take(): IteratorResult<T, undefined> {
    const value = this.#rows[this.#at]!;
    this.#rows[this.#at++] = undefined!; // the consumer's alone now
    return { value: value as unknown as T, done: false };
  }

  async #later(): Promise<IteratorResult<T, undefined>> {
    while (this.#at >= this.#rows.length) {
      if (this.#error) {
        const error = this.#error;
        this.#error = undefined; // once: then it is done
        throw error;
      }
      if (this.#ended && this.#batches.length === 0) return { value: undefined, done: true };
      await (this.#filling ??= this.#fill().finally(() => { this.#filling = undefined; }));
    }
    return this.#take();
  }

  // Takes the next batch, and asks for another in its place.
  async #fill(): Promise<void> {
    if (!this.#begun) this.#begin();
    while (this.#batches.length === 0) {
      if (this.#ended) return;
      await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
    this.#rows = this.#batches.shift()!;
    this.#at = 0;
    if (this.#ended) return;
    this.#caller.tell(credit(this.#id, 1));
  }

  #begin(): void {
    this.#begun = true;
    const { signal, timeout } = this.#options;
    const { sql } = this.#statement;
    const read = (r: Reader) => {
      const rows: AnyRow[] = [];
      readRows(r, this.#state, rows);
      if (rows.length > 0 && !this.#ended) this.#batches.push(rows);
      this.#wake();
    };
    // Not retried with another leader: its rows would be of another snapshot.
    this.#caller.call<void>({
      ...iterate(this.#statement, this.#batch, AHEAD), sql, timeout,
      signal: signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal,
      sent: (id) => { this.#id = id; },
      chunk: read,
      result: read,
    }).then(
      () => {
        this.#ended = true;
        this.#wake();
      },
      (thrown: unknown) => {
        if (!this.#ended) this.#error = leftAlone(asHeddleError(thrown));
        this.#end();
      },
    );
  }

  #end(): void {
    this.#ended = true;
    this.#rows = [];
    this.#at = 0;
    this.#batches.length = 0;
    this.#wake();
  }
}

function leftAlone(error: HeddleError): HeddleError {
  if (error.code !== "HEDDLE_TX_LOST") return error;
  return new HeddleError("HEDDLE_LEADER_LOST", "the leading tab went away in the middle of the rows: iterate again",
    { sql: error.sql, cause: error });
}
