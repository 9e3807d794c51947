// make profile: what the worker's thread does in one of the scenarios below, function by function, in a real Chromium.
// Both programs run whole, since the second part has other numbers for its functions; Go's have their names, SQLite's
// numbers. The profiler makes each operation slower: read the shares, and take times from the other benchmarks.
//
//   WHAT=commits|lookups|bulk|push|pull|bootstrap   KIND=plain|sealed|at-rest   N=3000   how often it is done
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CDPSession, Page } from "@playwright/test";
import { launch, root, startServer, startSite } from "../e2e/harness.js";
import { type Kind, scenarios } from "./scenarios.js";

const SHOWN = Number(process.env.SHOWN ?? 40), N = Number(process.env.N ?? 3000);
const scenario = scenarios[process.env.WHAT ?? "commits"], kind = (process.env.KIND ?? "plain") as Kind;
if (!scenario) throw new Error(`WHAT is one of ${Object.keys(scenarios).join(", ")}`);

interface Node { id: number; callFrame: { functionName: string; url: string }; children?: number[]; parent?: Node }
interface Profile { nodes: Node[]; samples: number[]; timeDeltas: number[] }

const split = (...args: string[]) =>
  execFileSync("go", ["run", "./engine/split", ...args], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });

/** Profiles the page's only worker: from the call, or from the worker's start, to that of what is returned. */
async function profileWorker(page: Page): Promise<() => Promise<Profile>> {
  const session: CDPSession = await page.context().newCDPSession(page);
  const waiting = new Map<number, (result: { profile: Profile }) => void>();
  session.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result } = JSON.parse(message);
    waiting.get(id)?.(result);
  });
  let last = 0;
  const begun = new Promise<(method: string) => Promise<{ profile: Profile }>>((resolve) => {
    session.on("Target.attachedToTarget", async ({ sessionId }) => {
      const send = (method: string, params = {}) => new Promise<{ profile: Profile }>((resolve, reject) => {
        const id = ++last;
        waiting.set(id, resolve);
        session.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method, params }) })
          .catch(reject);
      });
      await send("Profiler.enable");
      await send("Profiler.setSamplingInterval", { interval: 200 });
      await send("Profiler.start");
      resolve(send);
    });
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  if (page.workers().length > 0) await begun;
  return async () => (await (await begun)("Profiler.stop")).profile;
}

/** Prints self times and times with what is called. */
function print(profile: Profile, nameOf: (node: Node) => string): void {
  const self = new Map<string, number>(), whole = new Map<string, number>();
  const add = (to: Map<string, number>, key: string, us: number) => to.set(key, (to.get(key) ?? 0) + us / 1000);
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  for (const node of profile.nodes) for (const id of node.children ?? []) nodes.get(id)!.parent = node;
  for (const [i, id] of profile.samples.entries()) {
    const us = profile.timeDeltas[i]!, met = new Set<string>();
    add(self, nameOf(nodes.get(id)!), us);
    for (let node = nodes.get(id); node; node = node.parent) met.add(nameOf(node));
    for (const name of met) add(whole, name, us);
  }
  for (const [title, times] of [["self", self], ["with what is called", whole]] as const) {
    console.log(`\nms, ${title}`);
    const top = [...times].sort((a, b) => b[1] - a[1]).slice(0, SHOWN);
    for (const [name, us] of top) console.log(us.toFixed(1).padStart(8), name);
  }
}

const dir = mkdtempSync(join(tmpdir(), "heddle-profile-")), files = join(dir, "files"), built = join(root, "web/dist");
mkdirSync(files);
for (const name of readdirSync(built)) if (name.endsWith(".js")) copyFileSync(join(built, name), join(files, name));
const program = join(root, ".cache/heddle.wasm"), names = split("-names", program).split("\n");
split("-whole", program, join(files, "heddle.wasm"));
split("-whole", "engine/sqlite3.wasm", join(files, "sqlite3.wasm"));
// The later parts have nothing left to bring but the code with SIMD.
const header = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const leb = (n: number): number[] => n < 128 ? [n] : [n % 128 + 128, ...leb(n >> 7)];
const simd = readFileSync(join(root, "engine/simd.wasm")), called = Buffer.from("simd");
const section = [...leb(called.length), ...called, ...simd];
writeFileSync(join(files, "heddle-rest.wasm"), Uint8Array.of(...header, 0, ...leb(section.length), ...section));
writeFileSync(join(files, "heddle-sealed.wasm"), header);
const imports = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(join(files, "heddle.wasm"))))
  .filter(({ kind }) => kind === "function").length;
const site = await startSite({ mounts: { "/heddle/": files, "/": join(root, "e2e/pages") } });
const server = await startServer(join(dir, "data")), context = await launch(join(dir, "profile"));
try {
  await context.addInitScript("globalThis.__name = (f) => f"); // tsx names functions with it
  const page = context.pages()[0]!;
  await page.goto(site.url);
  await page.waitForSelector("html[data-ready]");
  const run = await scenario({ page, context, site: site.url, url: server.url, kind, n: N });
  const stop = await profileWorker(page), began = performance.now();
  await run();
  console.log(`${(performance.now() - began).toFixed(0)} ms with the profiler`);
  const profile = await stop();
  print(profile, ({ callFrame: { functionName, url } }) => {
    const number = /^wasm-function\[(\d+)\]$/.exec(functionName)?.[1];
    if (number === undefined) return functionName || "(anonymous)";
    return url.includes("sqlite3") ? `sqlite3 ${number}` : names[Number(number) - imports] ?? functionName;
  });
} finally {
  await context.close();
  site.close();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}
