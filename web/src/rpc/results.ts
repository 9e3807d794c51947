// The contents of messages, as the API hands them out.

import type {
  Conflict, Join, Operation, Progress, QuarantinedRow, Rejection, SqlValue, SyncState, SyncStatus,
} from "../shared/types.js";
import type * as wire from "./messages.gen.js";

export function syncStatus(s: wire.Status): SyncStatus {
  const { state, seq, pending, err, repairs, incomplete, polling, findings, snapshot } = s;
  const status: SyncStatus = { state: state as SyncState, seq, pending };
  if (err) status.lastError = err.toJSON();
  if (repairs > 0) status.repairs = repairs;
  if (incomplete) status.incomplete = true;
  if (polling !== "") status.polling = polling as NonNullable<SyncStatus["polling"]>;
  if (snapshot) status.snapshot = snapshot;
  for (const { what, kind, device, seq } of findings) {
    Object.assign(status, { [what]: { seq, ...(kind && { kind }), ...(device && { device }) } });
  }
  return status;
}

const cellsOf = (columns: string[], cells: SqlValue[]) =>
  Object.fromEntries(columns.map((c, i) => [c, cells[i] ?? null]));

function operation({ kind, table, key, columns, cells, joins }: wire.Op): Operation {
  const operation: Operation = { kind: kind as Operation["kind"], table, key, cells: cellsOf(columns, cells) };
  const others = joins.flatMap((join, i) => join === "last" ? [] : [[columns[i]!, join]] as [string, Join][]);
  if (others.length > 0) operation.joins = Object.fromEntries(others);
  return operation;
}

export function rejection({ ops, ...rest }: wire.Transaction): Rejection {
  return { ...rest, operations: ops.map(operation) };
}

export function conflict({ counter, kind, key, code, constraint }: wire.Conflict): Conflict {
  return { counter, kind, ...key, ...(code === "" ? {} : { code, constraint }) };
}

export function quarantinedRow({ key, code, constraint, columns, cells }: wire.QuarantinedRow): QuarantinedRow {
  return { ...key, code, constraint, cells: cellsOf(columns, cells) };
}

export function progress({ phase, done, total }: wire.Progress): Progress {
  return { phase, done, total: total === 0 ? undefined : total };
}
