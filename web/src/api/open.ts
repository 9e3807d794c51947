// open(), destroy(), and what an origin has of databases.

import { DESTROY_MS } from "../shared/bounds.js";
import { encodeOpenConfig, type OpenConfig } from "../rpc/messages.gen.js";
import { Database } from "./database.js";
import { pageDisk } from "./health.js";
import { Session } from "../rpc/session.js";
import { HeddleError, abortError, asHeddleError, timeoutError } from "../shared/errors.js";
import {
  atRestKeys, checkName, databaseFolder, databaseName, FOLDER, keyringName, lockName, tabsChannel,
} from "../shared/names.js";
import { checkAssets, checkLock, checkOptions } from "./options.js";
import { checkTimeout } from "../rpc/params.js";
import type { TabsMessage } from "../shared/messages.js";
import { checkBrowser, checkDirectory, watchStorage } from "../shared/browser-support.js";
import { Assets } from "../tabs/assets.js";
import { LeaderConnection } from "../tabs/leader-connection.js";
import type { AtRest, CallOptions, OpenOptions } from "../shared/types.js";

/**
 * Opens a database, and creates it if need be. Resolves when it can be used:
 * its migrations have run, in this tab or in the one that leads. A page that opens
 * a name twice shares one worker: each Database is closed for itself. Their options
 * have to be equal, but for the functions, signal and timeout. Fails with
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
  const assets = new Assets(checkAssets(options.assets));
  const timeout = checkTimeout(options.timeout);
  checkBrowser(config.storage === "memory");
  if (options.signal?.aborted) throw abortError(options.signal);
  // What follows joins the session before anything waits: who closes meanwhile is not its last member then.
  const signals = options.signal ? [options.signal] : [];
  const ended = new AbortController();
  const timer = timeout === undefined ? undefined : setTimeout(() => ended.abort(timeoutError(timeout)), timeout);
  try {
    const session = sessionOf(config, assets, checkLock(options), options.lock);
    return await Database.connect(session, options.sync?.token,
      { signal: AbortSignal.any([...signals, ended.signal]), onBlocked: options.onBlocked });
  } catch (error) {
    throw ended.signal.aborted ? ended.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** This page's sessions with databases on the disk, by name. */
const sessions = new Map<string, { session: Session; assets: Assets; keys: string }>();

function sessionOf(
  config: OpenConfig, assets: Assets, atRest: AtRest | undefined, lock: CryptoKey | undefined,
): Session {
  const { name } = config;
  const memory = config.storage === "memory";
  if (memory) return newSession(config, assets, atRest, lock);
  for (const [ended, { session }] of sessions) if (session.ended) sessions.delete(ended);
  const mine = sessions.get(name), keys = JSON.stringify([atRest, lock]);
  if (!mine) {
    const session = newSession(config, assets, atRest, lock);
    sessions.set(name, { session, assets, keys });
    return session;
  }
  const other = mine.session.differs(config) ?? (mine.assets.equal(assets) ? undefined : "assets")
    ?? (!mine.session.lock === !lock ? undefined : "lock") ?? (mine.keys === keys ? undefined : "encryptAtRest");
  if (other === undefined) return mine.session;
  throw new HeddleError("HEDDLE_BAD_PARAM",
    `open: this page has the database "${name}" open with another value of ${other}: close that one before`);
}

function newSession(
  config: OpenConfig, assets: Assets, atRest: AtRest | undefined, lock: CryptoKey | undefined,
): Session {
  const memory = config.storage === "memory";
  const storage = memory ? "memory" : "best-effort", migrations = config.migrations.length;
  const open = encodeOpenConfig(config);
  const connecting = { name: config.name, memory, storage, open, migrations, atRest, lock } as const;
  const connection = new LeaderConnection(connecting, assets, () => session.destroyed());
  const session = new Session(connection, config, memory ? undefined : () => pageDisk(config.name));
  session.lock = lock;
  if (!memory) {
    // Beside the worker's start: neither is slow, but both take their turn in the browser.
    checkDirectory().catch((error: unknown) => session.fail(asHeddleError(error)));
    watchStorage((storage) => connection.setStorage(storage));
  }
  return session;
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
    await navigator.locks.request(lockName(name), { signal: either }, async () => {
      await remove(folder);
      // Before all that is asked of them later.
      for (const keys of [keyringName(name), atRestKeys(name)]) globalThis.indexedDB?.deleteDatabase(keys);
    });
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
