// db.live(): a query whose result is kept up to date. What the leader sends about it comes by
// ../rpc/live-delivery.ts. At the end what commits cost the live queries, and why: db.live.stats() and explain().

import { AGAIN_MS, MAX_AGAIN_MS } from "../shared/bounds.js";
import { MAX_DEATHS } from "../rpc/call.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";
import type { Reader, Statement } from "../rpc/codec.js";
import type { LiveResult, LiveTarget } from "../rpc/live-delivery.js";
import {
  liveExplain, liveStart, liveStats, liveStop, readLiveStatement, type LiveStatement,
} from "../rpc/messages.gen.js";
import { warnOnce } from "../shared/development.js";
import { HeddleError } from "../shared/errors.js";
import { report } from "./emitter.js";
import { result } from "../rpc/collect-rows.js";
import { checkShape } from "../rpc/params.js";
import type { AnyRow } from "../rpc/rows.js";
import type { CallOptions, LiveDiff, LiveOptions, LiveStatistics, ResultSet, RowShape } from "../shared/types.js";

/** What an app's function gets. */
export type LiveCallback = (rows: AnyRow[] | ResultSet, diff: LiveDiff) => void;

export class LiveQuery implements LiveTarget {
  readonly #caller: ScopedCaller;
  readonly #statement: Statement;
  readonly #fn: LiveCallback;
  readonly shape: RowShape;
  readonly #onError: ((error: HeddleError) => void) | undefined;
  readonly #gone: () => void;
  #id = 0;
  #starting = false;
  /** The request waits in the page for its turn: the leader that is there then gets it. */
  #queued = false;
  /** Ends that wait. */
  readonly #withdrawn = new AbortController();
  #again: ReturnType<typeof setTimeout> | undefined;
  #refusals = 0;
  /** How many engines, one after the other, died while they began it. */
  #deaths = 0;
  #stopped = false;
  #rows: AnyRow[] | undefined;

  constructor(
    caller: ScopedCaller, statement: Statement, fn: LiveCallback, options: LiveOptions, gone: () => void,
  ) {
    this.#caller = caller;
    this.#statement = statement;
    this.#fn = fn;
    this.#onError = options.onError;
    this.shape = checkShape(options.rows);
    this.#gone = gone;
  }

  /** Subscribes at the leader that is there now, unless it has. */
  start(): void {
    if (this.#stopped || this.#queued || this.#id !== 0) return;
    clearTimeout(this.#again);
    this.#queued = true;
    let id = 0;
    this.#caller.call({
      ...liveStart(this.#statement), sql: this.#statement.sql, signal: this.#withdrawn.signal,
      sent: (sent) => {
        this.#id = id = sent;
        this.#queued = false;
        this.#starting = true;
        this.#caller.lives.add(sent, this);
      },
      result: () => {
        this.#starting = false;
        this.#deaths = this.#refusals = 0;
      },
    }).catch((error: HeddleError) => {
      // The next leader is asked again.
      if (error.code === "HEDDLE_TX_LOST" || id !== this.#id) return;
      if (error.code === "HEDDLE_BUSY") this.#askAgain();
      else this.fail(error);
    });
  }

  // The leader has too many requests. Nothing else would subscribe the query again.
  #askAgain(): void {
    this.#caller.lives.forget(this.#id);
    this.lost(false);
    const wait = Math.min(AGAIN_MS * 2 ** this.#refusals++, MAX_AGAIN_MS);
    this.#again = setTimeout(() => {
      if (this.#caller.ready) this.start(); // else the next leader's coming starts it
    }, wait);
  }

  /** The leader went away; start() follows. */
  lost(crashed: boolean): void {
    if (crashed && this.#starting && ++this.#deaths >= MAX_DEATHS) {
      this.fail(new HeddleError("HEDDLE_ENGINE_CRASH", `the engine died ${MAX_DEATHS} times over this query`,
        { sql: this.#statement.sql }));
    }
    this.#id = 0;
    this.#starting = false;
    clearTimeout(this.#again);
  }

  /** Ends it with an error. */
  fail(error: HeddleError): void {
    if (this.#stopped) return;
    this.#end();
    this.#error(error);
  }

  stop(): void {
    if (this.#stopped) return;
    this.#end();
    if (this.#id === 0) return;
    this.#caller.tell(liveStop(this.#id));
  }

  #end(): void {
    this.#stopped = true;
    this.#gone();
    clearTimeout(this.#again);
    if (this.#queued) this.#withdrawn.abort();
    this.#caller.lives.remove(this.#id, this);
  }

  get shown(): readonly AnyRow[] | undefined {
    return this.#rows;
  }

  take({ rows, error }: LiveResult): () => void {
    if (rows) this.#rows = rows.rows;
    return () => {
      // The app gets a copy of the array, which it may change.
      if (rows && !this.#stopped) call(() => this.#fn(result(rows.rows.slice(), rows.columns, this.shape), rows.diff));
      if (error && !this.#stopped) this.#error(error);
    };
  }

  #error(error: HeddleError): void {
    const onError = this.#onError;
    if (onError) call(() => onError(error));
    else report(error);
  }
}

function call(fn: () => void): void {
  try {
    fn();
  } catch (thrown) {
    report(thrown);
  }
}

function statistics({ micros, probed: _, ...told }: LiveStatement): LiveStatistics {
  // The first run of each query is nobody's commit.
  const skipped = Math.max(0, told.commits - told.patched - Math.max(0, told.runs - told.queries));
  return { ...told, skipped, lastMs: micros / 1000 };
}

export async function readStats(caller: ScopedCaller, { signal, timeout }: CallOptions): Promise<LiveStatistics[]> {
  return (await caller.call({ ...liveStats(), signal, timeout })).map(statistics);
}

export async function explain(
  caller: ScopedCaller, statement: Statement, { signal, timeout }: CallOptions,
): Promise<LiveStatistics> {
  return statistics(await caller.call({ ...liveExplain(statement), sql: statement.sql, signal, timeout }));
}

/** A live query of the page runs most often in vain: who develops the app is told. */
export function warnOfVain(r: Reader): void {
  const { sql, runs, vain, why } = readLiveStatement(r);
  warnOnce(`a live query has run ${runs} times, ${vain} of them in vain, since commits seem to concern it: ${sql}\n`
    + `${why}; see db.live.explain()`);
}
