// make bench-bootstrap: a new device in a space of ROWS rows of 200 bytes, from
// open() to fully synced, in a real Chromium against the real server; the same in a
// sealed space, in turns, where the device comes in by a recovery code; then how
// long a commit on one device takes to a live query's callback on another.
// Each run has a new profile; figures are medians.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { BrowserContext, Page } from "@playwright/test";
import { launch, root, startServer, startSite } from "../e2e/harness.js";
import "../e2e/seal/space.js";
import "./measure.js";

const option = (name: string, otherwise: number): number => {
  const at = process.argv.lastIndexOf(`--${name}`);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const rows = option("rows", 1_000_000), runs = option("runs", 3), writes = option("writes", 200);

interface Sync { url: string; space: string; code?: string }

async function device<T>(site: string, f: (page: Page, context: BrowserContext) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "heddle-bench-"));
  const context = await launch(dir);
  try {
    await context.addInitScript("globalThis.__name = (f) => f"); // see run.ts
    const page = context.pages()[0] ?? await context.newPage();
    await page.goto(site);
    await page.waitForSelector("html[data-ready]");
    return await f(page, context);
  } finally {
    await context.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** In the page: from open() to synced, and whether all rows are there and flagged meanwhile. */
async function bootstrap({ url, space, code }: Sync): Promise<{ ms: number; rows: number; states: string[] }> {
  const began = performance.now(), states: string[] = [], from = "/heddle/sealed.js";
  globalThis.db = await heddle.open({
    name: "bench", sync: { url, space, tables: { notes: true }, ...(code && { sealed: true }) },
    migrations: [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, n INTEGER NOT NULL DEFAULT 0)`],
  });
  db.sync.on("status", ({ state }) => { if (states.at(-1) !== state) states.push(state); });
  if (code) {
    const { sealedSpace } = await import(from) as typeof sealed;
    await sealedSpace(db).unlock(code, "bench");
  }
  await db.sync.now();
  const ms = performance.now() - began;
  const [row] = await db.query<{ n: number }>(`SELECT count(*) AS n FROM notes`);
  return { ms, rows: row!.n, states };
}

/** In the page: opens a small database of the space. */
async function joinPair(sync: Sync): Promise<void> {
  globalThis.db = await heddle.open({
    name: "pair", sync: { ...sync, tables: { ticks: true } },
    migrations: [`CREATE TABLE ticks(id TEXT PRIMARY KEY, at REAL)`],
  });
  await db.sync.now();
}

/** In device B: notes when each value arrives, on the clock that both share. */
async function watch(): Promise<void> {
  const seen = new Map<number, number>();
  Object.assign(globalThis, { seen });
  await new Promise<void>((resolve) => {
    db.live<{ at: number }>(`SELECT at FROM ticks`, [], ([row]) => {
      if (row) seen.set(row.at, performance.timeOrigin + performance.now());
      resolve();
    });
  });
}

/** In device A: n commits, a moment apart: when each was asked for and when it had been flushed. */
async function write(n: number): Promise<[asked: number, done: number][]> {
  const sent: [number, number][] = [];
  const now = () => performance.timeOrigin + performance.now();
  for (let i = 0; i < n; i++) {
    const at = now();
    await db.exec(`INSERT INTO ticks VALUES ('one', ?1) ON CONFLICT DO UPDATE SET at = ?1`, [at]);
    sent.push([at, now()]);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return sent;
}

const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))]!;

async function newDevices(url: string, site: string): Promise<string[]> {
  const fill = async (space: string, ...options: string[]) => {
    process.stderr.write(`filling ${space} with ${rows} rows\n`);
    const args = ["run", "./bench/fill", "-url", url, "-space", space, "-rows", String(rows), ...options];
    return (await promisify(execFile)("go", args, { cwd: root })).stdout.trim();
  };
  await fill("plain");
  const spaces: Sync[] = [{ url, space: "plain" }, { url, space: "sealed", code: await fill("sealed", "-sealed") }];
  const took: number[][] = [[], []];
  for (let i = 0; i < runs; i++) {
    for (const which of i % 2 === 0 ? [0, 1] : [1, 0]) {
      const sync = spaces[which]!, r = await device(site, (page) => page.evaluate(bootstrap, sync));
      if (r.rows !== rows || !r.states.includes("bootstrapping")) {
        throw new Error(`${r.rows} rows, states ${r.states.join(" ")}`);
      }
      process.stderr.write(`run ${i + 1} of ${runs}, ${sync.space}: ${(r.ms / 1000).toFixed(2)} s\n`);
      took[which]!.push(r.ms);
    }
  }
  const s = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const lines = spaces.flatMap(({ space }, i) => {
    const all = took[i]!, ms = quantile(all, 0.5);
    return [
      `| a new device in a ${space} space of ${rows.toLocaleString("en")} rows of 200 bytes: open() to synced | ` +
        `${s(ms)} | ${s(Math.min(...all))} – ${s(Math.max(...all))} |`,
      `| … rows a second | ${Math.round(rows / ms * 1000).toLocaleString("en")} | |`,
    ];
  });
  const ratios = took[1]!.map((ms, i) => ms / took[0]![i]!);
  lines.push(`| … sealed to plain | ${quantile(ratios, 0.5).toFixed(2)} | ${Math.min(...ratios).toFixed(2)} – ` +
    `${Math.max(...ratios).toFixed(2)} |`);
  return lines;
}

async function main(): Promise<void> {
  const load = loadavg()[0]!;
  const data = mkdtempSync(join(tmpdir(), "heddle-bench-server-"));
  const server = await startServer(data), site = await startSite();
  const lines: string[] = [];
  try {
    if (rows > 0) lines.push(...await newDevices(server.url, site.url));
    const sync = { url: server.url, space: "pair" };
    await device(site.url, (b) => device(site.url, async (a) => {
      for (const page of [a, b]) await page.evaluate(joinPair, sync);
      await b.evaluate(watch);
      await a.evaluate(write, 20); // what runs for the first time is compiled by then
      const sent = await a.evaluate(write, writes);
      await b.waitForFunction((at) => (globalThis as unknown as { seen: Map<number, number> }).seen.has(at),
        sent.at(-1)![0]);
      const seen = new Map(await b.evaluate(() => [...(globalThis as unknown as { seen: Map<number, number> }).seen]));
      const there = sent.filter(([asked]) => seen.has(asked));
      if (there.length < writes * 0.9) throw new Error(`only ${there.length} of ${writes} writes were seen one by one`);
      for (const [name, times] of [
        ["exec() on one device to the live callback on another", there.map(([asked]) => seen.get(asked)! - asked)],
        ["… from the commit's answer", there.map(([asked, done]) => seen.get(asked)! - done)],
      ] as const) {
        lines.push(`| ${name}, p50 | ${quantile(times, 0.5).toFixed(1)} ms | p95 ` +
          `${quantile(times, 0.95).toFixed(1)} ms |`);
      }
    }));
  } finally {
    site.close();
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
  console.log([
    `${cpus().length} × ${cpus()[0]?.model ?? "CPU"}; headless Chromium on a new profile each; ` +
      `the server on loopback; load before ${load.toFixed(1)}`,
    "", "| what | median | lowest – highest |", "|---|---:|---:|", ...lines,
  ].join("\n"));
}

await main();
