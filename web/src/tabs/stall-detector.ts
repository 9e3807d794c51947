// Watches over calls that wait: for a leader that comes, or one that answers.
// Where neither happens another tab is in the way, frozen perhaps, and nothing
// can be done but to say so. It goes on by itself.

import { ASK_MS, BLOCKED_MS, MAX_TICK_MS, TICK_MS } from "../shared/bounds.js";

export interface StallDetectorEvents {
  /** Whether anything waits. */
  waits(): boolean;
  /** Asks the leader's page for a sign: an engine may be busy for long, its page is not. */
  ask(): void;
  blocked(now: boolean): void;
}

export class StallDetector {
  readonly #events: StallDetectorEvents;
  #timer: ReturnType<typeof setInterval> | undefined;
  #silent = 0;
  #ticked = 0;
  #blocked = false;

  constructor(events: StallDetectorEvents) {
    this.#events = events;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  /** Something begins to wait. */
  begin(): void {
    if (this.#timer !== undefined) return;
    this.#silent = 0;
    this.#ticked = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** The leader, or its page, gave a sign. */
  heard(): void {
    this.#silent = 0;
    this.#say(false);
  }

  /** What was waited for has changed: the patience begins anew. */
  restart(): void {
    this.#silent = 0;
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    if (!this.#events.waits()) {
      this.end();
      this.#say(false);
      return;
    }
    const now = performance.now();
    this.#silent += Math.min(now - this.#ticked, MAX_TICK_MS);
    this.#ticked = now;
    if (this.#silent >= ASK_MS) this.#events.ask();
    if (this.#silent >= BLOCKED_MS) this.#say(true);
  }

  #say(blocked: boolean): void {
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.#events.blocked(blocked);
  }
}
