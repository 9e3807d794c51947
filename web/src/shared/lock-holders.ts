// Who holds which Web Lock now. What a message claims about a tab or a leader is
// checked here: it holds a lock while it lives. However many messages come, one
// look is under way at a time, and those that came meanwhile share the next.

import { leaderLock, lockName } from "./names.js";

/** Claims that wait for a look; more are dropped. Whoever lives says it again. */
const MAX_CLAIMS = 256;

/** The holder of each lock that is held: the browser's name for a page or a worker. */
export type Holders = ReadonlyMap<string, string>;

/** Whether that leader leads: it holds the database's own lock beside the one that tells of its life. */
export function leads(holders: Holders, scope: string, leader: string): boolean {
  const holder = holders.get(leaderLock(scope, leader));
  return holder !== undefined && holder === holders.get(lockName(scope));
}

export class LockHolders {
  /** What waits for the next look, by what it is about. */
  #waiting = new Map<string, (holders: Holders) => void>();
  #looking = false;

  /** Calls back once with who holds what, as of after this call; an earlier claim about the same is forgotten. */
  check(about: string, then: (holders: Holders) => void): void {
    if (this.#waiting.size >= MAX_CLAIMS && !this.#waiting.has(about)) return;
    this.#waiting.set(about, then);
    if (!this.#looking) void this.#look();
  }

  /** Forgets what was asked. */
  end(): void {
    this.#waiting.clear();
  }

  async #look(): Promise<void> {
    this.#looking = true;
    while (this.#waiting.size > 0) {
      const waiting = this.#waiting;
      this.#waiting = new Map();
      const { held } = await navigator.locks.query().catch((): LockManagerSnapshot => ({ held: [], pending: [] }));
      const holders = new Map(held?.map(({ name, clientId }) => [name ?? "", clientId ?? ""]));
      for (const then of waiting.values()) then(holders);
    }
    this.#looking = false;
  }
}
