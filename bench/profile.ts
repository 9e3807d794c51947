// make profile: what the worker's thread does for a commit or a look-up, function by function, in a real Chromium.
// Both programs run whole, since the second part has other numbers for its functions; Go's have their names, SQLite's
// numbers. The profiler makes each operation slower: read the shares, and take times from the other benchmarks.
//
//   WHAT=commits|lookups   what is done        N=3000   how often, after as many unprofiled
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CDPSession, Page } from "@playwright/test";
import { launch, root, startSite } from "../e2e/harness.js";
import { start } from "./measure.js";

const N = Number(process.env.N ?? 3000), SHOWN = 40;
type What = "commits" | "lookups";
const what: What = process.env.WHAT === "lookups" ? "lookups" : "commits";

interface Node { id: number; callFrame: { functionName: string; url: string }; children?: number[]; parent?: Node }
interface Profile { nodes: Node[]; samples: number[]; timeDeltas: number[] }

const split = (...args: string[]) =>
  execFileSync("go", ["run", "./engine/split", ...args], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });

/** The page's only worker, through the protocol of the developer tools. */
async function workerOf(page: Page): Promise<(method: string, params?: object) => Promise<{ profile: Profile }>> {
  const session: CDPSession = await page.context().newCDPSession(page);
  const waiting = new Map<number, (result: { profile: Profile }) => void>();
  session.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result } = JSON.parse(message);
    waiting.get(id)?.(result);
  });
  const attached = new Promise<string>((resolve) => {
    session.on("Target.attachedToTarget", ({ sessionId }) => resolve(sessionId));
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const sessionId = await attached;
  let last = 0;
  return (method, params = {}) => new Promise((resolve, reject) => {
    const id = ++last;
    waiting.set(id, resolve);
    session.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method, params }) })
      .catch(reject);
  });
}

/** Runs in the page: n operations one after another; how many a second. */
async function operate({ what, n }: { what: What; n: number }): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < n; i++) {
    if (what === "commits") await db.exec(`INSERT INTO log(body) VALUES (?)`, ["a line that must not be lost"]);
    else await db.query(`SELECT at FROM tick WHERE id = ?`, [1]);
  }
  return n / (performance.now() - began) * 1000;
}

/** Prints self times and times with what is called, in µs an operation. */
function print(profile: Profile, nameOf: (node: Node) => string): void {
  const self = new Map<string, number>(), whole = new Map<string, number>();
  const add = (to: Map<string, number>, key: string, us: number) => to.set(key, (to.get(key) ?? 0) + us / N);
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  for (const node of profile.nodes) for (const id of node.children ?? []) nodes.get(id)!.parent = node;
  for (const [i, id] of profile.samples.entries()) {
    const us = profile.timeDeltas[i]!, met = new Set<string>();
    add(self, nameOf(nodes.get(id)!), us);
    for (let node = nodes.get(id); node; node = node.parent) met.add(nameOf(node));
    for (const name of met) add(whole, name, us);
  }
  for (const [title, times] of [["self", self], ["with what is called", whole]] as const) {
    console.log(`\nµs an operation, ${title}`);
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
const imports = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(join(files, "heddle.wasm"))))
  .filter(({ kind }) => kind === "function").length;
const site = await startSite({ mounts: { "/heddle/": files, "/": join(root, "e2e/pages") } });
const context = await launch(join(dir, "profile"));
try {
  await context.addInitScript("globalThis.__name = (f) => f"); // tsx names functions with it
  const page = context.pages()[0]!;
  await page.goto(site.url);
  await page.waitForSelector("html[data-ready]");
  await page.evaluate(start);
  await page.evaluate(() => db.exec(`INSERT INTO tick(id, at) VALUES (1, 0)`));
  for (const part of [1, 2, 3]) {
    const rate = await page.evaluate(operate, { what, n: Math.ceil(N / 3) });
    console.log(`${what}, part ${part} of ${N} on new code: ${rate.toFixed(0)}/s`);
  }
  const worker = await workerOf(page);
  await worker("Profiler.enable");
  await worker("Profiler.setSamplingInterval", { interval: 200 });
  await worker("Profiler.start");
  console.log(`with the profiler: ${(await page.evaluate(operate, { what, n: N })).toFixed(0)}/s`);
  const { profile } = await worker("Profiler.stop");
  print(profile, ({ callFrame: { functionName, url } }) => {
    const number = /^wasm-function\[(\d+)\]$/.exec(functionName)?.[1];
    if (number === undefined) return functionName || "(anonymous)";
    return url.includes("sqlite3") ? `sqlite3 ${number}` : names[Number(number) - imports] ?? functionName;
  });
} finally {
  await context.close();
  site.close();
  rmSync(dir, { recursive: true, force: true });
}
