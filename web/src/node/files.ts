// Directories of the disk with the interface of the origin private file system, as far as worker/opfs.ts uses it.
// https://fs.spec.whatwg.org/

import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** The browser's name of what went wrong, by Node's. */
const NAMES: Record<string, string> = {
  ENOENT: "NotFoundError", ENOSPC: "QuotaExceededError", EDQUOT: "QuotaExceededError", EACCES: "NotAllowedError",
  EPERM: "NotAllowedError", EROFS: "NotAllowedError",
};

function exception(error: unknown): DOMException {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return new DOMException(message, NAMES[code] ?? "UnknownError");
}

const asynchronous = <T>(work: Promise<T>) => work.catch((error: unknown) => { throw exception(error); });

function synchronous<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw exception(error);
  }
}

export class DirectoryHandle {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<DirectoryHandle> {
    const path = join(this.#path, name);
    if (create) await asynchronous(mkdir(path, { recursive: true }));
    else await asynchronous(stat(path));
    return new DirectoryHandle(path);
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FileHandle> {
    const path = join(this.#path, name);
    if (create) await asynchronous(open(path, "a").then((file) => file.close()));
    else await asynchronous(stat(path));
    return new FileHandle(this.#path, name);
  }

  async removeEntry(name: string, { recursive = false } = {}): Promise<void> {
    await asynchronous(rm(join(this.#path, name), { recursive }));
  }

  async *keys(): AsyncGenerator<string> {
    yield* await asynchronous(readdir(this.#path));
  }
}

class FileHandle {
  readonly #directory: string;
  #name: string;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  get #path(): string {
    return join(this.#directory, this.#name);
  }

  async createSyncAccessHandle(): Promise<SyncAccessHandle> {
    return synchronous(() => new SyncAccessHandle(openSync(this.#path, "r+")));
  }

  async getFile(): Promise<{ size: number; text(): Promise<string> }> {
    const { size } = await asynchronous(stat(this.#path));
    return { size, text: () => asynchronous(readFile(this.#path, "utf8")) };
  }

  async move(name: string): Promise<void> {
    await asynchronous(rename(this.#path, join(this.#directory, name)));
    this.#name = name;
  }
}

type Buffer = Uint8Array;

class SyncAccessHandle {
  #fd: number | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(buffer: Buffer, { at = 0 } = {}): number {
    return this.#all(buffer.length, (from) => readSync(this.#open, buffer, from, buffer.length - from, at + from));
  }

  write(buffer: Buffer, { at = 0 } = {}): number {
    return this.#all(buffer.length, (from) => writeSync(this.#open, buffer, from, buffer.length - from, at + from));
  }

  truncate(size: number): void {
    synchronous(() => ftruncateSync(this.#open, size));
  }

  getSize(): number {
    return synchronous(() => fstatSync(this.#open).size);
  }

  flush(): void {
    synchronous(() => fsyncSync(this.#open));
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  get #open(): number {
    if (this.#fd === undefined) throw new DOMException("the file is closed", "InvalidStateError");
    return this.#fd;
  }

  // A call may do less than it was asked for.
  #all(length: number, some: (from: number) => number): number {
    let done = 0;
    while (done < length) {
      const n = synchronous(() => some(done));
      if (n === 0) break;
      done += n;
    }
    return done;
  }
}
