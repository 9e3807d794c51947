// Runs a Go program for GOOS=js, linked with engine/sqlite3.wasm, under Node:
//
//   node engine/linktest/run.mjs program.wasm [arguments]
//
// so that go test -exec can use it. It needs the npm packages of the root.
import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import util from "node:util";
import url from "node:url";

const here = path.dirname(url.fileURLToPath(import.meta.url));
const root = path.join(here, "..", "..");
const require = createRequire(import.meta.url);
const [program, ...args] = process.argv.slice(2);

globalThis.require = require;
globalThis.fs = fs;
globalThis.path = path;
globalThis.TextEncoder = util.TextEncoder;
globalThis.TextDecoder = util.TextDecoder;
globalThis.crypto ??= crypto.webcrypto;
const goroot = execFileSync("go", ["env", "GOROOT"], { encoding: "utf8" }).trim();
require(path.join(goroot, "lib", "wasm", "wasm_exec.js"));

const { linkEngine } = await importTypeScript(path.join(root, "web", "src", "worker", "engine.ts"));
const compiled = (name) => new WebAssembly.Module(fs.readFileSync(path.join(root, "engine", name)));
const engine = linkEngine(compiled("sqlite3.wasm"), undefined, undefined, () => compiled("simd.wasm"));

const go = new Go();
go.argv = [program, ...args];
go.env = Object.assign({ TMPDIR: os.tmpdir() }, process.env);
go.exit = (code) => process.exit(code);
Object.assign(go.importObject, engine.imports);
globalThis.heddleEngine = {
  connections: () => engine.stacks.size,
  stackPointersAreBack: () => [...engine.stacks.values()].every((s) => s.pointer === s.high),
  shortenStacks: (bytes) => engine.stacks.forEach((s) => s.setLow(s.high - bytes)),
};
globalThis.heddleGolden = fs.readFileSync(path.join(root, "engine/conformance/native/testdata/native.txt"), "utf8");
process.on("exit", (code) => {
  if (code === 0 && !go.exited) {
    go._pendingEvent = { id: 0 };
    go._resume(); // Go reports the deadlock.
  }
});
const { instance } = await WebAssembly.instantiate(fs.readFileSync(program), go.importObject);
engine.attach(instance.exports);
await go.run(instance);

async function importTypeScript(file) {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({ entryPoints: [file], bundle: true, format: "esm", write: false });
  const out = path.join(os.tmpdir(), `heddle-engine-${process.pid}.mjs`);
  fs.writeFileSync(out, outputFiles[0].text);
  try {
    return await import(url.pathToFileURL(out));
  } finally {
    fs.rmSync(out);
  }
}
