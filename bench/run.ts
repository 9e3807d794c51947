// make bench: drives this build in a real Chromium on a persistent profile and
// prints a Markdown table. Every figure is the median of the runs; each run has
// a new profile. The JSON of all runs stays in bench/results/.
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import type { Page } from "@playwright/test";
import { launch, root, startSite } from "../e2e/harness.js";
import * as measure from "./measure.js";

// --quick for a look, --once to see that it still works.
const smoke = process.argv.includes("--once");
const quick = smoke || process.argv.includes("--quick");
const runs = smoke ? 1 : quick ? 2 : 5;

type Figures = { [figure: string]: number };

/** The table: figure, what it is called, its unit. */
const table: [key: string, name: string, unit: string][] = [
  ["coldStart", "cold start: open() to the first row, new profile", "ms"],
  ["warmStart", "warm start: the same after a reload", "ms"],
  ["bulk", "bulk insert, 100k rows × 4 columns, one transaction", "rows/s"],
  ["commits", "durable commits, awaited one by one", "commits/s"],
  ["commitP50", "… p50 of one", "ms"],
  ["commitP95", "… p95 of one", "ms"],
  ["writers", "durable commits, 64 writers at once", "commits/s"],
  ["lookups", "point look-ups, awaited one by one", "/s"],
  ["lookupsTogether", "point look-ups, 64 under way", "/s"],
  ["rows", "100k rows × 4 columns to objects in the page", "ms"],
  ["rowsBlock", "… longest time the page was busy", "ms"],
  ["like", "LIKE aggregate over 100k rows", "ms"],
  ["index", "CREATE INDEX over 100k rows", "ms"],
  ["liveHere", "live query, same tab: exec() to callback", "ms"],
  ["liveThere", "live query, other tab: exec() to callback", "ms"],
];

async function tab(page: Page, url: string): Promise<Page> {
  await page.goto(url);
  await page.waitForSelector("html[data-ready]");
  return page;
}

async function once(url: string): Promise<Figures> {
  const dir = mkdtempSync(join(tmpdir(), "heddle-bench-"));
  const context = await launch(dir);
  // tsx keeps the names of functions with a helper that the page does not have.
  await context.addInitScript("globalThis.__name = (f) => f");
  try {
    const page = await tab(context.pages()[0] ?? await context.newPage(), url);
    const coldStart = await page.evaluate(measure.start);
    const warm: number[] = [];
    for (let i = 0; i < 3; i++) {
      await page.evaluate(() => db.close());
      await tab(page, url);
      warm.push(await page.evaluate(measure.start));
    }
    const commits = await page.evaluate(measure.commits);
    const writers = await page.evaluate(measure.writers);
    await page.evaluate(measure.bulk);
    const bulk = await page.evaluate(measure.bulk);
    const lookups = await page.evaluate(measure.lookups);
    await page.evaluate(measure.rows);
    const rows = await page.evaluate(measure.rows);
    const like = await page.evaluate(measure.like);
    const index = await page.evaluate(measure.index);
    const liveHere = await page.evaluate(measure.liveHere);
    const other = await tab(await context.newPage(), url);
    await other.evaluate(measure.start);
    await other.evaluate(measure.liveThere);
    await page.evaluate(measure.liveSend);
    const liveThere = await other.evaluate(measure.liveMedian);
    return {
      coldStart, warmStart: median(warm), bulk, commits: commits.rate, commitP50: commits.p50, commitP95: commits.p95,
        writers,
      lookups: lookups.awaited, lookupsTogether: lookups.together, rows: rows.ms, rowsBlock: rows.block, like, index,
        liveHere, liveThere,
    };
  } finally {
    await context.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const show = (n: number): string => n >= 1000 ? Math.round(n).toLocaleString("en") : n >= 100 ? n.toFixed(0) : n >= 10
  ? n.toFixed(1) : n.toFixed(2);

/** Bytes of what a page fetches, raw and with brotli at its best. */
async function payload(): Promise<{ file: string; raw: number; brotli: number }[]> {
  const dist = join(root, "web/dist");
  const files = (await readdir(dist)).filter((name) => /\.(js|wasm)$/.test(name)).sort();
  return Promise.all(files.map(async (file) => {
    const bytes = await readFile(join(dist, file));
    const packed = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: smoke ? 4 : 11,
      [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });
    return { file, raw: bytes.length, brotli: packed.length };
  }));
}

const kib = (n: number): string => (n / 1024).toLocaleString("en", { maximumFractionDigits: 0 });

async function main(): Promise<void> {
  const load = loadavg()[0]!; // what else the machine was doing, in processors
  const site = await startSite();
  const all: Figures[] = [];
  try {
    for (let i = 0; i < runs; i++) {
      process.stderr.write(`run ${i + 1} of ${runs}\n`);
      all.push(await once(site.url));
    }
  } finally {
    site.close();
  }
  const sizes = await payload();
  const lines = [
    `${cpus().length} × ${cpus()[0]?.model ?? "CPU"}; headless Chromium on a persistent profile; ` +
      `medians of ${runs} runs; load before them ${load.toFixed(1)}`,
    "",
    "| what | median | lowest – highest | unit |",
    "|---|---:|---:|---|",
    ...table.map(([key, name, unit]) => {
      const values = all.map((run) => run[key]!);
      return `| ${name} | ${show(median(values))} | ${show(Math.min(...values))} – ${show(Math.max(...values))} | ` +
        `${unit} |`;
    }),
    "",
    "| payload | raw KiB | brotli KiB |",
    "|---|---:|---:|",
    ...sizes.map(({ file, raw, brotli }) => `| ${file} | ${kib(raw)} | ${kib(brotli)} |`),
    `| together | ${kib(sizes.reduce((sum, s) => sum + s.raw, 0))} | ` +
      `${kib(sizes.reduce((sum, s) => sum + s.brotli, 0))} |`,
  ];
  console.log(lines.join("\n"));
  const results = join(root, "bench/results");
  await mkdir(results, { recursive: true });
  const at = new Date().toISOString();
  await writeFile(join(results, `${at.replaceAll(":", "-")}.json`),
    JSON.stringify({ at, quick, cpu: cpus()[0]?.model, cpus: cpus().length, runs: all, sizes }, null, 1));
}

await main();
