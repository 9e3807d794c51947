// Who holds which Web Lock now. What a message claims about a tab or a leader is
// checked here: each holds a lock while it lives. However many messages come, one
// query is under way at a time, and the claims that came meanwhile share the next.

import { leaderLock, lockName } from "./names.js";

/** Claims that wait for a query; more are dropped. A tab that lives repeats its claim. */
const MAX_CLAIMS = 256;

/** The holder of each lock that is held: the browser's name for a page or a worker. */
export type Holders = ReadonlyMap<string, string>;

/** Whether that leader leads: it holds the database's own lock beside the one that tells of its life. */
export function leads(holders: Holders, scope: string, leader: string): boolean {
  const holder = holders.get(leaderLock(scope, leader));
  return holder !== undefined && holder === holders.get(lockName(scope));
}

export class LockHolders {
  /** The claims that wait for the next query, by subject. */
  #waiting = new Map<string, (holders: Holders) => void>();
  #looking = false;

  /** Calls back once with the holders, as of after this call; an earlier claim with the same subject is forgotten. */
  check(about: string, then: (holders: Holders) => void): void {
    if (this.#waiting.size >= MAX_CLAIMS && !this.#waiting.has(about)) return;
    this.#waiting.set(about, then);
    if (!this.#looking) void this.#look();
  }

  /** Forgets the claims that wait. */
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
