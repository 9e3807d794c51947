// A part of make bench-live: what live queries cost in a real Chromium, in the worker, on the way and in the page. What
// is compared is measured in turns, in one browser; figures are medians of rounds. Time of the worker and of the page
// is processor time by the kernel's account (threads.ts), so that other work of the machine does not count.
//
//   --once     one short round, to see that it works        --rounds N
//   --only X   curve, list, join or images
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { BrowserContext, Page } from "@playwright/test";
import { launch, root, startSite } from "../e2e/harness.js";
import * as inPage from "./live-page.js";
import { rendererThreads, threadTime, type Thread } from "./threads.js";

const { values: options } = parseArgs({ options: {
  once: { type: "boolean" }, rounds: { type: "string" }, only: { type: "string" },
} });
const rounds = options.once ? 1 : Number(options.rounds ?? 3);
const RATE = 100; // commits a second
const COMMITS = options.once ? 100 : 500;
const COUNTS = [0, 10, 100, 1000, 10_000];

/** A browser with the database in it, open in a number of tabs; the first one leads. */
class Bench {
  readonly #context: BrowserContext;
  readonly #profile: string;
  readonly tabs: Page[] = [];
  readonly #site: Awaited<ReturnType<typeof startSite>>;

  private constructor(context: BrowserContext, profile: string, site: Awaited<ReturnType<typeof startSite>>) {
    this.#context = context;
    this.#profile = profile;
    this.#site = site;
  }

  static async start(tabs: number, frames = true): Promise<Bench> {
    // Isolated pages have a clock of 5 µs in place of 100.
    const site = await startSite({ headers: { "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp" } });
    const profile = mkdtempSync(join(tmpdir(), "heddle-bench-"));
    const context = await launch(profile);
    const bench = new Bench(context, profile, site);
    // tsx keeps the names of functions with a helper that the page does not have.
    await context.addInitScript("globalThis.__name = (f) => f");
    await context.addInitScript(inPage.spy);
    if (!frames) await context.addInitScript("delete globalThis.requestAnimationFrame");
    for (let i = 0; i < tabs; i++) {
      const page = i === 0 ? context.pages()[0]! : await context.newPage();
      page.setDefaultTimeout(120_000);
      await page.goto(site.url);
      await page.waitForSelector("html[data-ready]");
      await page.evaluate(inPage.open);
      bench.tabs.push(page);
    }
    await bench.first.evaluate(inPage.fill);
    return bench;
  }

  get first(): Page {
    return this.tabs[0]!;
  }

  /** Processor time of all workers and of all pages while work runs, in ms. */
  async busy<T>(work: () => Promise<T>): Promise<{ worker: number; page: number; value: T }> {
    const threads = await rendererThreads(this.#profile);
    const sum = async (kind: Thread["kind"]) =>
      (await Promise.all(threads.filter((t) => t.kind === kind).map(threadTime))).reduce((a, b) => a + b, 0);
    const worker = await sum("worker"), page = await sum("page");
    const value = await work();
    return { worker: await sum("worker") - worker, page: await sum("page") - page, value };
  }

  async end(): Promise<void> {
    await this.#context.close();
    this.#site.close();
    rmSync(this.#profile, { recursive: true, force: true });
  }
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}

const median = (values: readonly number[]) => quantile(values, 0.5);
const show = (n: number): string => Number.isNaN(n) ? "–" : n >= 1000 ? Math.round(n).toLocaleString("en")
  : n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n >= 0.1 ? n.toFixed(2) : n.toFixed(3);
const percent = (ratio: number): string => `${((ratio - 1) * 100).toFixed(1)} %`;
const results: { [part: string]: unknown[] } = {};
const note = (part: string, row: object) => (results[part] ??= []).push(row);
const say = (text: string) => process.stderr.write(`${text}\n`);

interface Point { tabs: number; frames: boolean; count: number; share: number; rate: number; answer: number;
  p50: number; p95: number; begun: number }

/** RATE commits a second, each of a row that two or three of the queries show; the queries are spread over the tabs. */
async function curve(tabs: number, frames: boolean, counts: readonly number[]): Promise<void> {
  const bench = await Bench.start(tabs, frames);
  try {
    for (const count of counts) {
      const begun = await Promise.all(bench.tabs.map((page, i) => {
        const from = Math.floor(count * i / tabs), to = Math.floor(count * (i + 1) / tabs);
        return page.evaluate(inPage.watch, { from, to });
      }));
      const lists = Math.max(1, Math.floor(count / 4));
      const write = (commits: number) => bench.first.evaluate(inPage.write, { commits, rate: RATE, lists });
      await write(RATE);
      for (const page of bench.tabs) await page.evaluate(inPage.collect);
      const { worker, value: { ms, answers } } = await bench.busy(() => write(COMMITS));
      const seen = (await Promise.all(bench.tabs.map((page) => page.evaluate(inPage.collect)))).flat();
      const point: Point = { tabs, frames, count, share: worker / ms, rate: COMMITS / ms * 1000,
        answer: median(answers), p50: quantile(seen, 0.5), p95: quantile(seen, 0.95), begun: Math.max(...begun) };
      note("curve", point);
      say(`${tabs} tabs, ${frames ? "frames" : "no frames"}, ${count} queries: ${show(point.share * 100)} % ` +
        `of a core, answered ${show(point.answer)}, shown p50 ${show(point.p50)}, p95 ${show(point.p95)} ms, ` +
        `${show(point.rate)} commits/s`);
      await Promise.all(bench.tabs.map((page) => page.evaluate(inPage.unwatch)));
    }
  } finally {
    await bench.end();
  }
}

function curveTable(): string[] {
  const points = results["curve"] as Point[] | undefined;
  if (!points) return [];
  const lines = ["| tabs | frames | live queries | workers, share of a core | exec() to its answer, p50 | " +
    "to the callback, p50 | p95 | all begun |", "|---:|---|---:|---:|---:|---:|---:|---:|"];
  for (const key of new Set(points.map((p) => `${p.tabs} ${p.frames} ${p.count}`))) {
    const same = points.filter((p) => `${p.tabs} ${p.frames} ${p.count}` === key);
    const [{ tabs, frames, count }] = same as [Point];
    const of = (name: "share" | "answer" | "p50" | "p95" | "begun") => median(same.map((p) => p[name]));
    lines.push(`| ${tabs} | ${frames ? "yes" : "no"} | ${count.toLocaleString("en")} | ` +
      `${show(of("share") * 100)} % | ${show(of("answer"))} ms | ` +
      (["p50", "p95", "begun"] as const).map((name) => count ? `${show(of(name))} ms |` : "– |").join(" "));
  }
  return lines;
}

interface Cost { what: string; worker: number; without: number; page: number; pageWithout: number; bytes: number;
  handler: number }

/** What commits cost with live queries, beside what the same commits cost without, in turns. */
async function cost(
  part: string, what: string, watch: (page: Page) => Promise<unknown>, sql: string, modulo: number,
): Promise<void> {
  const bench = await Bench.start(1);
  const commits = options.once ? 20 : 100;
  try {
    await watch(bench.first);
    const write = () => bench.first.evaluate(inPage.writeQuietly, { sql, commits, modulo });
    await write();
    for (let i = 0; i < rounds; i++) {
      await bench.first.evaluate(inPage.unwatch);
      const off = await bench.busy(write);
      await watch(bench.first);
      const on = await bench.busy(write);
      const row: Cost = { what, worker: on.worker / commits, without: off.worker / commits, page: on.page / commits,
        pageWithout: off.page / commits, bytes: (on.value.bytes - off.value.bytes) / commits,
        handler: (on.value.ms - off.value.ms) / commits };
      note(part, row);
      say(`${what}: worker ${show(row.worker)} ms, without ${show(row.without)}; page ${show(row.page)}, without ` +
        `${show(row.pageWithout)}, in handlers ${show(row.handler)} ms; ${show(row.bytes)} bytes`);
    }
  } finally {
    await bench.end();
  }
}

function costTable(): string[] {
  const rows = [...(results["list"] ?? []), ...(results["join"] ?? [])] as Cost[];
  if (rows.length === 0) return [];
  const lines = ["", "| a commit of one row | worker | without live queries | page | without | message | " +
    "in the page's handlers |", "|---|---:|---:|---:|---:|---:|---:|"];
  for (const what of new Set(rows.map((r) => r.what))) {
    const of = (name: "worker" | "without" | "page" | "pageWithout" | "bytes" | "handler") =>
      show(median(rows.filter((r) => r.what === what).map((r) => r[name])));
    lines.push(`| ${what} | ${of("worker")} ms | ${of("without")} ms | ${of("page")} ms | ${of("pageWithout")} ms | ` +
      `${of("bytes")} bytes | ${of("handler")} ms |`);
  }
  return lines;
}

interface Images { what: string; time: number; processor: number }

/** Writes while a live query reads another table, so that commits carry their rows, and without one, in turns. */
async function images(): Promise<void> {
  const bench = await Bench.start(1);
  const on = () => bench.first.evaluate(inPage.watchOne, `SELECT count(*) FROM users`);
  const off = () => bench.first.evaluate(inPage.unwatch);
  const pairs = options.once ? 1 : 5 * rounds;
  const measure: [string, () => Promise<number>][] = [
    ["a durable commit of one row", async () => median(await bench.first.evaluate(inPage.commits, 100))],
    ["a load of 100,000 rows", () => bench.first.evaluate(inPage.bulk)],
  ];
  try {
    for (const [what, work] of measure) {
      await work();
      for (let i = 0; i < pairs; i++) {
        const turn = async (before: () => Promise<void>) => { await before(); return bench.busy(work); };
        // The second of a pair may find the machine, and the log, otherwise than the first.
        const [a, b] = i % 2 ? [await turn(on), await turn(off)] : [await turn(off), await turn(on)];
        const [with_, without] = i % 2 ? [a, b] : [b, a];
        const row: Images = { what, time: with_.value / without.value, processor: with_.worker / without.worker };
        note("images", row);
        await off();
      }
      say(`images, ${what}: done`);
    }
  } finally {
    await bench.end();
  }
}

function imagesTable(): string[] {
  const rows = results["images"] as Images[] | undefined;
  if (!rows) return [];
  const lines = ["", "| with a live query on another table ÷ without one, medians of pairs (quartiles) | time | " +
    "worker's processor time |", "|---|---:|---:|"];
  for (const what of new Set(rows.map((r) => r.what))) {
    const cell = (name: "time" | "processor") => {
      const ratios = rows.filter((r) => r.what === what).map((r) => r[name]);
      return `${percent(median(ratios))} (${percent(quantile(ratios, 0.25))} to ${percent(quantile(ratios, 0.75))})`;
    };
    lines.push(`| ${what} | ${cell("time")} | ${cell("processor")} |`);
  }
  return lines;
}

async function main(): Promise<void> {
  const load = loadavg()[0]!;
  const wants = (part: string) => !options.only || options.only.split(",").includes(part);
  const counts = options.once ? [0, 100] : COUNTS;
  if (wants("curve")) {
    for (let i = 0; i < rounds; i++) {
      for (const tabs of [1, 10]) {
        await curve(tabs, false, counts);
        await curve(tabs, true, options.once ? [100] : [1000]);
      }
    }
  }
  if (wants("list")) {
    const sql = `SELECT id, body, rank FROM notes WHERE author < 1000 ORDER BY rank, id`;
    await cost("list", "a list of 10,000 rows, one of them changes", (page) => page.evaluate(inPage.watchOne, sql),
      `UPDATE notes SET body = ? WHERE id = ?`, 1000);
  }
  if (wants("join")) {
    for (const n of options.once ? [10] : [10, 10_000]) {
      await cost("join", `${n.toLocaleString("en")} joins, a row of their other table changes`, (page) =>
        page.evaluate(inPage.watchJoins, n), `UPDATE users SET name = ? WHERE id = ?`, n);
    }
  }
  if (wants("images")) await images();
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "CPU"}; headless Chromium; medians of ${rounds} rounds; ` +
    `load before them ${load.toFixed(1)}, after ${loadavg()[0]!.toFixed(1)}`;
  console.log([machine, "", ...curveTable(), ...costTable(), ...imagesTable()].join("\n"));
  await mkdir(join(root, "bench/results"), { recursive: true });
  const at = new Date().toISOString();
  await writeFile(join(root, "bench/results", `live-${at.replaceAll(":", "-")}.json`),
    JSON.stringify({ at, cpu: cpus()[0]?.model, cpus: cpus().length, load, results }, null, 1));
}

await main();
