// The life of a tab's worker, as a state machine without input or output: events
// and the time go in, effects come out as values, in the order in which they are to
// be carried out. index.ts does that, and reports what happens.
// web/test/worker/election.test.ts lists the paths of docs/TABS.md.
//
// Web Locks queue first come, first served, and a frozen waiter at the head stalls
// every tab behind it; so only a visible tab queues. A hidden tab takes the lock if
// it is free: at the start, when a leader leaves, and at intervals.
//
// While no leader is known, both ask repeatedly: the message of a leader's end
// comes before its lock is free, and Chromium at times leaves a free lock with a
// queue, and grants it only when the first request in the queue is withdrawn.

import { FORGET_MS, HIDDEN_RETRY_MS, MAX_TRY_MS, REQUEUE_MS, STANDBY_MS, TRY_MS } from "../shared/bounds.js";
import type { Failure, FromWorker, TabsMessage } from "../shared/messages.js";
import { MEMORY_LIMIT, RENEW_MS } from "../shared/tuning.js";

export type Phase =
  | "yielding" // tabs of newer builds live: they shall lead
  | "queued" // visible: it waits in the queue for the database's lock
  | "looking" // hidden: it asks for the lock, if that is free
  | "pausing" // hidden: it asks again later
  | "withdrawing" // it is to end, and what it has asked for is not answered yet
  | "opening" // it has the lock; the files are opened, then the database
  | "leading"
  | "stopping" // it is to end, and Go closes the database
  | "closing" // Go has ended, or never ran; the files are closed
  | "crashed" // the page ends this worker, and with it lock and files
  | "ended";

export type Timer = "requeue" | "lookAgain" | "standby" | "forget";

/** What carries effects out: an effect is the name of a method and its arguments. */
export interface Effects {
  tell(message: FromWorker): void; // to the page
  post(message: TabsMessage): void; // to all tabs
  timer(timer: Timer, ms?: number): void; // that event follows after ms; without ms it does not
  // The locks.
  yieldTo(locks: readonly string[]): void; // "yielded" follows when they are free
  queue(): void; // "granted" follows; or "withdrawn", after withdraw
  look(): void; // "granted" or "taken" follows
  withdraw(): void; // from the queue, and from waiting for newer builds
  freeLock(): void; // "freed" follows
  checkLeads(): void; // ask the locks whether some tab leads; "leads" follows if so
  checkStandby(): void; // look who is next in the queue, and tell the page if it is this worker
  // The leader.
  openFiles(): void; // "opened" or "failed" follows
  runGo(): void; // "ready" or "failed" follows; at last "goEnded", or "crashed"
  stopGo(): void;
  closeFiles(inOrder: boolean): void; // "filesClosed" follows
  probeGo(): void; // "alive" follows, if the engine answers
  answer(): void; // post who leads, at once or when its turn comes
  admit(tab: string): void; // open a port, if that tab lives
  forgetDead(): void; // what is kept for tabs that are dead
  retire(): void; // "stop" follows, outside Go
  exit(): void;
}

type Call<T> = { [K in keyof T]: T[K] extends (...args: infer A) => void ? [K, ...A] : never }[keyof T];
export type Effect = Call<Effects>;
export type Event = Call<Election["on"]>;

export class Election {
  phase: Phase = "yielding";
  /** This worker leads, as all tabs were told, and they have not been told of its end. */
  announced = false;
  #effects: Effect[] = [];
  #now = 0;
  readonly #tab: string;
  readonly #leader: string;
  #visible: boolean;
  /** It is to end, and the page waits for that. */
  #stop = false;
  /** A leader is known: the lock may be held for long. */
  #leaderKnown = false;
  /** How often the lock was asked for since no leader is known. */
  #asked = 0;
  #standbyDue = false;
  #readyAt = 0;
  /** Bytes of the engine when it had opened the database. */
  #memoryAtFirst = 0;

  /** @param leader is what this worker is called while it leads */
  constructor(tab: string, leader: string, visible: boolean) {
    this.#tab = tab;
    this.#leader = leader;
    this.#visible = visible;
  }

  /** Takes one event and returns what is to be done. */
  step([name, ...args]: Event, now: number): Effect[] {
    this.#effects = [];
    this.#now = now;
    (this.on[name] as (...args: unknown[]) => void)(...args);
    return this.#effects;
  }

  /** The events: of the page and of other tabs by their messages' names, of locks, files and Go, and of timers. */
  readonly on = {
    // ---- the page
    start: (yieldTo: readonly string[]) => {
      this.#standbySoon();
      this.#do("yieldTo", yieldTo);
    },
    visible: (visible: boolean) => {
      if (visible === this.#visible) return;
      this.#visible = visible;
      if (this.phase === "queued") this.#do("withdraw");
      if (this.phase === "pausing") this.#ask();
    },
    /** A leader has left: a hidden tab asks at once; a tab that queues asks again if it does not get the lock soon. */
    retryLock: () => {
      if (this.#leaderKnown) this.#asked = 0;
      this.#leaderKnown = false;
      if (this.phase === "pausing") this.#ask();
      if (this.phase === "queued") this.#requeueLater();
    },
    /** The page asks whether the engine lives. */
    ping: () => {
      if (this.phase === "opening" || this.phase === "leading") this.#do("probeGo");
      else if (this.#candidate || this.phase === "withdrawing") this.#do("tell", { t: "pong" });
    },
    /** End in order. */
    stop: () => {
      this.#stop = true;
      switch (this.phase) {
        case "yielding":
        case "queued":
          this.#do("withdraw");
          this.phase = "withdrawing";
          break;
        case "looking":
          this.phase = "withdrawing";
          break;
        case "pausing":
          this.#end();
          break;
        case "opening":
        case "leading":
          this.phase = "stopping";
          this.#do("stopGo");
          break;
        case "withdrawing":
        case "stopping":
        case "closing":
        case "crashed":
        case "ended":
      }
    },

    // ---- other tabs
    leader: (tab: string) => {
      if (!this.#candidate) return;
      this.#do("checkLeads");
      if (tab !== this.#tab) this.#standbySoon();
    },
    leads: () => {
      this.#leaderKnown = true;
      if (this.phase === "queued") this.#do("timer", "requeue");
    },
    leaderGone: () => this.on.retryLock(),
    whoLeads: () => {
      if (this.announced) this.#do("answer");
    },
    connect: (leader: string, tab: string) => {
      if (this.announced && leader === this.#leader) this.#do("admit", tab);
    },

    // ---- the lock
    yielded: () => this.#ask(),
    taken: () => {
      if (this.phase === "withdrawing" || this.#visible) return this.#ask();
      this.phase = "pausing";
      this.#do("timer", "lookAgain", this.#leaderKnown ? HIDDEN_RETRY_MS : this.#patience(TRY_MS));
    },
    lookAgain: () => this.#ask(),
    // Leaves the head of the queue for its end after a while; all tabs before this one that run do the same.
    requeue: () => this.#do("withdraw"),
    withdrawn: () => this.#ask(),
    granted: () => {
      this.#do("timer", "requeue");
      if (this.phase === "withdrawing") return this.#do("freeLock");
      this.phase = "opening";
      this.#do("tell", { t: "granted" });
      this.#do("openFiles");
    },
    freed: () => this.#end(),
    standby: () => {
      this.#standbyDue = false;
      if (this.#candidate) this.#do("checkStandby");
    },

    // ---- files and Go
    /** Files and modules are there. */
    opened: () => {
      if (this.phase === "opening") this.#do("runGo");
      else this.#close(false);
    },
    /** The files cannot be opened, or the database. */
    failed: (failure: Failure) => {
      this.#do("tell", { t: "failed", failure });
      this.#close(false);
    },
    ready: (memory: number) => {
      if (this.phase !== "opening") return;
      this.phase = "leading";
      this.announced = true;
      this.#readyAt = this.#now;
      this.#memoryAtFirst = memory;
      this.#do("timer", "forget", FORGET_MS);
      this.#do("tell", { t: "leading", leader: this.#leader });
      this.#do("post", { t: "leader", leader: this.#leader, tab: this.#tab });
    },
    forget: () => this.#do("forgetDead"),
    // Go's memory never shrinks: once it is large, the page gets a new worker. The
    // memory that it takes to open this database is no reason.
    alive: (quiet: boolean, memory: number) => {
      this.#do("tell", { t: "pong" });
      if (this.phase !== "leading" || !quiet || this.#now - this.#readyAt < RENEW_MS) return;
      if (memory > Math.max(MEMORY_LIMIT, 2 * this.#memoryAtFirst)) this.#do("retire");
    },
    /** Go has let go; in order: it has closed the database. */
    goEnded: (inOrder: boolean) => this.#close(inOrder),
    // All errors that are reported later follow from the crash.
    crashed: (message: string) => {
      if (this.phase === "closing" || this.phase === "crashed" || this.phase === "ended") return;
      this.phase = "crashed";
      this.#do("tell", { t: "crashed", message });
    },
    filesClosed: () => {
      if (this.announced) this.#do("post", { t: "leaderGone", leader: this.#leader, crashed: false });
      this.announced = false;
      this.#do("freeLock");
    },
  };

  /** It may lead yet. */
  get #candidate(): boolean {
    return ["yielding", "queued", "looking", "pausing"].includes(this.phase);
  }

  #do(...effect: Effect): void {
    this.#effects.push(effect);
  }

  #ask(): void {
    this.#do("timer", "requeue");
    this.#do("timer", "lookAgain");
    if (this.phase === "withdrawing") return this.#end();
    this.phase = this.#visible ? "queued" : "looking";
    this.#do(this.#visible ? "queue" : "look");
    if (this.#visible && !this.#leaderKnown) this.#requeueLater();
  }

  #requeueLater(): void {
    this.#do("timer", "requeue", this.#patience(REQUEUE_MS));
  }

  #patience(first: number): number {
    return Math.min(first * 2 ** this.#asked++, MAX_TRY_MS);
  }

  // Not while pages are loading.
  #standbySoon(): void {
    if (this.#standbyDue) return;
    this.#standbyDue = true;
    this.#do("timer", "standby", STANDBY_MS);
  }

  #close(inOrder: boolean): void {
    if (this.phase === "closing" || this.phase === "crashed" || this.phase === "ended") return;
    this.phase = "closing";
    this.#do("closeFiles", inOrder);
  }

  // A worker that could not open the database is ended by the page.
  #end(): void {
    this.phase = "ended";
    if (!this.#stop) return;
    this.#do("timer", "lookAgain");
    this.#do("tell", { t: "stopped" });
    this.#do("exit");
  }
}
