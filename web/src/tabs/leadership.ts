// Leadership and recovery of one tab, as a state machine without input or
// output: events and the time go in, effects come out as values, in the order
// in which they are to be carried out. leader-connection.ts does that, and
// reports what happens. web/test/tabs/leadership.test.ts lists every path of
// docs/TABS.md.
//
// The phase says what the tab's own worker does. Beside it there may be a link
// to a leader: to the own worker while that leads; in any other phase to the
// worker of another tab, which this tab follows.

import {
  CRASH_WINDOW_MS, LEADER_GONE_MS, MAX_PAUSE_MS, OTHERS_MS, PAUSE_MS, HANDOVER_MS, TELL_MS, TICK_MS, CRASH_MESSAGE_MS,
} from "../shared/bounds.js";
import { HeddleError } from "../shared/errors.js";
import type { ErrorCode } from "../shared/errors.js";
import type { BuildMessage, Failure, FromWorker, TabsMessage, ToWorker } from "../shared/messages.js";
import { PROTOCOL } from "../shared/version.js";
import { StallDetector } from "./stall-detector.js";

/** How often the locks are looked at after a leader was said to be gone; the pause doubles each time. */
const MAX_LOOKS = 8;
/** A worker that dies so often before it answers this tab is not started again. */
const MAX_STILLBORN = 3;
/** The next worker is started at once, until so many died within CRASH_WINDOW_MS; then after a pause that grows. */
const FREE_CRASHES = 3;

export type Phase =
  | "suspended" // the page is not shown yet, frozen, or in the back/forward cache: it holds nothing
  | "loading" // the worker's script is being loaded
  | "waiting" // the worker waits for the database's lock
  | "opening" // the worker has the lock, and opens the database
  | "leading"
  | "restarting" // the worker has ended, and the next one is not started yet
  | "failed" // the worker cannot open the database; another tab may lead all the same
  | "closed";

export type Timer =
  "stallTick" | "goneLook" | "noCrashMessage" | "othersTimeout" | "hiddenLong" | "restart" | "refused";

/** What is posted at a limited rate: answers to what every script of the origin can ask. */
export type Reply = "leader" | "probeReply" | "canLead";

/** What carries effects out: an effect is the name of a method and its arguments. */
export interface Effects {
  listen(): void; // open the channels and take the locks of this tab; "locksHeld" follows
  unlisten(): void;
  freeRecord(unlessUnsettled: boolean): void; // the lock on the record of writes; not while an outcome is unknown
  post(message: TabsMessage): void;
  reply(kind: Reply): void; // post what reply() returns, at once or when its turn comes
  checkLeads(leader: string): void; // ask the locks; "leads" follows if that is true
  checkGone(leader: string): void; // ask the locks; "goneChecked" follows
  openHandshake(): void;
  tellBuild(): void;
  startWorker(): void;
  killWorker(crashed?: string): void; // crashed: why the worker is dead, to be reported
  stopWorker(): void; // in order
  tellWorker(message: ToWorker): void;
  checkWorker(): void; // another tab waits for it, and it may be dead
  startElection(yieldTo: readonly string[]): void;
  sendModules(): void;
  connectOwn(leader: string): void;
  follow(leader: string): void; // connect, and wait for the leader's lock; "lockFree" follows
  disconnect(): void;
  timer(timer: Timer, ms?: number): void; // that event follows after ms; without ms it does not
  // Those of ConnectionHandler.
  connected(): void;
  lost(crashed: boolean): void;
  blocked(now: boolean): void;
  outdated(): void;
  failed(error: HeddleError): void;
  destroyed(): void;
}

type Call<T> = { [K in keyof T]: T[K] extends (...args: infer A) => void ? [K, ...A] : never }[keyof T];
export type Effect = Call<Effects>;
export type Event = Call<Leadership["on"]>;
type Said<T> = Extract<TabsMessage | FromWorker, { t: T }>;

export class Leadership {
  phase: Phase = "suspended";
  /** welcome: the leader has answered. crashed: its engine is said to have died, and a call may be why. */
  link: { readonly leader: string; welcome: boolean; crashed: boolean } | undefined;
  /** Calls have waited for long without a sign of life. */
  blocked = false;
  readonly #tab: string;
  readonly #stalls = new StallDetector();
  #effects: Effect[] = [];
  #now = 0;
  #page: { visible: boolean; freezes: boolean };
  /** The locks of this tab are held: it may follow a leader. */
  #listening = false;
  /** Why the phase is "failed". */
  #failure: HeddleError | undefined;
  /** The leader that the last probe named. */
  #probed = "";
  /** The page has been hidden for long: a visible tab shall lead. */
  #offered = false;
  /** How often the locks were looked at since the leader was said to be gone. */
  #looks = 0;
  /** When workers died, within CRASH_WINDOW_MS. */
  #crashes: number[] = [];
  /** How many workers died in a row before they answered this tab. */
  #stillborn = 0;
  /** Locks of tabs of newer builds: while one is held, this tab's worker does not lead. */
  readonly #yieldTo: string[] = [];

  /** @param freezes the browser reports that it freezes a page (the freeze event) */
  constructor(tab: string, page: { visible: boolean; freezes: boolean }) {
    this.#tab = tab;
    this.#page = page;
  }

  /** Takes one event and returns what is to be done. */
  step([name, ...args]: Event, now: number): Effect[] {
    this.#effects = [];
    this.#now = now;
    const taken = this.#active || name === "resume" || name === "close" || name === "visibility";
    if (taken) (this.on[name] as (...args: unknown[]) => void)(...args);
    return this.#effects;
  }

  /** What a reply says when its turn has come, if it is still true. */
  reply(kind: Reply): TabsMessage | undefined {
    if (kind === "probeReply") return { t: kind, leader: this.#probed };
    if (kind === "canLead") return this.link && { t: kind, leader: this.link.leader };
    return this.#leads ? { t: kind, leader: this.link!.leader, tab: this.#tab } : undefined;
  }

  /** The events: of the page, of other tabs and of the worker by their messages' names, and of timers. */
  readonly on = {
    // ---- the page
    resume: () => {
      if (this.phase !== "suspended") return;
      this.#do("listen");
      this.#watchStalls();
      this.on.restart();
    },
    // The browser may stop the page and its worker at the end of this very event:
    // there is no time to ask the worker for anything.
    suspend: () => {
      const leader = this.#leads ? this.link!.leader : undefined;
      this.phase = "suspended";
      this.#do("killWorker");
      if (leader !== undefined) this.#post({ t: "leaderGone", leader, crashed: false });
      this.#leave();
      // A page that holds a lock gets no place in the back/forward cache. A page that
      // waits for the outcome of a write is better off without.
      this.#do("freeRecord", true);
    },
    close: () => {
      this.phase = "closed";
      this.#leave();
      this.#do("freeRecord", false);
      this.#do("stopWorker");
    },
    visibility: (page: { visible: boolean; freezes: boolean }) => {
      const { visible } = this.#page = page;
      if (!this.#active) return;
      this.#do("tellWorker", { t: "visible", visible });
      if (this.#leads) this.#leadHidden();
      else if (visible && this.link) this.#post({ t: "canLead", leader: this.link.leader });
    },
    /** The locks that tell of this tab's life are held. */
    locksHeld: () => {
      this.#listening = true;
      this.#do("openHandshake");
      this.#post({ t: "whoLeads" });
    },
    /** A call was sent. */
    sent: () => this.#watchStalls(),
    /** The leader, or its page, gave a sign of life. */
    sign: () => {
      this.#stalls.restart();
      this.#setBlocked(false);
    },

    // ---- other tabs
    leader: ({ leader }: Said<"leader">) => {
      if (this.#mayFollow(leader)) this.#do("checkLeads", leader);
    },
    leads: (leader: string) => {
      if (this.#mayFollow(leader)) this.#connect("follow", leader);
    },
    // Any script can say so: the leader has gone when its lock is free.
    leaderGone: ({ leader, crashed }: Said<"leaderGone">) => {
      if (leader !== this.link?.leader || this.#leads) return;
      this.link.crashed ||= crashed;
      this.#looks = 0;
      this.on.goneLook();
    },
    goneLook: () => {
      this.#do("timer", "goneLook");
      this.#do("checkGone", this.link!.leader);
    },
    goneChecked: (leader: string, gone: boolean) => {
      if (leader !== this.link?.leader) return;
      if (gone) this.#drop();
      else if (this.#looks < MAX_LOOKS) this.#do("timer", "goneLook", LEADER_GONE_MS * 2 ** this.#looks++);
    },
    // The lock of a leader may be free before the message comes that its engine died.
    lockFree: (leader: string) => {
      if (this.link && this.link.leader !== leader) return; // another leader is known already
      this.#do("tellWorker", { t: "retryLock" });
      if (this.link) this.#do("timer", "noCrashMessage", CRASH_MESSAGE_MS);
    },
    noCrashMessage: () => this.#drop(),
    // The leader's worker answers too, unless it is busy.
    whoLeads: () => {
      if (this.#leads) this.#do("reply", "leader");
    },
    probe: ({ leader }: Said<"probe">) => {
      if (!(this.#leads ? leader === this.link!.leader : this.phase === "opening")) return;
      this.#probed = leader;
      this.#do("checkWorker");
      this.#do("reply", "probeReply");
    },
    probeReply: ({ leader }: Said<"probeReply">) => {
      if (leader === (this.link?.leader ?? "")) this.on.sign();
    },
    offerLead: ({ leader }: Said<"offerLead">) => {
      if (leader === this.link?.leader && this.#page.visible) this.#do("reply", "canLead");
    },
    canLead: ({ leader }: Said<"canLead">) => {
      if (leader !== this.link?.leader || !this.#offered) return;
      this.#offered = false;
      this.#do("tellWorker", { t: "retire" });
    },
    hiddenLong: () => {
      this.#offered = true;
      this.#post({ t: "offerLead", leader: this.link!.leader });
    },
    connect: (_: Said<"connect">) => {}, // for the leader's worker
    destroy: () => this.#do("destroyed"),
    // A tab of a newer build shall lead. If it speaks another protocol, nothing is
    // left for this tab to do.
    newerBuild: ({ protocol, lock }: BuildMessage) => {
      if (protocol !== PROTOCOL) return this.#do("outdated");
      if (this.#yieldTo.includes(lock)) return;
      this.#yieldTo.push(lock);
      this.#do("tellWorker", { t: "retire" });
    },

    // ---- the link
    welcomed: () => {
      this.link!.welcome = true;
      if (this.#leads) this.#stillborn = 0;
      this.#do("timer", "othersTimeout");
      this.on.sign();
      this.#do("connected");
    },
    /** The leader is of an older build, and has not made room yet. */
    refused: () => {
      if (!this.link) return;
      this.#do("tellBuild");
      this.#do("timer", "refused", TELL_MS);
    },
    // oxlint-disable-next-line typescript/no-unnecessary-type-assertion -- tsc asks for it
    othersTimeout: () => this.#do("failed", this.#failure!),

    // ---- the worker
    restart: () => {
      this.phase = "loading";
      this.#do("startWorker");
    },
    loaded: () => {
      this.phase = "waiting";
      this.#do("startElection", [...this.#yieldTo]);
    },
    granted: () => {
      this.phase = "opening";
      this.#do("sendModules");
    },
    leading: ({ leader }: Said<"leading">) => {
      this.phase = "leading";
      this.#connect("connectOwn", leader);
      this.#leadHidden();
    },
    stopped: () => {
      this.#ended();
      this.on.restart();
    },
    // The failure matters only while no other tab leads.
    failed: ({ failure }: { failure: Failure }) => {
      const { code, message, sql } = failure;
      this.phase = "failed";
      this.#do("killWorker");
      this.#failure = failure instanceof HeddleError ? failure : new HeddleError(code as ErrorCode, message, { sql });
      if (!this.link) this.#do("failed", this.#failure);
    },
    /** The worker, which was loaded, threw; or its engine crashed; or it does not answer. */
    crashed: ({ message }: { message: string }) => {
      const answered = this.#leads && this.link!.welcome;
      this.#ended(message);
      if (!answered && ++this.#stillborn >= MAX_STILLBORN) {
        const why = `the engine died ${MAX_STILLBORN} times before it answered: ${message}`;
        return this.on.failed({ failure: { code: "HEDDLE_ENGINE_CRASH", message: why } });
      }
      const pause = this.#pauseMs();
      if (pause === 0) this.on.restart();
      else this.#do("timer", "restart", pause);
    },

    // ---- stalls
    /** busy: calls wait for an answer. */
    stallTick: (busy: boolean) => {
      if (this.link?.welcome && (this.#leads || !busy)) { // nothing waits for another tab
        this.#stalls.end();
        return this.#setBlocked(false);
      }
      // While this tab's own worker starts, no other tab is in the way.
      if (this.phase === "loading" || this.phase === "opening") this.#stalls.restart();
      this.#do("timer", "stallTick", TICK_MS);
      const { probe, stalled } = this.#stalls.tick(this.#now);
      if (probe) this.#post({ t: "probe", leader: this.link?.leader ?? "" });
      if (probe && !this.link) this.#post({ t: "whoLeads" });
      if (stalled) this.#setBlocked(true);
    },
  };

  get #active(): boolean {
    return this.phase !== "suspended" && this.phase !== "closed";
  }

  get #leads(): boolean {
    return this.phase === "leading";
  }

  #do(...effect: Effect): void {
    this.#effects.push(effect);
  }

  #post(message: TabsMessage): void {
    this.#do("post", message);
  }

  #leave(): void {
    this.#listening = false;
    this.#failure = undefined;
    this.#stalls.end();
    for (const timer of ["stallTick", "othersTimeout", "restart"] as const) this.#do("timer", timer);
    this.#drop();
    this.#do("unlisten");
  }

  // A leader whose page is hidden, in a browser that suspends pages without a
  // word: the other tabs would wait for as long as it sleeps. So it makes room in
  // time, if a visible tab takes the lead; not at each switch of tabs. Where a
  // browser reports a freeze, the leader goes then.
  #leadHidden(): void {
    this.#offered = false;
    this.#do("timer", "hiddenLong", this.#page.visible || this.#page.freezes ? undefined : HANDOVER_MS);
  }

  // While this tab's own worker leads, no other does.
  #mayFollow(leader: string): boolean {
    return this.#listening && !this.#leads && leader !== this.link?.leader;
  }

  #connect(how: "connectOwn" | "follow", leader: string): void {
    this.#drop();
    this.link = { leader, welcome: false, crashed: false };
    this.#do(how, leader);
  }

  // Whether the leader's engine died is kept in the link: the next leader may be
  // known before the lock of a dead one is free.
  #drop(): void {
    const { link } = this;
    if (!link) return;
    this.link = undefined;
    this.#offered = false;
    for (const timer of ["goneLook", "noCrashMessage", "hiddenLong", "refused"] as const) this.#do("timer", timer);
    this.#do("disconnect");
    if (link.welcome) {
      this.#stalls.restart();
      this.#do("lost", link.crashed);
    }
    if (!this.#active) return;
    this.#watchStalls();
    if (this.#failure) this.#do("timer", "othersTimeout", OTHERS_MS);
  }

  // The worker has ended. If it led, whoever leads now was not listened to.
  #ended(crashed?: string): void {
    const led = this.#leads;
    this.phase = "restarting";
    this.#do("killWorker", crashed);
    if (!led) return;
    const link = this.link!;
    link.crashed = crashed !== undefined;
    if (link.crashed) this.#post({ t: "leaderGone", leader: link.leader, crashed: true });
    this.#drop();
    this.#post({ t: "whoLeads" });
  }

  // Something kills each engine that this page starts; another page may do better meanwhile.
  #pauseMs(): number {
    this.#crashes = [...this.#crashes.filter((at) => this.#now - at < CRASH_WINDOW_MS), this.#now];
    const over = this.#crashes.length - FREE_CRASHES;
    return over < 0 ? 0 : Math.min(PAUSE_MS * 2 ** over, MAX_PAUSE_MS);
  }

  #watchStalls(): void {
    if (this.#stalls.begin(this.#now)) this.#do("timer", "stallTick", TICK_MS);
  }

  #setBlocked(now: boolean): void {
    if (now === this.blocked) return;
    this.blocked = now;
    this.#do("blocked", now);
  }
}
