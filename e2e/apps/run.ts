// The matrix of bundlers: packs the package as npm would publish it, installs it into each app of apps.ts, and in each
// mode opens two tabs of a real Chromium, sees a live query cross, closes the leader's tab, writes again, reloads, and
// sees both rows. A table says what each first visit cost.
//
//   node --import tsx e2e/apps/run.ts [--json FILE] [APP…]
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { BrowserContext } from "@playwright/test";
import { freePort, launch, startSite } from "../harness.js";
import { apps, policy, type Mode } from "./apps.js";
import { install, pack, workspace } from "./install.js";
import { end, run, start } from "./processes.js";
import { STEP_MS, visit, type Visit } from "./visit.js";

interface Outcome {
  app: string;
  mode: string;
  visit?: Visit;
  /** Lines of the bundler's output that warn. */
  warnings?: string[];
  error?: string;
}

interface Served { url: string; end(): void; output(): string }

async function serve(dir: string, { serve, env }: Mode): Promise<Served> {
  if (typeof serve !== "string") {
    const headers: Record<string, string> = serve.inline ? {} : { "Content-Security-Policy": policy };
    const site = await startSite({ mounts: { "/": join(dir, serve.folder) }, headers });
    if (!serve.cdn) return { url: site.url, end: () => site.close(), output: () => "" };
    const cdn = await startSite(
      { mounts: { "/": join(dir, serve.cdn) }, headers: { "Access-Control-Allow-Origin": "*" } });
    const url = `${site.url}?cdn=${cdn.url.replace("localhost", "127.0.0.1")}`;
    return { url, end: () => { site.close(); cdn.close(); }, output: () => "" };
  }
  const port = await freePort(), url = `http://localhost:${port}/`;
  const server = start(serve.replaceAll("PORT", String(port)), dir, { ...env, PORT: String(port) });
  const until = Date.now() + STEP_MS;
  for (;; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const answer = await fetch(url, { signal: AbortSignal.timeout(STEP_MS) }).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return { url, end: () => end(server), output: server.output };
    if (server.child.exitCode !== null || Date.now() > until) {
      end(server);
      throw new Error(`${serve} does not serve ${url}\n${server.output()}`);
    }
  }
}

const warningsOf = (output: string) => output.split("\n").filter((line) => /\bwarn(ing)?s?\b|⚠/i.test(line));

/** What the app's pages say of themselves. */
const states = async (context: BrowserContext | undefined) =>
  Promise.all((context?.pages() ?? []).map((page) =>
    page.locator("output").textContent({ timeout: 1_000 }).catch(() => "no state")));

async function tryMode(app: string, dir: string, mode: Mode): Promise<Outcome> {
  const profile = await mkdtemp(join(dir, ".profile-"));
  const outcome: Outcome = { app, mode: mode.name };
  let served: Served | undefined, context: BrowserContext | undefined, output = "";
  try {
    for (const command of mode.build ?? []) output += await run(command, dir, mode.env);
    served = await serve(dir, mode);
    context = await launch(profile);
    outcome.visit = await visit(context, served.url, dir, mode);
    outcome.warnings = warningsOf(output + served.output());
  } catch (error) {
    outcome.error = [error, ...await states(context), served?.output().slice(-2_000)].filter(Boolean).join("\n");
  } finally {
    await context?.close();
    served?.end();
  }
  return outcome;
}

function table(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ app, mode, visit, warnings = [], error }) => visit
    ? `| ${app} | ${mode} | ${visit.requests} | ${visit.kilobytes.toFixed(0)} | ${visit.milliseconds.toFixed(0)} | ` +
      `${warnings.length} | ${visit.warnings.length} |`
    : `| ${app} | ${mode} | | | | failed: ${error!.split("\n", 1)[0]} | |`);
  return ["| app | mode | requests | kB | ready after, ms | warnings: bundler | console |",
    "|---|---|---:|---:|---:|---:|---:|", ...rows].join("\n");
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { json: { type: "string" } }, allowPositionals: true });
  const names = positionals.length > 0 ? positionals : Object.keys(apps);
  for (const name of names) if (!apps[name]) throw new Error(`${name} is none of ${Object.keys(apps).join(", ")}`);
  const outcomes: Outcome[] = [], space = await workspace();
  const note = (outcome: Outcome, since: number) => {
    outcomes.push(outcome);
    const seconds = ((performance.now() - since) / 1000).toFixed(1);
    console.log(`${outcome.error ? "failed" : "ok"}: ${outcome.app}, ${outcome.mode}: ${seconds} s`);
    if (outcome.error) console.log(outcome.error);
    for (const warning of new Set([...outcome.warnings ?? [], ...outcome.visit?.warnings ?? []])) console.log(warning);
  };
  try {
    const tarball = await pack(space);
    for (const name of names) {
      const app = apps[name]!;
      let since = performance.now(), mode = "install";
      try {
        for (const each of app.modes) {
          ({ name: mode } = each);
          since = performance.now();
          const dir = await install(name, app, tarball, space);
          note(await tryMode(name, dir, each), since);
          await rm(dir, { recursive: true, force: true });
        }
      } catch (error) {
        note({ app: name, mode, error: String(error) }, since);
      }
    }
  } finally {
    await rm(space, { recursive: true, force: true });
  }
  console.log(`\n${table(outcomes)}`);
  if (values.json) await writeFile(values.json, JSON.stringify(outcomes, undefined, 2));
  if (outcomes.some(({ error }) => error)) process.exitCode = 1;
}

await main();
