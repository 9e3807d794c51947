// make bench-sealed: what a sealed space costs. A plain and a sealed space on one server take turns on two devices,
// each a real Chromium with a profile of its own; each round has new spaces and new databases. Prints medians by the
// clock and of the processor time of the device's browser, which a busy machine blurs less, and of the rounds' ratios.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContext, Page } from "@playwright/test";
import { launch, startServer, startSite } from "../e2e/harness.js";
import "../e2e/seal/space.js";
import "./measure.js";
import { browserTime } from "./threads.js";

const option = (name: string, otherwise: number): number => {
  const at = process.argv.lastIndexOf(`--${name}`);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const quick = process.argv.includes("--quick");
const rounds = option("rounds", quick ? 3 : 7), transactions = option("transactions", 1_000);
const rows = option("rows", 20_000), lives = option("lives", 40);

interface Figure { ms: number; processor?: number }
type Figures = Record<"commit" | "push" | "tail" | "bulkPush" | "bulkTail" | "live", Figure>;

/** A device: its browser's profile, and the page that has its database. */
interface Device { context: BrowserContext; dir: string; page: Page }

const names: { [key in keyof Figures]: string } = {
  commit: `durable commit of one row, sync paused, p50 of ${transactions.toLocaleString("en")}`,
  push: `push of ${transactions.toLocaleString("en")} such transactions: sync resumed to nothing pending`,
  tail: "… on the other device: sync resumed to all of them read",
  bulkPush: `push of one transaction of ${rows.toLocaleString("en")} rows of 190 bytes`,
  bulkTail: "… on the other device",
  live: `a commit on one device to the live query of the other, p50 of ${lives}`,
};

interface Sync { url: string; space: string; sealed: boolean }

declare global {
  var seen: Map<number, number>;
}

/** In the page: opens a database of the space, and brings the device into it. `link` is undefined for the first. */
async function enter(sync: Sync): Promise<void> {
  globalThis.db = await heddle.open({
    name: sync.space, sync: { url: sync.url, space: sync.space, tables: { notes: true, ticks: true },
      ...(sync.sealed && { sealed: true }) },
    migrations: [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL);
      CREATE TABLE ticks(id TEXT PRIMARY KEY, at REAL)`],
  });
  if (!sync.sealed) return;
  const from = "/heddle/sealed.js";
  globalThis.sealed = await import(from) as typeof sealed;
  globalThis.space = sealed.sealedSpace(db);
}

/** In the page, with sync paused: commits of one row each, milliseconds. */
async function commits(n: number): Promise<number> {
  await db.sync.pause();
  const times: number[] = [];
  for (let i = 0; i < n; i++) {
    const began = performance.now();
    await db.exec(`INSERT INTO notes VALUES (?, ?)`, [`note ${i}`, "what was on that day, in some words"]);
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[n >> 1]!;
}

/** In the page, with sync paused: one transaction of many rows. */
async function bulk(n: number): Promise<void> {
  await db.sync.pause();
  const words = "the quick brown fox jumps over a lazy dog while it rains on the harbour and nobody looks".split(" ");
  const body = (i: number) => {
    let text = "";
    for (let k = 0; text.length < 170; k++) text += `${words[(i * 7919 + k * 104_729) % words.length]} `;
    return `${i} ${text}`;
  };
  await db.bulk(`INSERT INTO notes VALUES (?, ?)`, Array.from({ length: n }, (_, i) => [`row ${i}`, body(i)]));
}

/** In the page: sync goes on, until all is exchanged. Milliseconds. */
async function exchange(): Promise<number> {
  const began = performance.now();
  await db.sync.resume();
  await db.sync.now();
  return performance.now() - began;
}

/** In the page: notes when each value arrives, on the clock that both devices share. */
async function watch(): Promise<void> {
  globalThis.seen = new Map();
  await new Promise<void>((resolve) => {
    db.live<{ at: number }>(`SELECT at FROM ticks WHERE id = 'one'`, [], ([row]) => {
      if (row) seen.set(row.at, performance.timeOrigin + performance.now());
      resolve();
    });
  });
}

/** In the page: n commits, a moment apart: when each was asked for. */
async function tick(n: number): Promise<number[]> {
  const asked: number[] = [];
  for (let i = 0; i < n; i++) {
    const at = performance.timeOrigin + performance.now();
    await db.exec(`INSERT INTO ticks VALUES ('one', ?1) ON CONFLICT DO UPDATE SET at = ?1`, [at]);
    asked.push(at);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return asked;
}

/** Lets the device of page b in: its digits are what a shows, or the benchmark measures nothing. */
async function pair(a: Page, b: Page): Promise<void> {
  await a.evaluate(async () => { await space.create("a"); await db.sync.now(); });
  const link = await a.evaluate(() => (globalThis.invitation = space.invite()).link);
  const digits = await b.evaluate((link) => (globalThis.joining = space.join(link, "b")).digits, link);
  await a.evaluate(async (digits) => {
    if ((await invitation.joining).digits !== digits) throw new Error("the digits differ");
    invitation.confirm();
    await invitation.done;
  }, digits);
  await b.evaluate(() => joining.done);
}

/** What f has returned, which are milliseconds, with the processor time of the device meanwhile. */
async function timed(device: Device, f: () => Promise<number>): Promise<Figure> {
  const before = await browserTime(device.dir), ms = await f();
  return { ms, processor: await browserTime(device.dir) - before };
}

async function round([one, other]: readonly [Device, Device], sync: Sync): Promise<Figures> {
  const [a, b] = [one.page, other.page];
  for (const page of [a, b]) await page.evaluate(enter, sync);
  if (sync.sealed) await pair(a, b);
  // A first row: a device that has seen nothing would begin with a snapshot, in a plain space.
  await a.evaluate(() => db.exec(`INSERT INTO ticks VALUES ('two', 0)`));
  for (const page of [a, b]) await page.evaluate(() => db.sync.now());
  await b.evaluate(() => db.sync.pause());
  const commit = await timed(one, () => a.evaluate(commits, transactions));
  const push = await timed(one, () => a.evaluate(exchange)), tail = await timed(other, () => b.evaluate(exchange));
  await b.evaluate(() => db.sync.pause());
  await a.evaluate(bulk, rows);
  const bulkPush = await timed(one, () => a.evaluate(exchange));
  const bulkTail = await timed(other, () => b.evaluate(exchange));
  const there = await b.evaluate(async () => (await db.query<{ n: number }>(`SELECT count(*) AS n FROM notes`))[0]!.n);
  if (there !== transactions + rows) throw new Error(`${there} rows have arrived`);
  await b.evaluate(watch);
  await a.evaluate(tick, 10);
  const asked = await a.evaluate(tick, lives);
  await b.waitForFunction((at) => globalThis.seen.has(at), asked.at(-1)!);
  const times = new Map(await b.evaluate(() => [...globalThis.seen]));
  const live = { ms: median(asked.filter((at) => times.has(at)).map((at) => times.get(at)! - at)) };
  for (const page of [a, b]) {
    await page.evaluate(async (name) => { await db.close(); await heddle.destroy(name); }, sync.space);
  }
  return { commit, push, tail, bulkPush, bulkTail, live };
}

const median = (of: number[]) => of.sort((a, b) => a - b)[of.length >> 1]!;

/** Of one kind of figure: the medians, and that of the ratios of the rounds, which feel less of the machine. */
function cells(of: (kind: Kind) => (number | undefined)[]): string {
  const plain = of("plain").filter((v) => v !== undefined), sealed = of("sealed").filter((v) => v !== undefined);
  if (plain.length === 0) return "| | |";
  const ratio = median(sealed.map((v, i) => v / plain[i]!));
  return `| ${median([...plain]).toFixed(1)} | ${median([...sealed]).toFixed(1)} | ${ratio.toFixed(2)} `;
}

type Kind = "plain" | "sealed";

async function main(): Promise<void> {
  const load = loadavg()[0]!;
  const data = mkdtempSync(join(tmpdir(), "heddle-bench-server-"));
  const server = await startServer(data), site = await startSite();
  const devices: Device[] = [];
  try {
    for (let i = 0; i < 2; i++) {
      const dir = mkdtempSync(join(tmpdir(), "heddle-bench-")), context = await launch(dir);
      await context.addInitScript("globalThis.__name = (f) => f"); // see run.ts
      const page = context.pages()[0] ?? await context.newPage();
      devices.push({ context, dir, page });
      await page.goto(site.url);
      await page.waitForSelector("html[data-ready]");
    }
    const figures: Record<Kind, Figures[]> = { plain: [], sealed: [] };
    for (let i = -1; i < rounds; i++) { // what runs for the first time is compiled by the first round
      for (const kind of i % 2 === 0 ? ["plain", "sealed"] as const : ["sealed", "plain"] as const) {
        const sync = { url: server.url, space: `${kind}-${i + 1}`, sealed: kind === "sealed" };
        const one = await round(devices as [Device, Device], sync);
        if (i >= 0) figures[kind].push(one);
      }
      process.stderr.write(`round ${i + 1} of ${rounds}\n`);
    }
    console.log(`${cpus().length} × ${cpus()[0]?.model ?? "CPU"}; headless Chromium; the server on loopback; ` +
      `${rounds} rounds; load before ${load.toFixed(1)}\n`);
    console.log("| what, ms | plain | sealed | ratio | processor: plain | sealed | ratio |\n" +
      "|---|---:|---:|---:|---:|---:|---:|");
    for (const [key, name] of Object.entries(names) as [keyof Figures, string][]) {
      const by = (what: keyof Figure) => cells((kind) => figures[kind].map((f) => f[key][what]));
      console.log(`| ${name} ${by("ms")}${by("processor")}|`);
    }
  } finally {
    for (const { context, dir } of devices) {
      await context.close();
      rmSync(dir, { recursive: true, force: true });
    }
    site.close();
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
}

await main();
