// db.listen(): each commit, as the leader announces it to all tabs, and a word
// when some were missed.

import type { Announcement } from "./announcement.js";
import { HeddleError } from "./errors.js";
import { describe } from "./params.js";
import { report } from "./report.js";
import type { Change } from "./types.js";

interface Listener {
  /** Lower case; null: any. */
  tables: Set<string> | null;
  fn: (change: Change) => void;
}

/** How many leaders before this one are remembered: what they still say is old. */
const REMEMBERED = 16;

export class Listeners {
  readonly #session: string;
  readonly #listeners = new Set<Listener>();
  readonly #retired: string[] = [];
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
    this.#listeners.clear();
  }

  /** The leader that answered hello, and its last commit. */
  leader(leader: string, number: number, again: boolean): void {
    const other = leader !== this.#leader;
    const missed = again && (other || number > this.#last);
    this.#adopt(leader, other ? number : Math.max(number, this.#last));
    if (missed) this.#missed();
  }

  announce(a: Announcement): void {
    if (a.kind === "unknown") return this.#missed();
    if (this.#leader === "" || this.#retired.includes(a.leader)) return;
    const other = a.leader !== this.#leader;
    if (a.kind === "leader") {
      if (!other && a.number <= this.#last) return;
      this.#adopt(a.leader, a.number);
      return this.#missed();
    }
    if (!other && a.number <= this.#last) return;
    const gap = other || a.number !== this.#last + 1;
    this.#adopt(a.leader, a.number);
    if (gap || a.schema) return this.#missed();
    const origin = a.sync ? "sync" : a.tab === this.#session ? "local" : "tab";
    for (const listener of [...this.#listeners]) {
      const tables = listener.tables === null ? a.tables
        : Object.fromEntries(Object.entries(a.tables).filter(([name]) => listener.tables!.has(name.toLowerCase())));
      if (Object.keys(tables).length > 0) call(listener, { seq: a.number, origin, tables, missed: false });
    }
  }

  #adopt(leader: string, number: number): void {
    if (leader !== this.#leader && this.#leader !== "") {
      this.#retired.push(this.#leader);
      if (this.#retired.length > REMEMBERED) this.#retired.shift();
    }
    this.#leader = leader;
    this.#last = number;
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
