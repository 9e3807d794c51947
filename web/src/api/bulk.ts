// db.bulk(): rows travel in parts, two on their way at a time, into one
// transaction at the leader.

import type { ScopedCaller } from "../rpc/scoped-caller.js";
import { bulkBegin, bulkEnd, bulkRows } from "../rpc/messages.gen.js";
import { abortError } from "../shared/errors.js";
import { load, PartRefused, type Attempt } from "./upload.js";
import { rowParts, type BulkRows, type Part, type RowParts } from "./row-parts.js";
import type { BulkOptions, ExecResult } from "../shared/types.js";

const PARTS_AHEAD = 2;

export class Bulk {
  readonly #caller: ScopedCaller;
  readonly #sql: string;
  readonly #rows: BulkRows;
  readonly #options: BulkOptions;

  constructor(caller: ScopedCaller, sql: string, rows: BulkRows, options: BulkOptions) {
    rowParts(sql, rows); // what cannot be iterated is refused before anything is sent
    this.#caller = caller;
    this.#sql = sql;
    this.#rows = rows;
    this.#options = options;
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
    const parts = rowParts(this.#sql, this.#rows);
    const ahead: Promise<void>[] = [];
    for await (const part of parts) {
      if (attempt.over) return;
      ahead.push(this.#flush(attempt, part, parts));
      if (ahead.length >= PARTS_AHEAD) await Promise.race([ahead.shift(), ended]);
      if (attempt.over) return;
    }
    await Promise.race([Promise.all(ahead), ended]);
    if (attempt.over) return;
    if (this.#options.signal?.aborted) throw abortError(this.#options.signal, this.#sql);
    this.#caller.tell(bulkEnd(attempt.id));
  }

  #flush(attempt: Attempt, part: Part, parts: RowParts): Promise<void> {
    const promise = this.#caller.call({
      ...bulkRows(attempt.id, part), sql: this.#sql,
      result: () => {
        if (!attempt.over) parts.done(part.count, this.#options);
      },
    }).catch(() => { throw new PartRefused(); });
    promise.catch(() => {}); // it may never be awaited
    return promise;
  }
}
