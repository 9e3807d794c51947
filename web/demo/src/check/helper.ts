// The page's side of worker.ts.
import type { Answer, Ask } from "./messages.js";

export class Helper {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #broken: string | undefined;
  #last = 0;

  /** The worker ends with the signal, however it is meanwhile. */
  constructor(signal: AbortSignal) {
    this.#worker = new Worker(new URL("check-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#settle(data);
    this.#worker.onerror = ({ message }) => this.#break(`the worker's script failed: ${message || "it did not load"}`);
    signal.addEventListener("abort", () => this.end());
  }

  ask<T = unknown>(task: Ask["task"], value = ""): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        if (error === undefined) resolve(result as T);
        else reject(new Error(error));
      });
      if (this.#broken) this.#break(this.#broken);
      else this.#worker.postMessage({ id, task, with: value } satisfies Ask);
    });
  }

  /** Ends it at once, as a closed tab ends. */
  end(): void {
    this.#worker.terminate();
    this.#break("the worker has ended");
  }

  #settle(answer: Answer): void {
    this.#waiting.get(answer.id)?.(answer);
    this.#waiting.delete(answer.id);
  }

  #break(error: string): void {
    this.#broken = error;
    for (const id of [...this.#waiting.keys()]) this.#settle({ id, error });
  }
}
