// Builds the npm package's files into web/dist/: `npm run build -w web`.
//
//   index.js, worker.js, broker.js   esbuild, one file each, no imports between them
//   heddle.wasm                      Go, from wasm/, without its tables of lines (slim.mjs)
//   sqlite3.wasm                     the checked-in engine
//   *.d.ts                           tsc
//   LICENSE, NOTICE                  what a copy has to carry along
//
// Go, esbuild and tsc decide themselves how little there is to do. --quick
// leaves out the types; --sizes adds the compressed sizes, which take a while.
// --faults builds what the tests of broken engines load instead, into
// .cache/faults/: an engine that can be broken, and bounds that are shorter.
// --next builds, into .cache/next/, what the tests take for a later version of
// the package: one that speaks another protocol between tabs.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";
import { build } from "esbuild";
import { slim } from "./slim.mjs";

const web = dirname(fileURLToPath(import.meta.url));
const root = dirname(web);
const faults = process.argv.includes("--faults");
const next = process.argv.includes("--next");
const dist = faults ? join(root, ".cache/faults") : next ? join(root, ".cache/next") : join(web, "dist");
const quick = faults || next || process.argv.includes("--quick");

function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit", ...options });
    child.on("error", reject);
    child.on("close",
      (code) => (code === 0 ? resolve() : reject(new Error(`${command} ${args.join(" ")}: exit ${code}`))));
  });
}

// Go's own loader, from the toolchain that builds the program beside it.
function wasmExec() {
  const goroot = execFileSync("go", ["env", "GOROOT"], { cwd: join(root, "wasm"), encoding: "utf8" }).trim();
  return {
    name: "wasm_exec",
    setup(b) {
      b.onResolve({ filter: /^heddle:wasm_exec$/ }, () => ({ path: join(goroot, "lib/wasm/wasm_exec.js") }));
    },
  };
}

// A module of the tests in place of one of the package.
const swap = (name, path) => ({
  name: `swap ${name}`,
  setup(b) {
    b.onResolve({ filter: new RegExp(`/${name}\\.js$`) }, () => ({ path: join(root, path) }));
  },
});

// Go leaves its own output alone where nothing changed: the smaller one is beside it.
async function goBuild() {
  const linked = join(root, ".cache", faults ? "heddle-faults.wasm" : "heddle.wasm");
  await mkdir(dirname(linked), { recursive: true });
  await run("go", ["build", "-trimpath", ...(faults ? ["-tags=faults"] : []), "-ldflags=-s -w", "-o", linked, "."], {
    cwd: join(root, "wasm"),
    env: { ...process.env, GOOS: "js", GOARCH: "wasm", GOWORK: "off" },
  });
  await writeFile(join(dist, "heddle.wasm"), slim(await readFile(linked)));
}

const scripts = () =>
  build({
    entryPoints: { index: join(web, "src/index.ts"), worker: join(web, "src/worker/index.ts"),
      broker: join(web, "src/broker/index.ts") },
    outdir: dist,
    bundle: true,
    format: "esm",
    target: ["es2022"],
    minify: true,
    legalComments: "none",
    logLevel: "warning",
    // The package's own files are told apart by their URLs: none may be taken in.
    plugins: [wasmExec(), ...(faults ? [swap("tuning", "e2e/faults/tuning.ts")] : []),
      ...(next ? [swap("version", "e2e/next/version.ts")] : [])],
  });

const types = () => {
  const tsc = createRequire(import.meta.url).resolve("typescript/package.json");
  return run(process.execPath, [join(dirname(tsc), "bin/tsc"), "-p", join(web, "tsconfig.build.json")]);
};

// Raw sizes, and compressed ones where asked for; compressing takes half a minute, so what has not changed is
// remembered.
async function sizes() {
  const memo = join(dist, ".sizes.json");
  const old = JSON.parse(await readFile(memo, "utf8").catch(() => "{}"));
  const known = {};
  const compress = promisify(brotliCompress);
  const compressed = process.argv.includes("--sizes");
  let raw = 0;
  let small = 0;
  const kb = (n) => `${(n / 1000).toFixed(1).padStart(9)} kB`;
  const line = (name, size, brotli) =>
    console.log(name.padEnd(14) + kb(size) + (compressed ? `${kb(brotli)} brotli` : ""));
  for (const name of ["index.js", "worker.js", "broker.js", "heddle.wasm", "sqlite3.wasm"]) {
    const bytes = await readFile(join(dist, name));
    const hash = createHash("sha256").update(bytes).digest("hex");
    if (compressed) {
      const params = { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length, [constants.BROTLI_PARAM_LGWIN]: 24 };
      known[hash] = old[hash] ?? (await compress(bytes, { params })).length;
    } else if (old[hash]) known[hash] = old[hash];
    raw += bytes.length;
    small += known[hash];
    line(name, bytes.length, known[hash]);
  }
  line("all", raw, small);
  await writeFile(memo, JSON.stringify(known));
}

async function main() {
  await mkdir(dist, { recursive: true });
  // Types of modules that are no more.
  for (const entry of await readdir(dist, { withFileTypes: true })) {
    if (entry.isDirectory() || entry.name.endsWith(".d.ts")) await rm(join(dist, entry.name), { recursive: true });
  }
  await copyFile(join(root, "engine/sqlite3.wasm"), join(dist, "sqlite3.wasm"));
  for (const name of ["LICENSE", "NOTICE"]) await copyFile(join(root, name), join(dist, name));
  await Promise.all([goBuild(), scripts()]);
  if (faults || next) return;
  if (quick) console.log("no types: --quick");
  else {
    await types();
    await sizes();
  }
}

main().catch((error) => {
  console.error(`web/build.mjs: ${error.message}`);
  process.exit(1);
});
