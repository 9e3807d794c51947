// A query whose rows come whole: sent, and gathered chunk by chunk.

import type { Row } from "../shared/types.js";
import type { CallSpec, Request } from "./call.js";
import type { Caller } from "./client.js";
import { readRows } from "./rows.js";

/** Sends a query and gathers its rows. */
export function collectRows<T>(
  caller: Caller, request: Request, options: Pick<CallSpec<T>, "writer" | "write" | "sql" | "signal" | "timeout">,
): Promise<T[]> {
  let rows: Row[] = [];
  let state = { columns: [] as string[] };
  return caller.call({
    ...request, ...options,
    sent: () => { rows = []; state = { columns: [] }; },
    chunk: (r) => readRows(r, state, rows),
    result: (r) => { readRows(r, state, rows); return rows as unknown as T[]; },
  });
}
