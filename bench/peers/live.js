// make bench-peers-live: live queries of Heddle and of the peers that have any, on the same work. Each configuration
// gets a new Chromium on a new profile in every round, and the rounds go through all of them. The processor time is
// that of the whole browser, since some run their queries in the page, some in a worker of each tab.
//
//   --quick     one round     --rounds N     --only a,b     these configurations
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { browserTime } from "../threads.js";
import { launch, median, visit, within } from "./browser.js";
import { configurations } from "./configurations.js";
import { serve } from "./serve.js";

const root = resolve(import.meta.dirname, "../..");
const built = join(root, ".cache/peers");
const { values: options } = parseArgs({ options: {
  quick: { type: "boolean" }, rounds: { type: "string" }, only: { type: "string" },
} });
const rounds = options.quick ? 1 : Number(options.rounds ?? 3);
const COUNTS = [1, 10, 100, 1000];
const PEERS = ["heddle", "sqlocal", "powersync", "pglite-opfs", "pglite-idb"];
const say = (text) => process.stderr.write(`${text}\n`);

async function once(configuration, site, result) {
  const dir = mkdtempSync(join(tmpdir(), "bench-peers-"));
  const context = await launch(dir);
  const step = async (page, name, argument, ms = 60_000) => {
    const { value, error } = await within(ms, page.evaluate(([step, argument]) => bench.step(step, argument),
      [name, argument]));
    if (error) throw new Error(error);
    return value;
  };
  try {
    const page = context.pages()[0] ?? await context.newPage();
    await visit(page, `${site.url}?${configuration.query}`);
    await step(page, "open");
    await step(page, "liveFill", undefined, 90_000);
    for (const count of COUNTS) {
      try {
        const begun = await step(page, "liveWatch", count);
        await step(page, "liveWrite", count); // to warm up
        const before = await browserTime(dir);
        const { count: writes, p50, p95 } = await step(page, "liveWrite", count);
        const processor = (await browserTime(dir) - before) / writes;
        (result.points[count] ??= []).push({ begun, p50, p95, processor });
        say(`${configuration.key}, ${count}: p50 ${p50.toFixed(1)}, p95 ${p95.toFixed(1)}, ${processor.toFixed(1)} ` +
          `ms of processor a write, begun in ${begun.toFixed(0)} ms`);
      } catch (error) {
        (result.errors[count] ??= []).push(String(error.message).split("\n")[0]);
        say(`${configuration.key}, ${count}: ${error.message}`);
        return;
      }
    }
  } catch (error) {
    (result.errors.all ??= []).push(String(error.message).split("\n")[0]);
    say(`${configuration.key}: ${error.message}`);
  } finally {
    await within(10_000, context.close()).catch(() => {});
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

const show = (n) => n >= 1000 ? Math.round(n).toLocaleString("en") : n >= 100 ? n.toFixed(0) : n.toFixed(1);

function table(results) {
  const rows = [["p50", "from exec() to the callback, p50", "ms"], ["p95", "… p95", "ms"],
    ["processor", "processor time of the browser, a write", "ms"], ["begun", "all begun after", "ms"]];
  const lines = [`| | live queries | ${results.map(({ title }) => title).join(" | ")} | Heddle ÷ best peer |`,
    `| --- | ---: | ${results.map(() => "---:").join(" | ")} | ---: |`];
  for (const [key, name, unit] of rows) {
    for (const count of COUNTS) {
      const values = results.map(({ points }) => median((points[count] ?? []).map((p) => p[key])));
      const peers = values.filter((v, i) => v !== undefined && results[i].key !== "heddle");
      const mine = values[results.findIndex((r) => r.key === "heddle")], best = Math.min(...peers);
      lines.push(`| ${name}, ${unit} | ${count.toLocaleString("en")} | ` +
        `${values.map((v) => v === undefined ? "failed" : show(v)).join(" | ")} | ` +
        `${mine !== undefined && peers.length ? (mine / best).toFixed(2) : "–"} |`);
    }
  }
  const failed = results.flatMap(({ title, errors }) =>
    Object.entries(errors).map(([count, list]) => `- ${title}, ${count}: ${list[0]} (${list.length} of ${rounds})`));
  return [...lines, ...(failed.length ? ["", ...failed] : [])].join("\n");
}

const chosen = configurations.filter(({ key }) => (options.only?.split(",") ?? PEERS).includes(key));
const mounts = { "/heddle/": join(built, "heddle"), "/": built };
const plain = await serve(mounts), isolated = await serve(mounts, { isolated: true });
const results = chosen.map(({ key, title }) => ({ key, title, points: {}, errors: {} }));
const load = [loadavg()[0]];
for (let round = 0; round < rounds; round++) {
  for (let i = 0; i < chosen.length; i++) {
    const which = (i + round) % chosen.length; // each round begins with another one
    await once(chosen[which], chosen[which].isolated ? isolated : plain, results[which]);
    load.push(loadavg()[0]);
  }
}
plain.close();
isolated.close();
console.log(`load ${Math.min(...load).toFixed(1)} to ${Math.max(...load).toFixed(1)}; medians of ${rounds} rounds\n`);
console.log(table(results));
await mkdir(join(root, "bench/results"), { recursive: true });
const at = new Date().toISOString();
await writeFile(join(root, "bench/results", `peers-live-${at.replaceAll(":", "-")}.json`),
  JSON.stringify({ at, load, results }, null, 1));
