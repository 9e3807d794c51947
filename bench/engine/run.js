// make bench-engine: engine/sqlite3.wasm beside SQLite's own build for browsers, the
// engines alone: the same SQL, in memory, in one worker of one Chromium, by turns.
//
//   --rounds N      15 unless told      --only TEXT   the work whose name has it
//   --engine FILE   another build of the module, beside the one that is checked in; may be repeated
//   --node          in Node.js instead, by CPU time: for a machine that has other work to do
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { chromium } from "@playwright/test";
import { serve } from "../peers/serve.js";
import { open } from "./bare.js";
import { measure, peer } from "./work.js";

const root = resolve(import.meta.dirname, "../..");
const { values: options } = parseArgs({ options: {
  rounds: { type: "string", default: "15" }, only: { type: "string" },
    engine: { type: "string", multiple: true, default: [] }, node: { type: "boolean" },
} });
const asked = { rounds: Number(options.rounds), only: options.only };
const dist = join(root, "bench/peers/node_modules/@sqlite.org/sqlite-wasm/dist");
const files = [join(root, "engine/sqlite3.wasm"), ...options.engine.map((e) => resolve(e))];
const names = ["sqlite-wasm", "Heddle", ...options.engine.map((e) => basename(e, ".wasm"))];

async function inNode() {
  const dbs = [await peer(pathToFileURL(join(dist, "node.mjs")).href),
    ...files.map((file) => open(new WebAssembly.Module(readFileSync(file))))];
  const now = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
  return measure(dbs, { ...asked, now });
}

async function inChromium() {
  const mounts = { "/peer/": dist, "/bench/": import.meta.dirname };
  const engines = [{ url: "/peer/index.mjs", kind: "peer" }];
  for (const [i, file] of files.entries()) {
    mounts[`/engine${i}/`] = dirname(file);
    engines.push({ url: `/engine${i}/${basename(file)}` });
  }
  const site = await serve(mounts, true);
  const profile = mkdtempSync(join(tmpdir(), "bench-engine-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"],
  });
  try {
    const [page] = context.pages();
    await page.goto(`${site.url}bench/page.html`);
    return await page.evaluate((asked) => new Promise((resolve, reject) => {
      const worker = new Worker("worker.js", { type: "module" });
      worker.onerror = ({ message }) => reject(new Error(message || "the worker failed"));
      worker.onmessage = ({ data }) => { if (data.error) reject(new Error(data.error)); else resolve(data.results); };
      worker.postMessage(asked);
    }), { ...asked, engines });
  } finally {
    await context.close();
    site.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const results = await (options.node ? inNode() : inChromium());
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
console.log(`| ms${options.node ? " of CPU" : ""}, medians of ${options.rounds} | ${names.join(" | ")} | ÷ ` +
  `sqlite-wasm |`);
console.log(`| --- |${" ---: |".repeat(names.length + 1)}`);
for (const { name, times } of results) {
  // The ratio is the median of each round's: both were measured next to each other.
  const ratios = times.slice(1).map((own) => median(own.map((ms, i) => ms / times[0][i])).toFixed(2));
  console.log(`| ${name} | ${times.map((own) => median(own).toFixed(1)).join(" | ")} | ${ratios.join(", ")} |`);
}
const product = (i) => Math.exp(results.reduce((sum, { times }) => sum +
  Math.log(median(times[i].map((ms, k) => ms / times[0][k]))), 0) / results.length);
console.log(`| geometric mean |${" |".repeat(names.length)} ` +
  `${names.slice(1).map((_, i) => product(i + 1).toFixed(2)).join(", ")} |`);
console.log(`\nLoad average ${loadavg()[0].toFixed(1)}.`);
