// A worker's candidacy for the lock of its database. Web Locks queue first come,
// first served, and a frozen waiter at the head stalls every tab behind it; so
// only a visible tab queues. A hidden tab takes the lock if it is free: at the
// start, when a leader leaves, and at intervals.
//
// While no leader is known, both ask repeatedly: the message of a leader's end
// comes before its lock is free, and Chromium at times leaves a free lock with a
// queue, and grants it only when the first request in the queue is withdrawn.

import { HIDDEN_RETRY_MS, MAX_TRY_MS, REQUEUE_MS, TRY_MS } from "../shared/bounds.js";

export class Election {
  #withdraw: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #ended = false;
  /** A leader is known: the lock may be held for long. */
  #leaderKnown = false;
  /** How often the lock was asked for since no leader is known. */
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param held called once with the lock in hand, which is freed when the
   * promise settles.
   */
  constructor(
    private readonly lock: string,
    private visible: boolean,
    private readonly held: () => Promise<void>,
  ) {}

  /** Settles when the lock was held and is free again, or the candidacy was withdrawn. */
  async run(): Promise<void> {
    while (!this.#ended) {
      if (this.visible) await this.#queue();
      else if (!(await this.#tryOnce())) await this.#pause();
    }
    clearTimeout(this.#timer);
  }

  /** The page has become visible or hidden. */
  setVisible(visible: boolean): void {
    if (visible === this.visible) return;
    this.visible = visible;
    this.#withdraw?.();
    this.#wake?.();
  }

  /** A leader has left: a hidden tab asks at once; a tab that queues asks again if it does not get the lock soon. */
  retryLock(): void {
    if (this.#leaderKnown) this.#asked = 0;
    this.#leaderKnown = false;
    this.#wake?.();
    if (this.#withdraw) this.#requeueLater(this.#withdraw);
  }

  /** A tab leads. */
  leaderKnown(): void {
    this.#leaderKnown = true;
    if (this.#withdraw) clearTimeout(this.#timer);
  }

  /** Ends the candidacy. A lock that is held stays until `held` settles. */
  withdraw(): void {
    this.#ended = true;
    this.#withdraw?.();
    this.#wake?.();
  }

  async #queue(): Promise<void> {
    const abort = new AbortController();
    const withdraw = this.#withdraw = () => abort.abort();
    if (!this.#leaderKnown) this.#requeueLater(withdraw);
    try {
      await navigator.locks.request(this.lock, { signal: abort.signal }, () => this.#hold());
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      clearTimeout(this.#timer);
      this.#withdraw = undefined;
    }
  }

  // Leaves the head of the queue for its end after a while; all tabs before this one that run do the same.
  #requeueLater(withdraw: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(withdraw, this.#patience(REQUEUE_MS));
  }

  #patience(first: number): number {
    return Math.min(first * 2 ** this.#asked++, MAX_TRY_MS);
  }

  async #tryOnce(): Promise<boolean> {
    return navigator.locks.request(this.lock, { ifAvailable: true }, async (lock) => {
      if (!lock) return false;
      await this.#hold();
      return true;
    });
  }

  async #hold(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#withdraw = undefined;
    clearTimeout(this.#timer);
    await this.held();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(this.#timer);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = done;
      this.#timer = setTimeout(done, this.#leaderKnown ? HIDDEN_RETRY_MS : this.#patience(TRY_MS));
    });
  }
}
