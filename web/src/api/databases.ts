// The databases of an origin, by their folders.

import { checkBrowser } from "../shared/browser-support.js";
import { databaseName, FOLDER } from "../shared/names.js";
import { destroy, type DestroyOptions } from "./open.js";

/** The names of the origin's databases, open or not, in order. */
export async function databases(): Promise<string[]> {
  checkBrowser(false);
  const root = await navigator.storage.getDirectory();
  let all: FileSystemDirectoryHandle;
  try {
    all = await root.getDirectoryHandle(FOLDER);
  } catch (error) {
    if ((error as DOMException).name === "NotFoundError") return [];
    throw error;
  }
  const names: string[] = [];
  for await (const folder of (all as unknown as { keys(): AsyncIterable<string> }).keys()) {
    const name = databaseName(folder);
    if (name !== undefined) names.push(name);
  }
  return names.sort();
}

/**
 * Removes every database of the origin: for a log-out. Each is destroy()'s: one that another tab does not let go of
 * stays, and the call fails with its error when the others are gone.
 */
export async function destroyAll(options: DestroyOptions = {}): Promise<void> {
  const ended = await Promise.allSettled((await databases()).map((name) => destroy(name, options)));
  for (const one of ended) if (one.status === "rejected") throw one.reason;
}
