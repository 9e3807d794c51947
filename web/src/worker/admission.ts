// Which tabs a leader serves: those whose locks prove that they live. Any script
// can make up a tab's id at no cost; a port costs the engine two goroutines and
// their queues.

import type { LockHolders } from "../shared/lock-holders.js";

/** How many ports one tab may have, which may try both ways or come back, and all tabs together. */
const MAX_TAB_PORTS = 4;
const MAX_PORTS = 1_024;

/** The ports there are. */
export interface Ports {
  size: number;
  of(tab: string): number;
}

export class Admission {
  readonly #lockHolders: LockHolders;
  readonly #lock: (tab: string) => string;
  readonly #ports: () => Ports | undefined;

  /** @param lock names the lock that a tab holds while it lives; ports are undefined while none is served */
  constructor(lockHolders: LockHolders, lock: (tab: string) => string, ports: () => Ports | undefined) {
    this.#lockHolders = lockHolders;
    this.#lock = lock;
    this.#ports = ports;
  }

  /** Calls connect if the tab lives and has not too many ports. Of equal requests that wait for a check one counts. */
  ask(tab: string, way: "port" | "channel", connect: () => void): void {
    this.#lockHolders.check(`${way} ${tab}`, (holders) => {
      const ports = this.#ports();
      if (!ports || !holders.has(this.#lock(tab)) || ports.size >= MAX_PORTS || ports.of(tab) >= MAX_TAB_PORTS) return;
      connect();
    });
  }
}
