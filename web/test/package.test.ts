// What npm would publish.
import { deepEqual, equal, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("..", import.meta.url));

interface Packed {
  files: { path: string; size: number }[];
  unpackedSize: number;
}

function pack(): Packed {
  const flags = ["--dry-run", "--json", "--silent", "--ignore-scripts"];
  const out = execFileSync("npm", ["pack", ...flags], { cwd: web, encoding: "utf8" });
  return (JSON.parse(out) as [Packed])[0];
}

test("the package holds what its users need, and nothing else", () => {
  const paths = pack().files.map(({ path }) => path);
  const browser = ["index.js", "worker.js", "broker.js", "heddle.wasm", "heddle-rest.wasm", "heddle-sealed.wasm",
    "sqlite3.wasm", "argon2.js"]
    .map((name) => `dist/${name}`);
  for (const path of [
    "README.md", "package.json", "dist/index.d.ts", "dist/node.js", "dist/node-worker.js",
    "bin/heddle.js", "dist/LICENSE", "dist/NOTICE", "vite/index.js", "vite/index.d.ts",
    ...browser.flatMap((path) => [path, `${path}.br`, `${path}.gz`]),
    ...browser.filter((path) => path.endsWith(".js")).map((path) => `${path}.map`),
  ]) ok(paths.includes(path), `${path} is missing`);
  deepEqual(paths.filter((path) => /(^|\/)(src|test|demo|node_modules)\/|\.(test|spec)\.|^dist\/\./.test(path)), []);
});

test("each entry of exports is a file of the package", () => {
  type Entry = string | Record<string, string>;
  const { exports } = JSON.parse(readFileSync(`${web}/package.json`, "utf8")) as { exports: Record<string, Entry> };
  const targets = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry)));
  for (const target of targets) equal(existsSync(`${web}/${target}`), true, target);
});
