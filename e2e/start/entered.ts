// Which functions of Go's program and of SQLite an app's first steps enter, in a real page.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { launch, root, startServer, startSite } from "../harness.js";
import { everydaySql, firstSteps } from "./first-steps.js";

/** How long is waited for what goes on behind the answers. */
const SETTLE_MS = 500;

/** Keeps the exports of the programs, which have a global for each function: Go's, and each connection's SQLite. */
const HOOK = `{
  const { instantiate, Instance } = WebAssembly, entered = globalThis.entered = { go: [], sqlite: [] };
  WebAssembly.instantiate = async (...given) => {
    const instance = await instantiate(...given);
    if (instance.exports["entered.0"]) entered.go.push(instance.exports);
    return instance;
  };
  WebAssembly.Instance = new Proxy(Instance, {
    construct(target, given) {
      const instance = new target(...given);
      if (instance.exports["entered.0"]) entered.sqlite.push(instance.exports);
      return instance;
    },
  });
}
`;

/**
 * What of Go's program answers a call with an error, or one over which the engine has died: where the second part
 * cannot be had, that has to work, and no start shows it.
 */
const FAILURES = new RegExp("heddle/internal/(" + [
  String.raw`leader\.\(\*Session\)\.(exec|update|outcome|replay)\b`, String.raw`leader\.\(\*call\)\.(fail|failure)\b`,
  String.raw`leader\.logged`, String.raw`store\.\(\*Tx\)\.(FindEntry|Rollback)`, String.raw`errcode\.`,
  String.raw`store\.\(\*DB\)\.(LogFailure|Exec|dropCaches|vacuum)`, String.raw`store/sqlerr\.`,
  String.raw`rpc\.(ReplyError|WithID|WithoutID)\b`,
].join("|") + ")");

type Program = "go" | "sqlite";

const split = (...args: string[]) =>
  execFileSync("go", ["run", "./engine/split", ...args], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });

async function enteredIn(page: Page, program: Program): Promise<number[]> {
  const found = await Promise.all(page.workers().map((worker) => worker.evaluate((which) => {
    const instances = (globalThis as unknown as { entered: Record<Program, WebAssembly.Exports[]> }).entered[which];
    return instances.flatMap((exports) => Object.entries(exports)
      .filter(([name, global]) => name.startsWith("entered.") && (global as WebAssembly.Global).value === 1)
      .map(([name]) => Number(name.slice("entered.".length))));
  }, program)));
  return found.flat();
}

/** What was entered: of Go's program names, of SQLite numbers; in order. */
export interface Entered {
  go: string[];
  sqlite: number[];
}

/**
 * All functions that were entered in so many rounds; each has a browser profile of its own. Of SQLite also what
 * everyday statements enter: to pass a call on to the other part costs a little each time.
 */
export async function entered(rounds: number, say: (line: string) => void = () => {}): Promise<Entered> {
  const dir = mkdtempSync(join(tmpdir(), "heddle-entered-"));
  const built = join(root, "web/dist"), files = join(dir, "files");
  const program = join(root, ".cache/heddle.wasm"), names = split("-names", program).split("\n");
  mkdirSync(files);
  for (const name of ["index.js", "broker.js"]) copyFileSync(join(built, name), join(files, name));
  writeFileSync(join(files, "worker.js"), HOOK + readFileSync(join(built, "worker.js"), "utf8"));
  split("-profile", program, join(files, "heddle.wasm"));
  split("-profile", "engine/sqlite3.wasm", join(files, "sqlite3.wasm"));
  const site = await startSite({ mounts: { "/heddle/": files, "/": join(root, "e2e/pages") } });
  const server = await startServer(join(dir, "data"));
  const all = new Set<number>(), sqlite = new Set<number>();
  for (const [i, name] of names.entries()) if (FAILURES.test(name)) all.add(i);
  try {
    for (let round = 0; round < rounds; round++) {
      const context = await launch(join(dir, `profile-${round}`));
      await context.addInitScript("globalThis.__name = (f) => f"); // tsx names functions with it
      let page = context.pages()[0]!;
      const visit = async (what: string, sync: string | undefined, steps: () => Promise<void>) => {
        await steps();
        await page.waitForTimeout(SETTLE_MS);
        const found = await enteredIn(page, "go");
        for (const i of found) all.add(i);
        for (const i of await enteredIn(page, "sqlite")) sqlite.add(i);
        say(`${sync ? "synced" : "plain"}, ${what}: ${found.length} functions, ${all.size} in all; SQLite ` +
          `${sqlite.size}`);
      };
      const goto = async () => {
        await page.goto(site.url);
        await page.waitForSelector("html[data-ready]");
      };
      for (const sync of [undefined, server.url]) {
        const steps = () => page.evaluate(firstSteps, sync);
        for (const what of ["new", "reopened"]) await visit(what, sync, () => goto().then(steps));
        await visit("taken over", sync, async () => {
          const leader = page;
          page = await context.newPage();
          await goto();
          await steps();
          await leader.close();
          await steps(); // through the worker of this page
        });
      }
      await page.evaluate(everydaySql);
      for (const i of await enteredIn(page, "sqlite")) sqlite.add(i);
      say(`with everyday statements: SQLite ${sqlite.size}`);
      await context.close();
    }
  } finally {
    site.close();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  return { go: [...all].map((i) => names[i]!).sort(), sqlite: [...sqlite].sort((a, b) => a - b) };
}
