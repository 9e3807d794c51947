// The real server binary, static sites and browsers: for the specs and the benchmark.
import { chromium, type BrowserContext } from "@playwright/test";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, createServer as createSocket, type AddressInfo, type Socket } from "node:net";
import { extname, join, normalize, resolve } from "node:path";
import { EXPECT_MS, TEST_MS } from "./limits.js";

/** The repository. */
export const root = resolve(import.meta.dirname, "..");

/** The server binary of this build, with its data in a directory of its own. */
export interface Server {
  readonly url: string;
  /** Ends the process, as a crash or a pulled plug would; the data stays. */
  stop(): Promise<void>;
  /** Starts it again on the same port and data. */
  start(): Promise<void>;
  /** What it has written, since it was started last. */
  log(): string;
  /** Runs a subcommand of the same binary and returns what it prints. */
  run(...args: string[]): Promise<string>;
}

export interface SiteOptions {
  headers?: { [name: string]: string };
  /** Path prefix to directory; the default is the test page and /heddle/. */
  mounts?: { [prefix: string]: string };
}

/** The test page with a package whose engine can be broken: node web/build.mjs --faults. */
export const breakable: SiteOptions =
  { mounts: { "/heddle/": join(root, ".cache/faults"), "/": join(root, "e2e/pages") } };

/** The test page with this version of the package and a later one beside it: ?heddle=./next/index.js imports that. */
export const twoVersions: SiteOptions = {
  mounts: { "/heddle/": join(root, "web/dist"), "/next/": join(root, ".cache/next"), "/": join(root, "e2e/pages") },
};

export async function freePort(): Promise<number> {
  const socket = createSocket().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address() as AddressInfo;
  socket.close();
  await once(socket, "close");
  return port;
}

export const chromiumPath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** Starts the server on a free port with its data in a directory of the caller. `access` says who may use it. */
export async function startServer(data: string, access: readonly string[] = ["--dev"]): Promise<Server> {
  const binary = join(root, "bin/heddle");
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | undefined, log = "";
  const start = async () => {
    log = "";
    const mine = child = spawn(binary,
      ["serve", ...access, "--addr", `127.0.0.1:${port}`, "--data", data, "--static", join(root, "web/demo/dist")],
      { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [mine.stdout, mine.stderr]) stream.on("data", (bytes) => { log += bytes; });
    for (;;) {
      if (mine.exitCode !== null) throw new Error(`heddle serve ended with ${mine.exitCode}:\n${log}`);
      const answer = await fetch(url).catch(() => undefined);
      if (answer) { await answer.arrayBuffer(); return; }
      await new Promise((done) => setTimeout(done, 20));
    }
  };
  await start();
  return {
    url, start, log: () => log,
    async stop() {
      const mine = child;
      if (!mine || mine.exitCode !== null || mine.signalCode !== null) return;
      mine.kill("SIGKILL");
      await once(mine, "exit");
    },
    async run(...args) {
      const cli = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
      let out = "", problems = "";
      cli.stdout.on("data", (bytes) => { out += bytes; });
      cli.stderr.on("data", (bytes) => { problems += bytes; });
      const [code] = await once(cli, "close");
      if (code !== 0) throw new Error(`heddle ${args.join(" ")}: exit ${code}\n${problems}`);
      return out.trim();
    },
  };
}

const types: { [extension: string]: string } = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
    ".json": "application/json",
  ".wasm": "application/wasm", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".map": "application/json",
};

function handler({ headers = {}, mounts }: SiteOptions) {
  const dirs = Object.entries(mounts ?? { "/heddle/": join(root, "web/dist"), "/": join(root, "e2e/pages") });
  return async (request: IncomingMessage, response: ServerResponse) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, "http://site").pathname));
    for (const [prefix, dir] of dirs) {
      if (!path.startsWith(prefix)) continue;
      const file = join(dir, path.slice(prefix.length) || "index.html");
      const body = await readFile(file).catch(() => undefined);
      if (!body) continue;
      response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream",
        "Cache-Control": "no-cache", ...headers });
      response.end(body);
      return;
    }
    response.writeHead(404, headers).end();
  };
}

/** Starts a Chromium on a profile directory: incognito contexts would keep files in memory. */
export async function launch(dir: string): Promise<BrowserContext> {
  const context = await chromium.launchPersistentContext(dir, {
    executablePath: chromiumPath,
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
    timeout: TEST_MS,
  });
  context.setDefaultTimeout(EXPECT_MS);
  return context;
}

/** A running static site. */
export interface Site {
  /** http://localhost:port/ */
  readonly url: string;
  close(): void;
}

/** Starts a static site on a free port: the test page and the package, unless told otherwise. */
export async function startSite(options: SiteOptions = {}): Promise<Site> {
  const handle = handler(options);
  const site = createServer((request, response) => void handle(request, response)).listen(0, "127.0.0.1");
  await once(site, "listening");
  return {
    url: `http://localhost:${(site.address() as AddressInfo).port}/`,
    close() { site.closeAllConnections(); site.close(); },
  };
}

/** A device's own way to the server, which can be pulled out and plugged in again. */
export interface Wire {
  readonly url: string;
  /** Breaks every connection, and refuses new ones. */
  pull(): void;
  plug(): void;
  close(): void;
}

/** Forwards connections to the server at url. Playwright's setOffline leaves a worker's streams open; this does not. */
export async function startWire(url: string): Promise<Wire> {
  const target = new URL(url), sockets = new Set<Socket>();
  let plugged = true;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  const wire = createSocket((near) => {
    if (!plugged) { near.destroy(); return; }
    const far = connect(Number(target.port), target.hostname);
    keep(near);
    keep(far);
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
    near.pipe(far).pipe(near);
  }).listen(0, "127.0.0.1");
  await once(wire, "listening");
  const pull = () => { plugged = false; for (const socket of sockets) socket.destroy(); };
  return {
    url: `http://127.0.0.1:${(wire.address() as AddressInfo).port}`,
    pull,
    plug() { plugged = true; },
    close() { pull(); wire.close(); },
  };
}
