// The worker as Go sees it: the tabs' ports, whose messages cross by Go's exports
// and imports (wasm/lines.go), and a few words about state, for which Go gets an
// object (jsbridge/host_js.go).

import { isAborted } from "../shared/abort-flags.js";
import type { Ports } from "./admission.js";
import type { TabPort } from "../shared/port.js";
import type { Failure } from "../shared/messages.js";
import { isId } from "../shared/message-shapes.js";
import { KeyHost } from "./key-host.js";
import { Streams } from "./stream-slots.js";

/** Events, as numbers: jsbridge/host_js.go has the same list. */
const enum HostEvent {
  connect,
  disconnect,
  storage,
  stop,
  alive,
}

type Deliver = (event: HostEvent, session: number, detail: string) => void;

/** Go's program: its memory and functions, and what lets its goroutines run. */
export interface Program {
  exports: WebAssembly.Exports;
  resume(): void;
}

/** How many replies may wait for those of other requests that came with theirs. */
const HELD = 64;

interface Arrival {
  session: number;
  message: Uint8Array;
}

interface Session {
  port: TabPort;
  tab: string;
  /** Where the tab's page notes what it aborts, if memory is shared: see shared/abort-flags.ts. */
  aborts: Int32Array | undefined;
  /** Ends the watch over the tab's life. */
  unwatch: AbortController;
}

export interface GoHostConfig {
  /** The name that open() was given. */
  database: string;
  leader: string;
  channel: string;
  storage: string;
  /** How the last leader ended. */
  exit: string;
  open: Uint8Array;
  /** The key of the database's key ring, where that is locked. */
  lock?: CryptoKey | undefined;
  /** Of files that are encrypted at rest, and "encrypt" or "decrypt" if they are not yet what they are to be. */
  key?: Uint8Array | undefined;
  recode?: string;
}

export interface GoHostEvents {
  ready(): void;
  /** Go has sent its first message to a tab. */
  answered(): void;
  /** Resolves once the second part of the program is there. */
  rest(): Promise<void>;
  /** The same of what sealed spaces need. */
  sealed(): Promise<void>;
  failed(failure: Failure): void;
  /** Go has let go; in order: it has closed the database. */
  stopped(inOrder: boolean): void;
  /** Go threw: it will not recover. */
  crashed(error: unknown): void;
  /** Gives the database's files another name, and returns it. */
  quarantine(reason: string): Promise<string>;
  /** The files are what recode said. */
  recoded(): Promise<void>;
  /** Opens a file for a copy, and returns its name; and removes it. */
  openScratch(): Promise<string>;
  closeScratch(name: string): void;
  /** The open database file is damaged. */
  damaged(reason: string): void;
}

export class GoHost {
  readonly #events: GoHostEvents;
  readonly #lockPrefix: string;
  readonly #recordPrefix: string;
  readonly #sessions = new Map<number, Session>();
  /** Posts to itself: the message comes in another turn of the event loop. */
  readonly #turns = new MessageChannel();
  readonly #streams = new Streams();
  #next = 1;
  #deliver: Deliver | undefined;
  #memory: WebAssembly.Memory | undefined;
  #wake: (() => void) | undefined;
  #resume: () => void = () => {};
  /** Messages that Go has not taken, and the one that it is about to take. */
  readonly #arrived: Arrival[] = [];
  #coming: Arrival | undefined;
  /** Requests that Go has taken, or is about to, which are to be answered together. */
  #together = 0;
  #silent = true;
  /** What Go is handed. */
  readonly forGo: object;
  /** What Go imports. */
  readonly imports = {
    lines: {
      turn: () => this.#turns.port2.postMessage(0),
      together: () => this.#together,
      aborted: (session: number, id: number) => (isAborted(this.#sessions.get(session)?.aborts, id) ? 1 : 0),
      next: () => {
        if (this.#together === 0) this.#together = Math.min(this.#arrived.length, HELD);
        this.#coming = this.#arrived.shift();
        return this.#coming ? this.#coming.message.length : -1;
      },
      take: (p: number) => {
        const { session, message } = this.#coming!;
        this.#bytes(p, message.length).set(message);
        return session;
      },
      send: (session: number, p: number, size: number) => {
        const port = this.#sessions.get(session)?.port;
        if (!port) return;
        port.send(this.#bytes(p, size).slice());
        if (this.#together > 0) this.#together--;
        if (this.#together === 0) port.flush();
        if (this.#silent) {
          this.#silent = false;
          this.#events.answered();
        }
      },
    },
  };

  constructor(config: GoHostConfig, locks: { tab: string; record: string }, events: GoHostEvents) {
    this.#events = events;
    this.#lockPrefix = locks.tab;
    this.#recordPrefix = locks.record;
    let keys: KeyHost | undefined;
    this.forGo = {
      ...config,
      isolated: globalThis.crossOriginIsolated === true,
      serve: (deliver: Deliver) => {
        this.#deliver = deliver;
      },
      ready: () => events.ready(),
      failed: (code: string, message: string, sql: string) => events.failed({ code, message, sql: sql || undefined }),
      // The program ends now, and throws at each call that comes later.
      stopped: (inOrder: boolean) => {
        this.#deliver = undefined;
        events.stopped(inOrder);
      },
      quarantine: (reason: string) => events.quarantine(reason),
      recoded: () => events.recoded(),
      openScratch: () => events.openScratch(),
      closeScratch: (name: string) => events.closeScratch(name),
      damaged: (reason: string) => events.damaged(reason),
      rest: () => events.rest(),
      sealed: () => events.sealed(),
      takeStream: (server: string) => this.#streams.take(server),
      giveStream: (id: number) => this.#streams.give(id),
      // Made where the space is sealed alone.
      get keys() {
        return keys ??= new KeyHost(config.database, config.lock);
      },
    };
  }

  attach({ exports, resume }: Program): void {
    this.#memory = exports["mem"] as WebAssembly.Memory;
    this.#wake = exports["heddle_wake"] as () => void;
    this.#resume = resume;
    const turn = exports["heddle_turn"] as () => void;
    this.#turns.port1.onmessage = () => this.#run(turn);
  }

  // A new view each time: Go's memory may have grown.
  #bytes(p: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory!.buffer, p >>> 0, length >>> 0);
  }

  /** Serves a tab's port, and numbers it. A tab other than the worker's own is watched by its lock. */
  connect(port: TabPort, tab: string, own: boolean): number {
    const id = this.#next++;
    const session: Session = { port, tab, aborts: undefined, unwatch: new AbortController() };
    this.#sessions.set(id, session);
    this.#tell(HostEvent.connect, id, tab);
    port.open({
      bytes: (message, more) => this.#hand(id, message, more),
      says: (message) => {
        if (message.t === "leave") this.#disconnect(id);
        if (message.t === "aborts" && own) session.aborts = new Int32Array(message.shared);
      },
    });
    port.say({ t: "welcome" });
    if (!own) this.#watch(id, session);
    return id;
  }

  /** The ports that are served. */
  get ports(): Ports {
    return {
      size: this.#sessions.size,
      of: (tab) => {
        let ports = 0;
        for (const session of this.#sessions.values()) if (session.tab === tab) ports++;
        return ports;
      },
    };
  }

  /** Welcomes a tab again that has not heard it; false if its port is gone. */
  welcome(session: number | undefined): boolean {
    const known = session === undefined ? undefined : this.#sessions.get(session);
    known?.port.say({ t: "welcome" });
    return known !== undefined;
  }

  /** Tells Go which tabs live, of which nothing may be forgotten. */
  async tellAlive(): Promise<void> {
    const since = this.#next;
    const { held } = await navigator.locks.query();
    const prefix = this.#recordPrefix;
    const tabs = held?.filter(({ name }) => name?.startsWith(prefix)).map(({ name }) => name!.slice(prefix.length));
    this.#tell(HostEvent.alive, since, (tabs ?? []).filter(isId).join(" "));
  }

  setStorage(storage: string): void {
    this.#tell(HostEvent.storage, 0, storage);
  }

  /** Asks Go to close the database; `stopped` follows. */
  stop(): void {
    if (this.#deliver) this.#tell(HostEvent.stop, 0, "");
    else this.#events.stopped(false);
  }

  /** Ends every port; nothing reaches Go any more. */
  close(): void {
    this.#deliver = undefined;
    this.#turns.port1.close();
    for (const { port, unwatch } of this.#sessions.values()) {
      unwatch.abort();
      port.close();
    }
    this.#sessions.clear();
  }

  // A tab holds its lock while it lives, so the lock comes to us when it dies.
  #watch(id: number, { tab, unwatch }: Session): void {
    navigator.locks
      .request(this.#lockPrefix + tab, { mode: "shared", signal: unwatch.signal }, () => this.#disconnect(id))
      .catch(() => {}); // aborted: the port was closed before
  }

  #disconnect(id: number): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    this.#sessions.delete(id);
    session.unwatch.abort();
    session.port.close();
    this.#tell(HostEvent.disconnect, id, "");
    void this.tellAlive();
  }

  // Enters Go, and lets its goroutines run.
  #run(enter: () => void): void {
    if (!this.#deliver) return;
    try {
      enter();
      this.#resume();
    } catch (error) {
      this.#events.crashed(error);
    }
  }

  // Go takes all that came together, and answers some requests on the spot.
  #hand(session: number, message: Uint8Array, more: number): void {
    if (!this.#deliver) return;
    this.#arrived.push({ session, message });
    if (more > 0) return;
    this.#run(this.#wake!);
    this.#together = 0;
  }

  #tell(event: HostEvent, session: number, detail: string): void {
    try {
      this.#deliver?.(event, session, detail);
    } catch (error) {
      this.#events.crashed(error);
    }
  }
}
