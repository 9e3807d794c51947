// A Firefox driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/):
// Playwright drives only a build of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { webSocket } from "./websocket.js";

export const firefoxPath = process.env["FIREFOX"] ?? "/usr/bin/firefox-esr";

export interface FirefoxTab {
  /** Evaluates an expression, awaits it, and returns its value; throws what it throws, with its code. */
  evaluate<T = unknown>(expression: string): Promise<T>;
  /** Loads url, and waits until the page is ready. */
  visit(url: string): Promise<void>;
  close(): Promise<void>;
}

export interface Firefox {
  tab(url: string): Promise<FirefoxTab>;
  /** Ends it as the user would. */
  close(): Promise<void>;
  /** Ends every process of it at once. */
  kill(): Promise<void>;
}

/** Settings that a test changes, by name: about:config. */
export interface Preferences { [name: string]: string | number | boolean }

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function launchFirefox(profile: string, preferences: Preferences = {}): Promise<Firefox> {
  mkdirSync(profile, { recursive: true });
  writeFileSync(join(profile, "user.js"), Object.entries(preferences)
    .map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(""));
  // A group of its own: its content processes end with it.
  const child = spawn(firefoxPath,
    ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank"],
    { stdio: ["ignore", "ignore", "pipe"], detached: true });
  const exit = once(child, "exit");
  let said = "";
  const address = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const found = /WebDriver BiDi listening on (ws:\S+)/.exec(said);
      if (found) resolve(found[1]!);
    });
    child.on("error", reject);
    void exit.then(() => reject(new Error(`firefox ended:\n${said}`)));
  });
  const waiting = new Map<number, { resolve(value: any): void; reject(error: Error): void }>();
  let next = 1;
  const socket = await webSocket(`${address}/session`, (text) => {
    const { id, type, result, error, message } = JSON.parse(text) as { id?: number; type: string; result?: unknown;
      error?: string; message?: string };
    if (id === undefined) return;
    if (type === "success") waiting.get(id)?.resolve(result);
    else waiting.get(id)?.reject(new Error(`${error}: ${message}`));
    waiting.delete(id);
  }, () => {
    for (const { reject } of waiting.values()) reject(new Error("firefox is gone"));
    waiting.clear();
  });
  const send = (method: string, params: object) => new Promise<any>((resolve, reject) => {
    const id = next++;
    waiting.set(id, { resolve, reject });
    socket.send(JSON.stringify({ id, method, params }));
  });
  await send("session.new", { capabilities: {} });

  return {
    async tab(url) {
      // A window of its own: what only hidden pages show is not run.
      const { context } = await send("browsingContext.create", { type: "window" });
      const tab: FirefoxTab = {
        async evaluate(expression) {
          // Values cross as JSON: BiDi's own form of them is wordy.
          const { type, result, exceptionDetails } = await send("script.evaluate", {
            expression: `(async () => { try { return JSON.stringify({ value: await (${expression}) }); ` +
              `} catch (e) { return JSON.stringify({ thrown: { name: e.name, code: e.code, message: e.message } }); ` +
              `} })()`,
            target: { context }, awaitPromise: true,
          });
          if (type !== "success") throw new Error(exceptionDetails.text);
          const { value, thrown } = JSON.parse(result.value);
          if (thrown) throw Object.assign(new Error(thrown.message), thrown);
          return value;
        },
        async visit(url) {
          await send("browsingContext.navigate", { context, url, wait: "complete" });
          while (!(await tab.evaluate(`"ready" in document.documentElement.dataset`))) await pause(20);
        },
        async close() {
          await send("browsingContext.close", { context });
        },
      };
      await tab.visit(url);
      return tab;
    },
    async close() {
      void send("browser.close", {}).catch(() => {});
      await exit;
    },
    async kill() {
      process.kill(-child.pid!, "SIGKILL");
      await exit;
    },
  };
}
