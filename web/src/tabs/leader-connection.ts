// One tab's connection to whoever leads its database: its own worker, or
// another tab's. Implements what the database above needs (rpc/connection.ts).

import { noteAbort, shareAborts } from "../shared/abort-flags.js";
import { ANSWER_MS, BYE_MS, OTHERS_MS, TELL_MS, WORD_MS } from "../shared/bounds.js";
import { VersionHandshake } from "./version-handshake.js";
import { LockHolders, leads } from "../shared/lock-holders.js";
import { HeddleError } from "../shared/errors.js";
import type { Assets } from "./assets.js";
import { Handover } from "./handover.js";
import { WorkerSupervisor } from "./worker-supervisor.js";
import type { SupervisorOptions } from "./worker-supervisor.js";
import { portOver } from "../shared/port.js";
import { Link } from "./link.js";
import { HeldLock, whenFree } from "../shared/locks.js";
import { commitsChannel, leaderLock, randomId, recordLockPrefix, tabLockPrefix, tabsChannel } from "../shared/names.js";
import type { BuildMessage, FromBroker, TabsMessage, ToBroker } from "../shared/messages.js";
import { Throttle } from "../shared/throttle.js";
import { take } from "../shared/message-shapes.js";
import { brokerPort } from "./scripts.js";
import type { Connection, ConnectionHandler } from "../rpc/connection.js";
import type { Role, Storage } from "../shared/types.js";
import { PROTOCOL } from "../shared/version.js";
import { StallDetector } from "./stall-detector.js";

/** How often it is looked, at first and then in ever longer pauses, whether a leader that said goodbye has freed its lock. */
const BYE_LOOKS = 8;
/** The largest announcement of a commit (broadcast.MaxSize), with room for a newer build's. */
const MAX_ANNOUNCEMENT = 1 << 20;

export class LeaderConnection implements Connection {
  readonly session: string;
  /** What the names of locks and channels are made of. */
  readonly #scope: string;
  readonly #worker: WorkerSupervisor;
  readonly #destroyed: () => void;
  readonly #stalls: StallDetector;
  readonly #handshake: VersionHandshake;
  readonly #handover: Handover;
  readonly #lockHolders = new LockHolders();
  readonly #announce = new Throttle(ANSWER_MS, () => {
    if (this.#link?.own) this.#post({ t: "leader", leader: this.#link.leader, tab: this.session });
  });
  readonly #replyProbe = new Throttle(ANSWER_MS, () => {
    this.#post({ t: "probeReply", leader: this.#asked });
  });
  /** Which leader's page was asked for. */
  #asked = "";
  readonly #replyCanLead = new Throttle(ANSWER_MS, () => {
    if (this.#link) this.#post({ t: "canLead", leader: this.#link.leader });
  });
  #handler: ConnectionHandler | undefined;
  #tabs: BroadcastChannel | undefined;
  #commits: BroadcastChannel | undefined;
  #broker: MessagePort | null = null;
  #link: Link | undefined;
  /** Memory that tells our own worker, if it leads, what is aborted, where there can be one. */
  #aborts: Int32Array | undefined;
  #role: Role = "follower";
  /** Ends what #begin started. */
  #awake = new AbortController();
  /** Held while this tab listens: leaders take its absence for our end. */
  readonly #listens: HeldLock;
  readonly #assets: Assets;
  /** Held while something may still be asked of the record of our writes. */
  readonly #record: HeldLock;
  #others: ReturnType<typeof setTimeout> | undefined;
  /** Our own worker has the lock and opens the database. */
  #starting = false;
  /** Our locks are held: leaders may be asked for a port. */
  #listening = false;
  /** Set while the browser keeps the page aside: everything is let go of. */
  #asleep = false;
  #closed = false;
  /** Why our own worker will not lead. It matters only when nobody else does. */
  #failure: HeddleError | undefined;

  constructor(
    options: Omit<SupervisorOptions, "tab" | "scope" | "yieldTo"> & { migrations: number }, assets: Assets, destroyed: () => void,
  ) {
    this.#assets = assets;
    this.session = randomId();
    // A database in memory is its page's own: nobody else is in its scope.
    this.#scope = options.memory ? `${options.name}:memory:${this.session}` : options.name;
    this.#destroyed = destroyed;
    this.#listens = new HeldLock(tabLockPrefix(this.#scope) + this.session);
    this.#record = new HeldLock(recordLockPrefix(this.#scope) + this.session);
    this.#handshake = new VersionHandshake(options.migrations, tabLockPrefix(this.#scope) + this.session, this.#lockHolders, (build) => this.#newer(build));
    this.#stalls = new StallDetector({
      waits: () => this.#waits(),
      ask: () => {
        this.#post({ t: "probe", leader: this.#link?.leader ?? "" });
        if (!this.#link) this.#post({ t: "whoLeads" });
      },
      blocked: (now) => this.#handler?.blocked(now),
    });
    this.#handover = new Handover({
      ask: () => {
        if (this.#link?.own) this.#post({ t: "offerLead", leader: this.#link.leader });
      },
      retire: () => this.#worker.retire(),
    });
    this.#worker = new WorkerSupervisor(
      { ...options, scope: this.#scope, tab: this.session, yieldTo: [] },
      assets,
      {
        granted: () => { this.#starting = true; },
        leading: (leader) => this.#lead(leader),
        crashed: (leader) => this.#crashed(leader),
        retired: (leader) => {
          if (leader === this.#link?.leader) this.#dropOwn();
        },
        failed: (error) => this.#fail(error),
      },
    );
  }

  get role(): Role {
    return this.#role;
  }

  get blocked(): boolean {
    return this.#stalls.blocked;
  }

  start(handler: ConnectionHandler): void {
    this.#handler = handler;
    document.addEventListener("visibilitychange", this.#onVisibility);
    addEventListener("pagehide", this.#sleep);
    addEventListener("pageshow", this.#wake);
    document.addEventListener("freeze", this.#sleep);
    document.addEventListener("resume", this.#wake);
    this.#begin();
  }

  setStorage(storage: Storage): void {
    this.#worker.setStorage(storage);
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (!this.#link?.welcome) return;
    this.#link.send(message);
    this.#stalls.begin();
  }

  interrupt(id: number): void {
    if (this.#aborts) noteAbort(this.#aborts, id);
  }

  refused(): void {
    const link = this.#link;
    const tell = () => {
      if (this.#link !== link) return;
      this.#handshake.tell();
      setTimeout(tell, TELL_MS);
    };
    tell();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler = undefined;
    document.removeEventListener("visibilitychange", this.#onVisibility);
    removeEventListener("pagehide", this.#sleep);
    removeEventListener("pageshow", this.#wake);
    document.removeEventListener("freeze", this.#sleep);
    document.removeEventListener("resume", this.#wake);
    this.#leave();
    this.#record.free();
    await this.#worker.stop();
  }

  // ---- waking and sleeping -------------------------------------------------

  #begin(): void {
    this.#asleep = false;
    this.#failure = undefined;
    const awake = new AbortController();
    this.#awake = awake;
    const tabs = new BroadcastChannel(tabsChannel(this.#scope));
    this.#tabs = tabs;
    tabs.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = take.tabs(data);
      if (message) this.#hear(message);
    };
    this.#commits = new BroadcastChannel(commitsChannel(this.#scope));
    this.#commits.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof Uint8Array && data.length <= MAX_ANNOUNCEMENT) this.#handler?.broadcast(data);
    };
    this.#meetBroker();
    this.#stalls.begin();
    // The locks have to be ours before anybody is asked for anything.
    void Promise.all([this.#listens.take(), this.#record.take()]).then(() => {
      if (awake.signal.aborted) return;
      this.#listening = true;
      this.#handshake.open(this.#scope);
      this.#post({ t: "whoLeads" });
    });
    this.#worker.start();
  }

  #leave(): void {
    this.#awake.abort();
    clearTimeout(this.#others);
    this.#handover.end();
    this.#starting = false;
    this.#listening = false;
    for (const answer of [this.#announce, this.#replyProbe, this.#replyCanLead]) answer.end();
    this.#lockHolders.end();
    this.#drop();
    this.#stalls.end();
    this.#listens.free();
    this.#handshake.close();
    this.#tabs?.close();
    this.#tabs = undefined;
    this.#commits?.close();
    this.#commits = undefined;
    this.#broker?.close();
    this.#broker = null;
  }

  readonly #onVisibility = () => {
    const visible = document.visibilityState === "visible";
    this.#worker.setVisible(visible);
    if (this.#link?.own) this.#handover.visible(visible);
    else if (visible && this.#link) this.#post({ t: "canLead", leader: this.#link.leader });
  };

  // The browser may stop this page and its worker at the end of this very
  // event: there is no time to ask the worker for anything.
  readonly #sleep = () => {
    if (this.#asleep || this.#closed) return;
    this.#asleep = true;
    const leader = this.#worker.kill();
    if (leader !== undefined) this.#post({ t: "leaderGone", leader, crashed: false });
    this.#leave();
    // A page that holds a lock gets no place in the back/forward cache. One that
    // waits for the outcome of a write is better off without.
    if (!this.#handler?.unsettled) this.#record.free();
  };

  readonly #wake = () => {
    if (this.#asleep && !this.#closed) this.#begin();
  };

  // Whether something waits for a leader, or for what it answers.
  #waits(): boolean {
    if (this.#closed || this.#asleep) return false;
    if (this.#starting || this.#worker.loading) this.#stalls.restart(); // nobody else is in the way
    const link = this.#link;
    return !link?.welcome || (!link.own && this.#handler?.busy === true);
  }

  // ---- leaders come and go ---------------------------------------------------

  #post(message: TabsMessage): void {
    this.#tabs?.postMessage(message);
  }

  #hear(message: TabsMessage): void {
    const link = this.#link;
    switch (message.t) {
      case "leader":
        this.#claimed(message.leader);
        break;
      case "leaderGone":
        if (link && message.leader === link.leader && !link.own) this.#goes(link, message.crashed);
        break;
      case "whoLeads": // its worker answers too, unless it is busy
        this.#announce.run();
        break;
      case "probe":
        if (!(link?.own ? message.leader === link.leader : this.#starting)) break;
        this.#asked = message.leader;
        this.#replyProbe.run();
        break;
      case "probeReply":
        if (message.leader === (link?.leader ?? "")) this.#stalls.heard();
        break;
      case "offerLead":
        if (link?.leader === message.leader && document.visibilityState === "visible") this.#replyCanLead.run();
        break;
      case "canLead":
        if (link?.own && link.leader === message.leader) this.#handover.accepted();
        break;
      case "destroy":
        this.#destroyed();
        break;
    }
  }

  // Somebody says that this leader leads. While our own worker leads nobody else does; otherwise the locks tell.
  #claimed(leader: string): void {
    if (!this.#listening || this.#link?.own || leader === this.#link?.leader) return;
    this.#lockHolders.check(`leader ${leader}`, (holders) => {
      if (!leads(holders, this.#scope, leader)) return;
      if (this.#listening && !this.#link?.own && leader !== this.#link?.leader) this.#follow(leader);
    });
  }

  // The leader has said goodbye, or somebody in its name: it has gone when its lock is free.
  #goes(link: Link, crashed: boolean, look = 0): void {
    link.crashed ||= crashed;
    this.#lockHolders.check(`bye ${link.leader}`, (holders) => {
      if (this.#link !== link) return;
      if (!holders.has(leaderLock(this.#scope, link.leader))) this.#drop();
      else if (look < BYE_LOOKS) setTimeout(() => this.#goes(link, crashed, look + 1), BYE_MS * 2 ** look);
    });
  }

  // Our own worker leads.
  #lead(leader: string): void {
    this.#starting = false;
    this.#meetBroker();
    const link = this.#replace(leader, true);
    const { port1, port2 } = new MessageChannel();
    const port = portOver(port1);
    link.byPort(port);
    this.#worker.connect(port2, "connect");
    this.#aborts = shareAborts(port);
    this.#handover.visible(document.visibilityState === "visible");
    if (!this.#broker) return;
    const way = new MessageChannel();
    this.#broker.postMessage({ t: "register", name: this.#scope, leader } satisfies ToBroker, [way.port1]);
    this.#worker.connect(way.port2, "registry");
  }

  // Another tab's worker leads.
  #follow(leader: string): void {
    if (!this.#tabs) return;
    this.#meetBroker();
    const link = this.#replace(leader, false);
    if (this.#broker) link.byBroker(this.#broker);
    else link.byChannel();
    whenFree(leaderLock(this.#scope, leader), this.#awake.signal).then(() => {
      if (this.#link && this.#link !== link) return; // another leads already
      this.#worker.retryLock();
      setTimeout(() => {
        if (this.#link === link) this.#drop();
      }, WORD_MS);
    }, () => {});
  }

  // The broker may have lived in the tab that has just died, and nothing tells.
  #meetBroker(): void {
    this.#broker?.close();
    this.#broker = brokerPort(this.#assets, (message) => this.#fromBroker(message));
  }

  #fromBroker(message: FromBroker): void {
    const link = this.#link;
    if (message.t === "none" && message.name === this.#scope && link?.leader === message.leader && !link.own) link.byChannel();
  }

  #replace(leader: string, own: boolean): Link {
    this.#drop();
    const link: Link = new Link({ scope: this.#scope, tab: this.session, leader, own }, {
      ask: () => this.#post({ t: "connect", leader, tab: this.session }),
      bytes: (message) => {
        this.#stalls.heard();
        this.#handler?.message(message);
      },
      welcomed: () => {
        this.#role = own ? "leader" : "follower";
        clearTimeout(this.#others);
        this.#stalls.heard();
        this.#handler?.connected();
      },
    });
    this.#link = link;
    return link;
  }

  // Ends the port in use and those tried. Whether the leader's engine died is known from the link: the next
  // leader may be here before the lock of a dead one is free.
  #drop(): void {
    const link = this.#link;
    this.#link = undefined;
    this.#aborts = undefined;
    this.#role = "follower";
    this.#handover.end();
    link?.end();
    if (!link?.welcome) return;
    this.#stalls.restart();
    this.#handler?.lost(link.crashed);
    if (this.#asleep || this.#closed) return;
    this.#stalls.begin();
    if (this.#failure) this.#waitForOthers(this.#failure);
  }

  #crashed(leader: string | undefined): void {
    this.#starting = false;
    if (leader === undefined) return;
    this.#post({ t: "leaderGone", leader, crashed: true });
    if (this.#link?.leader !== leader) return;
    this.#link.crashed = true;
    this.#dropOwn();
  }

  // Our worker led until now; whoever leads after it was not listened to.
  #dropOwn(): void {
    this.#drop();
    this.#post({ t: "whoLeads" });
  }

  #fail(error: HeddleError): void {
    this.#starting = false;
    this.#failure = error;
    if (!this.#link) this.#handler?.failed(error); // else another tab leads
  }

  #waitForOthers(error: HeddleError): void {
    clearTimeout(this.#others);
    this.#others = setTimeout(() => this.#handler?.failed(error), OTHERS_MS);
  }

  // A tab of a newer build lives: it shall lead. If it speaks another language,
  // there is nothing left for this one.
  #newer({ protocol, lock }: BuildMessage): void {
    if (protocol === PROTOCOL) this.#worker.yieldLead(lock);
    else this.#handler?.outdated(new HeddleError("HEDDLE_OUTDATED", "a newer build of this app is open in another tab: reload this page"));
  }
}
