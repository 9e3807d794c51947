// Tells a dead worker from a busy one. An idle worker answers the page's pings; a
// worker in a long statement reports progress from inside it; a worker that does
// neither for long is taken for dead. A mistake costs a restart, and no data.

import { PING_MS, SILENT_MS, SILENT_PINGS } from "../shared/tuning.js";

export class HeartbeatMonitor {
  readonly #ping: () => void;
  readonly #dead: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heard = performance.now();
  /** Pings since then. */
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
