// The worker's half of the heartbeat: whether the engine still answers. The
// page's half is tabs/heartbeat-monitor.ts, Go's half is wasm/heartbeat.go.

import type { Program } from "./go-host.js";
import { PING_MS, STUCK_PINGS } from "../shared/tuning.js";

/** Statements report progress far more often than a clock should be read. */
const EVERY = 64;

export class Heartbeat {
  readonly #alive: (quiet: boolean) => void;
  readonly #dead: (error: unknown) => void;
  #program: Program | undefined;
  /** Pings that came since Go answered. */
  #open = 0;
  #beats = 0;
  #last = 0;
  /** What Go imports. */
  readonly imports = {
    heartbeat: {
      pong: (quiet: number) => {
        this.#open = 0;
        this.#alive(quiet !== 0);
      },
      // From inside a long statement, or the recovery of a large log: pings that came meanwhile are not read yet.
      progress: () => {
        if (++this.#beats % EVERY !== 0) return;
        const now = performance.now();
        if (now - this.#last < PING_MS) return;
        this.#last = now;
        this.#alive(false);
      },
    },
  };

  constructor(alive: (quiet: boolean) => void, dead: (error: unknown) => void) {
    this.#alive = alive;
    this.#dead = dead;
  }

  attach(program: Program): void {
    this.#program = program;
  }

  /** How large the engine's memory has grown. */
  get memory(): number {
    return (this.#program?.exports["mem"] as WebAssembly.Memory | undefined)?.buffer.byteLength ?? 0;
  }

  /**
   * A ping has come. The worker reads it outside Go, so Go has nothing to run: if
   * earlier pings have no answer, Go waits for something that holds up every
   * request.
   */
  ping(): void {
    if (!this.#program) {
      this.#alive(false); // still loading
      return;
    }
    if (++this.#open > STUCK_PINGS) {
      this.#dead(new Error("the engine waits for something that never comes"));
      return;
    }
    try {
      if (this.#open === 1) (this.#program.exports["heddle_probe"] as () => void)();
      this.#program.resume();
    } catch (error) {
      this.#dead(error);
    }
  }
}
