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
  /** When the last ping was; Infinity after the end. */
  #pinged = performance.now();

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

  /**
   * Pings, if that is due: another tab waits for the worker. Of a hidden page a browser runs the timers once a minute,
   * and a worker that is dead would be found after four.
   */
  check(): void {
    if (performance.now() - this.#pinged >= PING_MS) this.#beat();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#pinged = Infinity;
  }

  #beat(): void {
    if (this.#open >= SILENT_PINGS && performance.now() - this.#heard >= SILENT_MS) {
      this.end();
      this.#dead();
      return;
    }
    this.#open++;
    this.#pinged = performance.now();
    this.#ping();
    this.#next();
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#beat(), PING_MS);
  }
}
