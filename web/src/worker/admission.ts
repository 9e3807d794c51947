// Which tabs a leader serves: those that prove to live, by their locks. A name
// alone costs nothing and anybody can make them up; a line costs an engine two
// goroutines and their queues.

import type { Census } from "../shared/lock-holders.js";

/** How many lines one tab may have, that still tries both ways or comes back, and all tabs together. */
const TAB_LINES = 4;
const MAX_LINES = 1_024;

/** The lines there are. */
export interface Lines {
  size: number;
  of(tab: string): number;
}

export class Admission {
  readonly #census: Census;
  readonly #lock: (tab: string) => string;
  readonly #lines: () => Lines | undefined;

  /** @param lock names the lock that a tab holds while it lives; lines are undefined while none is served */
  constructor(census: Census, lock: (tab: string) => string, lines: () => Lines | undefined) {
    this.#census = census;
    this.#lock = lock;
    this.#lines = lines;
  }

  /** Calls connect if the tab lives and has not too many lines. way: by which it comes; of requests alike that came meanwhile one counts. */
  ask(tab: string, way: "port" | "channel", connect: () => void): void {
    this.#census.ask(`${way} ${tab}`, (holders) => {
      const lines = this.#lines();
      if (!lines || !holders.has(this.#lock(tab)) || lines.size >= MAX_LINES || lines.of(tab) >= TAB_LINES) return;
      connect();
    });
  }
}
