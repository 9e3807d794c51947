// Watches over calls that wait: for a leader that comes, or one that answers.
// Where neither happens another tab is in the way, frozen perhaps, and nothing
// can be done but to say so. It goes on by itself.

const TICK_MS = 250;
/** Ticks of silence after which the leader's page is asked, and after which it is said. A tab that was suspended itself counts anew. */
const ASK_TICKS = 3;
const BLOCKED_TICKS = 7;

export interface VigilEvents {
  /** Whether anything waits. */
  waits(): boolean;
  /** Asks the leader's page for a sign: an engine may be busy for long, its page is not. */
  ask(): void;
  blocked(now: boolean): void;
}

export class Vigil {
  readonly #events: VigilEvents;
  #timer: ReturnType<typeof setInterval> | undefined;
  #silent = 0;
  #blocked = false;

  constructor(events: VigilEvents) {
    this.#events = events;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  /** Something begins to wait. */
  begin(): void {
    if (this.#timer !== undefined) return;
    this.#silent = 0;
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
    this.#silent++;
    if (this.#silent >= ASK_TICKS) this.#events.ask();
    if (this.#silent >= BLOCKED_TICKS) this.#say(true);
  }

  #say(blocked: boolean): void {
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.#events.blocked(blocked);
  }
}
