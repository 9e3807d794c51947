// Builds the npm package's files into web/dist/: `npm run build -w web`.
//
//   index.js, worker.js, broker.js   esbuild, one file each, no imports between them
//   argon2.js                        the same, for those who use a passphrase (heddle/sealed)
//   heddle.wasm, sqlite3.wasm        what a start needs of Go's program and of the checked-in engine (engine/split)
//   heddle-rest.wasm                 the rest of both (wasm/first.txt, engine/first.txt), and what is C with SIMD
//   heddle-sealed.wasm               what sealed spaces alone need (wasm/sealed.txt)
//   *.d.ts                           tsc
//   LICENSE, NOTICE                  what a copy has to carry along
//
//   vite.js                          the plugin of "heddle/vite", for Node.js
//   *.br, *.gz                       each of the browser's files, compressed for servers that look for them
//
// Go, esbuild and tsc decide themselves how little there is to do. --quick
// leaves out types and compression; --release compresses as well as it can be
// done, which takes half a minute.
// --faults builds what the tests of broken engines load instead, into
// .cache/faults/: an engine that can be broken, and bounds that are shorter.
// --next builds, into .cache/next/, what the tests take for a later version of
// the package: one that speaks another protocol between tabs.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { build } from "esbuild";

const web = dirname(fileURLToPath(import.meta.url));
const root = dirname(web);
const faults = process.argv.includes("--faults");
const next = process.argv.includes("--next");
const dist = faults ? join(root, ".cache/faults") : next ? join(root, ".cache/next") : join(web, "dist");
const release = process.argv.includes("--release");
const quick = faults || next || process.argv.includes("--quick");

/** What the browser loads. */
const FILES = ["index.js", "worker.js", "broker.js", "heddle.wasm", "heddle-rest.wasm", "heddle-sealed.wasm",
  "sqlite3.wasm", "argon2.js"];

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

// Go leaves its own output alone where nothing changed: the parts are beside it.
async function goBuild() {
  const linked = join(root, ".cache", faults ? "heddle-faults.wasm" : "heddle.wasm");
  await mkdir(dirname(linked), { recursive: true });
  await run("go", ["build", "-trimpath", ...(faults ? ["-tags=faults"] : []), "-ldflags=-w", "-o", linked, "."], {
    cwd: join(root, "wasm"),
    env: { ...process.env, GOOS: "js", GOARCH: "wasm", GOWORK: "off" },
  });
  const split = (...args) => run("go", ["run", "./engine/split", ...args], { cwd: root });
  const sqliteRest = linked.replace(/\.wasm$/, "-sqlite-rest.wasm");
  await split("-numbers", "engine/first.txt", "-rest", sqliteRest, "engine/sqlite3.wasm", join(dist, "sqlite3.wasm"));
  await split("-first", "wasm/first.txt", "-rest", join(dist, "heddle-rest.wasm"), "-third", "wasm/sealed.txt",
    "-third-part", join(dist, "heddle-sealed.wasm"), "-carry", `sqlite=${sqliteRest}`,
    "-carry", "simd=engine/simd.wasm", linked, join(dist, "heddle.wasm"));
}

/** The adapters, such as heddle/kysely, and what each adapts, which is the app's; and heddle/sealed with its worker. */
const ADAPTED = {
  kysely: "kysely", drizzle: "drizzle-orm", react: "react", vue: "vue", svelte: "svelte", solid: "solid-js",
};

const adapters = () =>
  build({
    entryPoints: {
      ...Object.fromEntries(Object.keys(ADAPTED).map((name) => [name, join(web, `src/adapters/${name}.ts`)])),
      sealed: join(web, "src/sealed/index.ts"),
      argon2: join(web, "src/sealed/argon2.ts"),
    },
    outdir: dist,
    bundle: true,
    format: "esm",
    target: ["es2022"],
    minify: true,
    external: Object.values(ADAPTED),
    sourcemap: true,
    legalComments: "none",
    logLevel: "warning",
  });

// heddle/node and its thread, for Node.js.
const nodeScripts = () =>
  build({
    entryPoints: { node: join(web, "src/node/index.ts"), "node-worker": join(web, "src/node/thread.ts") },
    outdir: dist,
    bundle: true,
    platform: "node",
    ignoreAnnotations: true, // "sideEffects": false holds for the package: a thread is nothing but effects
    format: "esm",
    target: ["node20"],
    sourcemap: true,
    legalComments: "none",
    logLevel: "warning",
    plugins: [wasmExec()],
  });

const scripts = () =>
  build({
    entryPoints: { index: join(web, "src/index.ts"), worker: join(web, "src/worker/index.ts"),
      broker: join(web, "src/broker/index.ts") },
    outdir: dist,
    bundle: true,
    format: "esm",
    target: ["es2022"],
    minify: true,
    sourcemap: true,
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

// name.br and name.gz beside each file: what a server sends that finds them there. The last compression of a content is
// kept, by its hash.
async function compressed(name) {
  const path = join(dist, name);
  const bytes = await readFile(path);
  const quality = release ? constants.BROTLI_MAX_QUALITY : 9;
  const key = createHash("sha256").update(bytes).update(String(quality)).digest("hex");
  const kept = join(root, ".cache/compressed", name);
  if (await readFile(`${kept}.key`, "utf8").catch(() => "") !== key) {
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: quality,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      [constants.BROTLI_PARAM_LGWIN]: 24,
    };
    await mkdir(dirname(kept), { recursive: true });
    await writeFile(`${kept}.br`, await promisify(brotliCompress)(bytes, { params }));
    await writeFile(`${kept}.gz`, await promisify(gzip)(bytes, { level: constants.Z_BEST_COMPRESSION }));
    await writeFile(`${kept}.key`, key);
  }
  const sizes = [bytes.length];
  for (const ending of [".br", ".gz"]) {
    await copyFile(kept + ending, path + ending);
    sizes.push((await stat(path + ending)).size);
  }
  return sizes;
}

async function compressAll() {
  const row = (name, cells) => console.log(name.padEnd(14) + cells.map((cell) => cell.padStart(12)).join(""));
  const line = (name, sizes) => row(name, sizes.map((n) => `${(n / 1000).toFixed(1)} kB`));
  row("", ["raw", "brotli", "gzip"]);
  const all = await Promise.all(FILES.map(async (name) => [name, await compressed(name)]));
  for (const [name, sizes] of all) line(name, sizes);
  line("all", [0, 1, 2].map((i) => all.reduce((sum, [, sizes]) => sum + sizes[i], 0)));
}

async function main() {
  await mkdir(dist, { recursive: true });
  // Types of modules that are no more.
  for (const entry of await readdir(dist, { withFileTypes: true })) {
    if (entry.isDirectory() || entry.name.endsWith(".d.ts")) await rm(join(dist, entry.name), { recursive: true });
  }
  for (const name of ["LICENSE", "NOTICE"]) await copyFile(join(root, name), join(dist, name));
  await Promise.all([goBuild(), scripts()]);
  if (faults || next) return;
  await Promise.all([adapters(), nodeScripts()]);
  if (quick) console.log("no types: --quick");
  else {
    await types();
    await compressAll();
  }
}

main().catch((error) => {
  console.error(`web/build.mjs: ${error.message}`);
  process.exit(1);
});
