// Web Locks among the workers of one thread. https://w3c.github.io/web-locks/

type Callback = (lock: { name: string; mode: LockMode } | null) => unknown;

interface Request {
  name: string;
  mode: LockMode;
  grant: () => void;
}

export class Locks {
  readonly #held = new Set<Request>();
  #waiting: Request[] = [];

  request(name: string, options: LockOptions | Callback, callback?: Callback): Promise<unknown> {
    if (typeof options === "function") return this.request(name, {}, options);
    const { mode = "exclusive", ifAvailable = false, signal } = options;
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const request: Request = {
        name, mode,
        grant: () => {
          this.#held.add(request);
          signal?.removeEventListener("abort", aborted);
          const done = Promise.resolve().then(() => callback!({ name, mode }));
          done.then(resolve, reject).finally(() => {
            this.#held.delete(request);
            this.#next();
          });
        },
      };
      const aborted = () => {
        this.#waiting = this.#waiting.filter((other) => other !== request);
        reject(signal!.reason as Error);
        this.#next();
      };
      if (ifAvailable && !this.#free(request, this.#waiting)) {
        resolve(Promise.resolve().then(() => callback!(null)));
        return;
      }
      signal?.addEventListener("abort", aborted, { once: true });
      this.#waiting.push(request);
      this.#next();
    });
  }

  async query(): Promise<LockManagerSnapshot> {
    const info = ({ name, mode }: Request) => ({ name, mode, clientId: "thread" });
    return { held: [...this.#held].map(info), pending: this.#waiting.map(info) };
  }

  /** Whether nothing that is held, or that waits before the request, is in its way. */
  #free({ name, mode }: Request, before: readonly Request[]): boolean {
    const others = [...this.#held, ...before].filter((other) => other.name === name);
    return others.length === 0 || mode === "shared" && others.every((other) => other.mode === "shared");
  }

  #next(): void {
    for (const [i, request] of this.#waiting.entries()) {
      if (!this.#free(request, this.#waiting.slice(0, i))) continue;
      this.#waiting.splice(i, 1);
      request.grant();
      this.#next();
      return;
    }
  }
}
