// Files encrypted at rest, on Node.js: what lies on the disk, and who opens it.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type * as Heddle from "../../src/node/index.js";
import { DirectoryHandle } from "../../src/node/files.js";
import { AtRestFile, FileState } from "../../src/worker/at-rest.js";
import type { AtRest } from "../../src/shared/types.js";

const { open } = await import(new URL("../../dist/node.js", import.meta.url).href) as typeof Heddle;

const key = new Uint8Array(32).fill(7), other = new Uint8Array(32).fill(8);
const migrations = [`CREATE TABLE canary_table(id INTEGER PRIMARY KEY, v TEXT)`];

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "heddle-at-rest-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Names of the files that hold a name or a value of the test's. */
function readable(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && readFileSync(join(file.parentPath, file.name)).includes("canary"))
    .map(({ name }) => name).sort();
}

/** Opens the database, adds a row, and returns how many there are. */
async function add(directory: string, encryptAtRest: AtRest | undefined): Promise<number> {
  const db = await open({ name: "test", directory, migrations, encryptAtRest });
  await db.exec(`INSERT INTO canary_table(v) VALUES ('a canary')`);
  const [rows] = await db.query<{ n: number }>(`SELECT count(*) AS n FROM canary_table`);
  const plain = !encryptAtRest || encryptAtRest !== true && "key" in encryptAtRest && encryptAtRest.key === null;
  equal(readable(directory).length > 0, plain, "while it is open");
  await db.close();
  return rows!.n;
}

const locked = { name: "HeddleError", code: "HEDDLE_LOCKED" };

test("an encrypted database opens with its key alone, and a refusal changes nothing", async (t) => {
  const directory = folder(t);
  equal(await add(directory, key), 1);
  deepEqual(readable(directory), []);
  const file = join(directory, "heddle/test/test.db");
  const before = readFileSync(file);
  const cryptoKey = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const wrong: (AtRest | undefined)[] = [other, undefined, false, cryptoKey, { key: null, was: other }, { key: null }];
  for (const option of wrong) await rejects(add(directory, option), locked);
  await rejects(add(directory, new Uint8Array(16)), { code: "HEDDLE_BAD_PARAM" });
  ok(readFileSync(file).equals(before));
  equal(await add(directory, key), 2);

  // The same of files with a log that was not taken into the database: what a process leaves that is killed.
  const killed = folder(t), names = ["test.db", "test.db-wal", "key"];
  const db = await open({ name: "test", directory, migrations, encryptAtRest: key });
  await db.exec(`INSERT INTO canary_table(v) VALUES ('a canary')`);
  mkdirSync(join(killed, "heddle/test"), { recursive: true });
  for (const name of names) copyFileSync(join(directory, "heddle/test", name), join(killed, "heddle/test", name));
  await db.close();
  const bytes = () => names.map((name) => readFileSync(join(killed, "heddle/test", name)));
  const left = bytes();
  ok(left[1]!.length > 4096, "there is a log");
  for (const option of wrong) {
    await rejects(add(killed, option), locked);
    deepEqual(bytes(), left);
  }
  equal(await add(killed, key), 4);
});

test("files become encrypted, take another key, and become plain", async (t) => {
  const directory = folder(t);
  equal(await add(directory, undefined), 1);
  deepEqual(readable(directory), ["test.db"]);
  equal(await add(directory, key), 2);
  deepEqual(readable(directory), []);
  equal(await add(directory, { key: other, was: key }), 3);
  await rejects(add(directory, key), locked);
  equal(await add(directory, { key: other, was: key }), 4, "a change that was done is no error");
  equal(await add(directory, other), 5);
  const cryptoKey = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  equal(await add(directory, { key: cryptoKey, was: other }), 6);
  equal(await add(directory, cryptoKey), 7);
  deepEqual(readable(directory), []);
  equal(await add(directory, { key: null, was: cryptoKey }), 8);
  equal(await add(directory, { key: null, was: cryptoKey }), 9, "a change that was done is no error");
  equal(await add(directory, undefined), 10);
  deepEqual(readable(directory), ["test.db"]);
  deepEqual(readdirSync(join(directory, "heddle/test")).sort(), ["owner", "test.db", "test.db-journal", "test.db-wal"]);
});

test("a flipped bit is found", async (t) => {
  const directory = folder(t);
  const db = await open({ name: "test", directory, migrations, encryptAtRest: key });
  await db.bulk(`INSERT INTO canary_table(v) VALUES (?)`, Array.from({ length: 5000 }, (_, i) => [`value ${i}`]));
  await db.close();
  const file = join(directory, "heddle/test/test.db");
  const bytes = readFileSync(file);
  bytes[Math.floor(bytes.length / 4096 / 2) * 4096 + 4000]! ^= 1; // in a page of the table, which is most of them
  writeFileSync(file, bytes);
  const again = await open({ name: "test", directory, migrations, encryptAtRest: key });
  try {
    await rejects(again.query(`SELECT sum(length(v)) FROM canary_table`), ({ code }: { code: string }) => {
      ok(["SQLITE_IOERR_DATA", "HEDDLE_DAMAGED"].includes(code), code);
      return true;
    });
  } finally {
    await again.close(); // before its folder goes
  }
});

test("a recoding that was cut off is finished before anything else", async (t) => {
  const directory = folder(t);
  const place = {
    name: "test", folder: new DirectoryHandle(directory) as unknown as FileSystemDirectoryHandle, journal: "journal",
    open: async (folder: FileSystemDirectoryHandle, name: string) =>
      (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle(),
  };
  equal(await AtRestFile.read(place, key), undefined);
  equal((await AtRestFile.create(place, key, false))!.state, FileState.encrypting);
  await rejects(AtRestFile.read(place, { key: null, was: key }), locked);
  const again = (await AtRestFile.read(place, key))!;
  equal(again.state, FileState.encrypting);
  await again.done();
  equal((await AtRestFile.read(place, key))!.state, FileState.encrypted);
  equal((await AtRestFile.read(place, { key: null, was: key }))!.state, FileState.decrypting);
  await rejects(AtRestFile.read(place, key), locked);
  await rejects(AtRestFile.read(place, undefined), locked);
  const last = (await AtRestFile.read(place, { key: null, was: key }))!;
  deepEqual(last.key, again.key);
  await last.done();
  equal(await AtRestFile.read(place, undefined), undefined);
});

test("a slot that was torn leaves the other one", async (t) => {
  const directory = folder(t);
  equal(await add(directory, key), 1);
  const file = join(directory, "heddle/test/key");
  const bytes = readFileSync(file);
  for (const torn of [1, 30, 60]) {
    const half = Buffer.alloc(4096 + 61);
    bytes.copy(half, 0, 0, 61);
    half.fill(0xa5, 4096, 4096 + torn); // the second slot, while it is written
    writeFileSync(file, half);
    equal(await add(directory, key), 2 + [1, 30, 60].indexOf(torn));
  }
});
