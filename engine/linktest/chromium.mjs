// Runs a Go program for GOOS=js, linked with engine/sqlite3.wasm, in a worker of
// a headless Chromium, as run.mjs does under Node:
//
//   CHROMIUM=/usr/bin/chromium node engine/linktest/chromium.mjs program.wasm [arguments]
//
// What the program prints comes to standard output; the exit code is the program's.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import url from "node:url";
import { chromium } from "@playwright/test";
import { build } from "esbuild";

const here = path.dirname(url.fileURLToPath(import.meta.url));
const root = path.join(here, "..", "..");
const [program, ...args] = process.argv.slice(2);
const goroot = execFileSync("go", ["env", "GOROOT"], { encoding: "utf8" }).trim();

const worker = await build({
  stdin: {
    resolveDir: here,
    contents: `
      import "${path.join(goroot, "lib", "wasm", "wasm_exec.js")}";
      import { linkEngine } from "${path.join(root, "web", "src", "worker", "engine.ts")}";
      addEventListener("unhandledrejection", ({ reason }) => {
        console.log(String(reason));
        postMessage(1);
      });
      onmessage = async ({ data: args }) => {
        const files = ["program.wasm", "sqlite3.wasm", "simd.wasm"];
        const [program, sqlite, simd] = await Promise.all(files.map((f) => WebAssembly.compileStreaming(fetch(f))));
        const engine = linkEngine(sqlite, undefined, undefined, () => simd);
        globalThis.heddleEngine = {
          connections: () => engine.stacks.size,
          stackPointersAreBack: () => [...engine.stacks.values()].every((s) => s.pointer === s.high),
          shortenStacks: (bytes) => engine.stacks.forEach((s) => s.setLow(s.high - bytes)),
        };
        const go = new Go();
        go.argv = ["linktest", ...args];
        go.env = { TZ: ${JSON.stringify(process.env.TZ ?? "")} };
        globalThis.heddleGolden = await (await fetch("native.txt")).text();
        go.exit = (code) => postMessage(code);
        Object.assign(go.importObject, engine.imports);
        const instance = await WebAssembly.instantiate(program, go.importObject);
        engine.attach(instance.exports);
        await go.run(instance);
      };`,
  },
  bundle: true,
  format: "esm",
  write: false,
});

const module = (name) => ["application/wasm", fs.readFileSync(path.join(root, "engine", name))];
const files = {
  "/": ["text/html", '<!doctype html><link rel="icon" href="data:,">'],
  "/worker.js": ["text/javascript", worker.outputFiles[0].text],
  "/program.wasm": ["application/wasm", fs.readFileSync(program)],
  "/native.txt": ["text/plain;charset=utf-8",
    fs.readFileSync(path.join(root, "engine/conformance/native/testdata/native.txt"))],
  "/sqlite3.wasm": module("sqlite3.wasm"),
  "/simd.wasm": module("simd.wasm"),
};
// An isolated page has a clock of 5 µs in place of 100, which benchmarks need.
const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const server = http.createServer((request, response) => {
  const [type, body] = files[request.url] ?? ["", ""];
  response.writeHead(type === "" ? 404 : 200, { "Content-Type": type, ...isolated }).end(body);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const profile = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-linktest-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  timezoneId: process.env.TZ,
});
let code;
try {
  const page = await context.newPage();
  page.on("console", (message) => console.log(message.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  code = await page.evaluate(
    (args) =>
      new Promise((resolve) => {
        const worker = new Worker("worker.js", { type: "module" });
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => {
          console.log(message);
          resolve(1);
        };
        worker.postMessage(args);
      }),
    args,
  );
} finally {
  await context.close();
  server.close();
  fs.rmSync(profile, { recursive: true, force: true });
}
process.exit(code);
