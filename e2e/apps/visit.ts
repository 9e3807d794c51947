// What the browser does in each mode: two tabs, a live query that crosses, the leader's end, a reload.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BrowserContext, Page } from "@playwright/test";
import type { Mode } from "./apps.js";

/** It ends what hangs, on any machine. */
export const STEP_MS = 120_000;

/** What a first visit cost until the list was there, and what the console said. */
export interface Visit {
  requests: number;
  kilobytes: number;
  milliseconds: number;
  warnings: string[];
}

const timeout = STEP_MS;
const item = (page: Page, text: string) => page.locator("li", { hasText: text });
const ready = (page: Page) => page.getByText(/^ready: /).waitFor({ timeout });

async function add(page: Page, text: string): Promise<void> {
  await page.getByLabel("Note").fill(text);
  await page.getByRole("button", { name: "Add" }).click();
}

/** Visits url in the mode's two tabs; throws where a step fails. */
export async function visit(context: BrowserContext, url: string, dir: string, mode: Mode): Promise<Visit> {
  const warnings: string[] = [];
  context.on("console", (message) => {
    if (["warning", "error"].includes(message.type())) warnings.push(message.text());
  });
  context.on("weberror", (error) => warnings.push(String(error.error())));
  const [first, cost] = await firstVisit(context, url);
  const second = await context.newPage();
  await second.goto(url);
  await ready(second);
  await add(first, "from the first tab");
  await item(second, "from the first tab").waitFor({ timeout });
  const leads = await first.getByText("ready: leader").count() > 0;
  const [leader, other] = leads ? [first, second] : [second, first];
  await leader.close();
  await add(other, "after the leader");
  await item(other, "after the leader").waitFor({ timeout });
  await other.reload();
  for (const text of ["from the first tab", "after the leader"]) await item(other, text).waitFor({ timeout });
  if (mode.hot) await hotReload(other, join(dir, mode.hot.file), mode.hot.text);
  if (mode.offline) await offline(context, other);
  await oneWorker(other);
  return { ...cost, warnings };
}

async function firstVisit(context: BrowserContext, url: string): Promise<[Page, Omit<Visit, "warnings">]> {
  let requests = 0;
  const sizes: Promise<number>[] = [];
  const count = (request: import("@playwright/test").Request) => {
    requests++;
    sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize, () => 0));
  };
  context.on("requestfinished", count);
  const started = performance.now();
  const page = await context.newPage();
  await page.goto(url);
  await ready(page);
  const milliseconds = performance.now() - started;
  context.off("requestfinished", count);
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  return [page, { requests, kilobytes: bytes / 1000, milliseconds }];
}

/** Edits a file of the app, as its author does: the page shows the edit without being loaded again, and goes on. */
async function hotReload(page: Page, file: string, text: string): Promise<void> {
  const kept = "the page of before";
  await page.evaluate((mark) => { document.documentElement.dataset["mark"] = mark; }, kept);
  await writeFile(file, (await readFile(file, "utf8")).replace(text, "Edited"));
  await page.getByRole("heading", { name: "Edited" }).waitFor({ timeout });
  if (await page.evaluate(() => document.documentElement.dataset["mark"]) !== kept) throw new Error("it was reloaded");
  await ready(page);
  await add(page, "after an edit");
  await item(page, "after an edit").waitFor({ timeout });
}

/** A reload with the network off, which a service worker has to serve. */
async function offline(context: BrowserContext, page: Page): Promise<void> {
  await page.evaluate(() => navigator.serviceWorker.ready);
  await context.setOffline(true);
  await page.reload();
  await item(page, "after the leader").waitFor({ timeout });
  await add(page, "without a network");
  await item(page, "without a network").waitFor({ timeout });
}

/** However often a page has opened the database, by StrictMode or by an edit, it has one worker. */
async function oneWorker(page: Page): Promise<void> {
  const workers = page.workers().length;
  if (workers !== 1) throw new Error(`the page has ${workers} workers`);
}
