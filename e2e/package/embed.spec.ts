// How other people's pages use the package: a strict CSP and no COOP/COEP, from
// another origin, through a bundler, and during server-side rendering.
import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { BrowserContext, Page } from "@playwright/test";
import { expect, notes, openIn, synced, test, type Profile } from "../fixtures.js";
import { root } from "../harness.js";

/** Two tabs of one page write, read, and hear of each other; another device gets it. */
async function works(device: Profile, url: string, server: string): Promise<Page> {
  const refused = violations(device.context);
  const a = await device.tab(url), b = await device.tab(url);
  const sync = { url: server, space: "embed" };
  await openIn(a, { sync });
  await openIn(b, { sync });
  expect(await a.evaluate(() => crossOriginIsolated)).toBe(false);
  expect([await a.evaluate(() => db.role), await b.evaluate(() => db.role)]).toEqual(["leader", "follower"]);
  const heard = b.evaluate(() => new Promise<unknown>((resolve) => {
    db.live(`SELECT id, body FROM notes`, [], (rows) => { if (rows.length > 0) resolve(rows); });
  }));
  await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('a', 'hello')`));
  expect(await heard).toEqual([{ id: "a", body: "hello" }]);
  await a.close();
  await b.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('b', 'alone now')`));
  await synced(b);
  expect(await b.evaluate(() => db.sync.status)).toMatchObject({ pending: 0, seq: 2 });
  expect(refused).toEqual([]);
  return b;
}

/** What a Content-Security-Policy refused. */
function violations(context: BrowserContext): string[] {
  const found: string[] = [];
  context.on("console", (message) => {
    if (/Content.Security.Policy|CSP/i.test(message.text())) found.push(message.text());
  });
  return found;
}

test("a strict CSP and no COOP/COEP: the package beside the page", async ({ profile, serve, server }) => {
  const url = await serve({ headers: { "Content-Security-Policy": `default-src 'none'; script-src 'self' ` +
    `'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' ${server.url}; img-src data:` } });
  await works(await profile(), url, server.url);
});

test("the package on a third origin starts its worker through a blob", async ({ profile, serve, server }) => {
  const third = await serve({ headers: { "Access-Control-Allow-Origin": "*" },
    mounts: { "/heddle/": join(root, "web/dist") } });
  const origin = third.replace(/\/$/, "");
  const page = await serve({ headers: { "Content-Security-Policy": `default-src 'none'; script-src 'self' ` +
    `'wasm-unsafe-eval' ${origin}; worker-src blob:; connect-src ${origin} ${server.url}; img-src data:` } });
  const b = await works(await profile(), `${page}?heddle=${encodeURIComponent(`${third}heddle/index.js`)}`, server.url);
  expect(new URL(b.url()).origin).not.toBe(origin);
});

test("without 'wasm-unsafe-eval' open says what is missing", async ({ profile, serve }) => {
  const url = await serve({ headers: { "Content-Security-Policy": "default-src 'none'; script-src 'self'; " +
    "worker-src 'self'; connect-src 'self'; img-src data:" } });
  const page = await (await profile()).tab(url);
  const error = await page.evaluate(async (migrations) => {
    try {
      await heddle.open({ name: "n", migrations });
      return undefined;
    } catch (thrown) {
      const { name, code, message } = thrown as { name: string; code: string; message: string };
      return { name, code, message };
    }
  }, notes);
  expect(error).toMatchObject({ name: "HeddleError", code: expect.stringMatching(/^HEDDLE_/),
    message: expect.stringMatching(/wasm-unsafe-eval|Content.Security/i) });
});

/** Runs a command to its end; its output is in the error if it fails. */
async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, npm_config_audit: "false", npm_config_fund: "false" } });
  let out = "", all = "";
  child.stdout.on("data", (bytes) => { out += bytes; all += bytes; });
  child.stderr.on("data", (bytes) => { all += bytes; });
  const code = await new Promise<number | null>((resolve, reject) => child.on("close", resolve).on("error", reject));
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: exit ${code}\n${all}`);
  return out;
}

test("importing it during server-side rendering touches nothing of a browser", async () => {
  const script = `
    const touched = [];
    for (const name of ["window", "document", "navigator", "self", "location", "Worker", "SharedWorker",
      "BroadcastChannel", "indexedDB", "localStorage"]) {
      Object.defineProperty(globalThis, name, { configurable: true, get() { touched.push(name); return undefined; } });
    }
    const heddle = await import(${JSON.stringify(pathToFileURL(join(root, "web/dist/index.js")).href)});
    const { open, destroy, HeddleError } = heddle;
    console.log(JSON.stringify({ touched, open: typeof open, destroy: typeof destroy, error: typeof HeddleError }));`;
  const out = await run(root, process.execPath, "--input-type=module", "-e", script);
  expect(JSON.parse(out)).toEqual({ touched: [], open: "function", destroy: "function", error: "function" });
});

test("a fresh Vite app that depends on the packed package builds, and works under a strict CSP",
  async ({ profile, serve, server }) => {
  const dir = await mkdtemp(join(tmpdir(), "heddle-vite-"));
  const build = async (app: string) => {
    await run(app, "npx", "vite", "build", "--logLevel", "warn");
    return serve({
      mounts: { "/": join(app, "dist") },
      headers: { "Content-Security-Policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; ` +
        `worker-src 'self'; connect-src 'self' ${server.url}; img-src data:` },
    });
  };
  try {
    const packed = JSON.parse(await run(join(root, "web"), "npm", "pack", "--json", "--silent", "--ignore-scripts",
      "--pack-destination",
      dir)) as { filename: string }[];
    const { devDependencies } =
      JSON.parse(await readFile(join(root, "examples/vite/package.json"), "utf8")) as { devDependencies: object };
    await mkdir(join(dir, "src"));
    await writeFile(join(dir, "package.json"), JSON.stringify({
      name: "fresh", private: true, type: "module", dependencies: { heddle: `file:${packed[0]!.filename}` },
        devDependencies,
    }));
    await writeFile(join(dir, "index.html"), `<!doctype html><html><head><link rel="icon" ` +
      `href="data:,"></head><body><script type="module" src="/src/main.js"></script></body></html>`);
    await writeFile(join(dir, "src/main.js"), `import * as heddle from "heddle";\nglobalThis.heddle = ` +
      `heddle;\ndocument.documentElement.dataset.ready = "yes";\n`);
    await run(dir, "npm", "install", "--prefer-offline", "--loglevel=error");
    const device = await profile();
    await works(device, await build(dir), server.url);

    // The example of the repository, on the same installed packages.
    for (const part of ["index.html", "src"]) {
      await cp(join(root, "examples/vite", part), join(dir, part), { recursive: true });
    }
    const url = await build(dir);
    const a = await device.context.newPage(), b = await device.context.newPage();
    for (const page of [a, b]) await page.goto(url);
    await a.getByLabel("What is to do").fill("weave");
    await a.getByRole("button", { name: "Add" }).click();
    await b.getByLabel("weave").check();
    await expect(a.getByLabel("weave")).toBeChecked();
    await a.reload();
    await expect(a.getByLabel("weave")).toBeChecked();
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
