// Which functions of Go's program an app's first steps enter, in a real page.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { launch, root, startServer, startSite } from "../harness.js";
import { firstSteps } from "./first-steps.js";

/** How long is waited for what goes on behind the answers. */
const SETTLE_MS = 500;

/** Keeps the exports of the program, which is the module with a global for each function. */
const HOOK = `{
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...given) => {
    const instance = await instantiate(...given);
    if (instance.exports["entered.0"]) globalThis.entered = instance.exports;
    return instance;
  };
}
`;

const split = (...args: string[]) =>
  execFileSync("go", ["run", "./engine/split", ...args], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });

async function enteredIn(page: Page): Promise<number[]> {
  const [worker] = page.workers();
  return worker!.evaluate(() => Object.entries((globalThis as unknown as { entered: WebAssembly.Exports }).entered)
    .filter(([name, global]) => name.startsWith("entered.") && (global as WebAssembly.Global).value === 1)
    .map(([name]) => Number(name.slice("entered.".length))));
}

/** The names of all functions that were entered in so many rounds; each has a browser profile of its own. */
export async function entered(rounds: number, say: (line: string) => void = () => {}): Promise<string[]> {
  const dir = mkdtempSync(join(tmpdir(), "heddle-entered-"));
  const built = join(root, "web/dist"), files = join(dir, "files");
  const program = join(root, ".cache/heddle.wasm"), names = split("-names", program).split("\n");
  mkdirSync(files);
  for (const name of ["index.js", "broker.js", "sqlite3.wasm"]) copyFileSync(join(built, name), join(files, name));
  writeFileSync(join(files, "worker.js"), HOOK + readFileSync(join(built, "worker.js"), "utf8"));
  split("-profile", program, join(files, "heddle.wasm"));
  const site = await startSite({ mounts: { "/heddle/": files, "/": join(root, "e2e/pages") } });
  const server = await startServer(join(dir, "data"));
  const all = new Set<number>();
  try {
    for (let round = 0; round < rounds; round++) {
      const context = await launch(join(dir, `profile-${round}`));
      await context.addInitScript("globalThis.__name = (f) => f"); // tsx names functions with it
      let page = context.pages()[0]!;
      const visit = async (what: string, sync: string | undefined, steps: () => Promise<void>) => {
        await steps();
        await page.waitForTimeout(SETTLE_MS);
        const found = await enteredIn(page);
        for (const i of found) all.add(i);
        say(`${sync ? "synced" : "plain"}, ${what}: ${found.length} functions, ${all.size} in all`);
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
      await context.close();
    }
  } finally {
    site.close();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  return [...all].map((i) => names[i]!).sort();
}
