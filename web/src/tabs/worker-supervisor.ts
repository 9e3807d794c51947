// A page's own worker: started, told what it needs, and replaced when it dies.

import { CRASH_WINDOW_MS, MAX_PAUSE_MS, PAUSE_MS, STOP_MS } from "../shared/bounds.js";
import { HeddleError, asHeddleError } from "../shared/errors.js";
import type { ErrorCode } from "../shared/errors.js";
import type { Assets } from "./assets.js";
import { compileModules } from "./wasm-modules.js";
import { startWorker } from "./scripts.js";
import { HeartbeatMonitor } from "./heartbeat-monitor.js";
import { lockName } from "../shared/names.js";
import type { FromWorker, ToWorker } from "../shared/messages.js";
import type { Storage } from "../shared/types.js";

/** A worker that dies so often before it leads is not started again. */
const MAX_CRASHES = 3;
/** One that led is, always: at once, unless so many died within a minute; then after a pause that grows. */
const FREE_CRASHES = 3;

export interface SupervisorOptions {
  name: string;
  /** What the names of locks and channels are made of. */
  scope: string;
  tab: string;
  memory: boolean;
  storage: Storage;
  open: Uint8Array<ArrayBuffer>;
  /** Locks of tabs of newer builds: while one of them is held, this worker does not want to lead. */
  yieldTo: string[];
}

export interface SupervisorEvents {
  /** The worker has the lock and opens the database. */
  granted(): void;
  /** The worker leads under that id. */
  leading(leader: string): void;
  /** The worker died and was replaced. `leader` is its id if it led. */
  crashed(leader: string | undefined): void;
  /** The worker under that id has let go in order, and was replaced. */
  retired(leader: string): void;
  /** The worker cannot open the database, or died too often. Nothing follows. */
  failed(error: HeddleError): void;
}

/** One worker, from its start to its end. */
interface Running {
  worker: Worker;
  /** Its script was loaded. */
  alive: boolean;
  /** Its id, if it leads. */
  leader: string | undefined;
  /** Set once it was asked to stop. */
  stopped: (() => void) | undefined;
  monitor: HeartbeatMonitor | undefined;
}

export class WorkerSupervisor {
  readonly #options: SupervisorOptions;
  readonly #assets: Assets;
  readonly #events: SupervisorEvents;
  #running: Running | undefined;
  /** When workers that led died. */
  #crashes: number[] = [];
  /** How many died, one after another, that did not lead. */
  #stillborn = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SupervisorOptions, assets: Assets, events: SupervisorEvents) {
    this.#options = options;
    this.#assets = assets;
    this.#events = events;
  }

  start(): void {
    let worker: Worker;
    try {
      worker = startWorker(this.#assets);
    } catch (error) {
      this.#events.failed(asHeddleError(error, "HEDDLE_ASSETS"));
      return;
    }
    const running: Running = { worker, alive: false, leader: undefined, stopped: undefined, monitor: undefined };
    this.#running = running;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      running.monitor?.heard();
      this.#receive(running, data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#died(running, event.message ?? "");
    };
    this.#compileEarly();
  }

  // Nobody leads: our worker will, so compiling need not wait for its word.
  #compileEarly(): void {
    navigator.locks.query().then(({ held }) => {
      if (!held?.some((lock) => lock.name === lockName(this.#options.scope))) compileModules(this.#assets).catch(() => {});
    }, () => {});
  }

  /** Gives a port to the worker, if that leads. */
  connect(port: MessagePort, as: "connect" | "registry"): void {
    this.#post(as === "registry" ? { t: "registry" } : { t: "connect", tab: this.#options.tab }, [port]);
  }

  setVisible(visible: boolean): void {
    this.#post({ t: "visible", visible });
  }

  /** The worker's script has not come yet. */
  get loading(): boolean {
    return this.#running?.alive === false;
  }

  /** A leader has gone: a worker that does not queue looks whether the lock is free. */
  retryLock(): void {
    this.#post({ t: "retryLock" });
  }

  /** Makes room for another leader, in order. */
  retire(): void {
    this.#post({ t: "retire" });
  }

  /** Leaves the lead to a tab of a newer build, for as long as that lives. */
  yieldLead(lock: string): void {
    if (this.#options.yieldTo.includes(lock)) return;
    this.#options.yieldTo.push(lock);
    this.retire();
  }

  setStorage(storage: Storage): void {
    this.#options.storage = storage;
    this.#post({ t: "storage", storage });
  }

  /** Lets go of lock and files; within a bounded time, by force if need be. */
  async stop(): Promise<void> {
    clearTimeout(this.#pause);
    const running = this.#running;
    if (!running) return;
    const stopped = new Promise<void>((resolve) => {
      running.stopped = resolve;
      setTimeout(resolve, STOP_MS);
    });
    if (running.alive) this.#post({ t: "stop" });
    else running.stopped?.();
    this.#running = undefined;
    await stopped;
    terminate(running);
  }

  /** Ends the worker on the spot, which frees lock and files: nothing that was acknowledged is lost by it. Returns its id if it led. */
  kill(): string | undefined {
    clearTimeout(this.#pause);
    const running = this.#running;
    this.#running = undefined;
    if (running) terminate(running);
    return running?.leader;
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    if (this.#running?.alive) this.#running.worker.postMessage(message, transfer);
  }

  #receive(running: Running, message: FromWorker): void {
    if (running.stopped) {
      if (message.t === "stopped" || message.t === "crashed") running.stopped();
      return;
    }
    if (this.#running !== running) return; // its last words
    switch (message.t) {
      case "pong":
        if (running.alive) break; // the answer to a question
        // Only now: what reaches a worker before its script listens may be lost.
        running.alive = true;
        running.monitor = new HeartbeatMonitor(() => this.#post({ t: "ping" }), () => this.#died(running, "it does not answer"));
        this.#post({ t: "start", ...this.#options, visible: document.visibilityState === "visible" });
        break;
      case "granted":
        this.#events.granted();
        this.#sendModules(running);
        break;
      case "standby":
        // Next in line: a leader's end should not have to wait for a download.
        compileModules(this.#assets).catch(() => {});
        break;
      case "leading":
        running.leader = message.leader;
        this.#stillborn = 0;
        this.#events.leading(message.leader);
        break;
      case "failed": {
        const { code, message: text, sql } = message.failure;
        this.#end(running, new HeddleError(code as ErrorCode, text, { sql }));
        break;
      }
      case "crashed":
        this.#died(running, message.message);
        break;
      case "stopped":
        // By itself: its memory had grown too large.
        terminate(running);
        this.#running = undefined;
        if (running.leader !== undefined) this.#events.retired(running.leader);
        this.start();
        break;
    }
  }

  #sendModules({ worker }: Running): void {
    const send = (message: ToWorker) => worker.postMessage(message);
    compileModules(this.#assets).then(
      (modules) => send({ t: "modules", modules }),
      (error: unknown) => {
        const { code, message } = asHeddleError(error);
        send({ t: "modulesFailed", failure: { code, message } });
      },
    );
  }

  #end(running: Running, error: HeddleError): void {
    terminate(running);
    if (this.#running !== running) return;
    this.#running = undefined;
    this.#events.failed(error);
  }

  #died(running: Running, message: string): void {
    if (running.stopped) {
      running.stopped();
      return;
    }
    if (this.#running !== running) return;
    if (!running.alive) {
      this.#end(running, new HeddleError("HEDDLE_ASSETS", `the worker's script ${this.#assets.href("worker")} cannot be loaded: ${message || this.#assets.cure("worker")}`));
      return;
    }
    console.error(`heddle: the engine died: ${message}`);
    terminate(running);
    this.#running = undefined;
    this.#events.crashed(running.leader);
    if (running.leader === undefined && ++this.#stillborn >= MAX_CRASHES) {
      this.#events.failed(new HeddleError("HEDDLE_ENGINE_CRASH", `the engine died ${MAX_CRASHES} times while it opened the database: ${message}`));
      return;
    }
    const pause = this.#pauseMs();
    if (pause === 0) this.start();
    else this.#pause = setTimeout(() => this.start(), pause);
  }

  // Something kills each engine that this page starts; meanwhile another page may do better.
  #pauseMs(): number {
    const now = Date.now();
    this.#crashes = [...this.#crashes.filter((at) => now - at < CRASH_WINDOW_MS), now];
    const over = this.#crashes.length - FREE_CRASHES;
    return over < 0 ? 0 : Math.min(PAUSE_MS * 2 ** over, MAX_PAUSE_MS);
  }
}

function terminate({ worker, monitor }: Running): void {
  monitor?.end();
  worker.terminate();
}
