// Files encrypted at rest: what lies on the disk, and who opens it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, failure, test } from "../fixtures.js";

const CANARIES = ["canary_table", "canary_column", "a canary's song"];
const migrations = [`CREATE TABLE canary_table(id TEXT PRIMARY KEY, canary_column TEXT)`];

/** Which canaries the files of the profile's origin private file systems hold, in UTF-8 or UTF-16. */
function onDisk(profile: string): string[] {
  const folder = join(profile, "Default", "File System");
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))));
  expect(bytes.length, "there are files at all").toBeGreaterThan(4096);
  return CANARIES.filter((text) => bytes.includes(text, 0, "utf8") || bytes.includes(text, 0, "utf16le"));
}

/** Keys as they are written in the page. */
const KEY = "new Uint8Array(32).fill(7)", OTHER = "new Uint8Array(32).fill(8)";

const open = (page: Page, atRest: string) => page.evaluate(async ([option, migrations]) => {
  // oxlint-disable-next-line no-eval -- a CryptoKey and bytes do not pass to a page
  const encryptAtRest = await (0, eval)(`(async () => (${option}))()`);
  globalThis.db = await heddle.open({ name: "test", migrations, encryptAtRest });
}, [atRest, migrations] as const);

const refused = (page: Page, atRest: string) =>
  failure(page, `await heddle.open({ name: "test", encryptAtRest: ${atRest} })`);

const write = (page: Page, id: string) => page.evaluate(
  (row) => db.exec(`INSERT INTO canary_table VALUES (?, ?)`, row), [id, CANARIES[2]!.repeat(50)]);

const ids = (page: Page) => page.evaluate(
  async () => (await db.query<{ id: string }>(`SELECT id FROM canary_table ORDER BY id`)).map(({ id }) => id));

const close = (page: Page) => page.evaluate(() => db.close());

test("an encrypted database leaves nothing readable on the disk, and opens with its key alone", async ({
  profile, site,
}) => {
  const device = await profile();
  let page = await device.tab(site);
  await open(page, KEY);
  await write(page, "a");
  expect(onDisk(device.dir), "while it is open, with its log").toEqual([]);
  await close(page);
  expect(onDisk(device.dir)).toEqual([]);
  await device.restart();
  page = await device.tab(site);
  const another = `await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"])`;
  for (const wrong of [OTHER, "undefined", "true", another]) {
    expect(await refused(page, wrong), wrong).toMatchObject({ name: "HeddleError", code: "HEDDLE_LOCKED" });
  }
  expect(await refused(page, "new Uint8Array(16)")).toMatchObject({ code: "HEDDLE_BAD_PARAM" });
  await open(page, KEY);
  expect(await ids(page)).toEqual(["a"]);
  const exported = await page.evaluate(async () => new TextDecoder().decode((await db.export()).subarray(0, 15)));
  expect(exported, "an export is a plain file").toBe("SQLite format 3");
  expect(onDisk(device.dir), "also of the export").toEqual([]);
});

test("files become encrypted, take another key, and become plain", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  await open(page, "undefined");
  await write(page, "plain");
  await close(page);
  expect(onDisk(device.dir).sort()).toEqual([...CANARIES].sort());

  await open(page, KEY);
  await write(page, "encrypted");
  expect(await ids(page)).toEqual(["encrypted", "plain"]);
  await close(page);
  expect(onDisk(device.dir)).toEqual([]);

  await open(page, `{ key: ${OTHER}, was: ${KEY} }`);
  await close(page);
  expect(await refused(page, KEY)).toMatchObject({ code: "HEDDLE_LOCKED" });
  await open(page, `{ key: ${OTHER}, was: ${KEY} }`);
  await close(page);
  await open(page, OTHER);
  expect(await ids(page)).toEqual(["encrypted", "plain"]);
  await close(page);
  expect(onDisk(device.dir)).toEqual([]);

  await open(page, `{ key: null, was: ${OTHER} }`);
  await write(page, "plain again");
  await close(page);
  await open(page, "undefined");
  expect(await ids(page)).toEqual(["encrypted", "plain", "plain again"]);
  await close(page);
  expect(onDisk(device.dir).sort()).toEqual([...CANARIES].sort());
});

test("a key of the browser's own is for every tab, and goes with the database", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  await open(page, "true");
  await write(page, "a");
  const next = await device.tab(site);
  await open(next, "true");
  expect(await ids(next)).toEqual(["a"]);
  await page.close();
  await write(next, "b");
  expect(await ids(next)).toEqual(["a", "b"]);
  expect(await next.evaluate(() => db.role)).toBe("leader");
  expect(onDisk(device.dir)).toEqual([]);
  await close(next);
  await next.evaluate(() => heddle.destroy("test"));
  await expect.poll(() => next.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name))).toEqual([]);
});
