// db.bulk(): rows travel in parts, two on their way at a time, into one
// transaction at the leader.

import type { Caller } from "../rpc/client.js";
import { Writer, type CheckedValue } from "../rpc/codec.js";
import { bulkBegin, bulkEnd, bulkRows } from "../rpc/messages.gen.js";
import { abortError, HeddleError } from "../shared/errors.js";
import { load, PartRefused, type Attempt } from "./upload.js";
import { checkValue, describe } from "../rpc/params.js";
import { report } from "./report-error.js";
import type { BulkOptions, ExecResult } from "../shared/types.js";

const PART_ROWS = 2000;
const PART_BYTES = 256 * 1024;
const PARTS_AHEAD = 2;

type Rows = Iterable<readonly unknown[]> | AsyncIterable<readonly unknown[]>;

export class Bulk {
  readonly #caller: Caller;
  readonly #sql: string;
  readonly #rows: Rows;
  readonly #options: BulkOptions;
  readonly #total: number | undefined;
  #id = 0;
  #width = 0;
  #taken = 0; // rows that left the iterator
  #done = 0; // rows that the leader has taken
  #part: Writer | undefined;
  #partRows = 0;

  constructor(caller: Caller, sql: string, rows: Rows, options: BulkOptions) {
    const iterable = rows as Partial<Iterable<unknown> & AsyncIterable<unknown>> | null | undefined;
    if (typeof rows === "string" || (typeof iterable?.[Symbol.iterator] !== "function"
      && typeof iterable?.[Symbol.asyncIterator] !== "function")) {
      throw new HeddleError("HEDDLE_BAD_PARAM", `bulk takes an array or iterable of rows, not ${describe(rows)}`,
        { sql });
    }
    this.#caller = caller;
    this.#sql = sql;
    this.#rows = rows;
    this.#options = options;
    this.#total = Array.isArray(rows) ? rows.length : undefined;
  }

  run(): Promise<ExecResult> {
    const write = this.#caller.newWrite();
    const begin = bulkBegin({ sql: this.#sql, params: { kind: "none" } });
    return load(
      this.#caller,
      { ...begin, write, sql: this.#sql, signal: this.#options.signal, timeout: this.#options.timeout },
      !this.#twice(), (attempt) => this.#send(attempt),
    );
  }

  // Whether the rows can be read a second time: an iterator gives itself.
  #twice(): boolean {
    const rows = this.#rows as Partial<Iterable<unknown>>;
    return Array.isArray(rows) || (rows[Symbol.iterator] !== undefined && rows[Symbol.iterator]!() !== rows);
  }

  async #send(attempt: Attempt): Promise<void> {
    const { ended } = attempt;
    this.#id = attempt.id;
    this.#taken = this.#done = this.#partRows = 0;
    this.#part = undefined;
    const ahead: Promise<void>[] = [];
    const flush = async () => {
      ahead.push(this.#flush(attempt));
      if (ahead.length >= PARTS_AHEAD) await Promise.race([ahead.shift(), ended]);
    };
    const rows = this.#rows as Iterable<readonly unknown[]> & AsyncIterable<readonly unknown[]>;
    if (typeof rows[Symbol.iterator] === "function") {
      for (const row of rows as Iterable<readonly unknown[]>) {
        if (this.#add(row)) await flush();
        if (attempt.over) return;
      }
    } else {
      for await (const row of rows) {
        if (attempt.over) return;
        if (this.#add(row)) await flush();
      }
    }
    if (this.#partRows > 0) await flush();
    await Promise.race([Promise.all(ahead), ended]);
    if (attempt.over) return;
    if (this.#options.signal?.aborted) throw abortError(this.#options.signal, this.#sql);
    this.#caller.tell(bulkEnd(this.#id));
  }

  // Adds a row to the part; true when the part is full.
  #add(row: readonly unknown[]): boolean {
    const at = this.#taken++;
    if (!Array.isArray(row)) {
      throw new HeddleError("HEDDLE_BAD_PARAM", `bulk: row ${at} must be an array of values, it is ${describe(row)}`,
        { sql: this.#sql });
    }
    if (at === 0) this.#width = row.length;
    if (row.length !== this.#width || row.length === 0) {
      throw new HeddleError("HEDDLE_BAD_PARAM", row.length === 0 ? `bulk: row ${at} is empty`
        : `bulk: row ${at} has ${row.length} values, the first had ${this.#width}`, { sql: this.#sql });
    }
    const part = this.#part ??= new Writer(PART_BYTES + 4096);
    for (let i = 0; i < row.length; i++) {
      const value: CheckedValue = checkValue(row[i], () => `bulk: row ${at}, value ${i + 1}`, this.#sql);
      part.value(value);
    }
    return ++this.#partRows >= PART_ROWS || part.length >= PART_BYTES;
  }

  #flush(attempt: Attempt): Promise<void> {
    const rows = this.#partRows;
    const part = bulkRows(this.#id, { count: rows, columns: this.#width, values: this.#part!.finish() });
    this.#part = undefined;
    this.#partRows = 0;
    const promise = this.#caller.call({
      ...part, sql: this.#sql,
      result: () => {
        if (attempt.over) return;
        this.#done += rows;
        this.#progress();
      },
    }).catch(() => { throw new PartRefused(); });
    promise.catch(() => {}); // it may never be awaited
    return promise;
  }

  #progress(): void {
    try {
      this.#options.onProgress?.({ done: this.#done, total: this.#total });
    } catch (thrown) {
      report(thrown);
    }
  }
}
