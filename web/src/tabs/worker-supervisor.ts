// A page's own worker: started, told what it needs, watched, and ended. Whether
// another one is started, leadership.ts decides.

import { STOP_MS } from "../shared/bounds.js";
import { asHeddleError, type HeddleError } from "../shared/errors.js";
import type { Failure, FromWorker, LaterPartName, Modules, ToWorker, WorkerOptions } from "../shared/messages.js";
import type { Storage } from "../shared/types.js";
import { HeartbeatMonitor } from "./heartbeat-monitor.js";
import type { Event } from "./leadership.js";

/** What of a Worker is used. A Worker is one. */
export interface WorkerLike {
  onmessage: ((event: MessageEvent<FromWorker>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  postMessage(message: ToWorker, transfer?: Transferable[]): void;
  terminate(): void;
}

/** Where workers and their modules come from. */
export interface WorkerSource {
  /** Starts a worker. Throws where none can be had. */
  start(): WorkerLike;
  /** The engine's modules, compiled once: fetched at once, and compiled when `ready` resolves. */
  compile(ready?: Promise<void>): Promise<Modules>;
  /** A later part of Go's program. The signal says that it is not waited for any more. */
  compilePart(part: LaterPartName, signal: AbortSignal): Promise<WebAssembly.Module>;
  /** Whether no other worker leads the database now, as far as can be seen. */
  mayLead(): Promise<boolean>;
  /** The error of a worker whose script did not load. */
  noScript(message: string): HeddleError;
}

/** One worker, from its start to its end. */
interface Running {
  worker: WorkerLike;
  /** Set once the worker's script was loaded. */
  monitor: HeartbeatMonitor | undefined;
  /** The script was loaded, or will not be. */
  spoke: () => void;
  /** It was asked to stop, or was ended: it waits for no part of the program. */
  leaving: AbortController;
  /** Set once the worker was asked to stop. */
  stopped: (() => void) | undefined;
}

export class WorkerSupervisor {
  readonly #options: WorkerOptions;
  readonly #source: WorkerSource;
  readonly #report: (event: Event) => void;
  #running: Running | undefined;

  constructor(options: WorkerOptions, source: WorkerSource, report: (event: Event) => void) {
    this.#options = options;
    this.#source = source;
    this.#report = report;
  }

  /** Throws where the browser starts no worker. */
  start(): void {
    const running: Running = { worker: this.#source.start(), monitor: undefined, spoke: () => {},
      leaving: new AbortController(), stopped: undefined };
    this.#running = running;
    const spoke = new Promise<void>((resolve) => { running.spoke = resolve; });
    running.worker.onmessage = ({ data }: { data: FromWorker }) => {
      running.monitor?.heard();
      this.#receive(running, data);
    };
    running.worker.onerror = (event) => {
      event.preventDefault();
      this.#died(running, event.message ?? "");
    };
    // While no worker leads, this one will: compiling need not wait for its lock. Megabytes that come in before the
    // worker's script would hold that up.
    void this.#source.mayLead().then((yes) => yes && this.#compileAhead(spoke), () => {});
  }

  #compileAhead(ready?: Promise<void>): void {
    this.#source.compile(ready).catch(() => {}); // sendModules() reports it
  }

  /** What is posted before the worker's script listens may be lost, so it is not sent. */
  post(message: ToWorker, transfer: Transferable[] = []): void {
    if (this.#running?.monitor) this.#running.worker.postMessage(message, transfer);
  }

  /** What the answer to one worker is, the next one did not ask for. */
  #answer(running: Running, message: ToWorker): void {
    if (this.#running === running) this.post(message);
  }

  startElection(visible: boolean, yieldTo: readonly string[]): void {
    this.post({ t: "start", ...this.#options, visible, yieldTo: [...yieldTo] });
  }

  /** Gives a port to the worker, if that leads. */
  connect(port: MessagePort, as: "connect" | "registry"): void {
    this.post(as === "registry" ? { t: "registry" } : { t: "connect", tab: this.#options.tab }, [port]);
  }

  setStorage(storage: Storage): void {
    this.#options.storage = storage;
    this.post({ t: "storage", storage });
  }

  sendModules(): void {
    const { worker } = this.#running!;
    const send = (message: ToWorker) => worker.postMessage(message);
    this.#source.compile().then(
      (modules) => send({ t: "modules", modules }),
      (error: unknown) => send({ t: "modulesFailed", failure: failureOf(error) }),
    );
  }

  /** Another tab waits for this page's worker, which may be dead. */
  check(): void {
    this.#running?.monitor?.check();
  }

  /** Lets go of lock and files; within a bounded time, by force if need be. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    let late: ReturnType<typeof setTimeout> | undefined;
    const stopped = new Promise<void>((resolve) => {
      running.stopped = resolve;
      late = setTimeout(resolve, STOP_MS);
    });
    running.leaving.abort();
    if (running.monitor) this.post({ t: "stop" });
    else running.stopped?.();
    this.#running = undefined;
    await stopped;
    clearTimeout(late);
    end(running);
  }

  /** Ends the worker on the spot, which frees lock and files: nothing that was acknowledged is lost by it. */
  kill(): void {
    if (this.#running) end(this.#running);
    this.#running = undefined;
  }

  #receive(running: Running, message: FromWorker): void {
    if (message.t === "crashed" || running.stopped && message.t === "stopped") {
      this.#died(running, message.t === "crashed" ? message.message : "");
    } else if (this.#running !== running) { // its last words
    } else if (message.t === "standby") {
      this.#compileAhead(); // the end of a leader shall not have to wait for a download
    } else if (message.t === "wantsPart") {
      const { part } = message;
      this.#source.compilePart(part, running.leaving.signal).then(
        (module) => this.#answer(running, { t: "part", part, module }),
        (error: unknown) => this.#answer(running, { t: "partFailed", part, failure: failureOf(error) }));
    } else if (message.t !== "pong") {
      if (message.t === "loaded") {
        running.spoke();
        running.monitor = new HeartbeatMonitor(
          () => this.post({ t: "ping" }), () => this.#died(running, "it does not answer"));
      }
      this.#report([message.t, message] as Event);
    }
  }

  #died(running: Running, message: string): void {
    if (running.stopped) running.stopped();
    else if (this.#running !== running) return;
    else if (running.monitor) this.#report(["crashed", { message }]);
    else this.#report(["failed", { failure: this.#source.noScript(message) }]);
  }
}

function failureOf(error: unknown): Failure {
  const { code, message } = asHeddleError(error);
  return { code, message };
}

function end({ worker, monitor, spoke, leaving }: Running): void {
  spoke();
  leaving.abort();
  monitor?.end();
  worker.terminate();
}
