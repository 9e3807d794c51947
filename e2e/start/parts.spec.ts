// Go's program and SQLite come in two parts. What an app does first needs the first
// ones alone; sync and the rest come with the second, in one file. Sealed spaces need
// a third part of Go's, which no other database asks for.

import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page, Request } from "@playwright/test";
import { expect, openIn, test } from "../fixtures.js";
import { root, type SiteOptions } from "../harness.js";
import { bodies, now, openSealed, write } from "../seal/space.js";
import { entered } from "./entered.js";

const REST = "heddle-rest.wasm", SEALED = "heddle-sealed.wasm";

/** The package without a later part of the program, and what puts that there. */
async function without(part: string): Promise<{ options: SiteOptions; add(): Promise<void>; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), "heddle-parts-"));
  const copy = (name: string) => copyFile(join(root, "web/dist", name), join(dir, name));
  await Promise.all(["index.js", "sealed.js", "worker.js", "broker.js", "heddle.wasm", REST, SEALED, "sqlite3.wasm"]
    .filter((name) => name !== part).map(copy));
  return {
    options: { mounts: { "/heddle/": dir, "/": join(root, "e2e/pages") } },
    add: () => copy(part),
    remove: () => rm(dir, { recursive: true }),
  };
}

/** Ways into functions of Go's that no start needs. */
const unusual = (page: Page) => page.evaluate(async () => {
  const copy = await db.export("sql");
  const health = await db.health({ full: true });
  return { copied: copy.includes("CREATE TABLE"), problems: health.problems };
});

/** The same of SQLite's, on both connections. */
const search = (page: Page) => page.evaluate(async () => {
  await db.exec(`CREATE VIRTUAL TABLE text USING fts5(body)`);
  await db.exec(`INSERT INTO text(body) VALUES ('warp and weft')`);
  return db.query(`SELECT body FROM text WHERE text MATCH 'weft'`);
});
/** How a call fails whose engine dies. */
const GONE = /went away|the engine died/;
const found = [{ body: "warp and weft" }];

test("what an app does first is in the first part of the program", async () => {
  const text = await readFile(join(root, "wasm/first.txt"), "utf8");
  const first = new Set(text.split("\n").filter((line) => line !== "" && !line.startsWith("#")));
  const { go, sqlite } = await entered(1);
  const missing = go.filter((name) => !first.has(name));
  console.log(`not in the first part, of ${first.size}: ${missing.join(", ") || "none"}`);
  // A few depend on the moment. More are a start that has become another one: make first-part.
  expect(missing.length).toBeLessThan(first.size / 100);
  const numbers = (await readFile(join(root, "engine/first.txt"), "utf8")).split("\n").slice(3).join(" ").trim()
    .split(" ").map((range) => range.split("-").map(Number));
  const late = sqlite.filter((n) => !numbers.some(([from, to = from]) => from! <= n && n <= to!));
  console.log(`of SQLite, not in the first part, of ${sqlite.length}: ${late.join(", ") || "none"}`);
  expect(late.length).toBeLessThan(sqlite.length / 50);
});

test("sync begins once the second part can be had", async ({ profile, serve, server }) => {
  const parts = await without(REST);
  try {
    const page = await (await profile()).tab(await serve(parts.options));
    await openIn(page, { sync: { url: server.url, space: "late" } });
    await page.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('1', 'written before')`));
    expect(await page.evaluate(() => db.sync.status.pending)).toBe(1);
    await parts.add();
    await page.evaluate(() => db.sync.resume());
    await expect.poll(() => page.evaluate(() => db.sync.status)).toMatchObject({ state: "live", pending: 0 });
  } finally {
    await parts.remove();
  }
});

test("a function that is needed before the second part has come fetches it", async ({ profile, site }) => {
  const { context, tab } = await profile();
  // The page's own fetch never ends; the worker has another.
  await context.addInitScript((name) => {
    const { fetch } = globalThis;
    globalThis.fetch = (what, options) =>
      (typeof what === "string" && what.endsWith(name) ? new Promise(() => {}) : fetch(what, options));
  }, REST);
  const page = await tab(site);
  await openIn(page);
  expect(await search(page)).toEqual(found);
  expect(await unusual(page)).toEqual({ copied: true, problems: [] });
});

test("where the second part cannot be had, what needs it fails, and nothing is lost", async ({ profile, serve }) => {
  const parts = await without(REST);
  try {
    const page = await (await profile()).tab(await serve(parts.options));
    await openIn(page);
    await page.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('1', 'kept')`));
    await expect(unusual(page)).rejects.toThrow(GONE);
    await expect(search(page)).rejects.toThrow(GONE);
    expect(await page.evaluate(() => db.query(`SELECT body FROM notes`))).toEqual([{ body: "kept" }]);
    await parts.add();
    expect(await search(page)).toEqual(found);
    expect(await unusual(page)).toEqual({ copied: true, problems: [] });
  } finally {
    await parts.remove();
  }
});

test("what sealed spaces need is fetched for a database of one, and no other", async ({ profile, serve, server }) => {
  const parts = await without(SEALED);
  try {
    const { context, tab } = await profile();
    const asked: string[] = [];
    context.on("request", (request) => { if (request.url().endsWith(SEALED)) asked.push(request.url()); });
    const page = await tab(await serve(parts.options));
    await openIn(page, { sync: { url: server.url, space: "plain" } });
    await page.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('1', 'in the open')`));
    await now(page);
    expect(await unusual(page)).toEqual({ copied: true, problems: [] });
    expect(asked).toEqual([]);
    await page.evaluate(() => db.close());

    const opens = (page: Page) => openSealed(page, server.url).then(() => "", (error: Error) => error.message);
    expect(await opens(page)).toContain(SEALED); // the file that could not be loaded
    expect(asked.length).toBeGreaterThan(0);
    await parts.add();
    expect(await opens(page)).toBe("");
    await page.evaluate(() => space.create("laptop"));
    await write(page, "1", "sealed");
    await now(page);
    expect(await bodies(page)).toEqual(["sealed"]);
  } finally {
    await parts.remove();
  }
});

test("open() gives what sealed spaces need up when it is aborted, and the next one asks for it anew",
  async ({ profile, serve, server }) => {
    const { context, tab } = await profile();
    let asked = 0;
    await context.route(`**/${SEALED}`, (route) => (++asked === 1 ? undefined : route.continue())); // the first hangs
    const page = await tab(await serve());
    const isPart = (request: Request) => request.url().endsWith(SEALED);
    const sent = page.waitForRequest(isPart), gone = page.waitForEvent("requestfailed", isPart);
    const given = openSealed(page, server.url).then(() => "", (error: Error) => error.message);
    await sent;
    await page.evaluate(() => opening.abort());
    expect(await given).toContain("the call was aborted");
    await gone; // the browser's own request, which nobody waits for any more
    await openSealed(page, server.url);
    await page.evaluate(() => space.create("laptop"));
    await write(page, "1", "sealed");
    await now(page);
    expect(await bodies(page)).toEqual(["sealed"]);
    expect(asked).toBe(2); // the page compiles it once
  });
