// What a tab of the soak tells its driver.

/** How many rows a write of each kind leaves, all or none. */
export const PARTS = { exec: 1, batch: 3, bulk: 20, transaction: 1 };
export type Kind = keyof typeof PARTS;

/** A call has settled. */
export interface Outcome {
  t: "call";
  instance: string;
  kind: Kind | "query";
  /** The write's number in its tab. */
  n: number;
  /** "ok", or the error's code. */
  code: string;
  start: number;
  end: number;
  role: string;
}

export type Report =
  | Outcome
  | { t: "open"; instance: string; code: string; ms: number }
  | { t: "hung"; instance: string; what: string }
  /** Every call failed, and the database was opened again. */
  | { t: "ended"; instance: string; code: string };
