import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { OpfsDirectory, OpfsImports } from "../../src/worker/opfs.js";

/** A file system like the browser's, as far as it is used. */
class FakeFile {
  bytes = new Uint8Array();
  open = false;
  /** createSyncAccessHandle throws these first. */
  refusals: string[] = [];
  /** What write returns instead of doing anything. */
  writes: unknown;

  async createSyncAccessHandle() {
    const refusal = this.refusals.shift() ?? (this.open ? "NoModificationAllowedError" : undefined);
    if (refusal) throw new DOMException("refused", refusal);
    this.open = true;
    return {
      read: (p: Uint8Array, { at }: { at: number }) => {
        if (at < 0) throw new TypeError("at is negative");
        const part = this.bytes.subarray(at, at + p.length);
        p.set(part);
        return part.length;
      },
      write: (p: Uint8Array, { at }: { at: number }) => {
        if (this.writes instanceof DOMException) throw this.writes;
        if (this.writes !== undefined) return this.writes === null ? undefined : this.writes;
        this.resize(Math.max(this.bytes.length, at + p.length));
        this.bytes.set(p, at);
        return p.length;
      },
      truncate: (size: number) => this.resize(size),
      getSize: () => this.bytes.length,
      flush() {},
      close: () => { this.open = false; },
    };
  }

  async getFile() {
    return new Blob([this.bytes]);
  }

  /** Set by the folder that it is in; undefined in a browser without it. */
  move: ((name: string) => Promise<void>) | undefined;

  resize(size: number) {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
  }
}

class FakeFolder {
  readonly entries = new Map<string, FakeFile | FakeFolder>();

  #get<T>(name: string, create: boolean, make: () => FakeFile | FakeFolder): T {
    let entry = this.entries.get(name);
    if (!entry) {
      if (!create) throw new DOMException("none", "NotFoundError");
      this.entries.set(name, entry = make());
    }
    return entry as T;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FakeFolder> {
    return this.#get(name, create, () => new FakeFolder());
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FakeFile> {
    const file: FakeFile = this.#get(name, create, () => new FakeFile());
    file.move = moves ? async (to) => {
      if (file.open) throw new DOMException("open", "NoModificationAllowedError");
      if (stops-- === 0) throw new DOMException("the worker dies here", "AbortError");
      this.entries.delete(name);
      this.entries.set(to, file);
    } : undefined;
    return file;
  }

  async removeEntry(name: string) {
    this.entries.delete(name);
  }

  async* keys() {
    yield* [...this.entries.keys()];
  }

  at(...path: string[]): FakeFile | FakeFolder {
    return path.reduce<FakeFile | FakeFolder>((entry, name) => (entry as FakeFolder).entries.get(name)!, this);
  }
}

/** Whether files can be moved, and after how many moves the worker dies. */
let moves = true, stops = Infinity;

const original = Object.getOwnPropertyDescriptor(globalThis, "navigator"); // Node 20 has none
let root: FakeFolder;

beforeEach(() => {
  root = new FakeFolder();
  moves = true;
  stops = Infinity;
  const value = { storage: { getDirectory: async () => root } };
  Object.defineProperty(globalThis, "navigator", { configurable: true, value });
});
afterEach(() => {
  if (original) Object.defineProperty(globalThis, "navigator", original);
  else Reflect.deleteProperty(globalThis, "navigator");
});

const folder = async (name: string) => {
  const all = await root.getDirectoryHandle("heddle", { create: true });
  return all.getDirectoryHandle(name, { create: true });
};

/** The imports over a directory, with a memory to take arguments from. */
function attached(...directories: OpfsDirectory[]) {
  const table = new OpfsImports();
  const memory = new WebAssembly.Memory({ initial: 1 });
  table.attach({ mem: memory });
  for (const directory of directories) table.add(directory);
  const bytes = new Uint8Array(memory.buffer);
  const { opfs } = table.imports;
  return {
    opfs, memory, bytes,
    open: (directory: number, name: string) =>
      opfs.open(directory, 0, new TextEncoder().encodeInto(name, bytes).written),
    error: () => new TextDecoder().decode(bytes.slice(1000, 1000 + opfs.error(1000, 500))),
  };
}

test("a database is a folder with its file and journals", async () => {
  const directory = await OpfsDirectory.open("My notes");
  assert.equal(directory.file, "=4dy=20notes.db");
  assert.deepEqual([...(root.at("heddle", "=4dy=20notes") as FakeFolder).entries.keys()].sort(),
    ["=4dy=20notes.db", "=4dy=20notes.db-journal", "=4dy=20notes.db-wal", "owner"]);
  directory.close();
  (await OpfsDirectory.open("My notes")).close();
});

test("reads and writes take addresses and return the browser's counts", async () => {
  const { opfs, bytes, open, memory } = attached(await OpfsDirectory.open("a"), await OpfsDirectory.open("b"));
  const [a, wal, b] = [open(0, "a.db"), open(0, "a.db-wal"), open(1, "b.db")];
  assert.equal(new Set([a, wal, b]).size, 3);
  assert.equal(open(0, "a.db"), a);
  for (const [directory, name] of [[0, "b.db"], [0, "a.db-mj01"], [0, "a.d"], [0, ""], [7, "a.db"]] as const) {
    assert.equal(open(directory, name), -1, name);
  }
  bytes.set([1, 2, 3, 4], 100);
  assert.equal(opfs.write(a, 100, 4, 2), 4);
  assert.equal(opfs.size(a), 6);
  assert.equal(opfs.size(wal), 0);
  assert.equal(opfs.read(a, 200, 10, 0), 6);
  assert.deepEqual([...bytes.slice(200, 208)], [0, 0, 1, 2, 3, 4, 0, 0]);
  assert.equal(opfs.truncate(a, 3), 0);
  assert.equal(opfs.flush(a), 0);
  assert.equal(opfs.size(a), 3);
  memory.grow(1); // detaches the buffer that was used so far
  assert.equal(opfs.read(a, 65_600, 3, 0), 3);
  assert.deepEqual([...new Uint8Array(memory.buffer, 65_600, 3)], [0, 0, 1]);
});

test("what browsers do on a full disk arrives as it is", async () => {
  const { opfs, open, error } = attached(await OpfsDirectory.open("a"));
  const file = root.at("heddle", "a", "a.db") as FakeFile;
  const handle = open(0, "a.db");
  for (const count of [0, 3, 4294967288, -8]) {
    file.writes = count;
    assert.equal(opfs.write(handle, 0, 8, 0), count);
  }
  file.writes = new DOMException("no space left", "QuotaExceededError");
  assert.ok(Number.isNaN(opfs.write(handle, 0, 8, 0)));
  assert.equal(error(), "QuotaExceededError\nno space left");
  file.writes = null;
  assert.ok(Number.isNaN(opfs.write(handle, 0, 8, 0)));
  assert.equal(error(), "TypeError\nthe browser returned undefined");
  assert.ok(Number.isNaN(opfs.read(99, 0, 8, 0)), "no such handle");
});

test("a handle that is just being let go is waited for", async () => {
  const file = await (await folder("a")).getFileHandle("a.db", { create: true });
  file.refusals = ["NoModificationAllowedError", "NoModificationAllowedError"];
  (await OpfsDirectory.open("a")).close();
  assert.equal(file.refusals.length, 0);
});

test("what cannot be opened is said with a code, and nothing stays open", async () => {
  for (const [refusal, code] of [
    ["QuotaExceededError", "SQLITE_FULL"], ["InvalidStateError", "HEDDLE_BLOCKED"], ["UnknownError", "HEDDLE_STORAGE"],
  ]) {
    const file = await (await folder("a")).getFileHandle("a.db-journal", { create: true });
    file.refusals = [refusal!];
    await assert.rejects(OpfsDirectory.open("a"), { name: "HeddleError", code });
    const own = root.at("heddle", "a") as FakeFolder;
    for (const entry of own.entries.values()) assert.equal((entry as FakeFile).open, false);
  }
});

/** The folder of the database "a". */
const folderA = () => root.at("heddle", "a") as FakeFolder;

test("removed files are noticed, and no longer written to", async (t) => {
  for (const [name, remove] of [
    ["cleared", (files: FakeFolder) => files.entries.clear()],
    ["made again by another", (files: FakeFolder) => {
      (files.at("owner") as FakeFile).bytes = new TextEncoder().encode("another");
    }],
  ] as const) {
    await t.test(name, async () => {
      root.entries.clear();
      const directory = await OpfsDirectory.open("a");
      const { opfs, open, error } = attached(directory);
      const handle = open(0, "a.db");
      assert.equal(await directory.check(), true);
      assert.equal(opfs.lost(0), 0);
      remove(folderA());
      assert.equal(await directory.check(), false);
      assert.equal(opfs.lost(0), 1);
      assert.ok(Number.isNaN(opfs.write(handle, 0, 8, 0)));
      assert.match(error(), /^NotFoundError\n/);
      assert.ok(Number.isNaN(opfs.flush(handle)));
      assert.equal(opfs.size(handle), 0, "reading goes on");
    });
  }
});

test("a check that fails for another reason says nothing", async () => {
  const directory = await OpfsDirectory.open("a");
  folderA().getFileHandle = async () => { throw new DOMException("try again", "UnknownError"); };
  assert.equal(await directory.check(), true);
});

const write = (directory: OpfsDirectory, name: string, ...bytes: number[]) =>
  directory.handle(name)!.write(new Uint8Array(bytes), { at: 0 });
const bytesOf = (name: string) => [...(folderA().at(name) as FakeFile).bytes];

test("the next to open learns how the last one ended", async () => {
  let directory = await OpfsDirectory.open("a");
  assert.equal(directory.exit, "new");
  write(directory, "a.db", 1);
  directory.close(); // killed
  directory = await OpfsDirectory.open("a");
  assert.equal(directory.exit, "unclean");
  await directory.closeClean();
  directory = await OpfsDirectory.open("a");
  assert.equal(directory.exit, "clean");
  await directory.noteDamage();
  directory.close();
  directory = await OpfsDirectory.open("a");
  assert.equal(directory.exit, "damaged");
  directory.close(); // killed while it looked closely
  directory = await OpfsDirectory.open("a");
  assert.equal(directory.exit, "damaged");
  await directory.closeClean();
  assert.equal((await OpfsDirectory.open("a")).exit, "clean");
});

test("files are quarantined with their log, whatever happens in the middle", async (t) => {
  for (const [name, can, dies] of [
    ["moved", true, Infinity], ["copied", false, Infinity], ["dead at once", true, 0],
    ["dead after the journal", true, 1], ["dead after the log", true, 2],
  ] as const) {
    await t.test(name, async () => {
      root.entries.clear();
      moves = can;
      stops = dies;
      let directory = await OpfsDirectory.open("a");
      write(directory, "a.db", 1, 2, 3);
      write(directory, "a.db-wal", 4, 5);
      await directory.quarantine().catch((error: DOMException) => assert.equal(error.name, "AbortError"));
      stops = Infinity;
      if (dies < Infinity) {
        directory.close();
        directory = await OpfsDirectory.open("a");
        assert.equal(directory.exit, "new");
      }
      const quarantined = [...folderA().entries.keys()].filter((file) => /^a\.db-quarantined-[^-]+-[^-]+$/.test(file));
      assert.equal(quarantined.length, 1);
      assert.deepEqual(bytesOf(quarantined[0]!), [1, 2, 3]);
      assert.deepEqual(bytesOf(`${quarantined[0]}-wal`), [4, 5]);
      assert.deepEqual([bytesOf("a.db"), bytesOf("a.db-wal")], [[], []]);
      assert.equal(write(directory, "a.db", 9), 1);
      assert.equal(await directory.check(), true);
      directory.close();
    });
  }
});

test("scratch files go with the worker that made them", async () => {
  let directory = await OpfsDirectory.open("a");
  const [one, two] = [await directory.openScratch(), await directory.openScratch()];
  write(directory, one, 1);
  write(directory, two, 2);
  await directory.closeScratch(one);
  assert.equal(directory.handle(one), undefined);
  directory.close();
  directory = await OpfsDirectory.open("a");
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([...folderA().entries.keys()].filter((name) => name.includes("-scratch-")), []);
  directory.close();
});
