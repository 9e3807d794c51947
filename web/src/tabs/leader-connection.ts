// One tab's connection to the leader of its database: its own worker, or another
// tab's. Implements what the database above needs (rpc/connection.ts). What is
// done when, leadership.ts decides; here its effects are carried out.

import { noteAbort, shareAborts } from "../shared/abort-flags.js";
import { ANSWER_MS } from "../shared/bounds.js";
import { HeddleError, asHeddleError } from "../shared/errors.js";
import { LockHolders, leads } from "../shared/lock-holders.js";
import { HeldLock, whenFree } from "../shared/locks.js";
import { takeTabs } from "../shared/message-shapes.js";
import type { FromBroker, ToBroker, WorkerOptions } from "../shared/messages.js";
import { commitsChannel, leaderLock, randomId, recordLockPrefix, tabLockPrefix, tabsChannel } from "../shared/names.js";
import { portOver } from "../shared/port.js";
import { Throttle } from "../shared/throttle.js";
import type { Role, Storage } from "../shared/types.js";
import type { Connection, ConnectionHandler } from "../rpc/connection.js";
import type { Assets } from "./assets.js";
import { Leadership } from "./leadership.js";
import type { Effects, Event, Reply, Timer } from "./leadership.js";
import { Link } from "./link.js";
import { brokerPort, pageWorkers } from "./scripts.js";
import { VersionHandshake } from "./version-handshake.js";
import { WorkerSupervisor } from "./worker-supervisor.js";

/** The largest announcement of a commit (broadcast.MaxSize), with room for a newer build's. */
const MAX_ANNOUNCEMENT = 1 << 20;

export class LeaderConnection implements Connection {
  readonly session = randomId();
  /** What the names of locks and channels are made of. */
  readonly #scope: string;
  readonly #assets: Assets;
  readonly #leadership: Leadership;
  readonly #worker: WorkerSupervisor;
  readonly #handshake: VersionHandshake;
  readonly #lockHolders = new LockHolders();
  readonly #replies: Partial<Record<Reply, Throttle>> = {};
  readonly #timers = new Map<Timer, ReturnType<typeof setTimeout>>();
  /** Held while this tab listens: for leaders its absence is the tab's end. */
  readonly #listens: HeldLock;
  /** Held while a leader may still be asked for the outcome of a write of this tab. */
  readonly #record: HeldLock;
  #handler: ConnectionHandler | undefined;
  #channels: BroadcastChannel[] = [];
  #broker: MessagePort | null = null;
  #link: Link | undefined;
  /** Memory that tells this tab's own worker, if it leads, what is aborted, where memory can be shared. */
  #aborts: Int32Array | undefined;
  /** Ends the waits for locks of "listen" and "follow". */
  #listening = new AbortController();
  /** Ends the events of the page. */
  readonly #closing = new AbortController();
  #closed: () => void = () => {};
  /** Events that came while effects are carried out. */
  readonly #events: Event[] = [];
  #busy = false;
  readonly #effects: Effects;

  constructor(
    options: Omit<WorkerOptions, "tab" | "scope" | "parts"> & { migrations: number }, assets: Assets,
    destroyed: () => void,
  ) {
    const { session } = this;
    this.#assets = assets;
    // A database in memory is its page's own: no other page is in its scope.
    const scope = this.#scope = options.memory ? `${options.name}:memory:${session}` : options.name;
    const lock = tabLockPrefix(scope) + session;
    this.#listens = new HeldLock(lock);
    this.#record = new HeldLock(recordLockPrefix(scope) + session);
    this.#leadership = new Leadership(session, pageState());
    this.#handshake = new VersionHandshake(
      options.migrations, lock, this.#lockHolders, (build) => this.#take(["newerBuild", build]));
    this.#worker = new WorkerSupervisor(
      { ...options, scope, tab: session,
        parts: { rest: assets.href("heddleRest"), sealed: assets.href("heddleSealed") } }, pageWorkers(assets, scope),
      (event) => this.#take(event));
    this.#effects = this.#carryOut(destroyed);
  }

  get role(): Role {
    const { phase, link } = this.#leadership;
    return phase === "leading" && link?.welcome ? "leader" : "follower";
  }

  get blocked(): boolean {
    return this.#leadership.blocked;
  }

  start(handler: ConnectionHandler): void {
    this.#handler = handler;
    // A page that is rendered ahead gets neither locks nor workers before it is shown.
    const { signal } = this.#closing;
    const ahead = typeof document !== "undefined" && "prerendering" in document && document.prerendering;
    if (!ahead) return this.#begin();
    document.addEventListener("prerenderingchange", () => this.#begin(), { once: true, signal });
  }

  #begin(): void {
    const { signal } = this.#closing;
    const visibility = () => this.#take(["visibility", pageState()]);
    const suspend = () => this.#take(["suspend"]);
    const resume = () => this.#take(["resume"]);
    if (typeof document !== "undefined") {
      document.addEventListener("visibilitychange", visibility, { signal });
      addEventListener("pagehide", suspend, { signal });
      addEventListener("pageshow", resume, { signal });
      document.addEventListener("freeze", suspend, { signal });
      document.addEventListener("resume", resume, { signal });
    }
    resume();
  }

  setStorage(storage: Storage): void {
    this.#worker.setStorage(storage);
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (!this.#leadership.link?.welcome) return;
    this.#link!.send(message);
    this.#take(["sent"]);
  }

  interrupt(id: number): void {
    if (this.#aborts) noteAbort(this.#aborts, id);
  }

  refused(): void {
    this.#take(["refused"]);
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#handler = undefined;
    this.#closing.abort();
    await new Promise<void>((resolve) => {
      this.#closed = resolve;
      this.#take(["close"]);
    });
  }

  // An event that an effect causes is taken after the other effects.
  #take(event: Event): void {
    this.#events.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next; (next = this.#events.shift());) {
        for (const [name, ...args] of this.#leadership.step(next, performance.now())) {
          (this.#effects[name] as (...args: unknown[]) => void)(...args);
        }
      }
    } finally {
      this.#busy = false;
    }
  }

  #carryOut(destroyed: () => void): Effects {
    const worker = this.#worker;
    const handshake = this.#handshake;
    return {
      listen: () => this.#listen(),
      unlisten: () => this.#unlisten(),
      freeRecord: (unlessUnsettled) => {
        if (!unlessUnsettled || !this.#handler?.unsettled) this.#record.free();
      },
      post: (message) => this.#channels[0]?.postMessage(message),
      reply: (kind) => {
        const reply = this.#replies[kind] ??= new Throttle(ANSWER_MS, () => {
          const message = this.#leadership.reply(kind);
          if (message) this.#effects.post(message);
        });
        reply.run();
      },
      checkLeads: (leader) => this.#lockHolders.check(`leads ${leader}`, (holders) => {
        if (leads(holders, this.#scope, leader)) this.#take(["leads", leader]);
      }),
      checkGone: (leader) => this.#lockHolders.check(`gone ${leader}`, (holders) => {
        this.#take(["goneChecked", leader, !holders.has(leaderLock(this.#scope, leader))]);
      }),
      openHandshake: () => handshake.open(this.#scope),
      tellBuild: () => handshake.tell(),
      startWorker: () => {
        try {
          worker.start();
        } catch (error) {
          this.#take(["failed", { failure: asHeddleError(error, "HEDDLE_ASSETS") }]);
        }
      },
      killWorker: (crashed) => {
        if (crashed !== undefined) console.error(`heddle: the engine died: ${crashed}`);
        worker.kill();
      },
      stopWorker: () => void worker.stop().then(this.#closed),
      tellWorker: (message) => worker.post(message),
      checkWorker: () => worker.check(),
      startElection: (yieldTo) => worker.startElection(pageState().visible, yieldTo),
      sendModules: () => worker.sendModules(),
      connectOwn: (leader) => this.#connectOwn(leader),
      follow: (leader) => this.#follow(leader),
      disconnect: () => {
        this.#link?.end();
        this.#link = undefined;
        this.#aborts = undefined;
      },
      timer: (timer, ms) => {
        clearTimeout(this.#timers.get(timer));
        if (ms === undefined) return;
        this.#timers.set(timer, setTimeout(() => {
          this.#take(timer === "stallTick" ? [timer, this.#handler?.busy === true] : [timer]);
        }, ms));
      },
      connected: () => this.#handler?.connected(),
      lost: (crashed) => this.#handler?.lost(crashed),
      blocked: (now) => this.#handler?.blocked(now),
      outdated: () => this.#handler?.outdated(new HeddleError(
        "HEDDLE_OUTDATED", "a newer build of this app is open in another tab: reload this page")),
      failed: (error) => this.#handler?.failed(error),
      destroyed,
    };
  }

  #listen(): void {
    const { signal } = this.#listening = new AbortController();
    const tabs = new BroadcastChannel(tabsChannel(this.#scope));
    tabs.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = takeTabs(data);
      if (message) this.#take([message.t, message] as Event);
    };
    const commits = new BroadcastChannel(commitsChannel(this.#scope));
    commits.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof Uint8Array && data.length <= MAX_ANNOUNCEMENT) this.#handler?.broadcast(data);
    };
    this.#channels = [tabs, commits];
    this.#meetBroker();
    // The locks have to be held before a leader is asked for anything.
    void Promise.all([this.#listens.take(), this.#record.take()]).then(() => {
      if (!signal.aborted) this.#take(["locksHeld"]);
    });
  }

  #unlisten(): void {
    this.#listening.abort();
    for (const reply of Object.values(this.#replies)) reply.end();
    this.#lockHolders.end();
    this.#listens.free();
    this.#handshake.close();
    for (const channel of this.#channels) channel.close();
    this.#channels = [];
    this.#broker?.close();
    this.#broker = null;
  }

  #newLink(leader: string): Link {
    return this.#link = new Link({ scope: this.#scope, tab: this.session, leader }, {
      ask: () => this.#effects.post({ t: "connect", leader, tab: this.session }),
      bytes: (message) => {
        this.#take(["sign"]);
        this.#handler?.message(message);
      },
      welcomed: () => this.#take(["welcomed"]),
    });
  }

  #connectOwn(leader: string): void {
    this.#meetBroker();
    const own = new MessageChannel();
    const port = portOver(own.port1);
    this.#newLink(leader).byPort(port);
    this.#worker.connect(own.port2, "connect");
    this.#aborts = shareAborts(port);
    if (!this.#broker) return;
    const registry = new MessageChannel();
    const message: ToBroker = { t: "register", name: this.#scope, leader };
    this.#broker.postMessage(message, [registry.port1]);
    this.#worker.connect(registry.port2, "registry");
  }

  #follow(leader: string): void {
    this.#meetBroker();
    const link = this.#newLink(leader);
    if (this.#broker) link.byBroker(this.#broker);
    else link.byChannel();
    whenFree(leaderLock(this.#scope, leader), this.#listening.signal).then(
      () => this.#take(["lockFree", leader]),
      () => {}, // this tab has ceased to listen
    );
  }

  // The broker may have lived in a tab that has just died, and nothing tells.
  #meetBroker(): void {
    this.#broker?.close();
    this.#broker = brokerPort(this.#assets, ({ name, leader }: FromBroker) => {
      const follows = this.#leadership.phase !== "leading" && this.#link?.leader === leader;
      if (name === this.#scope && follows) this.#link?.byChannel();
    });
  }
}

// Nothing tells a worker whether its page is visible. As a hidden one it takes a lock that is free, and waits at the
// head of no queue, where it would stall others while its page is frozen.
const pageState = () => typeof document === "undefined" ? { visible: false, freezes: false }
  : { visible: document.visibilityState === "visible", freezes: "onfreeze" in document };
