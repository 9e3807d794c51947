// Writes on the database inside the function of one of its own transactions.
// They wait for the transaction, and the function waits for them: every tab's
// writes would stop until the leader gives the transaction up.
//
// JavaScript does not say which function makes a call. What surely is code of the
// transaction's function is its start, and what follows an awaited call of tx: a
// write there fails at once. Elsewhere (after `await fetch(…)`, or `Promise.all`) a write may
// be another part of the app's, which rightly waits for its turn. It waits on
// while the transaction does something. If the transaction does nothing for long
// while such writes wait, they fail, for it to go on.

import { IDLE_TICK_MS, MAX_IDLE_TICKS, WARN_TICKS } from "../shared/bounds.js";
import { HeddleError } from "../shared/errors.js";

const USE_TX = "make it on tx, the function's argument, or outside of the function";

export interface NestingEvents {
  /** The SQL of a write that waits and was made while a function ran: "" if it has none, undefined if none waits. */
  waiting(): string | undefined;
  /** Fails those writes. */
  fail(error: HeddleError): void;
}

/** A transaction whose function runs. */
export interface Running {
  /** Statements of it that are at the leader, and those that were. */
  readonly statements: number;
  readonly done: number;
}

export class Nesting {
  readonly #events: NestingEvents;
  readonly #running = new Set<Running>();
  /** How deep the code that runs now is inside functions of transactions. */
  #inside = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #idle = 0;
  #done = 0;

  constructor(events: NestingEvents) {
    this.#events = events;
  }

  /** Whether the function of a transaction runs, perhaps somewhere else. */
  get active(): boolean {
    return this.#running.size > 0;
  }

  /** The error of a write that is made inside the function of a transaction, else undefined. */
  refusal(sql: string | undefined): HeddleError | undefined {
    if (this.#inside === 0) return undefined;
    const what = `a write on the database inside its own transaction, which it would wait for: ${USE_TX}`;
    const error = new HeddleError("HEDDLE_TX_NESTED", what, { sql });
    console.warn(`heddle: ${error.message}${sql ? `: ${sql}` : ""}`);
    return error;
  }

  /** A write waits that was made while a function ran: watches that this does not go on for ever. */
  watch(): void {
    if (this.#timer !== undefined || !this.active) return;
    this.#idle = 0;
    this.#done = this.#progress().done;
    this.#timer = setInterval(() => this.#tick(), IDLE_TICK_MS);
  }

  /** The transaction's function begins. */
  begin<T>(running: Running, fn: () => T): T {
    this.#running.add(running);
    return this.#enter(fn);
  }

  /** It has ended. */
  end(running: Running): void {
    this.#running.delete(running);
    if (!this.active) this.#stop();
  }

  /**
   * Calls what waits for a statement of the transaction: the function goes on, in fn or in a microtask that fn queues.
   */
  resume<T>(running: Running, fn: () => T): T {
    if (!this.#running.has(running)) return fn();
    queueMicrotask(() => { this.#inside++; });
    try {
      return this.#enter(fn);
    } finally {
      queueMicrotask(() => { this.#inside--; });
    }
  }

  #enter<T>(fn: () => T): T {
    this.#inside++;
    try {
      return fn();
    } finally {
      this.#inside--;
    }
  }

  #progress(): { busy: number; done: number } {
    let busy = 0, done = 0;
    for (const running of this.#running) {
      busy += running.statements;
      done += running.done;
    }
    return { busy, done };
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const sql = this.#events.waiting();
    if (sql === undefined) return this.#stop();
    const { busy, done } = this.#progress();
    this.#idle = busy > 0 || done !== this.#done ? 0 : this.#idle + 1;
    this.#done = done;
    if (this.#idle === WARN_TICKS) {
      const what = "a transaction does nothing while a write of this page waits for it";
      console.warn(`heddle: ${what}. If its function waits for that write, ${USE_TX}: ${sql}`);
    }
    if (this.#idle < MAX_IDLE_TICKS) return;
    const seconds = (MAX_IDLE_TICKS * IDLE_TICK_MS) / 1_000;
    const what = `the write waited for a transaction of this page that did nothing for ${seconds} seconds`;
    this.#events.fail(new HeddleError("HEDDLE_TX_NESTED",
      `${what}. If the transaction's function waits for it, ${USE_TX}`));
  }
}
