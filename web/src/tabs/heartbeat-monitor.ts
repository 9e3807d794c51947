// Tells a dead worker from a busy one. A worker that does nothing answers the
// page's questions; one in a long statement speaks up from inside it; one that
// does neither for long is taken for dead. To be wrong costs a restart, and no
// data.

import { PING_MS, SILENT_MS, SILENT_PINGS } from "../shared/tuning.js";

export class HeartbeatMonitor {
  readonly #ping: () => void;
  readonly #dead: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heard = performance.now();
  /** Questions since then. */
  #open = 0;

  constructor(ping: () => void, dead: () => void) {
    this.#ping = ping;
    this.#dead = dead;
    this.#next();
  }

  /** The worker said something. */
  heard(): void {
    this.#heard = performance.now();
    this.#open = 0;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #next(): void {
    this.#timer = setTimeout(() => {
      if (this.#open >= SILENT_PINGS && performance.now() - this.#heard >= SILENT_MS) {
        this.#dead();
        return;
      }
      this.#open++;
      this.#ping();
      this.#next();
    }, PING_MS);
  }
}
