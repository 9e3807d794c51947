// The examples of docs/TESTING.md and docs/ADAPTERS.md, as they stand there, on heddle/node.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = new URL("../../../", import.meta.url);
const dist = (name: string) => import(new URL(`web/dist/${name}.js`, root).href) as Promise<Record<string, unknown>>;

const modules: Record<string, () => Promise<Record<string, unknown>>> = {
  // On Node.js the examples of the browser's open() keep nothing.
  heddle: async () => {
    const { open } = await dist("node") as { open: (options: object) => unknown };
    return { open: (options: object) => open({ ...options, storage: "memory" }) };
  },
  "heddle/node": () => dist("node"),
  "heddle/kysely": () => dist("kysely"),
  "heddle/drizzle": () => dist("drizzle"),
  kysely: () => import("kysely"),
  "drizzle-orm": () => import("drizzle-orm"),
  "drizzle-orm/sqlite-core": () => import("drizzle-orm/sqlite-core"),
};

const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (...args: unknown[]) => Promise<void>;

/** Runs the blocks of a page in one function, and returns what they log. */
async function run(blocks: string[], replace: (code: string) => string = (code) => code): Promise<unknown[][]> {
  const logged: unknown[][] = [];
  const code = replace(blocks.join("\n")).replace(/^import (.*) from (".*");$/gm, "const $1 = await load($2);");
  const load = (name: string) => modules[name]!();
  await new AsyncFunction("console", "load", code)({ log: (...args: unknown[]) => logged.push(args) }, load);
  return logged;
}

function blocks(page: string): string[] {
  const text = readFileSync(new URL(`docs/${page}`, root), "utf8");
  return [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]!);
}

test("docs/ADAPTERS.md", async () => {
  const [kysely, drizzle, ...more] = blocks("ADAPTERS.md");
  assert.deepEqual(more, []);
  for (const block of [kysely!, drizzle!]) assert.deepEqual((await run([block])).at(-1), ["weft"]);
});

test("docs/TESTING.md", async () => {
  const data = mkdtempSync(join(tmpdir(), "heddle-docs-"));
  const server = spawn(fileURLToPath(new URL("bin/heddle", root)),
    ["serve", "--dev", "--addr", "127.0.0.1:0", "--data", data], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    let url = "";
    for await (const line of createInterface(server.stdout)) {
      if ((url = /http:\/\/[\d.:]+/.exec(line)?.[0] ?? "")) break;
    }
    const logged = await run(blocks("TESTING.md"), (code) => code.replace("http://127.0.0.1:8787", url));
    assert.deepEqual(logged, [[[{ body: "warp" }]], [[{ body: "from a" }]]]);
  } finally {
    server.kill("SIGKILL");
    rmSync(data, { recursive: true, force: true });
  }
});
