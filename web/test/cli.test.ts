// `npx heddle`, from the tarballs that a release publishes, on this platform.

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const web = fileURLToPath(new URL("..", import.meta.url)), platform = `${process.platform}-${process.arch}`;
const dir = mkdtempSync(join(tmpdir(), "heddle-cli-"));
const env = { ...process.env, HEDDLE_BINARY: "" };

before(() => {
  execFileSync("node", [join(web, "release.mjs"), "--to", dir, platform], { stdio: ["ignore", "ignore", "inherit"] });
  writeFileSync(join(dir, "package.json"), `{ "private": true }`);
  const tarballs = readdirSync(dir).filter((name) => name.endsWith(".tgz")).map((name) => `./${name}`);
  assert.equal(tarballs.length, 2);
  // Offline: none of the names is asked for at a registry.
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", "--silent", ...tarballs], { cwd: dir });
});

after(() => rmSync(dir, { recursive: true, force: true }));

test("npx heddle dev serves, keeps its data beside the app, and ends in order", async () => {
  const server = spawn(join(dir, "node_modules/.bin/heddle"), ["dev", "--addr", "127.0.0.1:0"],
    { cwd: dir, env, stdio: ["ignore", "pipe", "ignore"] });
  try {
    let url = "";
    for await (const line of createInterface(server.stdout)) {
      if ((url = /http:\/\/[\d.:]+/.exec(line)?.[0] ?? "")) break;
    }
    const node = pathToFileURL(join(dir, "node_modules/heddle/dist/node.js")).href;
    const { open } = await import(node) as typeof import("../src/node/index.js");
    const options = { storage: "memory" as const, migrations: [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT)`],
      sync: { url, space: "family", tables: { notes: true as const } } };
    const [a, b] = [await open({ name: "a", ...options }), await open({ name: "b", ...options })];
    await a.exec(`INSERT INTO notes VALUES ('1', 'through npx')`);
    await a.sync.now();
    await b.sync.now();
    assert.deepEqual(await b.query(`SELECT body FROM notes`), [{ body: "through npx" }]);
    await Promise.all([a.close(), b.close()]);
    assert.notEqual(readdirSync(join(dir, ".heddle")).length, 0);
  } finally {
    server.kill("SIGTERM");
  }
  const [code] = await once(server, "exit");
  assert.equal(code, 0);
});

test("other commands are passed on, with their exit codes", () => {
  const heddle = (...args: string[]) =>
    spawnSync(join(dir, "node_modules/.bin/heddle"), args, { cwd: dir, env, encoding: "utf8" });
  assert.match(heddle("version").stdout, /heddle/);
  assert.equal(heddle("version").status, 0);
  assert.equal(heddle("digest").status, 2); // wrong usage
});

test("without the platform's package it says what to do", () => {
  rmSync(join(dir, "node_modules/@heddle"), { recursive: true });
  const heddle = join(dir, "node_modules/.bin/heddle");
  const { status, stderr } = spawnSync(heddle, ["dev"], { cwd: dir, env, encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`@heddle/${platform} is not installed`));
});

test("nothing names the platforms' packages before a release does", () => {
  const manifest = JSON.parse(readFileSync(join(web, "package.json"), "utf8")) as object;
  assert.equal("optionalDependencies" in manifest, false);
});
