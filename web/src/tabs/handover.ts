// A leader whose page is in the background, in a browser that suspends such pages
// without a word: then the other tabs would wait for as long as it sleeps. So it
// makes room in time, if a tab that can be seen wants to lead. It does not for
// each switch of tabs: only one that stays away does. Where a browser says so
// before it freezes a page (the freeze event), the leader goes at that word.

import { STAY_MS } from "../shared/bounds.js";

export interface HandoverEvents {
  /** Asks the others whether one of them can be seen. */
  ask(): void;
  /** Lets another one lead. */
  retire(): void;
}

export class Handover {
  readonly #events: HandoverEvents;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = false;

  constructor(events: HandoverEvents) {
    this.#events = events;
  }

  /** The leading page can be seen, or no longer. */
  visible(visible: boolean): void {
    this.end();
    if (visible || "onfreeze" in document) return;
    this.#timer = setTimeout(() => {
      this.#due = true;
      this.#events.ask();
    }, STAY_MS);
  }

  /** A tab that can be seen would lead. */
  accepted(): void {
    if (!this.#due) return;
    this.end();
    this.#events.retire();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#due = false;
  }
}
