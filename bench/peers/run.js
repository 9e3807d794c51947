// make bench-peers: Heddle and the other SQLites of the browser through one set of
// steps, in one run. Each configuration gets a new Chromium on a new profile in
// every round, and the rounds go through all of them, so that drift of the
// machine hits all alike. Results are written as they come.
//
//   --quick         one round            --rounds N
//   --only a,b      these configurations --no-memory   without the 1 GiB step
//   --against DIR   also another build of Heddle: its dist/
//   --resume FILE   goes on with a run that was ended: its results file gets the rounds that lack
//   --report FILE   no measuring: the table and docs from a results file
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, tmpdir, loadavg, totalmem } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";
import { launch, median, visit, within } from "./browser.js";
import { another, configurations, figures } from "./configurations.js";
import { report } from "./report.js";
import { residentOf } from "./memory.js";
import { serve } from "./serve.js";

const root = resolve(import.meta.dirname, "../..");
const built = join(root, ".cache/peers");
const { values: options } = parseArgs({ options: {
  quick: { type: "boolean" }, rounds: { type: "string" }, only: { type: "string" }, "no-memory": { type: "boolean" },
  report: { type: "string" }, resume: { type: "string" }, against: { type: "string" },
} });
if (options.against) configurations.splice(1, 0, another);

const say = (text) => process.stderr.write(`${text}\n`);

/** Runs steps in a page and keeps what failed. A page that hangs is not asked again, nor for what hung twice before. */
function runner(page, errors, avoid) {
  let hung;
  return async (name, ms = 40_000) => {
    if (hung || avoid?.[name]?.length >= 2) return undefined;
    let answer;
    try {
      answer = await within(ms, page.evaluate((step) => bench.step(step), name));
    } catch (error) {
      hung = name;
      answer = { error: String(error.message).split("\n")[0] };
    }
    if (answer.error) { errors[name] = answer.error; return undefined; }
    return answer.value;
  };
}

const url = (site, configuration) => `${site.url}?${configuration.query}`;

/** One round of one configuration. */
async function once(configuration, site, avoid) {
  const dir = mkdtempSync(join(tmpdir(), "bench-peers-"));
  const errors = {}, got = {};
  const context = await launch(dir);
  try {
    const page = context.pages()[0] ?? await context.newPage();
    await visit(page, url(site, configuration));
    let step = runner(page, errors, avoid);
    site.fetched.clear();
    got.cold = await step("open");
    const fetched = [...site.fetched.keys()];
    if (got.cold === undefined) return { got, errors, fetched };
    await step("schema");
    const commits = await step("commits");
    got.commits = commits?.rate;
    got.commitP50 = commits?.p50;
    got.commitP95 = commits?.p95;
    // One that needs 50 ms for a commit would need seconds for the 64.
    if (commits?.rate >= 20) got.writers = await step("writers");
    got.firstBulk = await step("firstBulk", 90_000);
    got.bulk = await step("bulk", 90_000);
    const lookups = await step("lookups");
    got.lookups = lookups?.rate;
    got.lookupP50 = lookups?.p50;
    got.lookupP95 = lookups?.p95;
    const objects = await step("objects");
    got.objects = objects?.rate;
    got.block = objects?.block;
    got.first = objects?.first;
    got.json = await step("json");
    for (const name of ["like", "join", "index", "update"]) got[name] = await step(name, 20_000);
    got.liveHere = await step("liveHere", 20_000);
    if (got.liveHere !== undefined) {
      const other = await context.newPage();
      await visit(other, url(site, configuration));
      const there = runner(other, errors, avoid);
      if (await there("open") !== undefined) {
        await there("liveListen", 20_000);
        if (!errors.liveListen) {
          await step("liveSend", 20_000);
          got.liveThere = await there("liveThere");
        }
      }
      await other.close();
    }
    const warm = [];
    for (let i = 0; i < 3; i++) {
      await step("close", 10_000);
      await visit(page, url(site, configuration));
      const hadErrors = errors.open;
      step = runner(page, errors, avoid);
      const ms = await step("open", 20_000);
      await step("read", 20_000);
      if (errors.open && !hadErrors) break;
      warm.push(ms);
    }
    if (!errors.open && !errors.read) got.warm = median(warm);
    return { got, errors, fetched };
  } catch (error) {
    errors.run = String(error.message).split("\n")[0];
    return { got, errors, fetched: [] };
  } finally {
    await within(10_000, context.close()).catch(() => {});
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** What the browser's renderers hold more, once a database of 1 GiB is open and a row is read. */
async function memory(configuration, site) {
  const dir = mkdtempSync(join(tmpdir(), "bench-peers-"));
  const errors = {};
  let context = await launch(dir);
  try {
    let page = context.pages()[0];
    await visit(page, url(site, configuration));
    let step = runner(page, errors);
    await step("open");
    await step("fill", 90_000);
    await step("close", 30_000);
    await within(10_000, context.close()).catch(() => {});
    if (Object.keys(errors).length) return { errors };
    context = await launch(dir);
    page = context.pages()[0];
    await visit(page, url(site, configuration));
    const before = await residentOf(dir);
    step = runner(page, errors);
    await step("open");
    await step("readBig");
    await new Promise((done) => setTimeout(done, 1000));
    const after = await residentOf(dir);
    return Object.keys(errors).length ? { errors } : { value: (after - before) / 2 ** 20, errors };
  } catch (error) {
    return { errors: { ...errors, run: String(error.message).split("\n")[0] } };
  } finally {
    await within(10_000, context.close()).catch(() => {});
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The bytes of a file with brotli at its best, kept by what is in the file: it takes a while. */
async function brotli(path) {
  const bytes = await readFile(path),
    kept = join(root, ".cache/peers-brotli", createHash("sha256").update(bytes).digest("hex"));
  if (existsSync(kept)) return Number(await readFile(kept, "utf8"));
  const { length } = await promisify(brotliCompress)(bytes, { params: {
    [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  } });
  await mkdir(dirname(kept), { recursive: true });
  await writeFile(kept, String(length));
  return length;
}

async function versions() {
  const found = {};
  const at = (path) => readFile(path, "utf8").then((text) => JSON.parse(text).version, () => undefined);
  for (const name of Object.keys(JSON.parse(await readFile(join(import.meta.dirname, "package.json"),
    "utf8")).dependencies))
    found[name] = await at(join(import.meta.dirname, "node_modules", name, "package.json"));
  const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" });
  found.heddle = [await at(join(root, "web/package.json")),
    ...(commit.status === 0 ? [`at ${commit.stdout.trim()}`] : [])].join(" ");
  return found;
}

async function browserVersion() {
  const dir = mkdtempSync(join(tmpdir(), "bench-peers-"));
  const context = await launch(dir);
  const version = await context.pages()[0].evaluate(() => navigator.userAgent.match(/Chrom\w*\/([\d.]+)/)?.[1]);
  await context.close();
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  return context.browser()?.version() ?? version;
}

async function measure() {
  const rounds = options.quick ? 1 : Number(options.rounds ?? 5);
  const former = options.resume && JSON.parse(await readFile(options.resume, "utf8"));
  const only = former?.configurations.map(({ key }) => key) ?? options.only?.split(",");
  const chosen = configurations.filter((c) => !only || only.includes(c.key));
  const mounts = { "/heddle/": join(built, "heddle"),
    ...(options.against && { "/against/": resolve(options.against) }), "/": built };
  const plain = await serve(mounts), isolated = await serve(mounts, { isolated: true });
  const siteOf = (c) => c.isolated ? isolated : plain;
  const at = new Date().toISOString();
  const results = former ?? {
    at, rounds, cpu: cpus()[0]?.model, cpus: cpus().length, memory: totalmem(), versions: await versions(),
      chromium: await browserVersion(),
    load: [], configurations: chosen.map(({ key }) => ({ key, runs: [], errors: {} })),
  };
  const file = options.resume ?? join(root, "bench/results", `peers-${at.replaceAll(":", "-")}.json`);
  await mkdir(join(root, "bench/results"), { recursive: true });
  const save = () => writeFile(file, JSON.stringify(results, null, 1));
  try {
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < chosen.length; i++) {
        // Each round begins with another configuration.
        const which = (i + round) % chosen.length, configuration = chosen[which],
          result = results.configurations[which];
        if (result.runs.length > round) continue;
        const began = Date.now();
        const { got, errors, fetched: files } = await once(configuration, siteOf(configuration), result.errors);
        result.runs.push(got);
        for (const [step, error] of Object.entries(errors)) (result.errors[step] ??= []).push(error);
        if (files.length && !result.files) {
          result.files = await Promise.all(files.map(async (path) => [relative(built, path), await brotli(path)]));
          result.payload = result.files.reduce((sum, [, bytes]) => sum + bytes, 0) / 1024;
        }
        results.load.push(loadavg()[0]);
        await save();
        const failed = Object.entries(errors).map(([step, error]) => `${step}: ${error}`).join("; ");
        say(`round ${round + 1} of ${rounds}, ${configuration.key}: ${((Date.now() - began) / 1000).toFixed(0)} ` +
          `s${failed ? `, ${failed}` : ""}`);
      }
    }
    if (!options["no-memory"]) {
      for (const [i, configuration] of chosen.entries()) {
        const result = results.configurations[i];
        if (result.memory || result.errors.memory) continue;
        const { value, errors } = await memory(configuration, siteOf(configuration));
        result.memory = value;
        const failed = Object.entries(errors).map(([step, error]) => `${step}: ${error}`).join("; ");
        if (failed) result.errors.memory = [failed];
        await save();
        say(`memory, ${configuration.key}: ${value === undefined ? failed : `${value.toFixed(0)} MiB`}`);
      }
    }
  } finally {
    await save();
    plain.close();
    isolated.close();
  }
  return results;
}

/** One number a figure: the median of the runs, or undefined. */
function summarize(results) {
  return results.configurations.map((result) => ({
    ...configurations.find(({ key }) => key === result.key), ...result,
    figures: Object.fromEntries(figures.map(({ key }) => [key,
      key in result ? result[key] : median(result.runs.map((run) => run[key]))])),
  }));
}

const results = options.report ? JSON.parse(await readFile(options.report, "utf8")) : await measure();
const { table, document, chart } = report(results, summarize(results));
console.log(table);
// The page of figures is for whole runs; a part of one only prints.
if (options.report || (!options.only && !options.quick && !options.against)) {
  const docs = join(root, "docs");
  if (existsSync(docs)) {
    const file = join(docs, "BENCHMARKS.md"), old = await readFile(file, "utf8").catch(() => "");
    const at = old.indexOf("\n<!-- ");
    // what stands below is written by hand
    await writeFile(file, document.trimEnd() + "\n" + (at < 0 ? "" : old.slice(at)));
    await writeFile(join(docs, "benchmarks.svg"), chart);
  }
}
