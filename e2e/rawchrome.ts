// A Chromium driven over its debugging pipe alone. Playwright turns the
// back/forward cache off and its pages cannot be frozen; these can.
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { chromiumPath } from "./harness.js";

interface Message { id?: number; result?: unknown; error?: { message: string }; method?: string; params?: unknown;
  sessionId?: string }

export interface RawPage {
  /** The target, and the session attached to it, as events name them. */
  readonly target: string;
  readonly session: string;
  /** Evaluates an expression, awaits it, and returns its value; throws what it throws. */
  evaluate<T = unknown>(expression: string): Promise<T>;
  /** Evaluates until the value is the one wanted. */
  until(expression: string, want: unknown): Promise<void>;
  send(method: string, params?: object): Promise<unknown>;
}

export interface RawChrome {
  /** The browser's process. */
  readonly pid: number;
  /** A new tab at url, ready; as with blank. */
  page(url: string, newWindow?: boolean): Promise<RawPage>;
  /** A new tab, empty; in a window of its own it is visible, whatever comes after it. */
  blank(newWindow?: boolean): Promise<RawPage>;
  /** A method of the browser itself. */
  send(method: string, params?: object): Promise<any>;
  /** Takes every event. */
  onevent(handler: (method: string, params: any, session: string | undefined) => void): void;
  close(): Promise<void>;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function rawChrome(profile: string): Promise<RawChrome> {
  const args = ["--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe",
    `--user-data-dir=${profile}`];
  if (process.getuid?.() === 0) args.push("--no-sandbox");
  const child = spawn(chromiumPath, args, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const pipe = child.stdio as unknown as [null, null, null, Writable, Readable];
  const waiting = new Map<number, (message: Message) => void>();
  let next = 1, rest = "";
  let event: (method: string, params: any, session: string | undefined) => void = () => {};
  pipe[4].setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\0");
    rest = parts.pop()!;
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      if (message.id !== undefined) waiting.get(message.id)?.(message);
      else if (message.method) event(message.method, message.params, message.sessionId);
    }
  });
  const send = (method: string, params: object = {}, sessionId?: string) => new Promise<any>((resolve, reject) => {
    const id = next++;
    waiting.set(id, ({ result, error }) => {
      waiting.delete(id);
      if (error) reject(new Error(`${method}: ${error.message}`));
      else resolve(result);
    });
    pipe[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  });
  const blank = async (newWindow = false): Promise<RawPage> => {
    const { targetId } = await send("Target.createTarget", { url: "about:blank", newWindow });
    const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
    const page: RawPage = {
      target: targetId, session: sessionId,
      send: (method, params) => send(method, params, sessionId),
      async evaluate(expression) {
        const { result, exceptionDetails } = await send("Runtime.evaluate",
          { expression, awaitPromise: true, returnByValue: true }, sessionId);
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
      },
      async until(expression, want) {
        // A page that is being left may answer with an error.
        while ((await page.evaluate(expression).catch(() => undefined)) !== want) await pause(20);
      },
    };
    await page.send("Page.enable");
    return page;
  };
  return {
    pid: child.pid!,
    blank,
    async page(url, newWindow) {
      const page = await blank(newWindow);
      await page.send("Page.navigate", { url });
      await page.until(`location.href === ${JSON.stringify(url)} && "ready" in document.documentElement.dataset`, true);
      return page;
    },
    send,
    onevent(handler) { event = handler; },
    async close() {
      const exit = once(child, "exit");
      send("Browser.close").catch(() => {});
      await exit;
    },
  };
}
