// The demo's pages against the rules of WCAG 2.2 that a program can check: https://github.com/dequelabs/axe-core
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "@playwright/test";
import type * as Axe from "axe-core";
import { expect, test } from "../fixtures.js";
import { Device, ready } from "./demo.js";

declare const axe: typeof Axe;

/** What breaks a rule in the page as it stands. */
async function broken(page: Page): Promise<string[]> {
  // By the debugger: the page's Content-Security-Policy takes no other script.
  const debug = await page.context().newCDPSession(page);
  const expression = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await debug.send("Runtime.evaluate", { expression });
  await debug.detach();
  const found = await page.evaluate(async () => {
    const { violations, passes } = await axe.run(document);
    const names = violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(" ")}`));
    return { names, looked: passes.length };
  });
  expect(found.looked, "rules that hold").toBeGreaterThan(20);
  return found.names;
}

for (const colours of ["light", "dark"] as const) {
  test(`no rule of accessibility is broken, ${colours}`, async ({ profile, server }) => {
    const page = await (await profile()).context.newPage();
    // Nothing fades while it is looked at.
    await page.emulateMedia({ colorScheme: colours, reducedMotion: "reduce" });
    await page.goto(server.url);
    await ready(page);
    const a = new Device(page, "a"), b = new Device(page, "b");
    await expect(a.pane.getByRole("heading", { name: "An empty loom" })).toBeVisible();
    expect(await broken(page), "empty").toEqual([]);

    await a.pane.getByRole("button", { name: "Start with three notes" }).click();
    await expect(b.card("It is one SQLite file")).toBeVisible();
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByRole("button", { name: "Both go online" }).click();
    await expect(page.getByRole("heading", { name: "What happened" })).toBeVisible();
    await a.card("Pull the plug").getByRole("button", { name: /^Pull/ }).click();
    for (const summary of await a.pane.locator(".fact summary").all()) await summary.click();
    await b.card("Pull the plug").getByRole("button", { name: "Delete the note" }).click();
    await expect(page.getByRole("button", { name: "Undo" })).toBeVisible();
    expect(await broken(page), "with notes, terms, an editor and a message").toEqual([]);
    await b.pane.getByRole("button", { name: /^Places/ }).click();
    expect(await broken(page), "places").toEqual([]);

    await page.goto(`${server.url}/diary/`);
    await expect(page.locator("html")).toHaveAttribute("data-ready", "locked");
    expect(await broken(page), "the diary's door").toEqual([]);
    await page.getByRole("button", { name: "Begin" }).click();
    await expect(page.locator("html")).toHaveAttribute("data-ready", "inside");
    await page.getByRole("button", { name: "Add a device" }).click();
    await expect(page.getByLabel("Link", { exact: true })).toHaveValue(/#heddle=/);
    expect(await broken(page), "the diary").toEqual([]);

    await page.goto(`${server.url}/check/`);
    await expect(page.locator("html")).toHaveAttribute("data-ready", "works");
    expect(await broken(page), "check").toEqual([]);
    for (const name of ["", "GLOSSARY.html"]) {
      await page.goto(`${server.url}/docs/${name}`);
      expect(await broken(page), `docs/${name}`).toEqual([]);
    }
  });
}
