// make bench-at-rest: what encrypting a database's files costs. Plain and encrypted
// databases take turns in one page of a real Chromium, on a persistent profile; each
// round has new ones. Prints medians, and their ratio.
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type * as Heddle from "../web/src/index.js";
import { launch, startSite } from "../e2e/harness.js";

declare global {
  var heddle: typeof Heddle;
}

const rounds = process.argv.includes("--quick") ? 3 : 9;

type Figures = Record<"open" | "commit" | "bulk" | "scan" | "index", number>;

const names: Record<keyof Figures, string> = {
  open: "open() to the first row, of a database that is there",
  commit: "durable commit of one row, p50 of 400",
  bulk: "bulk insert, 100k rows × 4 columns, one transaction",
  scan: "full scan of 100k rows after opening",
  index: "CREATE INDEX over 100k rows",
};

/** Runs in the page: milliseconds of each. */
async function measure(encrypted: boolean): Promise<Figures> {
  const options = {
    name: `at-rest-${encrypted}`, encryptAtRest: encrypted && new Uint8Array(32).fill(1),
    migrations: [`CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL NOT NULL, note TEXT NOT NULL);
      CREATE TABLE log(id INTEGER PRIMARY KEY, body TEXT NOT NULL)`],
  };
  const timed = async (work: () => Promise<unknown>) => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };
  let db = await heddle.open(options);
  const commits: number[] = [];
  for (let i = 0; i < 400; i++) {
    commits.push(await timed(() => db.exec(`INSERT INTO log(body) VALUES (?)`, ["a line that must not be lost"])));
  }
  const rows = Array.from({ length: 100_000 }, (_, i) => [i + 1, `name ${i * 7919 % 100_003}`, i / 3,
    `a note of some length about row ${i}, no longer than notes are`] as const);
  const bulk = await timed(() => db.bulk(`INSERT INTO t(id, name, value, note) VALUES (?, ?, ?, ?)`, rows));
  await db.close();
  const open = await timed(async () => {
    db = await heddle.open(options);
    await db.query(`SELECT count(*) FROM log`);
  });
  const scan = await timed(() => db.query(`SELECT sum(length(note)), sum(value) FROM t`));
  const index = await timed(() => db.exec(`CREATE INDEX t_name ON t(name)`));
  await db.close();
  await heddle.destroy(options.name);
  return { open, commit: commits.sort((a, b) => a - b)[200]!, bulk, scan, index };
}

const median = (of: number[]) => of.sort((a, b) => a - b)[of.length >> 1]!;

async function main(): Promise<void> {
  const site = await startSite();
  const dir = mkdtempSync(join(tmpdir(), "heddle-bench-"));
  const context = await launch(dir);
  // tsx keeps the names of functions with a helper that the page does not have.
  await context.addInitScript("globalThis.__name = (f) => f");
  try {
    const page = await context.newPage();
    await page.goto(site.url);
    await page.waitForSelector("html[data-ready]");
    const plain: Figures[] = [], encrypted: Figures[] = [];
    await page.evaluate(measure, true);
    for (let i = 0; i < rounds; i++) {
      for (const which of i % 2 === 0 ? [false, true] : [true, false]) {
        (which ? encrypted : plain).push(await page.evaluate(measure, which));
      }
    }
    console.log(`${rounds} rounds, load ${loadavg()[0]!.toFixed(1)}\n`);
    console.log("| what | plain, ms | encrypted, ms | ratio |\n|---|---:|---:|---:|");
    for (const [key, name] of Object.entries(names) as [keyof Figures, string][]) {
      const [p, e] = [median(plain.map((f) => f[key])), median(encrypted.map((f) => f[key]))];
      // The rounds are pairs, so their ratios feel less of what else the machine does.
      const ratio = median(encrypted.map((f, i) => f[key] / plain[i]![key]));
      console.log(`| ${name} | ${p.toFixed(2)} | ${e.toFixed(2)} | ${ratio.toFixed(2)} |`);
    }
  } finally {
    await context.close();
    site.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();
