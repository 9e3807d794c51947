// Requests and their answers over a Connection: ids, order, cancellation, the limit of requests on their way, and
// retries when the leader changes.

import { ENDING_MS } from "../shared/bounds.js";
import {
  badTimeout, each, engineCrash, givenUp, gone, isRead, MAX_DEATHS, newCall, QUEUES, tooBig, withSql, type Call,
  type CallSpec,
  type Request,
} from "./call.js";
import { encodeRequest, Kind, NONE, Reader } from "./codec.js";
import { ack, cancel, hello, Method, VERSION, type Hello, type Welcome } from "./messages.gen.js";
import { abortError, asHeddleError, HeddleError, timeoutError } from "../shared/errors.js";
import { Nesting } from "./nested-writes.js";
import { checkTimeout } from "./params.js";
import type { Connection, ConnectionHandler } from "./connection.js";

/** How many calls of each queue are at the leader at a time: far fewer than it takes of one tab (leader.MaxQueued). */
const WINDOW = 128;

/** What the caller reports to the database. */
export interface CallerEvents {
  hello(): Omit<Hello, "version" | "session">;
  /** A leader is ready; again is false for the first one. */
  ready(welcome: Welcome, again: boolean): void;
  lost(crashed: boolean): void;
  event(type: number, r: Reader): void;
  broadcast(message: Uint8Array): void;
  blocked(now: boolean): void;
  outdated(error: HeddleError): void;
  failed(error: HeddleError): void;
}

export class Caller implements ConnectionHandler {
  readonly #connection: Connection;
  readonly #events: CallerEvents;
  #waiting = each<Call[]>(() => []);
  #flying = each(() => 0);
  readonly #calls = new Map<number, Call>();
  /** Calls at the leader during which an engine has died before. */
  #suspects = 0;
  /** Finds writes that are made inside the function of a transaction. */
  readonly nesting = new Nesting({
    waiting: () => this.#nested()[0]?.spec.sql ?? (this.#nested().length > 0 ? "" : undefined),
    fail: (error) => {
      for (const call of this.#nested()) this.#abort(call, error);
    },
  });
  /** Counters of the writes without an outcome, in order. */
  readonly #open = new Set<number>();
  #nextId = 1;
  #counter = 0;
  #ready = false;
  #met = false;
  /** No leader answers. */
  #blocked = false;
  #end: HeddleError | undefined;
  /** Why new calls are refused, while those on their way are still answered. */
  #ending: HeddleError | undefined;

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

  get busy(): boolean {
    return this.#calls.size > 0 || QUEUES.some((queue) => this.#waiting[queue].length > 0);
  }

  get unsettled(): boolean {
    return this.#open.size > 0;
  }

  /** Why calls are refused. */
  get ended(): HeddleError | undefined {
    return this.#end;
  }

  /** The next counter: it names a write. call() settles the counter `write` of its spec. */
  newWrite(): number {
    this.#open.add(++this.#counter);
    return this.#counter;
  }

  /** The outcome of that write is known here: leaders need not keep it any longer. */
  settled(write: number): void {
    this.#open.delete(write);
  }

  /** Sends a call in its turn; endCalls ends those of its owner. */
  call<T>(spec: CallSpec<T>, owner?: object): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const call = newCall(spec, resolve as Call["resolve"], reject, owner);
      call.nested = this.nesting.active && (spec.writer ?? spec.lane === "write");
      const refused = (this.#end ?? this.#ending)?.clone() ?? badTimeout(spec.timeout) ?? tooBig(spec)
        ?? (call.nested ? this.nesting.refusal(spec.sql) : undefined)
        ?? (spec.signal?.aborted ? abortError(spec.signal, spec.sql) : undefined)
        ?? ((spec.lane === "direct" || spec.lane === "tx") && !this.#ready ? gone(spec.sql) : undefined);
      if (refused) return this.#settle(call, () => reject(refused));
      if (spec.signal || spec.timeout !== undefined) this.#listen(call);
      if (call.nested) this.nesting.watch();
      if (spec.lane === "direct") {
        this.#send(call);
      } else {
        this.#waiting[spec.lane].push(call);
        this.#flush();
      }
    });
  }

  /** Sends a request that has no reply. */
  tell(request: Request): void {
    if (!this.#ready || this.#end) return;
    this.#connection.send(this.#message(this.#newId(), request, 0, 0));
  }

  /** Cancels request id at the leader. */
  cancel(id: number): void {
    this.tell(cancel(id));
  }

  /** Tells the leader that a repeating event was dealt with. */
  ack(type: number): void {
    this.tell(ack(type));
  }

  /** Ends every call, now and to come, with error. */
  end(error: HeddleError): void {
    if (this.#end) return;
    this.#end = error;
    this.#ready = false;
    for (const call of [...this.#calls.values(), ...Object.values(this.#waiting).flat()]) this.#fail(call, error);
    this.#calls.clear();
    this.#waiting = each(() => []);
  }

  /** Ends the calls of one owner with error. */
  endCalls(owner: object, error: HeddleError): void {
    for (const queue of QUEUES) {
      const [own, others] = [true, false].map((mine) =>
        this.#waiting[queue].filter((call) => (call.owner === owner) === mine)) as [Call[], Call[]];
      this.#waiting[queue] = others;
      for (const call of own) this.#fail(call, error);
    }
    for (const call of [...this.#calls.values()]) {
      if (call.owner !== owner) continue;
      this.#connection.interrupt?.(call.id);
      this.cancel(call.id);
      this.#done(call);
      this.#fail(call, error);
    }
    this.#flush();
  }

  connected(): void {
    if (this.#end) return;
    if (this.#ready || this.#calls.size > 0) this.lost(false);
    const request = hello({ version: VERSION, session: this.#connection.session, ...this.#events.hello() });
    this.#send(newCall(
      request,
      (value) => this.#welcome(value as Welcome),
      // If the leader goes away in the middle, another follows. A leader of an older build gives the lead to this one.
      (error) => {
        if (error.code === "HEDDLE_OUTDATED") this.#connection.refused?.();
        else if (error.code !== "HEDDLE_TX_LOST") this.failed(error);
      },
    ));
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
    this.#flying = each(() => 0);
    this.#suspects = 0;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    const again = each<Call[]>(() => []);
    for (const call of calls) {
      const { spec } = call;
      if (crashed) call.deaths++;
      if (!spec.retry) this.#fail(call, gone());
      else if (spec.signal?.aborted) this.#fail(call, spec.write === undefined ? abortError(spec.signal) : givenUp());
      else if (call.end <= performance.now()) {
        this.#fail(call, spec.write === undefined ? timeoutError(spec.timeout!) : givenUp());
      } else if (call.deaths >= MAX_DEATHS && spec.write === undefined && spec.instead === undefined) {
        this.#fail(call, engineCrash());
      } else {
        if (call.lane === "direct") call.lane = "write";
        again[call.lane].push(call);
      }
    }
    for (const call of this.#waiting.tx) this.#fail(call, gone());
    this.#waiting.tx = [];
    for (const queue of QUEUES) this.#waiting[queue] = [...again[queue], ...this.#waiting[queue]];
    if (wasReady) this.#events.lost(crashed);
  }

  blocked(now: boolean): void {
    if (this.#end) return;
    this.#blocked = now;
    for (const call of now ? [...this.#calls.values()] : []) {
      if (call.spec.signal?.aborted || call.end <= performance.now()) this.#giveUp(call);
    }
    this.#events.blocked(now);
  }

  // The app does not wait for the call any more, and no leader can tell its outcome.
  #giveUp(call: Call): void {
    this.#done(call);
    this.#fail(call, givenUp());
  }

  outdated(error: HeddleError): void {
    if (this.#end || this.#ending) return;
    this.#ending = error;
    this.#events.outdated(error);
    for (const queue of QUEUES) {
      for (const call of this.#waiting[queue]) if (call.times === 0) this.#fail(call, error);
      this.#waiting[queue] = this.#waiting[queue].filter((call) => call.times > 0);
    }
    if (this.busy) setTimeout(() => this.failed(error), ENDING_MS);
    else this.failed(error);
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
      // After bytes that do not decode, none can be trusted.
      this.failed(asHeddleError(thrown, "HEDDLE_PROTOCOL"));
    }
  }

  #receive(r: Reader): void {
    const id = r.u32();
    const kind = r.u8();
    if (kind === Kind.event) {
      this.#events.event(r.u8(), r);
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
      // The write was only asked about, and has not been done.
      const deadly = error.code === "HEDDLE_TX_LOST" && call.deaths >= MAX_DEATHS;
      // This leader did not begin the write; an earlier one may have done it.
      const unknown = (error.code === "HEDDLE_TIMEOUT" || error.code === "HEDDLE_ABORTED")
        && call.spec.write !== undefined && call.times > 1;
      const ended = error.code === "HEDDLE_ABORTED" ? call.reason : undefined;
      this.#fail(call, deadly ? engineCrash() : unknown ? givenUp() : ended ?? error);
    } else {
      let value: unknown;
      try {
        value = call.spec.result(r);
      } catch (thrown) {
        this.#fail(call, asHeddleError(thrown, "HEDDLE_PROTOCOL"));
        throw thrown;
      }
      this.#settle(call, () => call.resolve(value));
    }
    this.#flush();
    if (this.#ending && !this.busy) this.failed(this.#ending);
  }

  #done(call: Call): void {
    if (!this.#calls.delete(call.id) || call.lane === "direct") return;
    this.#flying[call.lane]--;
    if (call.deaths > 0) this.#suspects--;
  }

  #settle(call: Call, tell: () => void): void {
    call.unlisten();
    if (call.spec.write !== undefined) this.settled(call.spec.write);
    tell();
  }

  #fail(call: Call, error: HeddleError): void {
    this.#settle(call, () => call.reject(withSql(error, call.spec.sql)));
  }

  #newId(): number {
    const id = this.#nextId;
    this.#nextId = id === 0xffffffff ? 1 : id + 1;
    return id;
  }

  #message(
    id: number, { method, body }: Pick<Request, "method" | "body">, write: number, deadline: number,
  ): Uint8Array<ArrayBuffer> {
    const [open] = this.#open;
    return encodeRequest({ id, method, deadline, write, ack: (open ?? this.#counter + 1) - 1 }, body);
  }

  // The call's signal and its timeout end it from outside.
  #listen(call: Call): void {
    const { signal } = call.spec;
    const timeout = checkTimeout(call.spec.timeout);
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (timeout !== undefined) {
      call.end = performance.now() + timeout;
      timer = setTimeout(() => this.#timeUp(call, timeoutError(timeout)), timeout);
    }
    const aborted = () => this.#abort(call, abortError(signal!));
    signal?.addEventListener("abort", aborted, { once: true });
    call.unlisten = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    };
  }

  #send(call: Call): void {
    const { spec, end } = call;
    const asked = this.#askedAbout(call);
    const deadline = end < Infinity ? Math.max(1, Math.ceil(end - performance.now())) : 0;
    call.id = this.#newId();
    const request = asked === undefined ? spec : { method: Method.outcome, body: NONE };
    const message = this.#message(call.id, request, asked ?? spec.write ?? spec.begins ?? 0, deadline);
    call.times++;
    this.#calls.set(call.id, call);
    if (call.lane !== "direct") {
      this.#flying[call.lane]++;
      if (call.deaths > 0) this.#suspects++;
    }
    this.#connection.send(message);
    spec.sent?.(call.id);
  }

  // The write whose outcome is asked for in place of the call: it cannot be done again, or engines died over it.
  #askedAbout({ spec, times, deaths }: Call): number | undefined {
    if (times > 0 && spec.instead !== undefined) return spec.instead;
    return spec.retry && deaths >= MAX_DEATHS ? spec.write : undefined;
  }

  // Sends calls in order, as many of each queue as its window allows. The order between reads and writes is kept if
  // neither waits. The calls during which an engine died are sent one by one, so that the next death tells which of
  // them is the cause.
  #flush(): void {
    for (const queue of QUEUES) {
      while (this.#ready && this.#flying[queue] < WINDOW) {
        const [call] = this.#waiting[queue];
        const busy = QUEUES.some((other) => this.#flying[other] > 0);
        if (!call || this.#suspects > 0 || busy && call.deaths > 0) break;
        this.#waiting[queue].shift();
        this.#send(call);
      }
    }
  }

  #nested(): Call[] {
    const calls = [...this.#calls.values(), ...this.#waiting.write, ...this.#waiting.side];
    return calls.filter((call) => call.nested && !call.reason);
  }

  #abort(call: Call, error: HeddleError): void {
    const { lane, spec } = call;
    call.reason = error;
    if (this.#calls.get(call.id) !== call) {
      if (lane !== "direct") this.#waiting[lane] = this.#waiting[lane].filter((c) => c !== call);
      this.#fail(call, call.times > 0 && spec.write !== undefined ? givenUp() : error);
      return;
    }
    this.#connection.interrupt?.(call.id);
    this.cancel(call.id);
    // A write may have happened by now: its answer tells. A read need not wait for its answer.
    if (isRead(lane)) {
      this.#done(call);
      this.#fail(call, error);
      this.#flush();
    } else if (this.#blocked) {
      this.#giveUp(call);
    }
  }

  // The leader has the deadline too: its answer tells the outcome of a write.
  #timeUp(call: Call, error: HeddleError): void {
    if (isRead(call.lane) || this.#blocked || this.#calls.get(call.id) !== call) this.#abort(call, error);
  }
}
