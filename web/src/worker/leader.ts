// A leading worker, from the moment it holds the lock until the lock may be freed.

import { Admission } from "./admission.js";
import { ANSWER_MS, CHECK_MS, FORGET_MS } from "../shared/bounds.js";
import { LockHolders } from "../shared/lock-holders.js";
import { asHeddleError } from "../shared/errors.js";
import { lastWords, runGo } from "./go-program.js";
import { portOverChannel, portOver } from "../shared/port.js";
import { HeldLock } from "../shared/locks.js";
import { commitsChannel, portChannel, leaderLock, randomId, recordLockPrefix, tabLockPrefix } from "../shared/names.js";
import { Throttle } from "../shared/throttle.js";
import { Heartbeat } from "./heartbeat.js";
import { takeFromRegistry } from "../shared/message-shapes.js";
import { GoHost } from "./go-host.js";
import { MEMORY_LIMIT, RENEW_MS } from "../shared/tuning.js";
import { OpfsDirectory, OpfsImports } from "./opfs.js";
import type { FromWorker, Modules, TabsMessage, ToWorker } from "../shared/messages.js";

type Start = Extract<ToWorker, { t: "start" }>;

export class Leader {
  readonly #start: Start;
  readonly #modules: Promise<Modules>;
  readonly #tabs: BroadcastChannel;
  readonly #tell: (message: FromWorker) => void;
  readonly #retire: () => void;
  readonly #leader = randomId();
  readonly #heartbeat = new Heartbeat((quiet) => this.#alive(quiet), (error) => this.#crash(error));
  #host: GoHost | undefined;
  #registry: MessagePort | undefined;
  readonly #lockHolders = new LockHolders();
  readonly #answer = new Throttle(ANSWER_MS, () => this.#announce());
  readonly #admission: Admission;
  /** Sessions of the tabs that came by a BroadcastChannel. */
  readonly #byChannel = new Map<string, number>();
  /** Resolves when the leader's own lock is held, by which other tabs learn of its end. */
  #holds: Promise<void> | undefined;
  #announced = false;
  #readyAt = 0;
  #memoryAtFirst = 0;
  #stopping = false;
  /** Set once the program has ended: whether it has closed the database. */
  #closed: boolean | undefined;
  #crashed = false;
  #stopped: () => void = () => {};

  /** @param retire has the worker end in order, so that another one starts in its place */
  constructor(
    start: Start, modules: Promise<Modules>, tabs: BroadcastChannel, tell: (message: FromWorker) => void,
    retire: () => void,
  ) {
    this.#start = start;
    this.#modules = modules;
    this.#tabs = tabs;
    this.#tell = tell;
    this.#retire = retire;
    this.#admission = new Admission(
      this.#lockHolders,
      (tab) => tabLockPrefix(start.scope) + tab,
      () => (this.#stopping ? undefined : this.#host?.ports),
    );
    modules.catch(() => {}); // told by run()
  }

  /** Settles when every file is closed and the lock may go. After a crash it never does: the page ends this worker. */
  async run(): Promise<void> {
    const { name, memory } = this.#start;
    const held = new HeldLock(leaderLock(this.#start.scope, this.#leader));
    this.#holds = held.take();
    const opening = memory ? undefined : OpfsDirectory.open(name);
    let watch: ReturnType<typeof setInterval> | undefined;
    try {
      const [modules, directory] = await Promise.all([this.#modules, opening]);
      if (directory) watch = setInterval(() => void directory.check(), CHECK_MS);
      if (!this.#stopping) await this.#serve(modules, directory);
    } catch (error) {
      const { code, message, sql } = asHeddleError(error);
      this.#tell({ t: "failed", failure: { code, message, sql } });
    }
    if (this.#crashed) await new Promise(() => {});
    clearInterval(watch);
    this.#answer.end();
    this.#lockHolders.end();
    this.#host?.close();
    this.#registry?.close();
    // Also where the modules failed before.
    await opening?.then((directory) => (this.#closed ? directory.closeClean() : directory.close()), () => {});
    if (this.#announced) this.#post({ t: "leaderGone", leader: this.#leader, crashed: false });
    held.free();
  }

  // Settles when Go has closed the database, or could not open it.
  async #serve(modules: Modules, directory: OpfsDirectory | undefined): Promise<void> {
    const { name, scope, storage, open } = this.#start;
    const files = new OpfsImports();
    if (directory) files.add(directory);
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.#host = new GoHost(
        { leader: this.#leader, channel: commitsChannel(scope), storage, open, exit: directory?.exit ?? "new" },
        { tab: tabLockPrefix(scope), record: recordLockPrefix(scope) },
        {
          ready: () => void this.#ready(),
          failed: (failure) => {
            this.#tell({ t: "failed", failure });
            resolve();
          },
          stopped: (inOrder) => {
            this.#closed = inOrder;
            resolve();
          },
          crashed: (error) => this.#crash(error),
          quarantine: async (reason) => {
            console.error(`heddle: the file of the database "${name}" is damaged, and was quarantined: ${reason}`);
            return directory!.quarantine();
          },
          openScratch: async () => directory!.openScratch(),
          closeScratch: (name) => void directory!.closeScratch(name).catch(() => {}), // swept later
          // The page starts another worker, which checks the file before it serves.
          damaged: (reason) => void directory?.noteDamage().finally(() => {
            this.#crash(`the database file is damaged: ${reason}`);
          }),
        },
      );
      addEventListener("error", (event) => {
        // The page hears of a crash by its message. A timer of a program that has ended is none.
        event.preventDefault();
        this.#crash(event.error ?? event.message);
      });
      addEventListener("unhandledrejection", (event) => this.#crash(event.reason));
      runGo(modules, files, this.#host, this.#heartbeat).then(resolve, (error) => this.#crash(error));
    });
  }

  async #ready(): Promise<void> {
    await this.#holds;
    if (this.#stopping) return;
    setTimeout(() => void this.#host?.tellAlive(), FORGET_MS);
    this.#announced = true;
    this.#readyAt = performance.now();
    this.#memoryAtFirst = this.#heartbeat.memory;
    this.#tell({ t: "leading", leader: this.#leader });
    this.#announce();
  }

  #announce(): void {
    this.#post({ t: "leader", leader: this.#leader, tab: this.#start.tab });
  }

  #post(message: TabsMessage): void {
    this.#tabs.postMessage(message);
  }

  // The page ends the worker; all errors that are reported later follow from the crash.
  #crash(error: unknown): void {
    if (this.#crashed || this.#closed !== undefined) return;
    this.#crashed = true;
    // A program that has ended throws at the next call; its own output says more than that error.
    const message = error instanceof Error ? error.message : String(error);
    const words = lastWords();
    const panicked = /^(panic|fatal error): /.test(words);
    this.#tell({ t: "crashed", message: panicked ? words : [message, words].filter(Boolean).join(": ") });
  }

  tabsMessage(message: TabsMessage): void {
    if (!this.#announced) return;
    if (message.t === "whoLeads") this.#answer.run();
    if (message.t === "connect" && message.leader === this.#leader) this.#connectByChannel(message.tab);
  }

  // A tab asks again until it hears the welcome.
  #connectByChannel(tab: string): void {
    const host = this.#host;
    if (!host || host.welcome(this.#byChannel.get(tab))) return;
    this.#admission.ask(tab, "channel", () => {
      const port = portOverChannel(portChannel(this.#start.scope, this.#leader, tab));
      this.#byChannel.set(tab, host.connect(port, tab, false));
    });
  }

  connectOwn(port: MessagePort, tab: string): void {
    this.#host?.connect(portOver(port), tab, true);
  }

  setRegistry(port: MessagePort): void {
    this.#registry = port;
    port.onmessage = ({ data, ports }: MessageEvent<unknown>) => {
      const message = takeFromRegistry(data);
      const [way] = ports;
      if (!message || !way) return;
      // A port that is not admitted is left to the garbage collector: its tab asks by the channel as well.
      this.#admission.ask(message.tab, "port", () => this.#host?.connect(portOver(way), message.tab, false));
    };
  }

  /** The page asks whether the engine lives. */
  ping(): void {
    if (!this.#crashed && !this.#stopping) this.#heartbeat.ping();
  }

  // Go's memory never shrinks: once it is large, the page gets a new worker. The
  // memory that it takes to open this database is no reason.
  #alive(quiet: boolean): void {
    this.#tell({ t: "pong" });
    if (!quiet || !this.#announced || this.#stopping || performance.now() - this.#readyAt < RENEW_MS) return;
    if (this.#heartbeat.memory <= Math.max(MEMORY_LIMIT, 2 * this.#memoryAtFirst)) return;
    queueMicrotask(() => this.#retire()); // Go is on the stack: nothing may call it now
  }

  setStorage(storage: string): void {
    this.#host?.setStorage(storage);
  }

  /** Asks for an orderly end: run() settles after it. */
  stop(): void {
    this.#stopping = true;
    if (this.#host) this.#host.stop();
    else this.#stopped();
  }
}
