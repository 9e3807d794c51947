// A worker's wish to lead its database. Web Locks queue first come, first
// served, and a frozen waiter at the head would stall every tab behind it; so
// only a visible tab queues. A hidden one takes the lock if it is free, at
// once, when a leader leaves, and now and then, but never stands in line.

const HIDDEN_RETRY_MS = 3_000;

export class Candidate {
  #withdraw: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #ended = false;

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
  }

  /** The page came to the front or went to the back. */
  setVisible(visible: boolean): void {
    if (visible === this.visible) return;
    this.visible = visible;
    this.nudge();
  }

  /** A leader left: a hidden tab looks at once. */
  nudge(): void {
    if (!this.visible) this.#withdraw?.();
    this.#wake?.();
  }

  /** No longer wants to lead. A lock that is held stays until `held` settles. */
  withdraw(): void {
    this.#ended = true;
    this.#withdraw?.();
    this.#wake?.();
  }

  async #queue(): Promise<void> {
    const abort = new AbortController();
    this.#withdraw = () => abort.abort();
    try {
      await navigator.locks.request(this.lock, { signal: abort.signal }, () => this.#hold());
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      this.#withdraw = undefined;
    }
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
    await this.held();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, HIDDEN_RETRY_MS);
      const self = this;
      function done() {
        clearTimeout(timer);
        self.#wake = undefined;
        resolve();
      }
      this.#wake = done;
    });
  }
}
