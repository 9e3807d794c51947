// One tab's connection to whoever leads its database: its own worker, or
// another tab's. Implements what the database above needs (transport.ts).

import { noteAbort, shareAborts } from "./aborts.js";
import { HeddleError } from "./errors.js";
import { Host } from "./host.js";
import type { HostOptions } from "./host.js";
import { channelLine, portLine } from "./line.js";
import type { Line } from "./line.js";
import { commitsChannel, lineChannel, randomId, recordLockPrefix, tabLockPrefix, tabsChannel } from "./names.js";
import type { FromBroker, TabsMessage, ToBroker } from "./protocol.js";
import { brokerPort } from "./start.js";
import type { Connection, ConnectionHandler } from "./transport.js";
import type { Role, Storage } from "./types.js";

/** How long the broker's way may take before the BroadcastChannel is tried beside it; then how often that asks. */
const BROKER_MS = 1_500;
const ASK_MS = 1_000;
/** How long a tab waits for its first leader, and for a next one, before it says that another tab is in the way. */
const BLOCKED_MS = 20_000;
const BLOCKED_LATER_MS = 60_000;

/** A line that a leader has not answered yet, or the one in use. */
interface Link {
  leader: string;
  own: boolean;
  line: Line | undefined;
  /** Memory that tells the worker what is aborted, where there can be one. */
  aborts: Int32Array | undefined;
  welcome: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** A lock that is held from take() to free(). */
class RecordLock {
  readonly #name: string;
  #held: Promise<void> | undefined;
  #end: AbortController | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  take(): Promise<void> {
    this.#held ??= new Promise((resolve) => {
      const end = this.#end = new AbortController();
      void navigator.locks.request(this.#name, () => {
        resolve();
        return new Promise<void>((free) => {
          if (end.signal.aborted) free();
          else end.signal.addEventListener("abort", () => free());
        });
      });
    });
    return this.#held;
  }

  free(): void {
    this.#held = undefined;
    this.#end?.abort();
  }
}

export class Tab implements Connection {
  readonly session: string;
  /** What the names of locks and channels are made of. */
  readonly #scope: string;
  readonly #host: Host;
  readonly #destroyed: () => void;
  #handler: ConnectionHandler | undefined;
  #tabs: BroadcastChannel | undefined;
  #commits: BroadcastChannel | undefined;
  #broker: MessagePort | null | undefined;
  #link: Link | undefined;
  #attempts: Line[] = [];
  #role: Role = "follower";
  /** Ends what #begin started. */
  #awake = new AbortController();
  /** Set while this tab holds the lock that tells leaders that it listens. */
  #freeLock: (() => void) | undefined;
  /** The lock that keeps the record of its writes. */
  readonly #record: RecordLock;
  #blocked: ReturnType<typeof setTimeout> | undefined;
  /** Set while the browser keeps the page aside: everything is let go of. */
  #asleep = false;
  #closed = false;
  /** Why our own worker will not lead. It matters only when nobody else does. */
  #failure: HeddleError | undefined;

  constructor(options: Omit<HostOptions, "tab" | "scope">, destroyed: () => void) {
    this.session = randomId();
    // A database in memory is its page's own: nobody else is in its scope.
    this.#scope = options.memory ? `${options.name}:memory:${this.session}` : options.name;
    this.#destroyed = destroyed;
    this.#record = new RecordLock(recordLockPrefix(this.#scope) + this.session);
    this.#host = new Host(
      { ...options, scope: this.#scope, tab: this.session },
      {
        granted: () => this.#waitFor(undefined),
        leading: (leader) => this.#lead(leader),
        crashed: (leader) => this.#crashed(leader),
        retired: (leader) => {
          if (leader === this.#link?.leader) this.#drop();
        },
        failed: (error) => this.#fail(error),
      },
    );
  }

  get role(): Role {
    return this.#role;
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
    this.#host.setStorage(storage);
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (this.#link?.welcome) this.#link.line?.send(message);
  }

  interrupt(id: number): void {
    if (this.#link?.aborts) noteAbort(this.#link.aborts, id);
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
    await this.#host.stop();
  }

  // ---- waking and sleeping -------------------------------------------------

  #begin(): void {
    this.#asleep = false;
    this.#failure = undefined;
    const awake = new AbortController();
    this.#awake = awake;
    const tabs = new BroadcastChannel(tabsChannel(this.#scope));
    this.#tabs = tabs;
    tabs.onmessage = ({ data }: MessageEvent<TabsMessage>) => this.#hear(data);
    this.#commits = new BroadcastChannel(commitsChannel(this.#scope));
    this.#commits.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof Uint8Array) this.#handler?.broadcast(data);
    };
    this.#broker = brokerPort((message) => this.#fromBroker(message as FromBroker), awake.signal);
    this.#waitFor(BLOCKED_MS);
    const recorded = this.#record.take();
    // The locks have to be ours before a leader is asked for a line: it takes their absence for our end.
    void navigator.locks.request(tabLockPrefix(this.#scope) + this.session, async () => {
      await recorded;
      if (awake.signal.aborted) return;
      const held = new Promise<void>((resolve) => {
        this.#freeLock = resolve;
      });
      this.#post({ t: "who" });
      return held;
    });
    this.#host.start();
  }

  #leave(): void {
    this.#awake.abort();
    this.#waitFor(undefined);
    this.#drop();
    this.#freeLock?.();
    this.#freeLock = undefined;
    this.#tabs?.close();
    this.#tabs = undefined;
    this.#commits?.close();
    this.#commits = undefined;
  }

  readonly #onVisibility = () => this.#host.setVisible(document.visibilityState === "visible");

  // The browser may stop this page and its worker at the end of this very
  // event: there is no time to ask the worker for anything.
  readonly #sleep = () => {
    if (this.#asleep || this.#closed) return;
    this.#asleep = true;
    const leader = this.#host.kill();
    if (leader !== undefined) this.#post({ t: "bye", leader, crashed: false });
    this.#leave();
    // A page that holds a lock gets no place in the back/forward cache. One that
    // waits for the outcome of a write is better off without.
    if (!this.#handler?.unsettled) this.#record.free();
  };

  readonly #wake = () => {
    if (this.#asleep && !this.#closed) this.#begin();
  };

  // ---- leaders come and go ---------------------------------------------------

  #post(message: TabsMessage): void {
    this.#tabs?.postMessage(message);
  }

  #hear(message: TabsMessage): void {
    switch (message.t) {
      case "leader":
        if (message.tab === this.session || message.leader === this.#link?.leader) break;
        if (this.#freeLock) this.#follow(message.leader); // else we ask again
        break;
      case "bye":
        if (message.leader === this.#link?.leader && !this.#link.own) this.#drop(message.crashed);
        break;
      case "destroy":
        this.#destroyed();
        break;
    }
  }

  // Our own worker leads.
  #lead(leader: string): void {
    const link = this.#replace(leader, true);
    const { port1, port2 } = new MessageChannel();
    const line = portLine(port1);
    this.#attempt(link, line);
    this.#host.connect(port2, "connect");
    link.aborts = shareAborts(line);
    if (!this.#broker) return;
    const way = new MessageChannel();
    this.#broker.postMessage({ t: "register", name: this.#scope, leader } satisfies ToBroker, [way.port1]);
    this.#host.connect(way.port2, "registry");
  }

  // Another tab's worker leads.
  #follow(leader: string): void {
    const link = this.#replace(leader, false);
    if (!this.#broker) {
      this.#ask(link);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    this.#attempt(link, portLine(port1));
    const message: ToBroker = { t: "connect", name: this.#scope, leader, tab: this.session };
    this.#broker.postMessage(message, [port2]);
    link.timer = setTimeout(() => this.#ask(link), BROKER_MS);
  }

  #fromBroker(message: FromBroker): void {
    const link = this.#link;
    if (message.t !== "none" || message.name !== this.#scope || !link || link.leader !== message.leader) return;
    if (!link.own && !link.welcome) this.#ask(link);
  }

  // Asks the leader for a line over a BroadcastChannel, until it answers.
  #ask(link: Link): void {
    clearTimeout(link.timer);
    this.#attempt(link, channelLine(lineChannel(this.#scope, link.leader, this.session)));
    const ask = () => {
      if (this.#link !== link || link.welcome) return;
      this.#post({ t: "connect", leader: link.leader, tab: this.session });
      link.timer = setTimeout(ask, ASK_MS);
    };
    ask();
  }

  // The first line that is welcomed wins; the others are left.
  #attempt(link: Link, line: Line): void {
    this.#attempts.push(line);
    line.open({
      bytes: (message) => {
        if (this.#link === link && link.line === line) this.#handler?.message(message);
      },
      says: ({ t }) => {
        if (t !== "welcome" || this.#link !== link || link.welcome) return;
        link.welcome = true;
        link.line = line;
        clearTimeout(link.timer);
        for (const other of this.#attempts) if (other !== line) leave(other);
        this.#attempts = [];
        this.#role = link.own ? "leader" : "follower";
        this.#waitFor(undefined);
        this.#handler?.connected();
      },
    });
  }

  #replace(leader: string, own: boolean): Link {
    this.#drop();
    this.#link = { leader, own, line: undefined, aborts: undefined, welcome: false, timer: undefined };
    return this.#link;
  }

  // Ends the line in use and those tried.
  #drop(crashed = false): void {
    const link = this.#link;
    this.#link = undefined;
    this.#role = "follower";
    for (const line of this.#attempts) leave(line);
    this.#attempts = [];
    if (!link) return;
    clearTimeout(link.timer);
    if (link.line) leave(link.line);
    if (!link.welcome) return;
    this.#handler?.lost(crashed);
    if (!this.#asleep && !this.#closed) this.#waitFor(BLOCKED_LATER_MS);
  }

  #crashed(leader: string | undefined): void {
    if (leader === undefined) return;
    this.#post({ t: "bye", leader, crashed: true });
    if (this.#link?.leader === leader) this.#drop(true);
  }

  #fail(error: HeddleError): void {
    this.#failure = error;
    if (this.#link) return; // another tab leads
    this.#waitFor(undefined);
    this.#handler?.failed(error);
  }

  // Bounds the wait for a leader; undefined: there is one, or ours is starting.
  #waitFor(ms: number | undefined): void {
    clearTimeout(this.#blocked);
    if (ms === undefined) return;
    this.#blocked = setTimeout(() => {
      const blocked = `another tab holds the database "${this.#scope}" and does not answer; close that tab, or bring it to the front`;
      this.#handler?.failed(this.#failure ?? new HeddleError("HEDDLE_BLOCKED", blocked));
    }, ms);
  }
}

function leave(line: Line): void {
  line.say({ t: "leave" });
  line.close();
}
