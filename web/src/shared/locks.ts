// Web Locks that tell which tabs and workers live.

/** A lock that is held from take() to free(). */
export class HeldLock {
  readonly #name: string;
  #taken: Promise<void> | undefined;
  #end: (() => void) | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  /** Resolves when the lock is held. */
  take(): Promise<void> {
    this.#taken ??= new Promise((resolve) => {
      let free!: () => void;
      const freed = new Promise<void>((done) => { free = done; });
      this.#end = free;
      void navigator.locks.request(this.#name, () => {
        resolve();
        return freed;
      });
    });
    return this.#taken;
  }

  free(): void {
    this.#taken = undefined;
    this.#end?.();
  }
}

/** Resolves when the lock is free. The wait is shared: it holds up no other, even when this thread is frozen. */
export async function whenFree(name: string, signal: AbortSignal): Promise<void> {
  await navigator.locks.request(name, { mode: "shared", signal }, () => {});
}
