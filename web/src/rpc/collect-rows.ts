// Statements whose rows come whole: sent, and gathered chunk by chunk.

import type { ExecResult, ResultSet, RowShape } from "../shared/types.js";
import type { CallSpec, Request, RequestOf } from "./call.js";
import type { ScopedCaller } from "./scoped-caller.js";
import type { Reader } from "./codec.js";
import { newRows, readRows, type AnyRow } from "./rows.js";

type Options = Pick<CallSpec<unknown>, "writer" | "write" | "sql" | "signal" | "timeout">;

/** Sends a query and gathers its rows: an array of objects, or a ResultSet of arrays. */
export function collectRows<T>(caller: ScopedCaller, request: Request, shape: RowShape, options: Options): Promise<T> {
  return gather(caller, { ...request, ...options }, shape,
    (r, read) => { const { rows, columns } = read(r); return result(rows, columns, shape) as T; });
}

/** Sends a statement and gathers what it has done, and its rows if it returns any. */
export function collectExec<T>(
  caller: ScopedCaller, request: RequestOf<ExecResult>, shape: RowShape, options: Options,
): Promise<T> {
  return gather(caller, { ...request, ...options }, shape, (r, read) => {
    const done = request.result(r);
    if (r.left === 0) return done as T;
    const { rows, columns } = read(r);
    return (shape === "array" ? { ...done, columns, rows } : { ...done, rows }) as T;
  });
}

/** Rows as an app gets them. */
export const result = (rows: AnyRow[], columns: string[], shape: RowShape): AnyRow[] | ResultSet =>
  shape === "array" ? { columns, rows: rows as ResultSet["rows"] } : rows;

interface Rows {
  columns: string[];
  rows: AnyRow[];
}

function gather<T>(
  caller: ScopedCaller, spec: Omit<CallSpec<T>, "result">, shape: RowShape,
  last: (r: Reader, read: (r: Reader) => Rows) => T,
): Promise<T> {
  const rows: AnyRow[] = [];
  const state = newRows(shape);
  const read = (r: Reader) => {
    readRows(r, state, rows);
    return { columns: state.columns, rows };
  };
  return caller.call({ ...spec, chunk: read, result: (r) => last(r, read) });
}
