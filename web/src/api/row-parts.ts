// Rows of a bulk load, in parts that fit into a message: for db.bulk() and tx.bulk().

import { Writer } from "../rpc/codec.js";
import { HeddleError } from "../shared/errors.js";
import { checkValue, describe } from "../rpc/params.js";
import { report } from "./emitter.js";
import type { BulkOptions } from "../shared/types.js";

const PART_ROWS = 2000;
const PART_BYTES = 256 * 1024;

export type BulkRows = Iterable<readonly unknown[]> | AsyncIterable<readonly unknown[]>;

/** Encoded rows of one width. */
export interface Part {
  count: number;
  columns: number;
  values: Uint8Array;
}

/** The rows in parts. What cannot be iterated is refused here, a bad row when its turn comes. */
export const rowParts = (sql: string, rows: BulkRows) => new RowParts(sql, rows);

export class RowParts implements AsyncIterable<Part> {
  readonly #sql: string;
  readonly #rows: BulkRows;
  #width = 0;
  /** Rows that left the iterator, and those that the leader has taken. */
  #taken = 0;
  #done = 0;
  #part: Writer | undefined;
  #partRows = 0;

  constructor(sql: string, rows: BulkRows) {
    const iterable = rows as Partial<Iterable<unknown> & AsyncIterable<unknown>> | null | undefined;
    if (typeof rows === "string" || (typeof iterable?.[Symbol.iterator] !== "function"
      && typeof iterable?.[Symbol.asyncIterator] !== "function")) {
      throw new HeddleError("HEDDLE_BAD_PARAM", `bulk takes an array or iterable of rows, not ${describe(rows)}`,
        { sql });
    }
    this.#sql = sql;
    this.#rows = rows;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Part, void, undefined> {
    const rows = this.#rows as Iterable<readonly unknown[]> & AsyncIterable<readonly unknown[]>;
    // Not one loop for both: `for await` over an array waits for each row.
    if (typeof rows[Symbol.iterator] === "function") {
      for (const row of rows as Iterable<readonly unknown[]>) if (this.#add(row)) yield this.#take();
    } else {
      for await (const row of rows) if (this.#add(row)) yield this.#take();
    }
    if (this.#partRows > 0) yield this.#take();
  }

  /** Reports that the leader has taken so many rows more. */
  done(rows: number, { onProgress }: BulkOptions): void {
    this.#done += rows;
    try {
      onProgress?.({ done: this.#done, total: Array.isArray(this.#rows) ? this.#rows.length : undefined });
    } catch (thrown) {
      report(thrown);
    }
  }

  // Adds a row to the part; true when the part is full.
  #add(row: readonly unknown[]): boolean {
    const at = this.#taken++;
    if (!Array.isArray(row)) this.#refuse(`row ${at} must be an array of values, it is ${describe(row)}`);
    if (at === 0) this.#width = row.length;
    if (row.length === 0) this.#refuse(`row ${at} is empty`);
    if (row.length !== this.#width) this.#refuse(`row ${at} has ${row.length} values, the first had ${this.#width}`);
    const part = this.#part ??= new Writer(PART_BYTES + 4096);
    for (let i = 0; i < row.length; i++) {
      part.value(checkValue(row[i], () => `bulk: row ${at}, value ${i + 1}`, this.#sql));
    }
    return ++this.#partRows >= PART_ROWS || part.length >= PART_BYTES;
  }

  #take(): Part {
    const part = { count: this.#partRows, columns: this.#width, values: this.#part!.finish() };
    this.#part = undefined;
    this.#partRows = 0;
    return part;
  }

  #refuse(what: string): never {
    throw new HeddleError("HEDDLE_BAD_PARAM", `bulk: ${what}`, { sql: this.#sql });
  }
}
