// open() and destroy(): the two ways in.

import { DESTROY_MS } from "../shared/bounds.js";
import { encodeOpenConfig } from "../rpc/messages.gen.js";
import { Database } from "./database.js";
import { HeddleError, abortError, timeoutError } from "../shared/errors.js";
import { pageDisk } from "./health.js";
import { checkName, databaseFolder, FOLDER, lockName, tabsChannel } from "../shared/names.js";
import { checkAssets, checkOptions } from "./options.js";
import { checkTimeout } from "../rpc/params.js";
import type { TabsMessage } from "../shared/messages.js";
import { checkBrowser, checkDirectory, watchStorage } from "../shared/browser-support.js";
import { Assets } from "../tabs/assets.js";
import { LeaderConnection } from "../tabs/leader-connection.js";
import type { CallOptions, OpenOptions } from "../shared/types.js";

/**
 * Opens a database, and creates it if need be. Resolves when it can be used:
 * its migrations have run, in this tab or in the one that leads. Fails with
 *
 * - HEDDLE_UNSUPPORTED, HEDDLE_STORAGE: the browser lacks something; the message says what
 * - HEDDLE_ASSETS: a file of this package cannot be loaded
 * - HEDDLE_BLOCKED: another tab holds the database and does not answer (it waits on, if options.onBlocked is there to
 * say so)
 * - HEDDLE_OUTDATED: a newer build of the app is open in another tab
 * - HEDDLE_MIGRATION, HEDDLE_SYNC_SCHEMA, HEDDLE_BAD_PARAM: the options are not right
 */
export async function open(options: OpenOptions): Promise<Database> {
  const config = checkOptions(options);
  const timeout = checkTimeout(options.timeout);
  const memory = config.storage === "memory";
  checkBrowser(memory);
  await shown();
  let database: Database | undefined;
  const ended = new AbortController();
  const storage = memory ? "memory" : "best-effort", migrations = config.migrations.length;
  const connecting = { name: config.name, memory, storage, open: encodeOpenConfig(config), migrations } as const;
  const connection = new LeaderConnection(connecting, new Assets(checkAssets(options.assets)), () => {
    ended.abort(new HeddleError("HEDDLE_CLOSED", `open: the database "${config.name}" was destroyed meanwhile`));
    void database?.close();
  });
  if (!memory) {
    // Beside the worker's start: neither is slow, but both take their turn in the browser.
    checkDirectory().catch((error: unknown) => ended.abort(error));
    watchStorage((storage) => connection.setStorage(storage));
  }
  const signal = options.signal ? AbortSignal.any([options.signal, ended.signal]) : ended.signal;
  const timer = timeout === undefined ? undefined : setTimeout(() => ended.abort(timeoutError(timeout)), timeout);
  try {
    database = await Database.connect(connection, config, options.sync?.token,
      { signal, onBlocked: options.onBlocked, disk: memory ? undefined : () => pageDisk(config.name) });
    return database;
  } catch (error) {
    throw ended.signal.aborted ? ended.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

// A page that is rendered ahead gets neither locks nor workers before it is shown.
async function shown(): Promise<void> {
  if (typeof document === "undefined" || !("prerendering" in document && document.prerendering)) return;
  await new Promise((resolve) => document.addEventListener("prerenderingchange", resolve, { once: true }));
}

/** Its timeout is ten seconds unless told otherwise. */
export interface DestroyOptions extends CallOptions {}

/**
 * Removes a database's files. Every tab that has it open is asked to close it.
 * Fails with HEDDLE_BLOCKED if one does not let go in time; then nothing was removed.
 */
export async function destroy(name: string, options: DestroyOptions = {}): Promise<void> {
  checkName(name);
  checkBrowser(false);
  const { signal } = options;
  if (signal?.aborted) throw abortError(signal);
  const folder = databaseFolder(name);
  const tabs = new BroadcastChannel(tabsChannel(name));
  const late = AbortSignal.timeout(checkTimeout(options.timeout) ?? DESTROY_MS);
  try {
    tabs.postMessage({ t: "destroy" } satisfies TabsMessage);
    const either = signal ? AbortSignal.any([signal, late]) : late;
    await navigator.locks.request(lockName(name), { signal: either }, () => remove(folder));
  } catch (error) {
    if (signal?.aborted) throw abortError(signal);
    if (!late.aborted) throw error;
    throw new HeddleError("HEDDLE_BLOCKED", `destroy: another tab holds the database "${name}" and does not let go`);
  } finally {
    tabs.close();
  }
}

// A worker that has just ended may hold its handles for a moment longer than its lock.
async function remove(folder: string): Promise<void> {
  const root = await navigator.storage.getDirectory();
  for (let wait = 10; ; wait *= 2) {
    try {
      const all = await root.getDirectoryHandle(FOLDER);
      await all.removeEntry(folder, { recursive: true });
      return;
    } catch (error) {
      const { name } = error as DOMException;
      if (name === "NotFoundError") return;
      if (name !== "NoModificationAllowedError" && name !== "InvalidModificationError") throw error;
      if (wait > 2_000) {
        const what = "destroy: the browser still holds the database's files";
        throw new HeddleError("HEDDLE_BLOCKED", what, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
