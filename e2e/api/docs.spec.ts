// The examples of docs/API.md and docs/DEBUGGING.md, as they stand there, one after the other.
import type { Page } from "@playwright/test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, openIn, test } from "../fixtures.js";
import { root } from "../harness.js";

/** The blocks of a page of docs/ as one program, whose imports are the test page's `heddle`. */
async function program(page: string): Promise<string> {
  const text = await readFile(join(root, "docs", page), "utf8");
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]!);
  return blocks.join("\n").replace(/^import (.*) from "heddle";$/gm, "const $1 = heddle;");
}

/** Runs it in the page, and returns what it logs. */
const run = (page: Page, code: string) => page.evaluate(async (code) => {
  const logged: unknown[][] = [];
  const console = { log: (...args: unknown[]) => logged.push(args), warn: () => {}, error: () => {} };
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (console: unknown) =>
    Promise<void>;
  await new AsyncFunction("console", code)(console);
  return logged;
}, code);

test("the examples of docs/API.md run", async ({ profile, server, site }) => {
  const code = (await program("API.md")).replace("https://sync.example", server.url);
  const logged = await run(await (await profile()).tab(site), code);
  expect(logged).toContainEqual(["Buy thread"]);
  expect(logged).toContainEqual([3, 3]);
  expect(logged)
    .toContainEqual(["SQLITE_ERROR", expect.stringContaining("no such table: nowhere"), "SELECT * FROM nowhere"]);
  expect(logged).toContainEqual(["HEDDLE_ABORTED"]);
  expect(logged).toContainEqual(["HEDDLE_TIMEOUT"]);
});

test("the examples of docs/DEBUGGING.md run", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page);
  const download = page.waitForEvent("download");
  const logged = await run(page, await program("DEBUGGING.md"));
  expect((await download).suggestedFilename()).toBe("app.sqlite");
  expect(logged).toEqual([[expect.stringMatching(/^3\.\d+/)], [expect.objectContaining({ tables: expect.anything() })],
    [expect.objectContaining({ ok: true })]]);
  expect(await page.evaluate(() => heddle.databases())).toEqual([]);
});
