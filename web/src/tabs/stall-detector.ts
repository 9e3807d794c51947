// Measures a silence: calls wait, and neither the leader nor its page gives a
// sign of life. Another tab is in the way then, frozen perhaps. Nothing can be
// done but to report it; it ends by itself.

import { PROBE_MS, BLOCKED_MS, MAX_TICK_MS } from "../shared/bounds.js";

export class StallDetector {
  #silent = 0;
  /** When the last tick was, while something waits. */
  #ticked: number | undefined;

  /** Something begins to wait. Returns false if something did already: ticks are under way. */
  begin(now: number): boolean {
    if (this.#ticked !== undefined) return false;
    this.#silent = 0;
    this.#ticked = now;
    return true;
  }

  /** A sign of life, or something else is waited for: the silence is measured from here. */
  restart(): void {
    this.#silent = 0;
  }

  /** Nothing waits. */
  end(): void {
    this.#ticked = undefined;
  }

  /**
   * probe: the leader's page is to be asked for a sign, since an engine may be
   * busy for long and its page is not. stalled: the silence is to be reported.
   */
  tick(now: number): { probe: boolean; stalled: boolean } {
    this.#silent += Math.min(now - this.#ticked!, MAX_TICK_MS);
    this.#ticked = now;
    return { probe: this.#silent >= PROBE_MS, stalled: this.#silent >= BLOCKED_MS };
  }
}
