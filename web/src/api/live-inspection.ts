// db.live.stats() and db.live.explain(): what commits cost the live queries, and why.

import { liveExplain, liveStats, readLiveStatement, type LiveStatement } from "../rpc/messages.gen.js";
import type { Reader, Statement } from "../rpc/codec.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";
import { warnOnce } from "../shared/development.js";
import type { CallOptions, LiveStatistics } from "../shared/types.js";

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
