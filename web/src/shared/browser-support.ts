// What the browser offers for keeping data, and what it promises about it.

import { HeddleError, asHeddleError } from "./errors.js";
import type { Storage } from "./types.js";

/** Throws what is missing here, so that open() fails early and says why. */
export function checkBrowser(memory: boolean): void {
  const missing =
    typeof document === "undefined" && !inOwnWorker()
      ? "a page or a dedicated worker of one: on Node.js there is heddle/node"
    : typeof WebAssembly !== "object" ? "WebAssembly"
    : typeof Worker !== "function" ? "workers"
    : typeof BroadcastChannel !== "function" ? "BroadcastChannel"
    : !isSecureContext ? "a secure context: serve the page over https, or from localhost"
    : !navigator.locks ? "Web Locks"
    : "";
  if (missing) throw new HeddleError("HEDDLE_UNSUPPORTED", `open: Heddle needs ${missing}`);
  if (!memory && typeof navigator.storage?.getDirectory !== "function") {
    throw new HeddleError("HEDDLE_STORAGE", noStorage("this browser has no origin private file system"));
  }
}

/** Whether this is an app's own dedicated worker: what a page has, it has too, but for the page's life cycle. */
export const inOwnWorker = () => {
  const { DedicatedWorkerGlobalScope: scope } = globalThis as { DedicatedWorkerGlobalScope?: { prototype: object } };
  return scope !== undefined && Object.prototype.isPrototypeOf.call(scope.prototype, globalThis);
};

const noStorage = (why: string) =>
  `open: ${why}; nothing can be kept here. {storage: "memory"} works without keeping anything`;

/** Makes sure that files can be had: private windows may offer the API and refuse its use. */
export async function checkDirectory(): Promise<void> {
  try {
    await navigator.storage.getDirectory();
  } catch (error) {
    const why = `the browser refuses its file system (${asHeddleError(error).message})`;
    throw new HeddleError("HEDDLE_STORAGE", noStorage(why), { cause: error });
  }
}

/** Asks for persistence, and tells once it is granted. No caller waits for the answer, which may be the user's. */
export function watchStorage(tell: (storage: Storage) => void): void {
  const { storage } = navigator;
  const granted = (yes: boolean | undefined) => {
    if (yes) tell("persistent");
    return yes;
  };
  storage.persisted?.().then(granted).then((yes) => yes || storage.persist?.().then(granted)).catch(() => {});
}
