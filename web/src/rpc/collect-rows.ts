// A query whose rows come whole: sent, and gathered chunk by chunk.

import type { CallSpec } from "./call.js";
import type { Caller } from "./client.js";
import type { Writer } from "./codec.js";
import { readRows } from "./rows.js";
import type { Row } from "../shared/types.js";

/** Sends a query and gathers its rows. */
export function collectRows<T>(
  caller: Caller, w: Writer, spec: Pick<CallSpec<T>, "lane" | "writer" | "retry" | "write" | "sql" | "signal" | "timeout">,
): Promise<T[]> {
  let rows: Row[] = [];
  let state = { columns: [] as string[] };
  return caller.call({
    ...spec, message: w.finish(),
    sent: () => { rows = []; state = { columns: [] }; },
    chunk: (r) => readRows(r, state, rows),
    result: (r) => { readRows(r, state, rows); return rows as unknown as T[]; },
  });
}
