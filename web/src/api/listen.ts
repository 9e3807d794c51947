// db.listen(): each commit, as the leader announces it to all tabs, and a word
// when some were missed. Of several that announce something, the leader is the
// one that this page has a line to.

import { MISSED_MS } from "../shared/bounds.js";
import type { Announcement } from "../rpc/messages.gen.js";
import { HeddleError } from "../shared/errors.js";
import { Throttle } from "../shared/throttle.js";
import { describe } from "../rpc/params.js";
import { report } from "./report-error.js";
import type { Change } from "../shared/types.js";

interface Listener {
  /** Lower case; null: any. */
  tables: Set<string> | null;
  fn: (change: Change) => void;
}

/** Of how many leaders beside its own a page remembers what they announced: one may be the next. */
const REMEMBERED = 16;

export class Listeners {
  readonly #session: string;
  readonly #listeners = new Set<Listener>();
  /** The last commit that others announced: one may lead by now, and its answer to hello be under way. */
  readonly #others = new Map<string, number>();
  readonly #unread = new Throttle(MISSED_MS, () => this.#missed());
  #leader = "";
  #last = 0;

  constructor(session: string) {
    this.#session = session;
  }

  add(tables: readonly string[] | null, fn: (change: Change) => void): () => void {
    if (tables !== null && !(Array.isArray(tables) && tables.every((t) => typeof t === "string"))) {
      throw new HeddleError("HEDDLE_BAD_PARAM", `listen takes an array of table names, or null for any, not ${describe(tables)}`);
    }
    // SQLite's names do not heed case.
    const listener: Listener = { tables: tables && new Set(tables.map((t) => t.toLowerCase())), fn };
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  clear(): void {
    this.#unread.end();
    this.#listeners.clear();
  }

  /** The leader that answered hello, and its last commit. */
  leader(leader: string, number: number, again: boolean): void {
    const last = Math.max(number, this.#others.get(leader) ?? 0);
    const other = leader !== this.#leader;
    const missed = again && (other || last > this.#last);
    this.#others.clear();
    this.#leader = leader;
    this.#last = other ? last : Math.max(last, this.#last);
    if (missed) this.#missed();
  }

  /** Takes an announcement; undefined is one of another version. */
  announce(a: Announcement | undefined): void {
    if (!a) return this.#unread.run();
    if (a.leader !== this.#leader) return this.#note(a.leader, a.number);
    if (a.number <= this.#last) return;
    const gap = a.number !== this.#last + 1;
    this.#last = a.number;
    const { commit } = a;
    if (gap || !commit || commit.schema) return this.#missed();
    const origin = commit.sync ? "sync" : commit.tab === this.#session ? "local" : "tab";
    for (const listener of [...this.#listeners]) {
      const listed = commit.tables.filter(({ table }) => listener.tables?.has(table.toLowerCase()) ?? true);
      const tables = Object.fromEntries(listed.map(({ table, ...change }) => [table, change]));
      if (listed.length > 0) call(listener, { seq: a.number, origin, tables, missed: false });
    }
  }

  #note(leader: string, number: number): void {
    this.#others.delete(leader); // the latest last
    this.#others.set(leader, number);
    const [oldest] = this.#others.keys();
    if (this.#others.size > REMEMBERED) this.#others.delete(oldest!);
  }

  #missed(): void {
    const change: Change = { seq: this.#last, origin: "tab", tables: {}, missed: true };
    for (const listener of [...this.#listeners]) call(listener, change);
  }
}

function call(listener: Listener, change: Change): void {
  try {
    listener.fn(change);
  } catch (thrown) {
    report(thrown);
  }
}
