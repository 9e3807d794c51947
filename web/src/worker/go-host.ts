// The worker as Go sees it: the tabs' lines, whose messages cross by Go's exports
// and imports (wasm/lines.go), and a few words about state, for which Go gets an
// object (jsbridge/shell_js.go).

import { isAborted } from "../shared/abort-flags.js";
import type { Lines } from "./admission.js";
import type { Line } from "../shared/port.js";
import type { Failure } from "../shared/messages.js";
import { isId } from "../shared/message-shapes.js";
import { Streams } from "./stream-slots.js";

/** Events, as numbers: jsbridge/shell_js.go has the same list. */
const enum Happening {
  connect,
  disconnect,
  storage,
  stop,
  alive,
}

type Deliver = (event: Happening, session: number, detail: string) => void;

/** Go as it runs: its memory, its way in for messages, and what lets its goroutines run. */
export interface Program {
  exports: WebAssembly.Exports;
  resume(): void;
}

/** How many replies may wait for those of other requests that came with theirs. */
const HELD = 64;

interface Session {
  line: Line;
  tab: string;
  /** Where its page writes what it aborts, if it shares memory with us: see aborts.ts. */
  aborts: Int32Array | undefined;
  /** Ends the watch over the tab's life. */
  unwatch: AbortController;
}

export interface ShellConfig {
  name: string;
  leader: string;
  channel: string;
  storage: string;
  /** How the last leader ended. */
  exit: string;
  open: Uint8Array;
}

export interface ShellEvents {
  ready(): void;
  failed(failure: Failure): void;
  /** Go has let go; in order: it has closed the database. */
  stopped(inOrder: boolean): void;
  /** Go threw: it will not recover. */
  crashed(error: unknown): void;
  /** Gives the database's files another name, and returns it. */
  setAside(reason: string): Promise<string>;
  /** Opens a file for a copy, and returns its name; and removes it. */
  openSide(): Promise<string>;
  closeSide(name: string): void;
  /** The open database file is damaged. */
  damaged(reason: string): void;
}

export class Shell {
  readonly #events: ShellEvents;
  readonly #lockPrefix: string;
  readonly #recordPrefix: string;
  readonly #sessions = new Map<number, Session>();
  /** Posts to itself: what is posted comes in another turn. */
  readonly #turns = new MessageChannel();
  readonly #streams = new Streams();
  #next = 1;
  #deliver: Deliver | undefined;
  #memory: WebAssembly.Memory | undefined;
  #message: ((session: number, size: number) => void) | undefined;
  #resume: () => void = () => {};
  /** The message that Go is about to take. */
  #coming: Uint8Array = new Uint8Array();
  /** Requests of the message being handed over, which are to be answered together. */
  #together = 0;
  /** What Go is handed. */
  readonly forGo: object;
  /** What Go imports. */
  readonly imports = {
    lines: {
      turn: () => this.#turns.port2.postMessage(0),
      aborted: (session: number, id: number) => (isAborted(this.#sessions.get(session)?.aborts, id) ? 1 : 0),
      take: (p: number) => this.#bytes(p, this.#coming.length).set(this.#coming),
      send: (session: number, p: number, size: number) => {
        const line = this.#sessions.get(session)?.line;
        if (!line) return;
        line.send(this.#bytes(p, size).slice());
        if (this.#together > 0) this.#together--;
        if (this.#together === 0) line.flush();
      },
    },
  };

  constructor(config: ShellConfig, locks: { tab: string; record: string }, events: ShellEvents) {
    this.#events = events;
    this.#lockPrefix = locks.tab;
    this.#recordPrefix = locks.record;
    this.forGo = {
      ...config,
      isolated: globalThis.crossOriginIsolated === true,
      serve: (deliver: Deliver) => {
        this.#deliver = deliver;
      },
      ready: () => events.ready(),
      failed: (code: string, message: string, sql: string) => events.failed({ code, message, sql: sql || undefined }),
      stopped: (inOrder: boolean) => events.stopped(inOrder),
      setAside: (reason: string) => events.setAside(reason),
      openSide: () => events.openSide(),
      closeSide: (name: string) => events.closeSide(name),
      damaged: (reason: string) => events.damaged(reason),
      takeStream: (server: string) => this.#streams.take(server),
      giveStream: (id: number) => this.#streams.give(id),
    };
  }

  attach({ exports, resume }: Program): void {
    this.#memory = exports["mem"] as WebAssembly.Memory;
    this.#message = exports["heddle_message"] as (session: number, size: number) => void;
    this.#resume = resume;
    const turn = exports["heddle_turn"] as () => void;
    this.#turns.port1.onmessage = () => this.#run(turn);
  }

  // Made anew each time: Go's memory may have grown.
  #bytes(p: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory!.buffer as ArrayBuffer, p >>> 0, length >>> 0);
  }

  /** Serves a tab's line, and numbers it. A tab other than the worker's own is watched by its lock. */
  connect(line: Line, tab: string, own: boolean): number {
    const id = this.#next++;
    const session: Session = { line, tab, aborts: undefined, unwatch: new AbortController() };
    this.#sessions.set(id, session);
    this.#tell(Happening.connect, id, tab);
    line.open({
      bytes: (message, more) => this.#hand(id, message, more),
      says: (message) => {
        if (message.t === "leave") this.#disconnect(id);
        if (message.t === "aborts" && own) session.aborts = new Int32Array(message.shared);
      },
    });
    line.say({ t: "welcome" });
    if (!own) this.#watch(id, session);
    return id;
  }

  /** The lines that are served. */
  get lines(): Lines {
    return {
      size: this.#sessions.size,
      of: (tab) => {
        let lines = 0;
        for (const session of this.#sessions.values()) if (session.tab === tab) lines++;
        return lines;
      },
    };
  }

  /** Welcomes a tab again that has not heard it; false if its line is gone. */
  welcome(session: number | undefined): boolean {
    const known = session === undefined ? undefined : this.#sessions.get(session);
    known?.line.say({ t: "welcome" });
    return known !== undefined;
  }

  /** Tells Go which tabs live, of which nothing may be forgotten. */
  async tellAlive(): Promise<void> {
    const since = this.#next;
    const { held } = await navigator.locks.query();
    const tabs = held?.flatMap(({ name }) => (name?.startsWith(this.#recordPrefix) ? [name.slice(this.#recordPrefix.length)] : [])).filter(isId) ?? [];
    this.#tell(Happening.alive, since, tabs.join(" "));
  }

  setStorage(storage: string): void {
    this.#tell(Happening.storage, 0, storage);
  }

  /** Asks Go to close the database; `stopped` follows. */
  stop(): void {
    if (this.#deliver) this.#tell(Happening.stop, 0, "");
    else this.#events.stopped(false);
  }

  /** Ends every line; nothing reaches Go any more. */
  close(): void {
    this.#deliver = undefined;
    this.#turns.port1.close();
    for (const { line, unwatch } of this.#sessions.values()) {
      unwatch.abort();
      line.close();
    }
    this.#sessions.clear();
  }

  // A tab holds its lock while it lives, so the lock comes to us when it dies.
  #watch(id: number, { tab, unwatch }: Session): void {
    navigator.locks
      .request(this.#lockPrefix + tab, { mode: "shared", signal: unwatch.signal }, () => this.#disconnect(id))
      .catch(() => {}); // aborted: the line was closed before
  }

  #disconnect(id: number): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    this.#sessions.delete(id);
    session.unwatch.abort();
    session.line.close();
    this.#tell(Happening.disconnect, id, "");
    void this.tellAlive();
  }

  // Enters Go, and lets its goroutines run.
  #run(enter: () => void): void {
    try {
      enter();
      this.#resume();
    } catch (error) {
      this.#events.crashed(error);
    }
  }

  // Go answers some requests on the spot. For the others its goroutines run when
  // it has all that came together.
  #hand(session: number, message: Uint8Array, more: number): void {
    if (!this.#deliver) return;
    try {
      if (this.#together === 0) this.#together = Math.min(more + 1, HELD);
      this.#coming = message;
      this.#message!(session, message.length);
      if (more > 0) return;
      this.#resume();
    } catch (error) {
      this.#events.crashed(error);
    }
    this.#together = 0;
  }

  #tell(event: Happening, session: number, detail: string): void {
    try {
      this.#deliver?.(event, session, detail);
    } catch (error) {
      this.#events.crashed(error);
    }
  }
}
