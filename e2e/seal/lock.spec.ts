// The lock of a database's keys: nothing on the disk opens them without its passphrase, which stays on its page.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, failure, notes, test } from "../fixtures.js";
import { root } from "../harness.js";
import { bodies, now, pair, write } from "./space.js";

declare global {
  var lock: CryptoKey;
  /** The AES keys that the page has imported, as bytes: the lock's, and those of passphrases. */
  var imported: number[][];
  /** What workers, ports and channels were told, beside what the worker for Argon2id was. */
  var told: string[];
}

const FIRST = "correct horse battery staple", SECOND = "Zürich liegt am See";

/** Runs in each page before all else. */
function observe(): void {
  globalThis.imported = [];
  globalThis.told = [];
  const { importKey } = SubtleCrypto.prototype;
  SubtleCrypto.prototype.importKey = function (this: SubtleCrypto, ...args: unknown[]) {
    if (args[2] === "AES-GCM") imported.push([...args[1] as Uint8Array]);
    return (importKey as (...args: unknown[]) => Promise<CryptoKey>).apply(this, args);
  } as typeof importKey;
  const keep = (data: unknown): void => {
    if (data instanceof ArrayBuffer) data = new Uint8Array(data);
    if (data instanceof Uint8Array) told.push(new TextDecoder().decode(data));
    else if (Array.isArray(data)) data.forEach(keep);
    else if (typeof data !== "object" || data === null) told.push(String(data));
    else if (!("passphrase" in data)) Object.values(data).forEach(keep);
  };
  for (const { prototype } of [MessagePort, BroadcastChannel, Worker]) {
    const post = prototype.postMessage as (...args: unknown[]) => void;
    prototype.postMessage = function (this: unknown, ...args: unknown[]) {
      keep(args[0]);
      post.apply(this, args);
    };
  }
}

/** Makes `lock` of a passphrase. */
const unlock = (page: Page, passphrase: string, name = "diary") => page.evaluate(async ([passphrase, name]) => {
  const from: string = "/heddle/sealed.js";
  globalThis.sealed = await import(from) as typeof sealed;
  globalThis.lock = await sealed.openLock(name, passphrase);
}, [passphrase, name] as const);

/** Opens the database as `db`, with `lock`; and its members as `space`. */
const open = (page: Page, url: string, encryptAtRest = true) => page.evaluate(async ([url, migrations, atRest]) => {
  globalThis.db = await heddle.open({ name: "diary", migrations, lock, encryptAtRest: atRest,
    sync: { url, space: "family", sealed: true, tables: { notes: true } } });
  globalThis.space = sealed.sealedSpace(db);
}, [url, notes, encryptAtRest] as const);

/** What an open() without the lock, or with another one, fails with. */
const refused = (page: Page, url: string, lock: string, encryptAtRest: boolean) =>
  failure(page, `await heddle.open({ name: "diary", lock: ${lock}, encryptAtRest: ${encryptAtRest},
    sync: { url: "${url}", space: "family", sealed: true, tables: { notes: true } } })`);

const close = (page: Page) => page.evaluate(() => db.close());

/** All that the profile has on the disk. */
function onDisk(profile: string): Buffer {
  const files = readdirSync(profile, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))));
}

/** How many keys of WebCrypto's the key rings have, and how many entries. */
const inRings = (page: Page) => page.evaluate(async () => {
  let keys = 0, entries = 0;
  const count = (value: unknown): void => {
    if (value instanceof CryptoKey) keys++;
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(count);
  };
  const done = <T>(r: IDBRequest<T>) => new Promise<T>((resolve, reject) => {
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error!);
  });
  for (const { name } of await indexedDB.databases()) {
    if (!name!.startsWith("heddle-")) continue;
    const database = await done(indexedDB.open(name!));
    for (const store of database.objectStoreNames) {
      const all = await done(database.transaction(store).objectStore(store).getAll());
      entries += all.length;
      all.forEach(count);
    }
    database.close();
  }
  return { keys, entries };
});

test("keys under a lock open with its passphrase alone, and lie nowhere on the disk",
  async ({ server, profile, serve }) => {
    const site = await serve();
    const device = await profile();
    const secrets: Buffer[] = [FIRST, SECOND].flatMap((text) => [Buffer.from(text, "utf8"),
      Buffer.from(text, "utf16le")]);
    const keep = async (page: Page) => {
      const imported = await page.evaluate(() => globalThis.imported);
      expect(imported.length).toBeGreaterThan(0);
      secrets.push(...imported.map((bytes) => Buffer.from(bytes)));
      secrets.push(...imported.map((bytes) => Buffer.from(Buffer.from(bytes).toString("hex"))));
    };
    const tab = async () => {
      const page = await device.tab(site);
      await page.evaluate(observe);
      await page.evaluate(async () => {
        const from: string = "/heddle/sealed.js";
        globalThis.sealed = await import(from) as typeof sealed;
      });
      return page;
    };
    let page = await tab();
    expect(await page.evaluate(() => sealed.isLocked("diary"))).toBe(false);
    expect((await failure(page, "await sealed.openLock('diary', 'eleven char')")).code).toBe("HEDDLE_BAD_PASSPHRASE");
    await unlock(page, FIRST);
    await open(page, server.url);
    await page.evaluate(() => space.create("laptop"));
    await write(page, "1", "a secret");
    await now(page);
    await page.evaluate(() => space.newRecoveryCode()); // what crosses to the leader is under the lock as well
    expect(await inRings(page)).toEqual({ keys: 0, entries: 3 });
    await close(page);
    await keep(page);

    await device.restart();
    page = await tab();
    expect(await page.evaluate(() => sealed.isLocked("diary"))).toBe(true);
    for (const [atRest, says] of [[true, "another key, or without its lock"], [false, "without its key"]] as const) {
      expect(await refused(page, server.url, "undefined", atRest)).toMatchObject(
        { code: "HEDDLE_LOCKED", message: expect.stringContaining(says) });
    }
    expect(await failure(page, `await sealed.openLock("diary", "${SECOND}")`)).toMatchObject({
      code: "HEDDLE_BAD_PASSPHRASE", message: expect.stringContaining('the passphrase is not that of the database') });
    await unlock(page, FIRST, "another");
    expect(await refused(page, server.url, "lock", true)).toMatchObject({ code: "HEDDLE_LOCKED",
      message: expect.stringContaining('the keys of the database "diary" are under another lock') });
    await unlock(page, FIRST);
    await open(page, server.url);
    expect(await bodies(page)).toEqual(["a secret"]);
    await write(page, "2", "by the same device");
    await now(page);
    expect(await page.evaluate(async () => (await space.members()).filter((m) => m.self).length)).toBe(1);

    // Another passphrase, while the database is open.
    for (const [was, next] of [[SECOND, SECOND], [FIRST, "eleven char"]]) {
      expect((await failure(page, `await sealed.changeLock("diary", "${was}", "${next}")`)).code)
        .toBe("HEDDLE_BAD_PASSPHRASE");
    }
    await page.evaluate(([was, next]) => sealed.changeLock("diary", was, next), [FIRST, SECOND] as const);
    await write(page, "3", "after the change");
    await now(page);
    await close(page);
    await keep(page);
    expect((await failure(page, `await sealed.openLock("diary", "${FIRST}")`)).code).toBe("HEDDLE_BAD_PASSPHRASE");
    await unlock(page, SECOND.normalize("NFD"));
    await open(page, server.url);
    expect(await bodies(page)).toEqual(["a secret", "by the same device", "after the change"]);
    await close(page);
    await keep(page);

    // A browser keeps a key that cannot be read out in a plain file: this look finds it.
    const plain = Buffer.from(await page.evaluate(async () => {
      const raw = crypto.getRandomValues(new Uint8Array(32));
      const key = await crypto.subtle.importKey("raw", raw, "AES-CTR", false, ["encrypt"]);
      const opening = indexedDB.open("control");
      opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
      await new Promise((resolve) => { opening.onsuccess = resolve; });
      const transaction = opening.result.transaction("keys", "readwrite", { durability: "strict" });
      transaction.objectStore("keys").put(key, 0);
      await new Promise((resolve) => { transaction.oncomplete = resolve; });
      opening.result.close();
      return [...raw];
    }));
    const told = await page.evaluate(() => globalThis.told.join("\n"));
    expect(told).toContain("family");
    for (const text of [FIRST, SECOND, SECOND.normalize("NFD")]) expect(told).not.toContain(text);
    await device.restart();
    const disk = onDisk(device.dir);
    expect(disk.includes(plain), "the key of another app's").toBe(true);
    expect(secrets.length).toBeGreaterThan(12);
    expect(secrets.filter((secret) => disk.includes(secret)).length).toBe(0);
  });

test("each tab has its own lock, and one without it leads to nothing", async ({ server, profile, serve }) => {
  const site = await serve();
  const device = await profile();
  const leader = await device.tab(site), follower = await device.tab(site);
  for (const page of [leader, follower]) {
    await unlock(page, FIRST);
    await open(page, server.url);
  }
  expect(await follower.evaluate(() => db.role)).toBe("follower");
  await follower.evaluate(() => space.create("laptop"));
  const code = await follower.evaluate(() => space.newRecoveryCode());
  expect(code).toMatch(/^([0-9A-Z]{4}-){6}[0-9A-Z]{4}$/);
  await write(follower, "1", "from the follower");
  await now(follower);
  await leader.close();
  await write(follower, "2", "as the leader");
  await now(follower);
  expect(await follower.evaluate(() => db.role)).toBe("leader");

  const late = await device.tab(site); // it may use what is open, and what is under the lock it may not
  await late.evaluate(async () => {
    const from: string = "/heddle/sealed.js";
    globalThis.sealed = await import(from) as typeof sealed;
  });
  await late.evaluate(async ([url, migrations]) => {
    globalThis.db = await heddle.open({ name: "diary", migrations, encryptAtRest: true,
      sync: { url, space: "family", sealed: true, tables: { notes: true } } });
    globalThis.space = sealed.sealedSpace(db);
  }, [server.url, notes] as const);
  expect(await bodies(late)).toEqual(["from the follower", "as the leader"]);
  expect((await failure(late, "await space.newRecoveryCode()")).code).toBe("HEDDLE_LOCKED");
  await close(late);

  const phone = await (await profile()).tab(site);
  await unlock(phone, SECOND);
  await open(phone, server.url);
  await pair(follower, phone, "phone");
  await now(phone);
  expect(await bodies(phone)).toEqual(["from the follower", "as the leader"]);
});

test("who has forgotten the passphrase deletes the keys, or all", async ({ server, profile, serve }) => {
  const site = await serve();
  const page = await (await profile()).tab(site);
  await unlock(page, FIRST);
  await open(page, server.url, false);
  await page.evaluate(() => space.create("laptop"));
  await write(page, "1", "it stays");
  await now(page);
  expect((await failure(page, "await sealed.forgetKeys('diary', { timeout: 50 })")).code).toBe("HEDDLE_BLOCKED");
  await close(page);
  expect(await refused(page, server.url, "undefined", false)).toMatchObject({ code: "HEDDLE_LOCKED",
    message: expect.stringContaining("are under a lock: open({ lock: await openLock") });
  await page.evaluate(() => sealed.forgetKeys("diary"));
  expect(await refused(page, server.url, "lock", false)).toMatchObject({ code: "HEDDLE_LOCKED",
    message: expect.stringContaining("under another lock, or none: open({ lock: await openLock") });
  await page.evaluate(async ([url, migrations]) => {
    globalThis.db = await heddle.open({ name: "diary", migrations,
      sync: { url, space: "family", sealed: true, tables: { notes: true } } });
  }, [server.url, notes] as const);
  expect(await bodies(page)).toEqual(["it stays"]); // the rows were not encrypted, the device's keys are gone
  expect((await failure(page, "await db.sync.now()")).code).toBe("HEDDLE_LOCKED");
  await close(page);

  // Keys without a lock stay without one.
  expect((await failure(page, `await sealed.openLock("diary", "${FIRST}")`)).code).toBe("HEDDLE_BAD_PARAM");
  expect((await failure(page, `await sealed.changeLock("diary", "${FIRST}", "${SECOND}")`)).code)
    .toBe("HEDDLE_BAD_PARAM");
  await page.evaluate(() => heddle.destroy("diary"));
  await unlock(page, SECOND);
  await page.evaluate(() => heddle.destroy("diary"));
  for (const options of ["", ", encryptAtRest: true"]) {
    expect((await failure(page, `await heddle.open({ name: "diary", lock ${options} })`)).code)
      .toBe(options === "" ? "HEDDLE_BAD_PARAM" : "HEDDLE_LOCKED"); // it locks nothing; its key is gone
  }
  await page.evaluate(async () => {
    const late = sealed.openLock("diary", "correct horse battery staple", { timeout: 1 });
    if (await late.then(() => "", (e: { code: string }) => e.code) !== "HEDDLE_TIMEOUT") throw new Error("in time");
  });
  expect(await page.evaluate(() => sealed.isLocked("diary"))).toBe(false);
});

test("a database that was encrypted with the profile's own key takes a lock", async ({ profile, serve }) => {
  const page = await (await profile()).tab(await serve());
  const openWith = (option: string) => page.evaluate(async (option) => {
    // oxlint-disable-next-line no-eval -- the lock does not pass to a page
    const options = (0, eval)(`(${option})`);
    globalThis.db = await heddle.open({ name: "diary", migrations: ["CREATE TABLE IF NOT EXISTS t(a)"], ...options });
  }, option);
  await openWith("{ encryptAtRest: true }");
  await page.evaluate(() => db.exec("INSERT INTO t VALUES ('x')"));
  await close(page);
  await unlock(page, FIRST);
  await openWith("{ lock, encryptAtRest: { key: true, was: true } }");
  await close(page);
  expect((await failure(page, "await heddle.open({ name: 'diary', encryptAtRest: true })")).code).toBe("HEDDLE_LOCKED");
  await openWith("{ lock, encryptAtRest: true }");
  expect(await page.evaluate(() => db.query("SELECT * FROM t"))).toEqual([{ a: "x" }]);
});

test("the record of a lock has its format, and is computed within bounds alone", async ({ profile, serve }) => {
  const page = await (await profile()).tab(await serve());
  const { passphrase: v } = JSON.parse(readFileSync(join(root, "sync/seal/testdata/vectors.json"), "utf8")) as
    { passphrase: { text: string; time: number; memory: number; salt: string } };
  const put = (change: { time?: number; memory?: number }) => page.evaluate(async ({ v, change, box, check }) => {
    const from: string = "/heddle/sealed.js";
    globalThis.sealed = await import(from) as typeof sealed;
    await sealed.isLocked("golden"); // it makes the store
    const opening = indexedDB.open("heddle-keys:golden");
    await new Promise((resolve) => { opening.onsuccess = resolve; });
    const bytes = (hex: string) => Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
    const transaction = opening.result.transaction("device", "readwrite");
    transaction.objectStore("device").put({ time: v.time, memory: v.memory, salt: bytes(v.salt), box: bytes(box),
      check: bytes(check), ...change }, "aes");
    await new Promise((resolve) => { transaction.oncomplete = resolve; });
    opening.result.close();
  }, { v, change, box: BOX, check: CHECK });
  await put({});
  await page.evaluate(async (text) => {
    globalThis.lock = await sealed.openLock("golden", text);
    globalThis.db = await heddle.open({ name: "golden", lock, encryptAtRest: true });
    await db.close();
  }, v.text);
  for (const change of [{ time: 1 }, { time: 17 }, { memory: 8 }, { memory: 1 << 22 }]) {
    await put(change);
    expect(await failure(page, `await sealed.openLock("golden", ${JSON.stringify(v.text)}, { argon2: "/nowhere.js" })`))
      .toMatchObject({ code: "HEDDLE_BAD_PASSPHRASE", message: expect.stringContaining("beyond the bounds") });
  }
});

/** Of the key 1, 2, … 32, by node:crypto, with an IV of sevens and the vector's passphrase. */
const BOX = "070707070707070707070707708d111b6ea9ad21b0c8f765511ab4cc20f9"
  + "7130e018feac0a05f9f9cdd13a60cfe76a7465a11e886eb7ae69091769a4";
const CHECK = "0707070707070707070707077d4478c3b336835a8f73e8f1a8899150";
