// The lock of a database, as one worker asks for it, holds it and frees it.

import { whenFree } from "../shared/locks.js";
import type { Event } from "./election.js";

export class DatabaseLock {
  readonly #name: string;
  readonly #take: (event: Event) => void;
  #waiting = new AbortController();
  #free: () => void = () => {};

  /** @param take hears what became of each request */
  constructor(name: string, take: (event: Event) => void) {
    this.#name = name;
    this.#take = take;
  }

  /** Waits until none of the locks is held. */
  async yieldTo(locks: readonly string[]): Promise<void> {
    for (const lock of locks) await whenFree(lock, this.#waiting.signal).catch(() => {});
    this.#take(["yielded"]);
  }

  /** Waits for the lock, in the queue. */
  queue(): void {
    const { signal } = this.#waiting = new AbortController();
    void this.#request({ signal }).catch((error: unknown) => {
      this.#take(signal.aborted ? ["withdrawn"] : ["crashed", String(error)]);
    });
  }

  /** Takes the lock if it is free. */
  look(): void {
    void this.#request({ ifAvailable: true }).catch((error: unknown) => this.#take(["crashed", String(error)]));
  }

  withdraw(): void {
    this.#waiting.abort();
  }

  free(): void {
    this.#free();
  }

  async #request(options: LockOptions): Promise<void> {
    let granted = false;
    await navigator.locks.request(this.#name, options, (lock) => {
      if (!lock) return;
      granted = true;
      const held = new Promise<void>((resolve) => { this.#free = resolve; });
      this.#take(["granted"]);
      return held;
    });
    this.#take(granted ? ["freed"] : ["taken"]);
  }
}
