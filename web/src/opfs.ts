// The files of databases in the origin private file system: opened ahead, then
// read and written by Go through imports that take addresses in its memory.
//
// The Go side is jsbridge/opfs_js.go; what the counts and failures mean is
// decided in Go's package opfs.

import { HeddleError } from "./errors.js";
import { databaseFolder, FOLDER, randomId } from "./names.js";

// TypeScript knows these in workers only, and this package is both.
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
  }
}

/** The files of a database beside one another; any sqlite3 opens them. */
const SUFFIXES = ["", "-wal", "-journal"];

/** Holds an id that changes whenever the files are opened: see {@link OpfsDirectory.check}. */
const OWNER = "owner";

/** How long a handle that another worker holds is waited for: it may just be ending. */
const OPEN_MS = 5_000;

/** The open files of one database, held by this worker alone. */
export class OpfsDirectory {
  /** Name of the database file; "-wal" and "-journal" are beside it. */
  readonly file: string;
  readonly #folder: FileSystemDirectoryHandle;
  readonly #handles: readonly FileSystemSyncAccessHandle[];
  readonly #owner: string;
  #lost = false;

  private constructor(file: string, folder: FileSystemDirectoryHandle, handles: readonly FileSystemSyncAccessHandle[], owner: string) {
    this.file = file;
    this.#folder = folder;
    this.#handles = handles;
    this.#owner = owner;
  }

  /**
   * Opens the files of that database, and makes them if need be. Fails with
   * HEDDLE_BLOCKED where another worker holds them, and with HEDDLE_STORAGE where
   * the browser gives none.
   */
  static async open(name: string): Promise<OpfsDirectory> {
    const base = databaseFolder(name);
    const opened: FileSystemSyncAccessHandle[] = [];
    try {
      const root = await navigator.storage.getDirectory();
      const all = await root.getDirectoryHandle(FOLDER, { create: true });
      const folder = await all.getDirectoryHandle(base, { create: true });
      const file = `${base}.db`;
      const owner = randomId();
      const keep = async (promise: Promise<FileSystemSyncAccessHandle>) => {
        const handle = await promise;
        opened.push(handle);
        return handle;
      };
      const settled = await Promise.allSettled([
        ...SUFFIXES.map((suffix) => keep(openHandle(folder, file + suffix))),
        writeOwner(folder, owner),
      ]);
      for (const one of settled) if (one.status === "rejected") throw one.reason;
      const handles = settled.slice(0, SUFFIXES.length).map((one) => (one as PromiseFulfilledResult<FileSystemSyncAccessHandle>).value);
      return new OpfsDirectory(file, folder, handles, owner);
    } catch (error) {
      for (const handle of opened) handle.close();
      throw openError(name, error);
    }
  }

  handle(name: string): FileSystemSyncAccessHandle | undefined {
    return name.startsWith(this.file) ? this.#handles[SUFFIXES.indexOf(name.slice(this.file.length))] : undefined;
  }

  /** The files were removed, or others are in their place: nothing more is written. */
  get lost(): boolean {
    return this.#lost;
  }

  /**
   * Looks whether the files are still those that their names lead to: clearing
   * the site's data removes them under open handles without a sign. Returns
   * false once they are not.
   */
  async check(): Promise<boolean> {
    if (this.#lost) return false;
    try {
      const owner = await this.#folder.getFileHandle(OWNER);
      const file = await owner.getFile();
      if ((await file.text()) !== this.#owner) this.#lost = true;
    } catch (error) {
      // Any other failure says nothing of the files.
      if ((error as DOMException).name === "NotFoundError") this.#lost = true;
    }
    return !this.#lost;
  }

  /** Lets go of the files. Safe to call twice. */
  close(): void {
    for (const handle of this.#handles) handle.close();
  }
}

// A worker that has just ended may hold its handles for a moment longer than its lock.
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

async function writeOwner(folder: FileSystemDirectoryHandle, owner: string): Promise<void> {
  const handle = await openHandle(folder, OWNER);
  try {
    handle.truncate(0);
    handle.write(new TextEncoder().encode(owner), { at: 0 });
  } finally {
    handle.close();
  }
}

function openError(name: string, error: unknown): HeddleError {
  const { name: kind, message } = error as DOMException;
  if (kind === "NoModificationAllowedError" || kind === "InvalidStateError") {
    return new HeddleError("HEDDLE_BLOCKED", `another worker holds the files of the database "${name}"`, { cause: error });
  }
  if (kind === "QuotaExceededError") {
    return new HeddleError("SQLITE_FULL", `no space for the files of the database "${name}"`, { cause: error });
  }
  return new HeddleError("HEDDLE_STORAGE", `the browser does not open the files of the database "${name}": ${kind}: ${message}`, { cause: error });
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

  // Nothing that is lost is written to: it would be acknowledged and gone.
  #mine(handle: number): FileSystemSyncAccessHandle {
    const { handle: h, directory } = this.#handles[handle]!;
    if (directory.lost) throw new DOMException("the database's files were removed", "NotFoundError");
    return h;
  }

  // Made anew each time: Go's memory may have grown.
  #bytes(p: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory!.buffer as ArrayBuffer, p >>> 0, length >>> 0);
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
