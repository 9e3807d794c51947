// The files of databases in the origin private file system: opened ahead, then
// read and written by Go through imports that take addresses in its memory.
//
// The Go side is jsbridge/opfs_js.go; what the counts and failures mean is
// decided in Go's package opfs.

import { OPEN_MS } from "../shared/bounds.js";
import { HeddleError } from "../shared/errors.js";
import { databaseFolder, FOLDER, QUARANTINE_MARK, randomId } from "../shared/names.js";
import type { AtRest } from "../shared/types.js";
import { AtRestFile, FileState } from "./at-rest.js";

// TypeScript declares these for workers only, and this package is compiled for both.
declare global {
  interface FileSystemSyncAccessHandle {
    read(buffer: AllowSharedBufferSource, options?: { at?: number }): number;
    write(buffer: AllowSharedBufferSource, options?: { at?: number }): number;
    truncate(size: number): void;
    getSize(): number;
    flush(): void;
    close(): void;
  }
  interface FileSystemFileHandle {
    createSyncAccessHandle(): Promise<FileSystemSyncAccessHandle>;
    /** Where the browser has it: gives the file another name in its folder. */
    move?(name: string): Promise<void>;
  }
}

/** The files of a database beside one another; any sqlite3 opens them. */
const SUFFIXES = ["", "-wal", "-journal"];

/**
 * Holds an id that changes whenever the files are opened (see {@link OpfsDirectory.check}), and on
 * a second line how that ended: nothing while they are open, or after a crash.
 */
const OWNER = "owner";

/** Ending of the journal of atrest.Recoding. */
const RECODE = "-recode";

/** Mark in the name of a scratch file, which no worker leaves behind: a copy of the database passes through it. */
const SCRATCH = "-scratch-";

/** How the worker that had the files open before ended. */
export type Exit = "new" | "clean" | "unclean" | "damaged";

type Handles = Map<string, FileSystemSyncAccessHandle>;

/** The open files of one database, held by this worker alone. */
export class OpfsDirectory {
  /** Name of the database file; "-wal" and "-journal" are beside it. */
  readonly file: string;
  readonly exit: Exit;
  /** The key of the files, if they are encrypted. */
  readonly atRest: AtRestFile | undefined;
  readonly #folder: FileSystemDirectoryHandle;
  readonly #handles: Handles;
  readonly #owner: string;
  #lost = false;
  #closed = false;

  private constructor(
    file: string, folder: FileSystemDirectoryHandle, handles: Handles, owner: string, exit: Exit,
    atRest: AtRestFile | undefined,
  ) {
    this.file = file;
    this.exit = exit;
    this.atRest = atRest;
    this.#folder = folder;
    this.#handles = handles;
    this.#owner = owner;
  }

  /**
   * Opens the files of that database, and makes them if need be. Fails with
   * HEDDLE_BLOCKED where another worker holds them, with HEDDLE_STORAGE where the
   * browser gives none, and with HEDDLE_LOCKED where they are encrypted with another key.
   */
  static async open(name: string, option?: AtRest): Promise<OpfsDirectory> {
    const base = databaseFolder(name);
    const opened: Handles = new Map();
    try {
      const root = await navigator.storage.getDirectory();
      const all = await root.getDirectoryHandle(FOLDER, { create: true });
      const folder = await all.getDirectoryHandle(base, { create: true });
      const file = `${base}.db`;
      const owner = randomId();
      const place = { name, folder, open: openHandle, journal: file + RECODE };
      const key = AtRestFile.read(place, option);
      const before = key.then(() => writeOwner(folder, owner)); // what is locked is left alone
      before.catch(() => {}); // it is waited for below
      await openAll(folder, file, opened);
      const state = await before;
      if (state.startsWith(MOVING)) {
        // A crash in the middle of quarantine(): it is completed.
        await moveFiles(folder, file, state.slice(MOVING.length), opened);
      }
      const empty = opened.get(file)!.getSize() === 0 && opened.get(`${file}-wal`)!.getSize() === 0;
      void sweep(folder, file + SCRATCH).catch(() => {}); // a file that stays takes space, and does no other harm
      const exit = empty ? "new" : state === "clean" || state === "damaged" ? state : "unclean";
      const atRest = await key ?? await AtRestFile.create(place, option, empty);
      if (atRest && atRest.state !== FileState.encrypted) {
        opened.set(place.journal, await openHandle(folder, place.journal));
      }
      return new OpfsDirectory(file, folder, opened, owner, exit, atRest);
    } catch (error) {
      for (const handle of opened.values()) handle.close();
      throw error instanceof HeddleError ? error : openError(name, error);
    }
  }

  /** What Go has to make of the files before it opens them. */
  get recode(): "encrypt" | "decrypt" | "" {
    switch (this.atRest?.state) {
      case FileState.encrypting:
        return "encrypt";
      case FileState.decrypting:
        return "decrypt";
      default:
        return "";
    }
  }

  /** Notes that it has. */
  async recoded(): Promise<void> {
    await this.atRest!.done();
    const name = this.file + RECODE;
    this.#handles.get(name)!.close();
    this.#handles.delete(name);
    await this.#folder.removeEntry(name);
  }

  handle(name: string): FileSystemSyncAccessHandle | undefined {
    return this.#handles.get(name);
  }

  /** The files were removed, or others are in their place: nothing more is written. */
  get lost(): boolean {
    return this.#lost;
  }

  /**
   * Checks whether the files are still those of these names: clearing the site's
   * data removes them under open handles without a sign. Returns false once they
   * are not.
   */
  async check(): Promise<boolean> {
    if (this.#lost) return false;
    try {
      const owner = await this.#folder.getFileHandle(OWNER);
      const file = await owner.getFile();
      if ((await file.text()).split("\n")[0] !== this.#owner) this.#lost = true;
    } catch (error) {
      // Any other failure says nothing of the files.
      if ((error as DOMException).name === "NotFoundError") this.#lost = true;
    }
    return !this.#lost;
  }

  /**
   * Gives the database's files another name, and makes new ones. No byte of them
   * is changed, and any sqlite3 opens them: the log goes along. Nobody may have
   * them open. Returns the name.
   */
  async quarantine(): Promise<string> {
    const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    const name = `${this.file}${QUARANTINE_MARK}${time}-${randomId().slice(0, 4)}`;
    await this.#note(MOVING + name);
    await moveFiles(this.#folder, this.file, name, this.#handles);
    await this.#note("");
    for (const suffix of ["", "-wal"]) this.#handles.set(name + suffix, await openHandle(this.#folder, name + suffix));
    return name;
  }

  /** Opens one more file beside the database's, and returns its name: a copy passes through it. */
  async openScratch(): Promise<string> {
    const name = `${this.file}${SCRATCH}${randomId().slice(0, 8)}`;
    this.#handles.set(name, await openHandle(this.#folder, name));
    return name;
  }

  /** Removes it. */
  async closeScratch(name: string): Promise<void> {
    this.#handles.get(name)?.close();
    this.#handles.delete(name);
    await this.#folder.removeEntry(name);
  }

  /** Notes that the file is damaged: the next worker that opens it checks it. */
  async noteDamage(): Promise<void> {
    if (await this.check()) await this.#note("damaged");
  }

  async #note(state: string): Promise<void> {
    const handle = await openHandle(this.#folder, OWNER);
    try {
      put(handle, this.#owner + (state && `\n${state}`));
    } finally {
      handle.close();
    }
  }

  /** Lets go of the files. Safe to call twice. */
  close(): void {
    this.#closed = true;
    for (const handle of this.#handles.values()) handle.close();
  }

  /** The same, after the database itself was closed in order. */
  async closeClean(): Promise<void> {
    if (this.#closed) return;
    if (await this.check()) await this.#note("clean").catch(() => {}); // else the next worker checks it for nothing
    this.close();
  }
}

/** Start of the owner's second line while files are given the name that follows. */
const MOVING = "moving to ";

async function sweep(folder: FileSystemDirectoryHandle, prefix: string): Promise<void> {
  for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) {
    if (name.startsWith(prefix)) await folder.removeEntry(name);
  }
}

async function openAll(folder: FileSystemDirectoryHandle, file: string, opened: Handles): Promise<void> {
  const settled = await Promise.allSettled(SUFFIXES.map(async (suffix) => {
    opened.set(file + suffix, await openHandle(folder, file + suffix));
  }));
  for (const one of settled) if (one.status === "rejected") throw one.reason;
}

// The log goes first: a new database beside an old log would be given its pages.
async function moveFiles(
  folder: FileSystemDirectoryHandle, file: string, to: string, handles: Handles,
): Promise<void> {
  for (const handle of handles.values()) handle.close();
  handles.clear();
  for (const suffix of ["-journal", "-wal", ""]) {
    const from = await folder.getFileHandle(file + suffix).catch((error: DOMException) => {
      if (error.name !== "NotFoundError") throw error;
    });
    if (!from) continue;
    // After a crash: what is moved already has new, empty files in its place.
    const done = await folder.getFileHandle(to + suffix).then((handle) => handle.getFile(), () => undefined);
    if (done && ((await from.getFile()).size === 0 || done.size > 0)) continue;
    if (from.move) await from.move(to + suffix);
    else await copyFile(folder, from, to + suffix);
  }
  await openAll(folder, file, handles);
}

// For browsers without move: the old file is emptied only when the new one is flushed.
async function copyFile(folder: FileSystemDirectoryHandle, from: FileSystemFileHandle, to: string): Promise<void> {
  const [source, target] = [await from.createSyncAccessHandle(), await openHandle(folder, to)];
  try {
    const part = new Uint8Array(1 << 20);
    target.truncate(0);
    for (let at = 0, n; (n = source.read(part, { at })) > 0; at += n) {
      if (target.write(part.subarray(0, n), { at }) !== n) {
        throw new DOMException("no space to quarantine the file", "QuotaExceededError");
      }
    }
    target.flush();
    source.truncate(0);
    source.flush();
  } finally {
    source.close();
    target.close();
  }
}

// A worker that has just ended may hold its handles for some milliseconds longer than its lock.
async function openHandle(folder: FileSystemDirectoryHandle, name: string): Promise<FileSystemSyncAccessHandle> {
  const file = await folder.getFileHandle(name, { create: true });
  const late = performance.now() + OPEN_MS;
  for (let wait = 5; ; wait = Math.min(2 * wait, 200)) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if ((error as DOMException).name !== "NoModificationAllowedError" || performance.now() + wait > late) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

function put(handle: FileSystemSyncAccessHandle, text: string): void {
  handle.truncate(0);
  handle.write(new TextEncoder().encode(text), { at: 0 });
  handle.flush();
}

// Takes the files over, and returns how the worker before noted its end.
async function writeOwner(folder: FileSystemDirectoryHandle, owner: string): Promise<string> {
  const handle = await openHandle(folder, OWNER);
  try {
    const before = new Uint8Array(handle.getSize());
    handle.read(before, { at: 0 });
    const state = new TextDecoder().decode(before).split("\n")[1] ?? "";
    // A move or a check that has to be completed stays noted until then.
    put(handle, owner + (state.startsWith(MOVING) || state === "damaged" ? `\n${state}` : ""));
    return state;
  } finally {
    handle.close();
  }
}

function openError(name: string, error: unknown): HeddleError {
  const { name: kind, message } = error as DOMException;
  if (kind === "NoModificationAllowedError" || kind === "InvalidStateError") {
    const message = `another worker holds the files of the database "${name}"`;
    return new HeddleError("HEDDLE_BLOCKED", message, { cause: error });
  }
  if (kind === "QuotaExceededError") {
    return new HeddleError("SQLITE_FULL", `no space for the files of the database "${name}"`, { cause: error });
  }
  const what = `the browser does not open the files of the database "${name}": ${kind}: ${message}`;
  return new HeddleError("HEDDLE_STORAGE", what, { cause: error });
}

/** What a call that threw returns; its error is fetched with `error`. */
const THREW = NaN;

/**
 * The imports by which Go reaches directories, numbered from 0 in the order of
 * {@link add}. Numbers are doubles, for offsets go beyond 2^31 and the counts
 * that browsers return must arrive as they are.
 */
export class OpfsImports {
  readonly #directories: OpfsDirectory[] = [];
  readonly #handles: { handle: FileSystemSyncAccessHandle; directory: OpfsDirectory }[] = [];
  #memory: WebAssembly.Memory | undefined;
  #error = new Uint8Array();

  /** Takes Go's memory, before Go runs. */
  attach(go: WebAssembly.Exports): void {
    this.#memory = go["mem"] as WebAssembly.Memory;
  }

  add(directory: OpfsDirectory): number {
    return this.#directories.push(directory) - 1;
  }

  readonly imports = {
    opfs: {
      open: (directory: number, name: number, length: number): number => this.#try(() => {
        const d = this.#directories[directory];
        const handle = d?.handle(new TextDecoder().decode(this.#bytes(name, length)));
        if (!d || !handle) return -1;
        const known = this.#handles.findIndex((h) => h.handle === handle);
        return known >= 0 ? known : this.#handles.push({ handle, directory: d }) - 1;
      }),
      lost: (directory: number): number => (this.#directories[directory]?.lost ? 1 : 0),
      read: (handle: number, p: number, length: number, at: number): number =>
        this.#try(() => this.#handles[handle]!.handle.read(this.#bytes(p, length), { at })),
      write: (handle: number, p: number, length: number, at: number): number =>
        this.#try(() => this.#mine(handle).write(this.#bytes(p, length), { at })),
      truncate: (handle: number, size: number): number => this.#try(() => (this.#mine(handle).truncate(size), 0)),
      size: (handle: number): number => this.#try(() => this.#handles[handle]!.handle.getSize()),
      flush: (handle: number): number => this.#try(() => (this.#mine(handle).flush(), 0)),
      // Copies "name\nmessage" of what was thrown last; returns its length.
      error: (p: number, length: number): number => {
        const text = this.#error.subarray(0, length);
        this.#bytes(p, text.length).set(text);
        return text.length;
      },
    },
  };

  // A removed file is not written to: the write would be acknowledged and lost.
  #mine(handle: number): FileSystemSyncAccessHandle {
    const { handle: h, directory } = this.#handles[handle]!;
    if (directory.lost) throw new DOMException("the database's files were removed", "NotFoundError");
    return h;
  }

  // A new view each time: Go's memory may have grown.
  #bytes(p: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory!.buffer, p >>> 0, length >>> 0);
  }

  #try(call: () => unknown): number {
    try {
      const result = call();
      if (typeof result === "number") return result;
      throw new TypeError(`the browser returned ${typeof result}`);
    } catch (error) {
      const { name, message } = error as Error;
      this.#error = new TextEncoder().encode(`${name}\n${message}`);
      return THREW;
    }
  }
}
