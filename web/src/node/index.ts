// heddle/node: the same database on Node.js, for tests and tools: in memory, or in files of one process.

import { mkdirSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";

import { Database } from "../api/database.js";
import { Session, type Disk } from "../rpc/session.js";
import { checkOptions } from "../api/options.js";
import { checkTimeout, describe } from "../rpc/params.js";
import { encodeOpenConfig } from "../rpc/messages.gen.js";
import { HeddleError, timeoutError } from "../shared/errors.js";
import { checkName, databaseFolder, databaseName, FOLDER, QUARANTINE_MARK, randomId } from "../shared/names.js";
import type { WorkerOptions } from "../shared/messages.js";
import type { OpenOptions } from "../shared/types.js";
import { Engine, NodeConnection } from "./connection.js";
import { threads } from "./engine-thread.js";
import { lockFolder } from "./process-lock.js";

export { HeddleError } from "../shared/errors.js";
export type { ErrorCode, ErrorRecord, SqliteCode } from "../shared/errors.js";
export type { HeddleCode } from "../shared/codes.gen.js";
export type { Database } from "../api/database.js";
export type * from "../shared/types.js";

/**
 * What open() takes here. There are no tabs: `db.role` is always "leader", and the events "blocked" and "outdated" do
 * not happen. Files belong to one process at a time.
 */
export interface NodeOpenOptions extends Omit<OpenOptions, "assets" | "onBlocked" | "lock"> {
  /** Where the database's files lie: a directory, which is made if need be. Not with `storage: "memory"`. */
  directory?: string | undefined;
}

/** The engine of each database that is open, by directory and name. */
const engines = new Map<string, Engine>();

/**
 * Opens a database, and creates it if need be: see open() of "heddle". Two calls with one name and directory share an
 * engine, as two tabs do. Each is closed by itself; the process goes on while one is open.
 */
export async function open(options: NodeOpenOptions): Promise<Database> {
  const config = checkOptions(options);
  const timeout = checkTimeout(options.timeout);
  const memory = config.storage === "memory";
  const directory = memory ? "" : checkDirectory(options.directory);
  const folder = join(directory, FOLDER, databaseFolder(config.name));
  const scope = memory ? `${config.name}:memory:${randomId()}` : folder;
  for (let ended; (ended = engines.get(scope)?.ended);) await ended;
  const engine = engines.get(scope) ?? newEngine(directory, {
    name: config.name, scope, memory, storage: memory ? "memory" : "persistent", open: encodeOpenConfig(config),
    parts: {}, atRest: structuredClone(options.encryptAtRest),
  });
  const late = timeout === undefined ? undefined : AbortSignal.timeout(timeout);
  const signals = [options.signal, late].filter((signal) => signal !== undefined);
  try {
    const session = new Session(new NodeConnection(engine), config, memory ? undefined : () => disk(folder));
    const signal = signals.length > 0 ? AbortSignal.any(signals) : undefined;
    return await Database.connect(session, options.sync?.token, { signal });
  } catch (error) {
    throw late?.aborted ? timeoutError(timeout!) : error;
  }
}

function newEngine(directory: string, options: Omit<WorkerOptions, "tab">): Engine {
  const { memory, name, scope } = options;
  const unlock = memory ? () => {} : lockFolder(folderOf(directory, name), name);
  const engine = new Engine(options, threads(directory), () => {
    engines.delete(scope);
    unlock();
  });
  engines.set(scope, engine);
  return engine;
}

/** The names of the databases in a directory, open or not, in order. */
export async function databases({ directory }: { directory: string }): Promise<string[]> {
  const folders = await readdir(join(checkDirectory(directory), FOLDER), { withFileTypes: true }).catch(() => []);
  const names = folders.filter((folder) => folder.isDirectory()).map(({ name }) => databaseName(name));
  return names.filter((name) => name !== undefined).sort();
}

/** Removes a database's files. It fails with HEDDLE_BLOCKED while the database is open. */
export async function destroy(name: string, { directory }: { directory: string }): Promise<void> {
  checkName(name);
  const folder = folderOf(checkDirectory(directory), name);
  const unlock = lockFolder(folder, name);
  try {
    await rm(folder, { recursive: true, force: true });
  } finally {
    unlock();
  }
}

async function disk(folder: string): Promise<Disk> {
  const names = (await readdir(folder)).filter((name) => name.includes(QUARANTINE_MARK)).sort();
  const quarantined = names.map(async (name) => ({ name, size: (await stat(join(folder, name))).size }));
  return { quota: undefined, quarantined: await Promise.all(quarantined) };
}

function folderOf(directory: string, name: string): string {
  const folder = join(directory, FOLDER, databaseFolder(name));
  mkdirSync(folder, { recursive: true });
  return folder;
}

function checkDirectory(directory: unknown): string {
  if (typeof directory === "string" && directory !== "") return resolve(directory);
  const it = directory === undefined ? "it is missing" : `it is ${describe(directory)}`;
  throw new HeddleError("HEDDLE_BAD_PARAM",
    `open: directory must name where the files lie, ${it}; or keep nothing, with { storage: "memory" }`);
}
