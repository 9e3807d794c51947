// db.live(): a query whose result is kept up to date. The leader sends what
// changed; here it is applied, so that rows that stayed keep their identity.

import { AGAIN_MS, MAX_AGAIN_MS } from "../shared/bounds.js";
import { MAX_DEATHS } from "../rpc/call.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";
import type { Reader, Statement } from "../rpc/codec.js";
import { EventType, liveStart, liveStop } from "../rpc/messages.gen.js";
import { asHeddleError, HeddleError } from "../shared/errors.js";
import { report } from "./emitter.js";
import { result } from "../rpc/collect-rows.js";
import { checkShape } from "../rpc/params.js";
import { newRows, readRows, setColumns, type AnyRow, type RowsState } from "../rpc/rows.js";
import type { LiveDiff, LiveOptions, ResultSet, RowShape } from "../shared/types.js";

/** A stretch of a new result: rows of the former one, or new ones. */
export type Run = { copy: true; from: number; count: number } | { copy: false; count: number };

interface Update extends RowsState {
  reset: boolean;
  total: number;
  runs: Run[];
  rows: AnyRow[];
}

/** What an app's function gets. */
export type LiveCallback = (rows: AnyRow[] | ResultSet, diff: LiveDiff) => void;

export class LiveQuery {
  readonly #caller: ScopedCaller;
  readonly #statement: Statement;
  readonly #fn: LiveCallback;
  readonly #shape: RowShape;
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
  #rows: AnyRow[] = [];
  #update: Update | undefined;

  constructor(
    caller: ScopedCaller, statement: Statement, fn: LiveCallback, options: LiveOptions, gone: () => void,
  ) {
    this.#caller = caller;
    this.#statement = statement;
    this.#fn = fn;
    this.#onError = options.onError;
    this.#shape = checkShape(options.rows);
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
        this.#caller.subscribe(sent, (type, r) => this.#event(sent, type, r));
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
    this.#caller.unsubscribe(this.#id);
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
    this.#update = undefined;
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
    this.#rows = [];
  }

  #end(): void {
    this.#stopped = true;
    this.#gone();
    clearTimeout(this.#again);
    if (this.#queued) this.#withdrawn.abort();
    if (this.#id !== 0) this.#caller.unsubscribe(this.#id);
  }

  #event(id: number, type: number, r: Reader): void {
    if (this.#stopped || id !== this.#id) return;
    if (type === EventType.liveError) {
      this.#error(r.error() ?? new HeddleError("HEDDLE_INTERNAL", "a live query failed without a reason"));
      this.#caller.ack(id, type);
      return;
    }
    if (type !== EventType.live) return;
    const first = r.bool();
    const last = r.bool();
    if (first) this.#update = readUpdate(r, this.#shape);
    const update = this.#update;
    if (!update) throw new HeddleError("HEDDLE_PROTOCOL", "a live result begins in its middle");
    readRows(r, update, update.rows);
    if (!last) return;
    this.#update = undefined;
    const { rows, diff } = applyRuns(this.#rows, update.runs, update.rows, update.reset);
    if (rows.length !== update.total) throw new HeddleError("HEDDLE_PROTOCOL", "a live result does not add up");
    this.#rows = rows;
    // The app gets a copy of the array, which it may change.
    try {
      this.#fn(result(rows.slice(), update.columns, this.#shape), diff);
    } catch (thrown) {
      report(thrown);
    }
    this.#caller.ack(id, EventType.live);
  }

  #error(error: HeddleError): void {
    if (!this.#onError) return report(error);
    try {
      this.#onError(error);
    } catch (thrown) {
      report(asHeddleError(thrown));
    }
  }
}

function readUpdate(r: Reader, shape: RowShape): Update {
  const reset = r.bool();
  const state = newRows(shape);
  setColumns(state, r.strings());
  const total = r.u32();
  const runs: Run[] = [];
  for (let n = r.count(5); n > 0; n--) {
    if (r.u8() === 0) runs.push({ copy: true, from: r.u32(), count: r.u32() });
    else runs.push({ copy: false, count: r.u32() });
  }
  return { ...state, reset, total, runs, rows: [] };
}

/** Builds the new result of the former one and the new rows. */
export function applyRuns(
  former: readonly AnyRow[], runs: readonly Run[], fresh: readonly AnyRow[], reset: boolean,
): { rows: AnyRow[]; diff: LiveDiff } {
  const rows: AnyRow[] = [];
  const added: number[] = [];
  const kept = new Uint8Array(former.length);
  let at = 0;
  for (const run of runs) {
    if (run.copy) {
      if (reset || run.from + run.count > former.length) {
        throw new HeddleError("HEDDLE_PROTOCOL", "a live result copies rows that are not there");
      }
      for (let i = run.from; i < run.from + run.count; i++) {
        rows.push(former[i]!);
        kept[i] = 1;
      }
    } else {
      if (at + run.count > fresh.length) throw new HeddleError("HEDDLE_PROTOCOL", "a live result lacks rows");
      for (let i = 0; i < run.count; i++) {
        added.push(rows.length);
        rows.push(fresh[at++]!);
      }
    }
  }
  if (at !== fresh.length) throw new HeddleError("HEDDLE_PROTOCOL", "a live result has rows too many");
  const removed: number[] = [];
  for (let i = 0; i < kept.length; i++) if (kept[i] === 0) removed.push(i);
  return { rows, diff: { first: reset, added, removed } };
}
