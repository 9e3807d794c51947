// The VFS where it ships: package opfs' conformance suite in a worker, on real
// files, with the engine linked in; a full disk; the site's data cleared.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";
import type { Done, Order } from "../opfs/worker.js";

const out = join(root, ".cache/opfs");
const wasm = join(root, "wasm");

declare global {
  var order: (order: Order) => Promise<Done>;
}

test.describe.configure({ mode: "serial" });

test.beforeAll(async () => {
  mkdirSync(out, { recursive: true });
  const goroot = execFileSync("go", ["env", "GOROOT"], { cwd: wasm, encoding: "utf8" }).trim();
  execFileSync("go",
    ["test", "-c", "-trimpath", "-ldflags=-s -w", "-o", join(out, "conformance.wasm"), "./conformance"],
    { cwd: wasm, env: { ...process.env, GOOS: "js", GOARCH: "wasm", GOWORK: "off" }, stdio: "inherit" });
  await build({
    entryPoints: [join(root, "e2e/opfs/worker.ts")], outdir: out, bundle: true, format: "esm", target: "es2022",
      logLevel: "warning",
    plugins: [{ name: "wasm_exec", setup: (b) => b.onResolve({ filter: /^heddle:wasm_exec$/ },
      () => ({ path: join(goroot, "lib/wasm/wasm_exec.js") })) }],
  });
  writeFileSync(join(out, "index.html"), `<!doctype html><html data-ready><script>
    const worker = new Worker("/worker.js", { type: "module" });
    globalThis.order = (order) => new Promise((done, fail) => {
      worker.onmessage = ({ data }) => done(data);
      worker.onerror = (event) => fail(new Error(event.message));
      worker.postMessage(order);
    });
  </script>`);
});

/** A tab with the worker, its files open. */
async function start(page: Page, url: string): Promise<void> {
  await page.goto(url);
  expect(await order(page, { t: "open" })).toEqual({ ok: true, output: "" });
}

const order = (page: Page, what: Order): Promise<Done> => page.evaluate((what) => globalThis.order(what), what);

/** Runs tests of the binary; all of those asked for must pass. */
async function run(page: Page, pattern: string, ...args: string[]): Promise<string> {
  const { ok, output } = await order(page, { t: "run", args: ["-test.v", `-test.run=${pattern}`, ...args] });
  expect(ok, output).toBe(true);
  expect(output).toContain("--- PASS");
  expect(output).not.toContain("no tests to run");
  return output;
}

const site = { mounts: { "/engine/": join(root, "engine"), "/": out } };

test("the conformance suite on real files", async ({ profile, serve }) => {
  const page = await (await profile()).context.newPage();
  await start(page, await serve(site));
  const output = await run(page, "^TestOPFS");
  expect(output).not.toContain("--- SKIP");
  // The worker's end lets go of everything: another one opens it all again.
  await start(page, page.url());
  await run(page, "^TestOPFS_directory$");
});

test("a full disk is SQLITE_FULL, and work goes on", async ({ profile, serve }) => {
  const page = await (await profile()).context.newPage();
  const url = await serve(site);
  await start(page, url);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin: new URL(url).origin, quotaSize: 12 << 20 });
  const output = await run(page, "^TestQuota$");
  expect(output).toContain("QuotaExceededError");
});

test("clearing the site's data under open files is noticed", async ({ profile, serve }) => {
  const page = await (await profile()).context.newPage();
  const url = await serve(site);
  await start(page, url);
  expect((await order(page, { t: "check" })).ok).toBe(true);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Storage.clearDataForOrigin", { origin: new URL(url).origin, storageTypes: "all" });
  expect((await order(page, { t: "check" })).ok).toBe(false);
  await run(page, "^TestCleared$");
});

test("files that another worker holds are blocked, not taken", async ({ profile, serve }) => {
  const { context } = await profile();
  const url = await serve(site);
  const [first, second] = [await context.newPage(), await context.newPage()];
  await start(first, url);
  await second.goto(url);
  const blocked = await order(second, { t: "open" });
  expect(blocked.ok).toBe(false);
  expect(blocked.output).toContain("another worker holds the files");
  // Once it lets go, they are had.
  expect((await order(first, { t: "close" })).ok).toBe(true);
  expect((await order(second, { t: "open" })).ok).toBe(true);
});
