// db.listen() and db.onNotify(): each commit, as the leader announces it to all tabs, and a word when some were
// missed. If several announce commits, the leader is the one that this page has a connection to.

import { MISSED_MS } from "../shared/bounds.js";
import { listen, type Announcement, type Commit } from "../rpc/messages.gen.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";
import { HeddleError } from "../shared/errors.js";
import { Throttle } from "../shared/throttle.js";
import { describe } from "../rpc/params.js";
import { report } from "./emitter.js";
import type { Change, Notification } from "../shared/types.js";

interface Listener {
  /** Lower case; null: any. */
  tables: Set<string> | null;
  fn: (change: Change) => void;
}

interface NotificationListener {
  channel: string;
  fn: (notification: Notification) => void;
}

/** Of how many leaders beside its own a page remembers what they announced: one may be the next. */
const REMEMBERED = 16;

export class Listeners {
  readonly #session: string;
  readonly #listeners = new Set<Listener>();
  readonly #notified = new Set<NotificationListener>();
  /** The last commit that others announced: one may lead by now, and its answer to hello be under way. */
  readonly #others = new Map<string, number>();
  readonly #unread = new Throttle(MISSED_MS, () => this.#missed());
  readonly #caller: Pick<ScopedCaller, "call" | "tell">;
  #leader = "";
  #last = 0;
  /** How often the leader was told that this page listens: its last answer counts. */
  #told = 0;
  /** The leader has not answered yet that it knows of a listener: what was before that was not for this page. */
  #begins = false;
  /** The first commit that was announced meanwhile; 0: none. */
  #first = 0;

  /** @param caller by which the leader is told that this database begins to listen, or ends, also once it is closed */
  constructor(session: string, caller: Pick<ScopedCaller, "call" | "tell">) {
    this.#session = session;
    this.#caller = caller;
  }

  get #listens(): boolean {
    return this.#listeners.size + this.#notified.size > 0;
  }

  add(tables: readonly string[] | null, fn: (change: Change) => void): () => void {
    if (tables !== null && !(Array.isArray(tables) && tables.every((t) => typeof t === "string"))) {
      throw new HeddleError("HEDDLE_BAD_PARAM",
        `listen takes an array of table names, or null for any, not ${describe(tables)}`);
    }
    // SQLite's names do not heed case.
    const listener: Listener = { tables: tables && new Set(tables.map((t) => t.toLowerCase())), fn };
    return this.#join(this.#listeners, listener);
  }

  onNotify(channel: string, fn: (notification: Notification) => void): () => void {
    return this.#join(this.#notified, { channel, fn });
  }

  #join<T>(listeners: Set<T>, listener: T): () => void {
    const first = !this.#listens;
    listeners.add(listener);
    if (first) {
      this.#begins = true;
      this.#first = 0;
      this.#begin();
    }
    return () => {
      if (listeners.delete(listener) && !this.#listens) this.#end();
    };
  }

  #begin(): void {
    const told = ++this.#told;
    this.#caller.call(listen(true)).then((above) => {
      if (told === this.#told) this.#heardAbove(above);
    }, () => {}); // the leader has gone: the next one is told
  }

  #end(): void {
    this.#told++;
    this.#caller.tell(listen(false));
  }

  /** The answer to listen does not go over the channel of the announcements, of which some may be lost. */
  #heardAbove(above: number): void {
    const missed = this.#begins ? this.#first > above + 1 : above > this.#last;
    this.#begins = false;
    this.#last = Math.max(above, this.#last);
    if (missed) this.#missed();
  }

  clear(): void {
    this.#unread.end();
    if (this.#listens) this.#end();
    this.#listeners.clear();
    this.#notified.clear();
  }

  /** The leader that answered hello, and its last commit. */
  leader(leader: string, number: number, again: boolean): void {
    const last = Math.max(number, this.#others.get(leader) ?? 0);
    const other = leader !== this.#leader;
    const missed = again && (other || last > this.#last);
    this.#others.clear();
    this.#leader = leader;
    this.#last = other ? last : Math.max(last, this.#last);
    this.#begins = false;
    if (this.#listens) this.#begin();
    if (missed) this.#missed();
  }

  /** Takes an announcement; undefined is one of another version. */
  announce(a: Announcement | undefined): void {
    if (!a) return this.#unread.run();
    if (a.leader !== this.#leader) return this.#note(a.leader, a.number);
    if (a.number <= this.#last) return;
    const { commit } = a;
    const begins = this.#begins && this.#first === 0;
    if (begins && !commit) return;
    if (begins) this.#first = a.number;
    const gap = a.number !== this.#last + 1 && !begins;
    this.#last = a.number;
    if (gap || !commit) return this.#missed();
    if (commit.schema) this.#tell({ seq: a.number, origin: "tab", tables: {}, missed: true });
    else this.#changed(a.number, commit);
    const origin = commit.tab === this.#session ? "local" : "tab";
    for (const { channel, payload } of commit.notified) {
      for (const listener of [...this.#notified]) {
        if (listener.channel !== channel) continue;
        call((json: string) => listener.fn({ channel, payload: JSON.parse(json), origin, missed: false }), payload);
      }
    }
  }

  #changed(seq: number, commit: Commit): void {
    const origin = commit.sync ? "sync" : commit.tab === this.#session ? "local" : "tab";
    for (const { tables: of, fn } of [...this.#listeners]) {
      const listed = commit.tables.filter(({ table }) => of?.has(table.toLowerCase()) ?? true);
      const tables = Object.fromEntries(listed.map(({ table, ...change }) => [table, change]));
      if (listed.length > 0) call(fn, { seq, origin, tables, missed: false });
    }
  }

  #note(leader: string, number: number): void {
    this.#others.delete(leader); // the latest last
    this.#others.set(leader, number);
    const [oldest] = this.#others.keys();
    if (this.#others.size > REMEMBERED) this.#others.delete(oldest!);
  }

  #missed(): void {
    this.#tell({ seq: this.#last, origin: "tab", tables: {}, missed: true });
    for (const { channel, fn } of [...this.#notified]) {
      call(fn, { channel, payload: undefined, origin: "tab", missed: true });
    }
  }

  #tell(change: Change): void {
    for (const { fn } of [...this.#listeners]) call(fn, change);
  }
}

function call<T>(fn: (detail: T) => void, detail: T): void {
  try {
    fn(detail);
  } catch (thrown) {
    report(thrown);
  }
}
