// The page that tests the visitor's browser: what it says where all is well, and where something is missing.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";

const pictures = join(root, ".cache/screenshots");

const ended = (page: Page) => expect(page.locator("html")).toHaveAttribute("data-ready", /works|failed/);
const line = (page: Page, name: string) => page.locator("#checks li").filter({ hasText: name }).first();

test("a browser that has all: each check works, and the report can be pasted", async ({ profile, server }) => {
  const device = await profile();
  await device.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.url });
  const page = await device.context.newPage();
  await page.goto(`${server.url}/check`);
  await ended(page);
  const report = await page.getByRole("textbox", { name: "Report" }).inputValue();
  expect(report.match(/^(fails|not tried|missing) .*/gm), report).toBeNull();
  await expect(page.getByRole("status")).toHaveText("Heddle works here.");
  expect(await page.locator("#checks li[data-result=works]").count()).toBe(await page.locator("#checks li").count());
  for (const says of [/^```\nHeddle \d+\.\d+\.\d+, check of 20/, /Chrome/, /SQLite 3\.\d+/, /a durable write [\d.]+ ms/,
    /it led \d+.* ms after the first was closed/, /there after the worker that wrote it was ended/, /```\n$/]) {
    expect(report).toMatch(says);
  }
  await page.getByRole("button", { name: "Copy" }).click();
  await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(report);
  // It leaves nothing behind.
  const left = () => page.evaluate(async () => {
    const names: string[] = [];
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("heddle").catch(() => undefined);
    for await (const name of (folder as unknown as { keys(): AsyncIterable<string> } | undefined)?.keys() ?? []) {
      names.push(name);
    }
    return names;
  });
  await expect.poll(left).toEqual([]);

  await page.getByRole("button", { name: "Check again" }).click();
  await expect(page.getByRole("button", { name: "Check again" })).toBeDisabled();
  await ended(page);
  await expect(page.getByRole("status")).toHaveText("Heddle works here.");
});

// What is broken in the page before it runs, and what the check says then.
const breaks: { [what: string]: { script: string; check: string; says: RegExp; verdict?: RegExp } } = {
  "no WebAssembly": { script: `delete globalThis.WebAssembly`, check: "WebAssembly", says: /There is no WebAssembly/ },
  "WebAssembly refused": {
    script: `WebAssembly.compile = () => Promise.reject(new WebAssembly.CompileError("refused by policy"))`,
    check: "WebAssembly", says: /Content-Security-Policy.*refused by policy/,
  },
  "no workers": { script: `delete globalThis.Worker`, check: "Workers", says: /There are no workers/ },
  "a worker that never answers": {
    script: `Worker.prototype.postMessage = () => {}`, check: "Workers", says: /no answer within 30 seconds/,
  },
  "no SharedWorker": {
    script: `delete globalThis.SharedWorker`, check: "SharedWorker", says: /BroadcastChannel instead/,
    verdict: /works here, with less/,
  },
  "no Web Locks": {
    script: `Object.defineProperty(navigator, "locks", { value: undefined })`, check: "Web Locks",
    says: /There are no Web Locks/,
  },
  "a lock that two hold": {
    script: `navigator.locks.request = async (name, run) => run({ name })`, check: "Web Locks",
    says: /two tabs would write one file/,
  },
  "no BroadcastChannel": {
    script: `delete globalThis.BroadcastChannel`, check: "BroadcastChannel", says: /There is no BroadcastChannel/,
  },
  "no private files": {
    script: `StorageManager.prototype.getDirectory = undefined`, check: "Private files", says: /no origin private file/,
  },
  "private files refused": {
    script: `StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException("no", "SecurityError"))`,
    check: "Private files", says: /refuses its private file system.*SecurityError/,
  },
};

for (const [what, { script, check, says, verdict = /does not work here/ }] of Object.entries(breaks)) {
  test(`a browser with a fault: ${what}`, async ({ profile, server }) => {
    const page = await (await profile()).context.newPage();
    await page.addInitScript(script);
    await page.goto(`${server.url}/check/`);
    await ended(page);
    await expect(line(page, check).locator("span")).toHaveText(says);
    await expect(line(page, check)).toHaveAttribute("data-result", check === "SharedWorker" ? "missing" : "fails");
    await expect(page.locator("#verdict")).toHaveText(verdict);
    await expect(line(page, "A database")).toHaveAttribute("data-result",
      check === "SharedWorker" ? "works" : "skipped");
    expect(await page.locator("#report").inputValue()).toMatch(says);
  });
}

test("a database whose files cannot be loaded", async ({ profile, server }) => {
  const page = await (await profile()).context.newPage();
  await page.route("**/heddle/sqlite3.wasm", (route) => route.abort());
  await page.goto(`${server.url}/check/`);
  await ended(page);
  await expect(line(page, "A database")).toHaveAttribute("data-result", "fails");
  await expect(line(page, "A database").locator("span")).toHaveText(/sqlite3\.wasm/);
  await expect(line(page, "Two tabs")).toHaveText(/Not tried, since it needs: A database/);
});

for (const [name, width, height] of [["desktop", 1280, 820], ["phone", 360, 740]] as const) {
  for (const colours of ["light", "dark"] as const) {
    test(`pictures of the check: ${name}, ${colours}`, async ({ profile, server }) => {
      await mkdir(pictures, { recursive: true });
      const page = await (await profile()).context.newPage();
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme: colours, reducedMotion: "reduce" });
      await page.addInitScript(`delete globalThis.SharedWorker`);
      await page.goto(`${server.url}/check/`);
      await ended(page);
      await page.screenshot({ path: join(pictures, `${name}-${colours}-check.png`), fullPage: true });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth))
        .toBe(0);
    });
  }
}
