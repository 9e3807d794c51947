// The soak: tabs of a real Chromium work without pause while their leaders die in
// every way that leaders die, on a seeded schedule. At the end the database is
// held to what was acknowledged; then disk images of power losses are opened
// natively, and a table says what happened.
//
//   node --import tsx e2e/soak/run.ts --duration 30m --seed 7 --images 100000
//
// --weigh "tab closed=60" draws a fault more often, or with 0 never.
import { spawn } from "node:child_process";
import { build } from "esbuild";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { breakable, root, startSite } from "../harness.js";
import { draw, faults } from "./faults.js";
import { Ledger, percentile, type Entry } from "./ledger.js";
import { pause, Tabs, within, type TabOfSoak } from "./tabs.js";

/** A tab that is not served so long after a leader's end is hung. */
const SERVED_MS = 30_000;

const { values } = parseArgs({
  options: {
    duration: { type: "string", default: "30m" }, seed: { type: "string", default: "7" },
    tabs: { type: "string", default: "8" }, images: { type: "string", default: "0" },
    weigh: { type: "string", multiple: true, default: [] },
  },
});
for (const [name, weight] of values.weigh.map((text) => text.split("="))) {
  if (!faults[name!] || !(Number(weight) >= 0)) {
    throw new Error(`--weigh: ${name}=${weight} is not like "tab closed=60"`);
  }
  faults[name!]!.weight = Number(weight);
}

function milliseconds(text: string): number {
  const [, number, unit] = /^(\d+)(s|m|h)$/.exec(text) ?? [];
  if (!number) throw new Error(`--duration: ${text} is not like 30s, 30m or 2h`);
  return Number(number) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"];
}

/** Mulberry32: the schedule of a seed is the same everywhere. */
function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Tally { injected: number; hit: number; deaths: number; waits: number[] }

/** Runs the native crash test, not beside the browsers: it takes both cores. Resolves with what it printed. */
function images(count: number, seed: number): Promise<{ code: number; output: string }> {
  if (count === 0) return Promise.resolve({ code: 0, output: "" });
  const child = spawn("go", ["test", "./internal/opfs/opfstest", "-run", "^TestSoak$", "-timeout", "0", "-v",
    `-soak.images=${count}`, `-soak.seed=${seed}`],
    { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => { output += bytes; });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code: code ?? 1, output })));
}

async function site(): Promise<{ url: string; close(): void }> {
  if (!existsSync(join(root, ".cache/faults/heddle.wasm"))) {
    throw new Error("build what it breaks first: node web/build.mjs --faults");
  }
  const dir = join(root, ".cache/soak");
  mkdirSync(dir, { recursive: true });
  await build({ entryPoints: [join(root, "e2e/soak/page.ts")], outdir: dir, bundle: true, format: "esm",
    target: "es2022", logLevel: "warning" });
  const page = (body: string) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Soak</title><link ` +
    `rel="icon" href="data:,">${body}</html>`;
  writeFileSync(join(dir, "index.html"), page(`<script type="module" src="page.js"></script>`));
  writeFileSync(join(dir, "away.html"), page(`<h1>Elsewhere</h1>`));
  return startSite({ mounts: { "/heddle/": breakable.mounts!["/heddle/"]!, "/": dir }, headers: {} });
}

class Soak {
  readonly ledger = new Ledger();
  readonly tally = new Map<string, Tally>();
  readonly #random: () => number;
  readonly #tabs: Tabs;
  readonly #count: number;
  #owed: { due: number; undo: () => Promise<unknown> }[] = [];
  #round = 0;

  private constructor(tabs: Tabs, ledger: Ledger, count: number, seed: number) {
    this.#tabs = tabs;
    this.ledger = ledger;
    this.#count = count;
    this.#random = generator(seed);
  }

  static async start(profile: string, url: string, count: number, seed: number): Promise<Soak> {
    const ledger = new Ledger();
    const soak = new Soak(await Tabs.start(profile, url, ledger), ledger, count, seed);
    for (let i = 0; i < count; i++) await soak.#tabs.open();
    if (!(await within(60_000, () => soak.#tabs.working.length === count))) throw new Error("the tabs did not open");
    return soak;
  }

  get deaths(): number {
    let sum = 0;
    for (const { deaths } of this.tally.values()) sum += deaths;
    return sum;
  }

  /** One fault, from a leader to the next. */
  async round(): Promise<void> {
    this.#round++;
    await this.#tabs.showHidden();
    const name = draw(this.#random), fault = faults[name]!;
    const leader = await this.#tabs.leader();
    if (!leader) {
      this.ledger.hung.push(`no leader before "${name}"`);
      return;
    }
    const tally = this.tally.get(name) ?? { injected: 0, hit: 0, deaths: 0, waits: [] };
    this.tally.set(name, tally);
    const others = this.#tabs.working.filter((tab) => tab !== leader);
    await pause(this.#random() * 500); // somewhere in the middle of the others' work
    const at = Date.now();
    tally.injected++;
    const hit = await fault.inject(this.#tabs, leader);
    if (hit) {
      tally.hit++;
      tally.deaths += fault.deaths;
    }
    if (!(await this.#tabs.leader(fault.stays || !hit ? undefined : leader))) {
      this.ledger.hung.push(`no leader after "${name}"`);
    }
    const since = Date.now();
    // A tab may have been reloaded or have opened again meanwhile.
    const waiting = () => others.filter((tab) => !tab.away && tab.hiddenSince === undefined && tab.instance !== "")
      .map((tab) => tab.instance);
    if (!(await within(SERVED_MS, () => this.ledger.served(waiting(), since)))) {
      const still = new Set(waiting());
      const unserved = others.filter(({ instance }) => still.has(instance) && !this.ledger.served([instance], since));
      const states = await Promise.all(unserved.map(async (tab) => `${tab.instance} (${await tab.state()})`));
      this.ledger.hung.push(`after "${name}": ${states.join(", ")}`);
    }
    if (hit) tally.waits.push(...this.ledger.waits(waiting(), at, since));
    if (fault.restore) {
      const restore = fault.restore;
      this.#owed.push({ due: this.#round + Math.floor(this.#random() * 3), undo: () => restore(this.#tabs, leader) });
    }
    await this.#restore(this.#round);
    await within(60_000, () => this.#tabs.working.length >= Math.min(3, this.#count));
  }

  async #restore(round: number): Promise<void> {
    const due = this.#owed.filter((debt) => debt.due <= round);
    this.#owed = this.#owed.filter((debt) => debt.due > round);
    for (const { undo } of due) await undo();
  }

  /** Ends all work and reads what the database holds. */
  async end(): Promise<{ entries: Entry[]; problems: string[]; dropped: number }> {
    await this.#restore(Infinity);
    const problems: string[] = [];
    if (!(await within(60_000, () => this.#tabs.working.length >= this.#count))) {
      problems.push("not every tab came back");
    }
    const tabs = this.#tabs.working;
    const ask = async <T>(tab: TabOfSoak, expression: string): Promise<T | undefined> => {
      const answer = await Promise.race([tab.page.evaluate<T>(expression), pause(60_000)]);
      return answer as T | undefined;
    };
    // The timers of those in the background would take up to a minute.
    for (const tab of tabs) await tab.page.send("Page.bringToFront");
    await Promise.all(tabs.map(async (tab) => {
      if ((await ask(tab, `soak.stop().then(() => true)`)) !== true) {
        this.ledger.hung.push(`the work of ${tab.instance} at the end`);
      }
    }));
    let dropped = 0;
    for (const tab of tabs) {
      const stale = await ask<string>(tab, `soak.converged()`);
      if (stale !== "") problems.push(stale ?? "a live query hangs");
      dropped += (await ask<number>(tab, `soak.dropped()`)) ?? 0;
    }
    const query = <T>(sql: string) => ask<T[]>(tabs[0]!, `soak.query(${JSON.stringify(sql)})`);
    const entries: Entry[] = [];
    for (;;) {
      const { instance, n } = entries.at(-1) ?? { instance: "", n: 0 };
      const more = await query<Entry>(`SELECT instance, n, kind, count(*) AS rows FROM log WHERE (instance, n) > ` +
        `('${instance}', ${n}) GROUP BY instance, n ORDER BY instance, n LIMIT 20000`);
      if (!more) problems.push("the log cannot be read");
      if (!more || more.length === 0) break;
      entries.push(...more);
    }
    const total = (await query<{ n: number }>(`SELECT n FROM total`))?.[0]?.n;
    const transactions = entries.filter(({ kind }) => kind === "transaction").length;
    if (total !== transactions) problems.push(`${transactions} transactions counted to ${total}`);
    const check = JSON.stringify(await query(`PRAGMA integrity_check`));
    if (check !== `[{"integrity_check":"ok"}]`) problems.push(`integrity_check: ${check}`);
    await this.#tabs.end();
    return { entries, problems, dropped };
  }
}

const line = (...cells: (string | number)[]) => console.log(`| ${cells.join(" | ")} |`);
const ms = (value: number) => (Number.isNaN(value) ? "–" : value.toFixed(0));

async function main(): Promise<number> {
  const seed = Number(values.seed), count = Number(values.tabs);
  const profile = mkdtempSync(join(tmpdir(), "heddle-soak-"));
  const { url, close } = await site();
  const soak = await Soak.start(profile, url, count, seed);
  const began = Date.now(), end = began + milliseconds(values.duration);
  for (let said = began, printed = 0; Date.now() < end; ) {
    await soak.round();
    if (Date.now() - said < 60_000) continue;
    said = Date.now();
    const { calls, hung } = soak.ledger;
    console.error(`${((said - began) / 60_000).toFixed(0)} min: ${soak.deaths} deaths, ${calls} calls, ` +
      `${hung.length} hung`);
    for (const what of hung.slice(printed)) console.error(`hung: ${what}`);
    printed = hung.length;
  }
  const minutes = (Date.now() - began) / 60_000;
  const { entries, problems, dropped } = await soak.end();
  const verdict = soak.ledger.judge(entries);
  close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  const disk = await images(Number(values.images), seed);

  console.log(`\nSeed ${seed}, ${minutes.toFixed(1)} minutes, ${count} tabs. How long a call of a surviving tab ` +
    `waited after the fault, in ms:\n`);
  line("fault", "injected", "hit", "leaders that died", "p50", "p95", "p99", "most");
  line(...Array(8).fill("---"));
  const told: number[] = [];
  for (const [name, { injected, hit, deaths, waits }] of [...soak.tally].sort()) {
    line(name, injected, hit, deaths, ...[0.5, 0.95, 0.99, 1].map((share) => ms(percentile(waits, share))));
    if (faults[name]!.deaths > 0 && !faults[name]!.silent) told.push(...waits);
  }
  line("**all deaths but the silent ones**", "", "", soak.deaths,
    ...[0.5, 0.95, 0.99, 1].map((share) => ms(percentile(told, share))));
  const { hung } = soak.ledger;
  const bad = [...verdict.lost.map((w) => `lost: ${w}`), ...verdict.doubled.map((w) => `doubled: ${w}`),
    ...verdict.torn.map((w) => `torn: ${w}`),
    ...verdict.phantom.map((w) => `happened, though it failed: ${w}`),
      ...soak.ledger.stale.map((w) => `own write not seen: ${w}`),
    ...hung.map((w) => `hung: ${w}`), ...soak.ledger.ended.map((w) => `given up: ${w}`), ...problems,
    ...(soak.ledger.ambiguous > 0 ? [`${soak.ledger.ambiguous} calls were not told whether they happened`] : [])];
  console.log();
  line("calls", "writes acknowledged", "outcome unknown", "lost", "doubled", "torn", "hung", "announcements dropped");
  line(...Array(8).fill("---"));
  line(soak.ledger.calls, soak.ledger.acknowledged, soak.ledger.ambiguous, verdict.lost.length, verdict.doubled.length,
    verdict.torn.length, hung.length, dropped);
  console.log(`\nopen(): p50 ${ms(percentile(soak.ledger.opens, 0.5))} ms, p99 ` +
    `${ms(percentile(soak.ledger.opens, 0.99))} ms of ${soak.ledger.opens.length}`);
  console.log(`errors that calls ended with: ` +
    `${[...soak.ledger.codes].map(([code, n]) => `${n} × ${code}`).join(", ") || "none"}`);
  if (disk.output) {
    console.log(`\n${disk.output.split("\n").filter((row) => row.startsWith("|") || disk.code !== 0).join("\n")}`);
  }
  if (bad.length > 0) console.error(`\n${bad.slice(0, 50).join("\n")}`);
  if (soak.deaths === 0) console.error("no leader died: this soak shows nothing");
  return bad.length === 0 && disk.code === 0 && soak.deaths > 0 ? 0 : 1;
}

process.exitCode = await main();
