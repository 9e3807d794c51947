// Aborts by shared memory: on a page that is isolated from other origins, with its
// own worker, and on Node.js. The engine reads it inside a statement, where no message arrives.
// Elsewhere an abort takes effect between two batches.

import type { TabPort } from "./port.js";

/** A request has the place of its id; a later request may take the place over, and then only its message aborts. */
const PLACES = 256;

/** Makes the memory and sends it to the worker; undefined where memory cannot be shared. */
export function shareAborts(port: TabPort, shares = globalThis.crossOriginIsolated): Int32Array | undefined {
  if (!shares || typeof SharedArrayBuffer !== "function") return undefined;
  const shared = new SharedArrayBuffer(PLACES * Int32Array.BYTES_PER_ELEMENT);
  port.say({ t: "aborts", shared });
  return new Int32Array(shared);
}

export function noteAbort(aborts: Int32Array, id: number): void {
  Atomics.store(aborts, id % PLACES, id | 0);
}

export function isAborted(aborts: Int32Array | undefined, id: number): boolean {
  return aborts !== undefined && Atomics.load(aborts, (id >>> 0) % PLACES) === id;
}
