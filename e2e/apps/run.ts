// The matrix of bundlers: packs the package as npm would publish it, installs it into each app of apps.ts, and in each
// mode opens two tabs of a real Chromium, sees a live query cross, closes the leader's tab, writes again, reloads, and
// sees both rows. A table says what each first visit cost.
//
//   node --import tsx e2e/apps/run.ts [--only vite7,next] [--json FILE]
//
// What npm installs is kept in .cache/ecosystem/, by each app's lock file.
import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { BrowserContext, Page } from "@playwright/test";
import { freePort, launch, root, startSite } from "../harness.js";
import { apps, type App, type Mode } from "./apps.js";

/** It ends what hangs, on any machine. */
const COMMAND_MS = 600_000;
const STEP_MS = 120_000;

const { values } = parseArgs({ options: { only: { type: "string" }, json: { type: "string" } } });
const chosen = values.only?.split(",") ?? Object.keys(apps);
const cache = join(root, ".cache/ecosystem");

const environment = (more: Record<string, string> = {}) => ({
  ...process.env, CI: "1", NO_COLOR: "1", FORCE_COLOR: "0", NEXT_TELEMETRY_DISABLED: "1", NUXT_TELEMETRY_DISABLED: "1", ...more,
});

/** Starts a command in a process group of its own, so that whatever it starts can be ended with it. */
function start(command: string, cwd: string, env: Record<string, string> = {}): { child: ChildProcess; output: () => string } {
  const child = spawn("sh", ["-c", `exec ${command}`], { cwd, env: environment(env), detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (bytes) => { output += bytes; });
  return { child, output: () => output };
}

function end({ child }: { child: ChildProcess }): void {
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch { /* it has ended */ }
}

async function run(command: string, cwd: string, env?: Record<string, string>): Promise<string> {
  const running = start(command, cwd, env);
  const timer = setTimeout(() => end(running), COMMAND_MS);
  const code = await new Promise((resolve) => running.child.on("close", resolve));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${command}: exit ${code}\n${running.output()}`);
  return running.output();
}

/** The tarball that npm would publish. */
async function pack(): Promise<string> {
  await mkdir(cache, { recursive: true });
  const out = await run(`npm pack --ignore-scripts --silent --pack-destination ${cache}`, join(root, "web"));
  return join(cache, out.trim().split("\n").at(-1)!);
}

/** An app's folder with its packages and the tarball installed. */
async function install(name: string, app: App, tarball: string): Promise<string> {
  const dir = join(cache, name), lock = await readFile(join(import.meta.dirname, name, "package-lock.json"));
  const hash = createHash("sha256").update(lock).digest("hex"), stamp = join(dir, ".lock");
  if (await readFile(stamp, "utf8").catch(() => "") !== hash) {
    await rm(dir, { recursive: true, force: true });
    await cp(join(import.meta.dirname, name), dir, { recursive: true });
    await run("npm ci --no-audit --no-fund --loglevel=error", dir);
    await writeFile(stamp, hash);
  }
  await cp(join(import.meta.dirname, app.source ?? name), dir, { recursive: true });
  await cp(join(import.meta.dirname, "shared/app.js"), join(dir, app.shared, "app.js"));
  // As npm does it for a package without dependencies, at a fraction of the time.
  const heddle = join(dir, "node_modules/heddle");
  await rm(heddle, { recursive: true, force: true });
  await mkdir(heddle);
  await run(`tar -xzf ${tarball} -C ${heddle} --strip-components 1`, dir);
  return dir;
}

interface Served { url: string; end(): void; output(): string }

async function serve(dir: string, { serve, env }: Mode): Promise<Served> {
  if (typeof serve !== "string") {
    const site = await startSite({ mounts: { "/": join(dir, serve.folder) } });
    return { url: site.url, end: () => site.close(), output: () => "" };
  }
  const port = await freePort(), url = `http://localhost:${port}/`;
  const server = start(serve.replaceAll("PORT", String(port)), dir, { ...env, PORT: String(port) });
  for (let until = Date.now() + STEP_MS; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) break;
    if (server.child.exitCode !== null || Date.now() > until) {
      end(server);
      throw new Error(`${serve} does not serve ${url}\n${server.output()}`);
    }
  }
  return { url, end: () => end(server), output: server.output };
}

/** What a first visit cost until the list was there. */
interface Visit { requests: number; kilobytes: number; warnings: string[]; milliseconds: number }

const item = (page: Page, text: string) => page.locator("li", { hasText: text });
const ready = (page: Page) => page.getByText(/^ready: /).waitFor({ timeout: STEP_MS });

async function add(page: Page, text: string): Promise<void> {
  await page.getByLabel("Note").fill(text);
  await page.getByRole("button", { name: "Add" }).click();
}

async function visit(context: BrowserContext, url: string): Promise<[Page, Visit]> {
  const found: Visit = { requests: 0, kilobytes: 0, warnings: [], milliseconds: 0 };
  context.on("console", (message) => {
    if (["warning", "error"].includes(message.type())) found.warnings.push(message.text());
  });
  context.on("requestfinished", async (request) => {
    found.requests++;
    const sizes = await request.sizes().catch(() => undefined);
    found.kilobytes += (sizes?.responseBodySize ?? 0) / 1000;
  });
  const started = performance.now();
  const page = await context.newPage();
  page.on("pageerror", (error) => found.warnings.push(String(error)));
  await page.goto(url);
  await ready(page);
  found.milliseconds = performance.now() - started;
  return [page, { ...found }];
}

async function check(context: BrowserContext, url: string, mode: Mode): Promise<Visit> {
  const [a, cost] = await visit(context, url);
  const b = await context.newPage();
  await b.goto(url);
  await ready(b);
  await add(a, "from the first tab");
  await item(b, "from the first tab").waitFor({ timeout: STEP_MS });
  const leads = async (page: Page) => (await page.getByText("ready: leader").count()) > 0;
  const [leader, other] = (await leads(a)) ? [a, b] : [b, a];
  await leader.close();
  await add(other, "after the leader");
  await item(other, "after the leader").waitFor({ timeout: STEP_MS });
  await other.reload();
  for (const text of ["from the first tab", "after the leader"]) await item(other, text).waitFor({ timeout: STEP_MS });
  if (mode.offline) {
    await other.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await other.reload();
    await item(other, "after the leader").waitFor({ timeout: STEP_MS });
    await add(other, "without a network");
    await item(other, "without a network").waitFor({ timeout: STEP_MS });
  }
  return cost;
}

interface Outcome { app: string; mode: string; visit?: Visit; error?: string }

async function tryMode(name: string, dir: string, mode: Mode): Promise<Outcome> {
  const profile = await mkdtemp(join(tmpdir(), "heddle-app-"));
  let served: Served | undefined, context: BrowserContext | undefined;
  try {
    for (const command of mode.build ?? []) await run(command, dir);
    served = await serve(dir, mode);
    context = await launch(profile);
    return { app: name, mode: mode.name, visit: await check(context, served.url, mode) };
  } catch (error) {
    const states = await Promise.all((context?.pages() ?? []).map((page) => page.locator("output").textContent({ timeout: 1_000 }).catch(() => "")));
    return { app: name, mode: mode.name, error: [String(error), ...states.filter(Boolean), served?.output().slice(-2_000)].filter(Boolean).join("\n") };
  } finally {
    await context?.close();
    served?.end();
    await rm(profile, { recursive: true, force: true });
  }
}

const tarball = await pack();
const outcomes: Outcome[] = [];
for (const name of chosen) {
  const app = apps[name];
  if (!app) throw new Error(`--only: ${name} is none of ${Object.keys(apps).join(", ")}`);
  try {
    const dir = await install(name, app, tarball);
    for (const mode of app.modes) {
      const outcome = await tryMode(name, dir, mode);
      outcomes.push(outcome);
      console.log(`${outcome.error ? "failed" : "ok"}: ${name}, ${mode.name}${outcome.error ? `\n${outcome.error}` : ""}`);
    }
  } catch (error) {
    outcomes.push({ app: name, mode: "install", error: String(error) });
    console.log(`failed: ${name}: ${String(error)}`);
  }
}

console.log("\n| app | mode | requests | kB | ready after, ms | warnings |\n|---|---|---:|---:|---:|---|");
for (const { app, mode, visit, error } of outcomes) {
  console.log(visit
    ? `| ${app} | ${mode} | ${visit.requests} | ${visit.kilobytes.toFixed(0)} | ${visit.milliseconds.toFixed(0)} | ${visit.warnings.length} |`
    : `| ${app} | ${mode} | | | | failed: ${error!.split("\n", 1)[0]} |`);
}
for (const { app, mode, visit } of outcomes) for (const warning of new Set(visit?.warnings)) console.log(`${app}, ${mode}: ${warning}`);
if (values.json) await writeFile(values.json, JSON.stringify(outcomes, undefined, 2));
if (outcomes.some(({ error }) => error)) process.exit(1);
