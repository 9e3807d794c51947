// What the leader tells about a page's live queries: an event is all that a round has changed, from one snapshot. The
// page shows it in one task, at most once a frame. It acknowledges an event when it has taken it; the leader merges
// what comes until then, the page what comes until its frame.

import { FRAME_MS } from "../shared/bounds.js";
import { HeddleError } from "../shared/errors.js";
import type { LiveDiff, RowShape } from "../shared/types.js";
import type { Reader } from "./codec.js";
import { newRows, readRows, setColumns, type AnyRow, type RowsState } from "./rows.js";

/** A live query of the page. */
export interface LiveTarget {
  readonly shape: RowShape;
  /** The result that is shown; undefined before the first. */
  readonly shown: readonly AnyRow[] | undefined;
  /** Takes a new result over. What it returns tells the app, once every query of the page has its own. */
  take(result: LiveResult): () => void;
}

export interface LiveResult {
  rows?: { rows: AnyRow[]; columns: string[]; diff: LiveDiff };
  /** Why there is none, or no newer one. */
  error?: HeddleError;
}

/** What the delivery needs of the line to the leader. */
export interface LiveLine {
  /** The page has taken what it was sent. */
  ack(): void;
  /** Nobody looks at the page. */
  pause(paused: boolean): void;
}

/** A stretch of a new result: rows of the former one, or new ones. */
export type Run = { copy: true; from: number; count: number } | { copy: false; count: number };

export interface Update extends RowsState {
  reset: boolean;
  total: number;
  runs: Run[];
  rows: AnyRow[];
}

const enum Part { update, rows, error }

export class LiveDelivery {
  /** The last commit that was told of. */
  commit = 0;
  readonly #line: LiveLine;
  readonly #targets = new Map<number, LiveTarget>();
  /** Queries that show a result of the leader before, and wait for their first one of this leader. */
  readonly #awaited = new Set<LiveTarget>();
  /** Updates whose event has not ended yet. */
  #updates = new Map<number, Update>();
  #errors = new Map<number, HeddleError>();
  /** What the page is to show next, and of which commit it is. */
  #next = new Map<LiveTarget, { update?: Update; error?: HeddleError }>();
  #nextCommit = 0;
  #due = false;
  /** A frame is to come before anything else is shown. */
  #waitsForFrame = false;

  constructor(line: LiveLine) {
    this.#line = line;
  }

  /** Takes what is told of the query that request id began. */
  add(id: number, target: LiveTarget): void {
    this.#targets.set(id, target);
  }

  /** Nothing more comes for request id. */
  forget(id: number): void {
    this.#targets.delete(id);
  }

  /** The query has ended. */
  remove(id: number, target: LiveTarget): void {
    this.forget(id);
    this.#next.delete(target);
    if (this.#awaited.delete(target) && this.#due) this.#offer();
  }

  /** The leader went away. What it sent and the page has not shown is dropped: the next one sends all anew. */
  lost(): void {
    for (const target of this.#targets.values()) if (target.shown) this.#awaited.add(target);
    this.#targets.clear();
    this.#updates.clear();
    this.#errors.clear();
    this.#next.clear();
    this.#due = false;
  }

  /** A leader is there. */
  ready(): void {
    if (isHidden()) this.#line.pause(true);
  }

  visibilityChanged(): void {
    this.#line.pause(isHidden());
  }

  /** One message of a live event. */
  event(r: Reader): void {
    this.commit = r.u64();
    const last = r.bool();
    while (r.left > 0) this.#part(r, r.u32(), r.u8());
    if (last) this.#complete();
  }

  #part(r: Reader, id: number, kind: number): void {
    if (kind === Part.error) {
      this.#errors.set(id, r.error() ?? new HeddleError("HEDDLE_INTERNAL", "a live query failed without a reason"));
      return;
    }
    if (kind === Part.update) this.#updates.set(id, readUpdate(r, this.#targets.get(id)?.shape));
    const update = this.#updates.get(id);
    if (!update) throw new HeddleError("HEDDLE_PROTOCOL", "a live result begins in its middle");
    readRows(r, update, update.rows);
  }

  #complete(): void {
    for (const [id, update] of this.#updates) {
      const target = this.#targets.get(id);
      if (!target) continue;
      const former = this.#next.get(target)?.update;
      check(update, former ? former.total : target.shown?.length ?? 0);
      this.#next.set(target, { update: former ? compose(former, update) : update });
    }
    for (const [id, error] of this.#errors) {
      const target = this.#targets.get(id);
      if (target) this.#next.set(target, { ...this.#next.get(target), error });
    }
    for (const id of [...this.#updates.keys(), ...this.#errors.keys()]) {
      const target = this.#targets.get(id);
      if (target) this.#awaited.delete(target);
    }
    this.#updates.clear();
    this.#errors.clear();
    this.#due = true;
    this.#nextCommit = this.commit;
    // After another leader came, the page shows its results once all are there: those of its last event's commit.
    this.#offer();
    this.#line.ack();
  }

  // Shows what is due: at once, unless the page has been shown something since its last frame.
  #offer(): void {
    if (!this.#due || this.#waitsForFrame || this.#awaited.size > 0) return;
    this.#show();
    if (isHidden()) return;
    this.#waitsForFrame = true;
    afterFrame(() => {
      this.#waitsForFrame = false;
      this.#offer();
    });
  }

  #show(): void {
    const next = this.#next, commit = this.#nextCommit;
    this.#next = new Map();
    this.#due = false;
    // All queries have their results before the app hears of one.
    const tell = [...next].map(([target, { update, error }]) => {
      const result: LiveResult = error ? { error } : {};
      if (update) {
        const { rows, diff } = applyRuns(target.shown ?? [], update.runs, update.rows, update.reset);
        result.rows = { rows, columns: update.columns, diff: { ...diff, commit } };
      }
      return target.take(result);
    });
    for (const one of tell) one();
  }
}

/** Whether nobody looks at the page. A worker, and Node.js, have no pages. */
const isHidden = () => typeof document !== "undefined" && document.visibilityState === "hidden";

/**
 * Calls fn in the first task after the page's next frame: what fn shows is for the frame after that one. Where no
 * frames are made (a window that is covered, an iframe that is scrolled away) fn is called after a while.
 */
function afterFrame(fn: () => void): void {
  if (typeof document === "undefined" || typeof requestAnimationFrame !== "function") return fn();
  const timer = setTimeout(() => {
    cancelAnimationFrame(frame);
    fn();
  }, FRAME_MS);
  const frame = requestAnimationFrame(() => {
    clearTimeout(timer);
    setTimeout(fn); // layout and paint of this frame come before any other task
  });
}

function readUpdate(r: Reader, shape: RowShape = "array"): Update {
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

/** Checks an update of a result with so many rows. */
export function check({ runs, rows, reset, total }: Update, former: number): void {
  let fresh = 0, copied = 0;
  for (const run of runs) {
    if (!run.copy) fresh += run.count;
    else copied += reset || run.from + run.count > former ? NaN : run.count; // there are no such rows
  }
  if (fresh !== rows.length || fresh + copied !== total) {
    throw new HeddleError("HEDDLE_PROTOCOL", "a live result does not add up");
  }
}

/** One update for two that were checked: the first made B of A, the second C of B. */
export function compose(first: Update, second: Update): Update {
  if (second.reset) return second;
  const runs: Run[] = [], rows: AnyRow[] = [];
  let taken = 0; // of the second's rows
  const add = (fresh: readonly AnyRow[]) => {
    for (const row of fresh) rows.push(row);
    const last = runs.at(-1);
    if (last && !last.copy) last.count += fresh.length;
    else runs.push({ copy: false, count: fresh.length });
  };
  for (const run of second.runs) {
    if (!run.copy) {
      add(second.rows.slice(taken, taken += run.count));
      continue;
    }
    // What it copies out of B, run by run of the first.
    let start = 0, made = 0; // where a run of the first begins, in B and in its rows
    for (const one of first.runs) {
      const from = Math.max(run.from, start) - start, to = Math.min(run.from + run.count, start + one.count) - start;
      if (from < to) {
        if (one.copy) runs.push({ copy: true, from: one.from + from, count: to - from });
        else add(first.rows.slice(made + from, made + to));
      }
      start += one.count;
      if (!one.copy) made += one.count;
    }
  }
  return { ...second, reset: first.reset, runs, rows };
}

/** Builds the new result of the former one and the new rows, of an update that was checked. */
export function applyRuns(
  former: readonly AnyRow[], runs: readonly Run[], fresh: readonly AnyRow[], reset: boolean,
): { rows: AnyRow[]; diff: Omit<LiveDiff, "commit"> } {
  const rows: AnyRow[] = [];
  const added: number[] = [];
  const kept = new Uint8Array(former.length);
  let at = 0;
  for (const run of runs) {
    if (run.copy) {
      for (let i = run.from; i < run.from + run.count; i++) {
        rows.push(former[i]!);
        kept[i] = 1;
      }
    } else {
      for (let i = 0; i < run.count; i++) {
        added.push(rows.length);
        rows.push(fresh[at++]!);
      }
    }
  }
  const removed: number[] = [];
  for (let i = 0; i < kept.length; i++) if (kept[i] === 0) removed.push(i);
  return { rows, diff: { first: reset, added, removed } };
}
