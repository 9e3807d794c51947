// The examples of docs/API.md, as they stand there, one after the other.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";

test("the examples of docs/API.md run", async ({ profile, server, site }) => {
  const text = await readFile(join(root, "docs/API.md"), "utf8");
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]!);
  expect(blocks.length).toBeGreaterThan(6);
  const code = blocks.join("\n")
    .replace(/^import (.*) from "heddle";$/m, "const $1 = heddle;")
    .replace("https://sync.example", server.url);
  const page = await (await profile()).tab(site);
  const logged = await page.evaluate(async (code) => {
    const logged: unknown[][] = [];
    const console = { log: (...args: unknown[]) => logged.push(args), warn: () => {}, error: () => {} };
    const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (console: unknown) =>
      Promise<void>;
    await new AsyncFunction("console", code)(console);
    return logged;
  }, code);
  expect(logged).toContainEqual(["Buy thread"]);
  expect(logged).toContainEqual([3, 3]);
  expect(logged)
    .toContainEqual(["SQLITE_ERROR", expect.stringContaining("no such table: nowhere"), "SELECT * FROM nowhere"]);
  expect(logged).toContainEqual(["HEDDLE_ABORTED"]);
  expect(logged).toContainEqual(["HEDDLE_TIMEOUT"]);
});
