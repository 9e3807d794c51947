// Aborts where memory can be shared: on a page that is isolated from other
// origins, with its own worker. The engine looks there inside a statement, where
// no message reaches it. Elsewhere an abort takes effect between two batches.

import type { TabPort } from "./port.js";

/** A request has the place of its id; a later one may take it over, and then the message alone tells. */
const PLACES = 256;

/** Makes the memory and tells the worker of it; undefined where it cannot be. */
export function shareAborts(line: TabPort): Int32Array | undefined {
  if (globalThis.crossOriginIsolated !== true || typeof SharedArrayBuffer !== "function") return undefined;
  const shared = new SharedArrayBuffer(PLACES * Int32Array.BYTES_PER_ELEMENT);
  line.say({ t: "aborts", shared });
  return new Int32Array(shared);
}

export function noteAbort(aborts: Int32Array, id: number): void {
  Atomics.store(aborts, id % PLACES, id | 0);
}

export function isAborted(aborts: Int32Array | undefined, id: number): boolean {
  return aborts !== undefined && Atomics.load(aborts, (id >>> 0) % PLACES) === id;
}
