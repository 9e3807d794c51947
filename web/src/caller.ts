// Requests and their answers over a Connection: ids, order, cancellation, how
// many may be on their way, and what becomes of them when the leader changes.

import { Kind, Method, readWelcome, Reader, request, VERSION, type Welcome } from "./codec.js";
import { abortError, asHeddleError, HeddleError } from "./errors.js";
import type { Connection, ConnectionHandler } from "./transport.js";

/** How many reads, and how many writes, are at the leader at a time. */
const WINDOW = 128;

/** A call that so many engines died over is not sent again. */
const MAX_DEATHS = 2;

/**
 * What a call is. Reads and writes each keep their order and their window.
 * "direct" goes out at once: it belongs to something the leader already knows.
 */
export type Lane = "read" | "write" | "direct";

export interface CallSpec<T> {
  /** The request, with any id: the caller puts in its own. */
  message: Uint8Array<ArrayBuffer>;
  lane: Lane;
  /** Sent again when a new leader comes; else the call fails with HEDDLE_LEADER_LOST. */
  retry: boolean;
  sql?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Called as the request goes out, with the id it got; again when it is retried. */
  sent?: (id: number) => void;
  /** Takes a chunk. */
  chunk?: (r: Reader) => void;
  /** Makes the answer of the result. */
  result: (r: Reader) => T;
}

interface Call {
  spec: CallSpec<unknown>;
  id: number;
  resolve: (value: unknown) => void;
  reject: (error: HeddleError) => void;
  unlisten: () => void;
  /** How many engines died while they had this call. */
  deaths: number;
}

/** What the caller reports to the database. */
export interface CallerEvents {
  hello(): { migrations: number; token: boolean };
  /** A leader is ready; again is false for the first one. */
  ready(welcome: Welcome, again: boolean): void;
  lost(): void;
  /** An event that belongs to no call, such as status. */
  event(type: number, r: Reader): void;
  broadcast(message: Uint8Array): void;
  failed(error: HeddleError): void;
}

export class Caller implements ConnectionHandler {
  readonly #connection: Connection;
  readonly #events: CallerEvents;
  readonly #waiting: Record<"read" | "write", Call[]> = { read: [], write: [] };
  readonly #flying: Record<"read" | "write", number> = { read: 0, write: 0 };
  readonly #calls = new Map<number, Call>();
  readonly #subscribers = new Map<number, (type: number, r: Reader) => void>();
  #nextId = 1;
  #counter = 0;
  #ready = false;
  #met = false;
  #end: HeddleError | undefined;

  constructor(connection: Connection, events: CallerEvents) {
    this.#connection = connection;
    this.#events = events;
  }

  /** Starts the connection, which may report at once. */
  start(): void {
    this.#connection.start(this);
  }

  /** Whether a leader answers now. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Why no call is taken any more. */
  get ended(): HeddleError | undefined {
    return this.#end;
  }

  /** The next name of a write. */
  writeId(): { session: string; counter: number } {
    return { session: this.#connection.session, counter: ++this.#counter };
  }

  /** The name of a mere read. */
  readId(): { session: string; counter: number } {
    return { session: this.#connection.session, counter: 0 };
  }

  call<T>(spec: CallSpec<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#end) return reject(this.#end.clone());
      if (spec.signal?.aborted) return reject(abortError(spec.signal, spec.sql));
      if (spec.lane === "direct" && !this.#ready) return reject(leaderLost(spec.sql));
      const call: Call = { spec: spec as CallSpec<unknown>, id: 0, resolve: resolve as Call["resolve"], reject, unlisten: () => {}, deaths: 0 };
      if (spec.signal) {
        const { signal } = spec;
        const aborted = () => this.#abort(call, signal);
        signal.addEventListener("abort", aborted, { once: true });
        call.unlisten = () => signal.removeEventListener("abort", aborted);
      }
      if (spec.lane === "direct") {
        this.#send(call);
      } else {
        this.#waiting[spec.lane].push(call);
        this.#flush();
      }
    });
  }

  /** Sends a message that has no answer: a cancel, an ack. */
  tell(message: Uint8Array<ArrayBuffer>): void {
    if (!this.#ready || this.#end) return;
    this.#stamp(message);
    this.#connection.send(message);
  }

  /** Ends whatever the leader does for request id. */
  cancel(id: number): void {
    const w = request(0, Method.cancel, 9);
    w.u32(id);
    this.tell(w.finish());
  }

  /** Takes the events of id, until unsubscribe. */
  subscribe(id: number, handler: (type: number, r: Reader) => void): void {
    this.#subscribers.set(id, handler);
  }

  unsubscribe(id: number): void {
    this.#subscribers.delete(id);
  }

  /** Tells the leader that a repeating event was dealt with. */
  ack(id: number, type: number): void {
    const w = request(0, Method.ack, 10);
    w.u32(id);
    w.u8(type);
    this.tell(w.finish());
  }

  /** Ends every call, now and to come, with error. */
  end(error: HeddleError): void {
    if (this.#end) return;
    this.#end = error;
    this.#ready = false;
    this.#subscribers.clear();
    for (const call of [...this.#calls.values(), ...this.#waiting.read, ...this.#waiting.write]) {
      call.unlisten();
      call.reject(withSql(error, call.spec.sql));
    }
    this.#calls.clear();
    this.#waiting.read = [];
    this.#waiting.write = [];
  }

  connected(): void {
    if (this.#end) return;
    if (this.#ready || this.#calls.size > 0) this.lost(false);
    const { migrations, token } = this.#events.hello();
    const w = request(0, Method.hello);
    w.u16(VERSION);
    w.string(this.#connection.session);
    w.u32(migrations);
    w.bool(token);
    const call: Call = {
      spec: { message: w.finish(), lane: "direct", retry: false, result: readWelcome },
      id: 0,
      unlisten: () => {},
      deaths: 0,
      resolve: (value) => this.#welcome(value as Welcome),
      // A leader that goes away in the middle is followed by another.
      reject: (error) => { if (error.code !== "HEDDLE_LEADER_LOST" && error.code !== "HEDDLE_ENGINE_CRASH") this.failed(error); },
    };
    this.#send(call);
  }

  #welcome(welcome: Welcome): void {
    if (welcome.version !== VERSION) {
      this.failed(new HeddleError("HEDDLE_PROTOCOL",
        `the leading tab speaks version ${welcome.version}, this one ${VERSION}: reload the older tab`));
      return;
    }
    const again = this.#met;
    this.#met = true;
    this.#ready = true;
    this.#events.ready(welcome, again);
    this.#flush();
  }

  lost(crashed: boolean): void {
    if (this.#end) return;
    const wasReady = this.#ready;
    this.#ready = false;
    this.#subscribers.clear();
    this.#flying.read = this.#flying.write = 0;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    const again: Record<"read" | "write", Call[]> = { read: [], write: [] };
    for (const call of calls) {
      if (crashed) call.deaths++;
      if (call.spec.retry && call.spec.lane !== "direct" && call.deaths < MAX_DEATHS) {
        again[call.spec.lane].push(call);
      } else {
        call.unlisten();
        call.reject(crashed ? engineCrash(call.spec) : leaderLost(call.spec.sql));
      }
    }
    this.#waiting.read = [...again.read, ...this.#waiting.read];
    this.#waiting.write = [...again.write, ...this.#waiting.write];
    if (wasReady) this.#events.lost();
  }

  failed(error: HeddleError): void {
    if (this.#end) return;
    this.end(error);
    this.#events.failed(error);
  }

  broadcast(message: Uint8Array): void {
    if (!this.#end) this.#events.broadcast(message);
  }

  message(message: Uint8Array): void {
    if (this.#end) return;
    try {
      this.#receive(new Reader(message));
    } catch (thrown) {
      // Bytes that do not decode: nothing after them can be trusted.
      this.failed(asHeddleError(thrown, "HEDDLE_PROTOCOL"));
    }
  }

  #receive(r: Reader): void {
    const id = r.u32();
    const kind = r.u8();
    if (kind === Kind.event) {
      const type = r.u8();
      if (id === 0) this.#events.event(type, r);
      else this.#subscribers.get(id)?.(type, r);
      return;
    }
    if (id === 0 && kind === Kind.error) {
      this.failed(r.error() ?? new HeddleError("HEDDLE_PROTOCOL", "an error without a code"));
      return;
    }
    const call = this.#calls.get(id);
    if (!call) return; // answered, aborted, or of a leader before
    if (kind === Kind.chunk) {
      call.spec.chunk?.(r);
      return;
    }
    this.#done(call);
    if (kind === Kind.error) {
      const error = r.error() ?? new HeddleError("HEDDLE_PROTOCOL", "an error without a code");
      call.reject(withSql(error, call.spec.sql));
    } else {
      let value: unknown;
      try {
        value = call.spec.result(r);
      } catch (thrown) {
        call.reject(asHeddleError(thrown, "HEDDLE_PROTOCOL"));
        throw thrown;
      }
      call.resolve(value);
    }
    this.#flush();
  }

  #done(call: Call): void {
    call.unlisten();
    if (this.#calls.delete(call.id) && call.spec.lane !== "direct") this.#flying[call.spec.lane]--;
  }

  #stamp(message: Uint8Array<ArrayBuffer>): number {
    const id = this.#nextId;
    this.#nextId = id === 0xffffffff ? 1 : id + 1;
    new DataView(message.buffer).setUint32(message.byteOffset, id, true);
    return id;
  }

  #send(call: Call): void {
    const { spec } = call;
    const message = spec.retry ? spec.message.slice() : spec.message;
    call.id = this.#stamp(message);
    this.#calls.set(call.id, call);
    if (spec.lane !== "direct") this.#flying[spec.lane]++;
    this.#connection.send(message);
    spec.sent?.(call.id);
  }

  // Reads and writes go out in the order of the calls, each as its window
  // allows; the order between the two is kept where neither waits.
  #flush(): void {
    for (const lane of ["write", "read"] as const) {
      while (this.#ready && this.#flying[lane] < WINDOW) {
        const call = this.#waiting[lane].shift();
        if (!call) break;
        this.#send(call);
      }
    }
  }

  #abort(call: Call, signal: AbortSignal): void {
    const { lane, retry, sql } = call.spec;
    if (!this.#calls.has(call.id) || call.id === 0) {
      if (lane !== "direct") this.#waiting[lane] = this.#waiting[lane].filter((c) => c !== call);
      call.reject(abortError(signal, sql));
      return;
    }
    this.cancel(call.id);
    // A write may have happened by now: its answer says. A read need not wait.
    if (retry) {
      this.#done(call);
      call.reject(abortError(signal, sql));
      this.#flush();
    }
  }
}

function engineCrash({ retry, sql }: CallSpec<unknown>): HeddleError {
  return new HeddleError("HEDDLE_ENGINE_CRASH",
    retry ? `the engine died ${MAX_DEATHS} times over this call` : "the engine died before it answered: the write may have happened or not", { sql });
}

export function leaderLost(sql?: string): HeddleError {
  return new HeddleError("HEDDLE_LEADER_LOST",
    "the leading tab went away before it answered: the write may have happened or not", { sql });
}

function withSql(error: HeddleError, sql: string | undefined): HeddleError {
  return new HeddleError(error.code, error.message, { sql: error.sql ?? sql, op: error.op, cause: error.cause ?? error });
}
