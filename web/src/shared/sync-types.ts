// The public types of sync.

import type { ErrorCode, ErrorRecord } from "./errors.js";
import type { CallOptions, SqlValue } from "./sql-types.js";

/**
 * "bootstrapping": the space's state is being fetched: its rows come as they are then, and writes go on. "offline":
 * no network, or the server does not answer; tried again. "error": waiting alone may not mend it (`lastError` says
 * what); tried again all the same, at least once a minute. "stopped": the database's contents cannot be synced;
 * nothing is tried before `resume()`. Local work goes on in every state.
 */
export type SyncState = "off" | "bootstrapping" | "connecting" | "live" | "offline" | "paused" | "error" | "stopped";

/** Where sync stands. */
export interface SyncStatus {
  state: SyncState;
  /** The space's log is applied up to here. */
  seq: number;
  /** Own transactions that the log does not hold yet. */
  pending: number;
  /** Why it is not live, or was not: a plain object, so that a status can be posted, stored and logged. */
  lastError?: ErrorRecord & { code: ErrorCode };
  /**
   * The database is new, and the rows of the space have not all come yet: what is read may lack some. Absent once they
   * have, for good.
   */
  incomplete?: boolean;
  /**
   * Why news are asked for instead of streamed; absent while they are streamed. "buffered": something on the way to the
   * server, a proxy perhaps, holds back answers that stay open; news still come at once. "connections": the browser's
   * connections to the server are taken by other databases; news come within seconds.
   */
  polling?: "buffered" | "connections";
  /** How often the digest was not the server's, so that the state was fetched again; absent if never. */
  repairs?: number;
  /**
   * In a sealed space: a member, by its id, has told of an entry that has not come for a minute, though the server
   * answers; or follows a history that was given up. The server may be slow, or keep something from this device.
   */
  withheld?: { device: string; seq: number };
  /** In a sealed space: a member has other rows at an entry. One of the two devices has a fault, not the server. */
  differs?: { device: string; seq: number };
  /**
   * In a sealed space, with `lastError.code` HEDDLE_TAMPERED: what was found, and at which entry. "rollback": the log
   * lacks what this device has; "fork": an author, or the member `device`, has seen another history; "forged", "link",
   * "chain", "anchor" and "snapshot": see docs/SECURITY.md.
   */
  tampered?: { kind: string; seq: number; device?: string };
  /** In a sealed space: who has confirmed the last snapshot that this device has made, started from or read back. */
  snapshot?: SnapshotStatus;
}

/** What members of a sealed space have signed of a snapshot: the server's word is not in it. */
export interface SnapshotStatus {
  /** The log's entry that it stands at. */
  seq: number;
  /**
   * A device has read it back whole, or has started from it after another had, and not its maker, unless the space has
   * no other: the server may cut the log up to it.
   */
  proved: boolean;
  /**
   * So many devices beside its maker and this one have done so, or have told the same digest of their rows since. While
   * a device that has started from it sees 0, its rows rest on the maker's word.
   */
  confirmed: number;
  /** How many devices there are beside those two. */
  devices: number;
}

/** How a cell joins the one before it, if it does not replace it. */
export type Join = "add" | "max" | "min" | "set+" | "set-";

/** One row operation of a transaction. */
export interface Operation {
  kind: "insert" | "update" | "delete";
  table: string;
  key: SqlValue[];
  cells: { [column: string]: SqlValue };
  /** Of the cells that join otherwise than "last": a counter's cell is what is added. */
  joins?: { [column: string]: Join };
}

/** A transaction of this device that the space's log does not hold yet. */
export interface PendingTransaction {
  id: number;
  /** When it was committed, in milliseconds as of Date.now(). */
  created: number;
  operations: Operation[];
}

/** A transaction of this device that the server refused, with what it would have done. */
export interface Rejection {
  /** Names it to retry and discard. */
  id: number;
  /** The device's own number of the transaction. */
  counter: number;
  created: number;
  code: string;
  message: string;
  operations: Operation[];
}

/** What the log has settled otherwise than somebody meant. */
export interface Conflict {
  counter: number;
  /**
   * "replaced": the log that `accept()` went on with has the row otherwise than this device had it;
   * "missing": an accepted update of this device's met a row that was gone; "dangling": a row's parent is gone;
   * "constraint": the table here cannot hold a row, see Sync.quarantined();
   * "key": the space knows the table with another primary key, so that it is not synced here;
   * "lost": the server has lost transactions of this device's, from counter on, that the device keeps no longer.
   */
  kind: string;
  /** Empty if `kind` is "lost". */
  table: string;
  key: SqlValue[];
  /** If `kind` is "constraint": SQLite's result code, such as SQLITE_CONSTRAINT_NOTNULL. */
  code?: string;
  /** If `kind` is "constraint": SQLite's message, which names the constraint. If it is "key": both keys. */
  constraint?: string;
}

/** A row of the space that the table here cannot hold. */
export interface QuarantinedRow {
  table: string;
  key: SqlValue[];
  /** SQLite's result code, such as SQLITE_CONSTRAINT_NOTNULL. */
  code: string;
  /** SQLite's message, which names the constraint. */
  constraint: string;
  /** The row beside its key. A column that is left out has its default. */
  cells: Record<string, SqlValue>;
}

/** A long sync step. */
export interface Progress {
  phase: string;
  done: number;
  /** undefined if unknown. */
  total: number | undefined;
}

/** A snapshot of a sealed space that is not what it says, or that was not made though the server has asked for it. */
export interface SnapshotFailure {
  /** Of a snapshot that is not what it says, `code` is HEDDLE_TAMPERED. */
  error: ErrorRecord & { code: ErrorCode };
}

export interface SyncEvents {
  status: SyncStatus;
  rejected: Rejection;
  conflict: Conflict;
  progress: Progress;
  /** Sync goes on without it: a new device takes the snapshot before, or the log from its first entry. */
  snapshotFailed: SnapshotFailure;
}

/** db.sync */
export interface Sync {
  readonly status: SyncStatus;
  /** Calls fn for each event; returns what stops it. */
  on<E extends keyof SyncEvents>(event: E, fn: (detail: SyncEvents[E]) => void): () => void;
  /** Resolves when everything local is in the log and everything in the log is here. */
  now(options?: CallOptions): Promise<void>;
  /** Until `resume()`, or until the last tab closes the database; with `persist` until `resume()` alone. */
  pause(options?: CallOptions & { persist?: boolean }): Promise<void>;
  /** Ends a pause, and tries again at once what waits after an error or has stopped. */
  resume(): Promise<void>;
  /**
   * Goes on with the log that the server has now, where it is another one than this database has followed: its disk
   * was lost, or it was reset (`lastError.code` is `HEDDLE_DIVERGED`). Its rows come, and what is pending stays on
   * top. Rows that it does not have are sent to it as this device has them, unless `upload` is false: then they go.
   * Where it has a row already, its row counts; `conflict` tells of those that differed (`kind: "replaced"`).
   */
  accept(options?: CallOptions & { upload?: boolean }): Promise<void>;
  /** Of the synced tables at seq; the server and every device answer the same for the same seq. */
  digest(options?: CallOptions): Promise<{ seq: number; digest: string }>;
  /** What the log does not hold yet, oldest first. */
  pending(options?: CallOptions): Promise<PendingTransaction[]>;
  /** What the server refused, oldest first, until it is retried or discarded. */
  rejected(options?: CallOptions): Promise<Rejection[]>;
  /** Commits what was refused anew, on the rows as they are now. False if there is no such transaction any more. */
  retry(id: number, options?: CallOptions): Promise<boolean>;
  /** Drops what was refused. False if there is no such transaction any more. */
  discard(id: number, options?: CallOptions): Promise<boolean>;
  /**
   * Rows whose foreign key names a row that is not there: it was deleted elsewhere. At most limit of them, 1000
   * without.
   */
  dangling(options?: CallOptions & { limit?: number | undefined }): Promise<{ table: string; key: SqlValue[] }[]>;
  /**
   * Rows of the space that the tables here cannot hold: by NOT NULL, STRICT, an index on an expression or a trigger
   * that fails. Each is shown as soon as a change of it, or of the schema, makes it fit; an INSERT of its key
   * replaces it. At most limit of them, 1000 without.
   */
  quarantined(options?: CallOptions & { limit?: number | undefined }): Promise<QuarantinedRow[]>;
  /** All that is pending and all that was refused, as a JSON document. */
  export(options?: CallOptions): Promise<string>;
}
