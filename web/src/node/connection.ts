// A database in this process: one engine for each, in a thread of its own, and a port to it for each open().

import { BroadcastChannel, MessageChannel } from "node:worker_threads";

import { noteAbort, shareAborts } from "../shared/abort-flags.js";
import { CRASH_WINDOW_MS, MAX_PAUSE_MS, PAUSE_MS } from "../shared/bounds.js";
import { HeddleError } from "../shared/errors.js";
import { commitsChannel, randomId } from "../shared/names.js";
import { portOver, type TabPort } from "../shared/port.js";
import type { Connection, ConnectionHandler } from "../rpc/connection.js";
import type { WorkerOptions } from "../shared/messages.js";
import type { Event } from "../tabs/leadership.js";
import { WorkerSupervisor, type WorkerSource } from "../tabs/worker-supervisor.js";

/** So many engines may die within CRASH_WINDOW_MS before the next one waits. */
const MAX_CRASHES = 3;

/** The engine of one database, and its replacement when it dies. */
export class Engine {
  readonly scope: string;
  readonly #worker: WorkerSupervisor;
  readonly #connections = new Set<NodeConnection>();
  readonly #free: () => void;
  #leads = false;
  #crashes: number[] = [];
  #pause: ReturnType<typeof setTimeout> | undefined;
  /** Set once the engine takes no more connections: settles when the files are free. */
  ended: Promise<void> | undefined;

  /** @param free is called when the last connection has closed and the files are free */
  constructor(options: Omit<WorkerOptions, "tab">, source: WorkerSource, free: () => void) {
    this.scope = options.scope;
    this.#worker = new WorkerSupervisor({ ...options, tab: randomId() }, source, (event) => this.#take(event));
    this.#free = free;
    this.#worker.start();
  }

  add(connection: NodeConnection): void {
    this.#connections.add(connection);
    if (this.#leads) connection.connect(this.#worker);
  }

  async remove(connection: NodeConnection): Promise<void> {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    clearTimeout(this.#pause);
    await (this.ended ??= this.#worker.stop().then(this.#free));
  }

  #take([name, detail]: Event): void {
    if (name === "loaded") this.#worker.startElection(true, []);
    if (name === "granted") this.#worker.sendModules();
    if (name === "leading") {
      this.#leads = true;
      for (const connection of this.#connections) connection.connect(this.#worker);
    }
    if (name === "failed") this.#fail(detail.failure as HeddleError);
    if (name === "crashed") this.#again(true, detail.message);
    if (name === "stopped") this.#again(false, "");
  }

  #fail({ code, message, sql }: HeddleError): void {
    this.#leads = false;
    this.#worker.kill();
    for (const connection of this.#connections) connection.failed(new HeddleError(code, message, { sql }));
  }

  // A new engine takes the place of one that has died, or has grown too large.
  #again(crashed: boolean, message: string): void {
    if (crashed) console.error(`heddle: the engine died: ${message}`);
    const now = performance.now();
    if (crashed) this.#crashes = [...this.#crashes.filter((at) => now - at < CRASH_WINDOW_MS), now];
    this.#leads = false;
    this.#worker.kill();
    for (const connection of this.#connections) connection.lost(crashed);
    const over = this.#crashes.length - MAX_CRASHES;
    const start = () => this.#worker.start();
    if (over < 0 || !crashed) start();
    else this.#pause = setTimeout(start, Math.min(PAUSE_MS * 2 ** over, MAX_PAUSE_MS));
  }
}

/** One open() of a database. */
export class NodeConnection implements Connection {
  readonly session = randomId();
  readonly role = "leader";
  readonly blocked = false;
  readonly #engine: Engine;
  readonly #commits: BroadcastChannel;
  #handler: ConnectionHandler | undefined;
  #port: TabPort | undefined;
  #aborts: Int32Array | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#commits = new BroadcastChannel(commitsChannel(engine.scope));
  }

  start(handler: ConnectionHandler): void {
    this.#handler = handler;
    this.#commits.onmessage = (event) => {
      const { data } = event as MessageEvent<unknown>;
      if (!ArrayBuffer.isView(data)) return;
      this.#handler?.broadcast(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    };
    this.#engine.add(this);
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#port?.send(message);
  }

  interrupt(id: number): void {
    if (this.#aborts) noteAbort(this.#aborts, id);
  }

  async close(): Promise<void> {
    if (!this.#handler) return;
    this.#handler = undefined;
    this.#leave();
    this.#commits.close();
    await this.#engine.remove(this);
  }

  /** Of the engine: it serves, and takes a port. */
  connect(worker: WorkerSupervisor): void {
    const { port1, port2 } = new MessageChannel();
    const port = portOver(port1 as unknown as MessagePort);
    port.open({
      bytes: (message) => {
        if (this.#port === port) this.#handler?.message(message);
      },
      says: ({ t }) => {
        if (t !== "welcome" || !this.#handler) return;
        this.#port = port;
        this.#handler.connected();
      },
    });
    worker.post({ t: "connect", tab: this.session }, [port2]);
    this.#aborts = shareAborts(port, true);
  }

  lost(crashed: boolean): void {
    this.#leave();
    this.#handler?.lost(crashed);
  }

  failed(error: HeddleError): void {
    this.#leave();
    this.#handler?.failed(error);
  }

  #leave(): void {
    this.#port?.say({ t: "leave" });
    this.#port?.close();
    this.#port = undefined;
    this.#aborts = undefined;
  }
}
