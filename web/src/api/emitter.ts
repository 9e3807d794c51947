import { HeddleError } from "../shared/errors.js";
import { checkFunction } from "../rpc/params.js";

/** Named events and who listens to them. */
export class Emitter<E extends object> {
  readonly #what: string;
  readonly #listeners: Map<keyof E, Set<(detail: never) => void>>;

  constructor(what: string, events: readonly (keyof E)[]) {
    this.#what = what;
    this.#listeners = new Map(events.map((event) => [event, new Set()]));
  }

  on<K extends keyof E>(event: K, fn: (detail: E[K]) => void): () => void {
    const set = this.#listeners.get(event);
    if (!set) {
      const known = [...this.#listeners.keys()].join(", ");
      const what = `${this.#what}: no event is called ${JSON.stringify(event)}; there are ${known}`;
      throw new HeddleError("HEDDLE_BAD_PARAM", what);
    }
    checkFunction(fn, `${this.#what}'s callback`);
    // A function registered twice is called twice, and stopped one at a time.
    const entry = (detail: E[K]) => fn(detail);
    set.add(entry);
    return () => void set.delete(entry);
  }

  emit<K extends keyof E>(event: K, detail: E[K]): void {
    for (const fn of [...this.#listeners.get(event)!] as ((detail: E[K]) => void)[]) {
      try {
        fn(detail);
      } catch (thrown) {
        report(thrown);
      }
    }
  }

  clear(): void {
    for (const set of this.#listeners.values()) set.clear();
  }
}

/**
 * Shows an error that no call can reject with, as any uncaught one: it was thrown by an app's callback, or is of a live
 * query without onError.
 */
export function report(error: unknown): void {
  const scope = globalThis as { reportError?: (error: unknown) => void };
  if (typeof scope.reportError === "function") scope.reportError(error);
  else console.error(error);
}
