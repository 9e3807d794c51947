// What a worker has while it holds the lock: the files, Go, and the tabs' ports.
// When to open and to close them is election.ts's to say.

import { Admission } from "./admission.js";
import { ANSWER_MS, CHECK_MS, REST_MS } from "../shared/bounds.js";
import type { Event } from "./election.js";
import { LockHolders } from "../shared/lock-holders.js";
import { asHeddleError, type HeddleError } from "../shared/errors.js";
import { Program, lastWords } from "./go-program.js";
import { portOverChannel, portOver } from "../shared/port.js";
import { HeldLock } from "../shared/locks.js";
import { commitsChannel, portChannel, leaderLock, recordLockPrefix, tabLockPrefix } from "../shared/names.js";
import { Throttle } from "../shared/throttle.js";
import { Heartbeat } from "./heartbeat.js";
import { takeFromRegistry } from "../shared/message-shapes.js";
import { GoHost } from "./go-host.js";
import { Keyring } from "../keys/keyring.js";
import { OpfsDirectory, OpfsImports } from "./opfs.js";
import type { LaterPartName, Modules, TabsMessage, ToWorker } from "../shared/messages.js";

type Start = Extract<ToWorker, { t: "start" }>;

export class Leader {
  readonly #start: Start;
  readonly #take: (event: Event) => void;
  readonly #askPart: (part: LaterPartName) => void;
  readonly #leader: string;
  readonly #heartbeat: Heartbeat;
  /** The leader's own lock, by which other tabs learn of its end. */
  readonly #held: HeldLock;
  readonly #lockHolders = new LockHolders();
  readonly #answer: Throttle;
  readonly #admission: Admission;
  /** Sessions of the tabs that came by a BroadcastChannel. */
  readonly #byChannel = new Map<string, number>();
  readonly #modules: Promise<Modules>;
  #opening: Promise<OpfsDirectory> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #host: GoHost | undefined;
  #program: Program | undefined;
  #registry: MessagePort | undefined;

  /**
   * @param serving says whether new ports are taken
   * @param take hears what becomes of files and Go
   * @param askPart asks the page for a later part of the program
   */
  constructor(
    start: Start, leader: string, modules: Promise<Modules>, post: (message: TabsMessage) => void,
    serving: () => boolean, take: (event: Event) => void, askPart: (part: LaterPartName) => void,
  ) {
    this.#start = start;
    this.#leader = leader;
    this.#modules = modules;
    this.#take = take;
    this.#askPart = askPart;
    this.#heartbeat = new Heartbeat(
      (quiet) => take(["alive", quiet, this.#heartbeat.memory]), (error) => this.#crash(error));
    this.#held = new HeldLock(leaderLock(start.scope, leader));
    this.#answer = new Throttle(ANSWER_MS, () => post({ t: "leader", leader, tab: start.tab }));
    this.#admission = new Admission(
      this.#lockHolders,
      (tab) => tabLockPrefix(start.scope) + tab,
      () => (serving() ? this.#host?.ports : undefined),
    );
    modules.catch(() => {}); // told by open()
  }

  /** Opens the files, and waits for the modules. */
  async open(): Promise<void> {
    const { name, memory, atRest, lock } = this.#start;
    void this.#held.take();
    try {
      const files = () => OpfsDirectory.open(name, atRest);
      // Nothing is encrypted under a lock that is not this database's any more.
      this.#opening = memory ? undefined : lock ? new Keyring(name, lock).check().then(files) : files();
      const [, directory] = await Promise.all([this.#modules, this.#opening]);
      if (directory) this.#watch = setInterval(() => void directory.check(), CHECK_MS);
      this.#take(["opened"]);
    } catch (error) {
      const { code, message, sql } = asHeddleError(error);
      this.#take(["failed", { code, message, sql }]);
    }
  }

  async runGo(): Promise<void> {
    const { name, scope, storage, open, lock } = this.#start;
    const [modules, directory] = await Promise.all([this.#modules, this.#opening]);
    const program = this.#program = new Program(modules, this.#start.parts, this.#askPart);
    const files = new OpfsImports();
    if (directory) files.add(directory);
    this.#host = new GoHost(
      {
        database: name, leader: this.#leader, channel: commitsChannel(scope), storage, open, lock,
        exit: directory?.exit ?? "new", key: directory?.atRest?.key, recode: directory?.recode ?? "",
      },
      { tab: tabLockPrefix(scope), record: recordLockPrefix(scope) },
      {
        answered: () => setTimeout(() => void program.rest(), REST_MS),
        rest: () => program.rest(),
        sealed: () => program.sealed(),
        ready: () => void this.#held.take().then(() => this.#take(["ready", this.#heartbeat.memory])),
        failed: (failure) => this.#take(["failed", failure]),
        stopped: (inOrder) => this.#take(["goEnded", inOrder]),
        crashed: (error) => this.#crash(error),
        quarantine: async (reason) => {
          console.error(`heddle: the file of the database "${name}" is damaged, and was quarantined: ${reason}`);
          return directory!.quarantine();
        },
        recoded: async () => directory!.recoded(),
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
    program.run(files, this.#host, this.#heartbeat).then(
      () => this.#take(["goEnded", false]), (error) => this.#crash(error));
  }

  /** A later part of Go's program has come, or cannot be had now. */
  givePart(part: LaterPartName, module: WebAssembly.Module | HeddleError): void {
    this.#program?.givePart(part, module);
  }

  /** Has Go close the database. Where it does not run, the files are closed once they are open. */
  stopGo(): void {
    this.#host?.stop();
  }

  async closeFiles(inOrder: boolean): Promise<void> {
    clearInterval(this.#watch);
    this.#answer.end();
    this.#lockHolders.end();
    this.#host?.close();
    this.#registry?.close();
    // Also where the modules failed before.
    await this.#opening?.then((directory) => (inOrder ? directory.closeClean() : directory.close()), () => {});
    this.#take(["filesClosed"]);
  }

  /** Frees the leader's own lock. */
  freeLock(): void {
    this.#held.free();
  }

  #crash(error: unknown): void {
    // A program that has ended throws at the next call; its own output says more than that error.
    const message = error instanceof Error ? error.message : String(error);
    const words = lastWords();
    const panicked = /^(panic|fatal error): /.test(words);
    this.#take(["crashed", panicked ? words : [message, words].filter(Boolean).join(": ")]);
  }

  answer(): void {
    this.#answer.run();
  }

  /** Opens a port over a BroadcastChannel, if that tab lives. A tab asks again until it hears the welcome. */
  admit(tab: string): void {
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

  probeGo(): void {
    this.#heartbeat.ping();
  }

  forgetDead(): void {
    void this.#host?.tellAlive();
  }

  setStorage(storage: string): void {
    this.#host?.setStorage(storage);
  }
}
