// make bench-start: from the import of a library to its first answer, cold on a new profile and warm after a reload
// with 100,000 rows, on loopback without compression and through a slow line with brotli. Heddle beside sqlite-wasm
// and wa-sqlite, and with --against beside another build of itself; the sides take turns within each round.
//
//   --rounds N       7 unless told otherwise; --quick: 2
//   --against DIR    the files of another build of Heddle: its dist/
//   --only a,b       these sides: heddle, against, sqlite-wasm, wa-sqlite
//   --ways a,b       loopback, link, firefox
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { launchFirefox, firefoxPath } from "../../e2e/firefox/firefox.js";
import { launch, median, visit, within } from "../peers/browser.js";
import { serve } from "../peers/serve.js";
import { startLink } from "./link.js";
import { inPage, inWorker, marksOf, steps } from "./marks.js";

const root = resolve(import.meta.dirname, "../..");
const built = join(root, ".cache/peers");
const { values: options } = parseArgs({ options: {
  quick: { type: "boolean" }, rounds: { type: "string" }, against: { type: "string" }, only: { type: "string" },
  ways: { type: "string" },
} });
const rounds = Number(options.rounds ?? (options.quick ? 2 : 7));

/** How slow the line is: bits a second, and ms there and back. */
const LINE = { rate: 10_000_000, delay: 40 };
/** Reloads in each profile; the first one after the rows were written is not counted: the browser's caches fill. */
const WARM = 3;

const sides = [
  { key: "heddle", title: "Heddle", query: "adapter=heddle" },
  ...(options.against ? [{ key: "against", title: "Heddle, the other build", query: "adapter=heddle&from=/against/" }]
    : []),
  { key: "sqlite-wasm", title: "sqlite-wasm, sahpool", query: "adapter=sqlite-wasm" },
  { key: "wa-sqlite", title: "wa-sqlite, AccessHandlePool", query: "adapter=wa-sqlite&vfs=pool" },
].filter(({ key }) => !options.only || options.only.split(",").includes(key));

async function step(page, name) {
  const answer = await within(90_000, page.evaluate((which) => globalThis.bench.step(which), name));
  if (answer.error) throw new Error(`${name}: ${answer.error}`);
  return answer.value;
}

/** What was asked of the server before the first answer: raw bytes, and bytes on the way. */
function payload(site, answered) {
  const all = [...site.fetched.values()].filter(({ at }) => at <= answered);
  const sum = (key) => all.reduce((total, file) => total + file[key], 0);
  return { raw: sum("raw"), sent: sum("sent") };
}

/** One round of one side in Chromium. */
async function inChromium({ query }, site, url) {
  const dir = mkdtempSync(join(tmpdir(), "bench-start-"));
  const context = await launch(dir), heddle = query.startsWith("adapter=heddle");
  await context.addInitScript(inPage);
  try {
    const page = context.pages()[0] ?? await context.newPage(), at = `${url}?${query}`;
    await visit(page, at);
    site.fetched.clear();
    const got = { cold: await step(page, "open") };
    const answered = await page.evaluate(() =>
      performance.timeOrigin + performance.getEntriesByName("answered")[0].startTime);
    got.payload = payload(site, answered);
    if (heddle) got.coldMarks = await marksOf(page);
    await step(page, "schema");
    await step(page, "bulk");
    const warm = [], marks = [];
    for (let i = 0; i <= WARM; i++) {
      await step(page, "close");
      await visit(page, at);
      const ms = await step(page, "open");
      if (i > 0) warm.push(ms);
      if (i > 0 && heddle) marks.push(await marksOf(page));
      await step(page, "read");
    }
    got.warm = median(warm);
    if (heddle) got.warmMarks = medianMarks(marks);
    return got;
  } finally {
    await within(10_000, context.close()).catch(() => {});
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The same in Firefox, without marks; and commits and look-ups, which no other benchmark measures there. */
async function inFirefox({ query }, site, url) {
  const dir = mkdtempSync(join(tmpdir(), "bench-start-"));
  const firefox = await launchFirefox(dir);
  try {
    const at = `${url}?${query}`, tab = await firefox.tab(at);
    const run = async (name) => {
      const { error, value } = await within(90_000, tab.evaluate(`bench.step(${JSON.stringify(name)})`));
      if (error) throw new Error(`${name}: ${error}`);
      return value;
    };
    const got = { cold: await run("open") }, warm = [];
    await run("schema");
    await run("bulk");
    for (let i = 0; i <= WARM; i++) {
      await run("close");
      await tab.visit(at);
      const ms = await run("open");
      if (i > 0) warm.push(ms);
      await run("read");
    }
    return { ...got, warm: median(warm), commits: await run("commits"), lookups: await run("lookups") };
  } finally {
    await within(10_000, firefox.close()).catch(() => firefox.kill());
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

const medianMarks = (list) => Object.fromEntries(steps.map(([name]) => [name, median(list.map((m) => m[name]))]));

async function ways() {
  const mounts = { "/heddle/": join(built, "heddle"), ...(options.against && { "/against/": resolve(options.against) }),
    "/": built };
  const before = { "/heddle/worker.js": inWorker, "/against/worker.js": inWorker };
  const plain = await serve(mounts, { before }), packed = await serve(mounts, { before, compressed: true });
  const link = await startLink(packed.port, LINE);
  const all = [
    { key: "loopback", title: "Chromium, loopback, uncompressed", site: plain, url: plain.url, run: inChromium },
    { key: "link", title: "Chromium, 10 Mbit/s, 40 ms, brotli", site: packed, url: link.url, run: inChromium },
    { key: "firefox", title: "Firefox, loopback, uncompressed", site: plain, url: plain.url, run: inFirefox },
  ].filter(({ key }) => options.ways ? options.ways.split(",").includes(key)
    : key !== "firefox" || existsSync(firefoxPath));
  return { all, close: () => [plain, packed, link].forEach((one) => one.close()) };
}

const ms = (n) => n === undefined ? "–" : n.toFixed(n >= 100 ? 0 : 1);
const row = (cells) => `| ${cells.join(" | ")} |`;

/** A figure of all runs of a side: the median, lowest and highest. */
function spread(values) {
  const known = values.filter((v) => v !== undefined);
  return known.length ? `${ms(median(known))} (${ms(Math.min(...known))}–${ms(Math.max(...known))})` : "failed";
}

/** Heddle's time by each other side's of the same round: the median. */
const ratio = (way, figure, other) => median(way.runs.heddle?.map((mine, i) =>
  mine?.[figure] / way.runs[other][i]?.[figure]).filter(Number.isFinite) ?? []);

/** Commits and look-ups, awaited one by one. */
function oneByOne({ runs }) {
  const figures = ["commits", "lookups"].flatMap((step) => ["rate", "p50", "p95"].map((figure) => [step, figure]));
  return ["", row(["awaited one by one", ...figures.map((names) => names.join(" "))]),
    row(["---", ...figures.map(() => "---:")]), ...sides.map(({ key, title }) =>
      row([title, ...figures.map(([step, figure]) => ms(median(runs[key].map((run) => run?.[step]?.[figure]))))]))];
}

function report(results) {
  const out = [];
  for (const way of results.ways) {
    out.push("", `${way.title}: ms, median (lowest–highest) of ${rounds}; by Heddle's time of the same round`, "",
      row(["", "cold", "Heddle's by it", "warm", "Heddle's by it", "raw kB", "kB on the way"]),
      row(["---", "---:", "---:", "---:", "---:", "---:", "---:"]));
    for (const { key, title } of sides) {
      const runs = way.runs[key], bytes = runs.find((run) => run?.payload)?.payload;
      const by = (figure) => key === "heddle" ? "" : ratio(way, figure, key)?.toFixed(2) ?? "–";
      out.push(row([title, spread(runs.map((run) => run?.cold)), by("cold"), spread(runs.map((run) => run?.warm)),
        by("warm"), ...(bytes ? [(bytes.raw / 1000).toFixed(0), (bytes.sent / 1000).toFixed(0)] : ["–", "–"])]));
    }
    if (way.key === "firefox") out.push(...oneByOne(way));
    const marked = sides.filter(({ key }) => way.runs[key].some((run) => run?.coldMarks));
    if (!marked.length) continue;
    out.push("", "ms from the import", "", row(["", ...marked.flatMap(({ title }) => [`${title}, cold`, "warm"])]),
      row(["---", ...marked.flatMap(() => ["---:", "---:"])]));
    for (const [name, title] of steps) {
      out.push(row([title, ...marked.flatMap(({ key }) => ["coldMarks", "warmMarks"].map((marks) =>
        ms(median(way.runs[key].map((run) => run?.[marks]?.[name]))))) ]));
    }
  }
  return out.join("\n");
}

const { all, close } = await ways();
const results = { at: new Date().toISOString(), rounds, cpu: cpus()[0]?.model, cpus: cpus().length, load: [],
  ways: all.map(({ key, title }) => ({ key, title, runs: Object.fromEntries(sides.map((side) => [side.key, []])) })) };
try {
  // The first round is not counted: files are read and compressed in it.
  for (let round = -1; round < rounds; round++) {
    for (const [i, way] of all.entries()) {
      for (let k = 0; k < sides.length; k++) {
        const side = sides[(k + round + 1) % sides.length]; // each round begins with another
        const got = await way.run(side, way.site, way.url).catch((error) => {
          process.stderr.write(`${way.key}, ${side.key}: ${String(error.message).split("\n")[0]}\n`);
        });
        if (round >= 0) results.ways[i].runs[side.key].push(got);
      }
      results.load.push(loadavg()[0]);
    }
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
} finally {
  close();
}
const { length } = results.load;
console.log(`${results.cpus} × ${results.cpu}; load ${Math.min(...results.load).toFixed(1)} to ` +
  `${Math.max(...results.load).toFixed(1)} over ${length} turns`);
console.log(report(results));
await mkdir(join(root, "bench/results"), { recursive: true });
await writeFile(join(root, "bench/results", `start-${results.at.replaceAll(":", "-")}.json`),
  JSON.stringify(results, null, 1));
