// A WebKitGTK driven over WebDriver (https://w3c.github.io/webdriver/): Playwright drives only a build of its own.
// Debian's webkit2gtk-driver has the driver and MiniBrowser, which shows itself on a display of its own, Xvfb's.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { freePort } from "../harness.js";
import { EXPECT_MS, TEST_MS } from "../limits.js";

export interface WebKitTab {
  /** Evaluates an expression, awaits it, and returns its value; throws what it throws, with its code. */
  evaluate<T = unknown>(expression: string): Promise<T>;
  /** Loads url, and waits until the page is ready. */
  visit(url: string): Promise<void>;
  close(): Promise<void>;
}

export interface WebKit {
  /** WebKitGTK's version, such as 2.50.6. */
  readonly version: string;
  tab(url: string): Promise<WebKitTab>;
  close(): Promise<void>;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The number of a new display, and what ends it. */
async function display(): Promise<{ name: string; server: ChildProcess }> {
  const server = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
    { stdio: ["ignore", "ignore", "ignore", "pipe"] });
  const ended = once(server, "exit").then(() => { throw new Error("Xvfb ended"); });
  const [number] = await Promise.race([once(server.stdio[3] as Readable, "data"), ended]);
  ended.catch(() => {});
  return { name: `:${String(number).trim()}`, server };
}

/** Sends commands to the driver, one after the other: each is for the window that was chosen before it. */
function remote(port: number) {
  let last: Promise<unknown> = Promise.resolve();
  const request = async <T = void>(method: string, path: string, body?: object): Promise<T> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, signal: AbortSignal.timeout(TEST_MS),
      ...(body ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {}) });
    const { value } = await answer.json() as { value: unknown };
    const failure = value as { error?: string; message?: string } | null;
    if (failure?.error) throw new Error(`${failure.error}: ${failure.message}`);
    return value as T;
  };
  /** Runs several requests with no other between them. */
  const alone = <T>(work: (send: typeof request) => Promise<T>): Promise<T> => {
    const mine = last.then(() => work(request));
    last = mine.catch(() => {});
    return mine;
  };
  return { request, alone };
}

async function driverOn(port: number, name: string): Promise<ChildProcess> {
  // A group of its own: the browser and its processes end with it.
  const driver = spawn("WebKitWebDriver", [`--port=${port}`], {
    env: { ...process.env, DISPLAY: name, WEBKIT_DISABLE_COMPOSITING_MODE: "1", GSETTINGS_BACKEND: "memory" },
    stdio: "ignore", detached: true,
  });
  for (;;) {
    if (driver.exitCode !== null) throw new Error(`WebKitWebDriver ended with ${driver.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${port}/status`).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer) return driver;
    await pause(50);
  }
}

/** A browser with a profile that ends with it: the driver knows no other. */
export async function launchWebKit(): Promise<WebKit> {
  const port = await freePort(), { name, server } = await display(), driver = await driverOn(port, name);
  const { request, alone } = remote(port);
  const { sessionId, capabilities } = await request<{ sessionId: string; capabilities: { browserVersion: string } }>(
    "POST", "/session", { capabilities: {} });
  const session = `/session/${sessionId}`;
  const home = await request<string>("GET", `${session}/window`);
  await request("POST", `${session}/timeouts`, { script: EXPECT_MS, pageLoad: EXPECT_MS });

  return {
    version: capabilities.browserVersion,
    async tab(url) {
      const { handle } = await alone(async (send) => {
        await send("POST", `${session}/window`, { handle: home }); // the one before may be closed
        // A window of its own: pages in the background are told nothing of live queries.
        return send<{ handle: string }>("POST", `${session}/window/new`, { type: "window" });
      });
      const here = <T>(work: (send: typeof request) => Promise<T>) => alone(async (send) => {
        await send("POST", `${session}/window`, { handle });
        return work(send);
      });
      const tab: WebKitTab = {
        async evaluate(expression) {
          const script = `const done = arguments[0]; (async () => JSON.stringify({ value: await (${expression}) }))()
            .catch((e) => JSON.stringify({ thrown: { name: e.name, code: e.code, message: e.message } })).then(done);`;
          const answer = await here((send) => send<string>("POST", `${session}/execute/async`, { script, args: [] }));
          const { value, thrown } = JSON.parse(answer);
          if (thrown) throw Object.assign(new Error(thrown.message), thrown);
          return value;
        },
        async visit(url) {
          await here((send) => send("POST", `${session}/url`, { url }));
          while (!(await tab.evaluate(`"ready" in document.documentElement.dataset`))) await pause(20);
        },
        async close() {
          await here((send) => send("DELETE", `${session}/window`));
        },
      };
      await tab.visit(url);
      return tab;
    },
    async close() {
      await request("DELETE", session).catch(() => {}); // it may have crashed
      process.kill(-driver.pid!, "SIGKILL");
      server.kill("SIGKILL");
    },
  };
}
