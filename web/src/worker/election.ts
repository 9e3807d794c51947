// A worker's wish to lead its database. Web Locks queue first come, first
// served, and a frozen waiter at the head would stall every tab behind it; so
// only a visible tab queues. A hidden one takes the lock if it is free, at
// once, when a leader leaves, and now and then, but never stands in line.
//
// While nobody is known to lead, both ask again and again: word of a leader's end
// comes before its lock is free, and Chromium at times leaves a free lock with a
// queue before it and gives it to nobody until the first in the queue goes away.

import { HIDDEN_RETRY_MS, MAX_TRY_MS, REQUEUE_MS, TRY_MS } from "../shared/bounds.js";

export class Election {
  #withdraw: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #ended = false;
  /** Somebody is known to lead: our turn may be far. */
  #leaderKnown = false;
  /** How often it was asked since nobody leads. */
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

  /** Settles when the lock was had and is free again, or the wish was withdrawn. */
  async run(): Promise<void> {
    while (!this.#ended) {
      if (this.visible) await this.#queue();
      else if (!(await this.#tryOnce())) await this.#pause();
    }
    clearTimeout(this.#timer);
  }

  /** The page came to the front or went to the back. */
  setVisible(visible: boolean): void {
    if (visible === this.visible) return;
    this.visible = visible;
    this.#withdraw?.();
    this.#wake?.();
  }

  /** A leader left: a hidden tab looks at once, one that queues asks anew if it is not given the lock soon. */
  retryLock(): void {
    if (this.#leaderKnown) this.#asked = 0;
    this.#leaderKnown = false;
    this.#wake?.();
    if (this.#withdraw) this.#requeueLater(this.#withdraw);
  }

  /** Somebody leads. */
  leaderKnown(): void {
    this.#leaderKnown = true;
    if (this.#withdraw) clearTimeout(this.#timer);
  }

  /** No longer wants to lead. A lock that is held stays until `held` settles. */
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

  // Leaves the queue in a while, for its end: those before us who live do the same.
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
