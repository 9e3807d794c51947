// examples/kanban in a browser: built with Vite, on each query builder, in two tabs and on two devices.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { run } from "../apps/processes.js";
import { expect, test, type Profile } from "../fixtures.js";
import { root } from "../harness.js";

let dist: string;
test.beforeAll(async () => {
  dist = await mkdtemp(join(tmpdir(), "heddle-kanban-"));
  await run(`npx vite build --outDir ${dist}`, join(root, "examples/kanban"));
});
test.afterAll(() => rm(dist, { recursive: true, force: true }));

const list = (page: Page, title: string) =>
  page.locator("section").filter({ has: page.locator("h2", { hasText: title }) });
const card = (page: Page, title: string) => page.locator("article", { hasText: title });

async function add(page: Page, placeholder: string, text: string): Promise<void> {
  const field = page.getByLabel(placeholder, { exact: true });
  await field.fill(text);
  await field.press("Enter");
}

async function visit(device: Profile, url: string): Promise<Page> {
  const page = await device.context.newPage();
  await page.goto(url);
  await expect(page.locator("#status")).not.toBeEmpty();
  return page;
}

for (const orm of ["kysely", "drizzle"]) {
  test(`the board on ${orm}: two tabs, two devices, a reload without the server`,
    async ({ profile, serve, server }) => {
    const site = await serve({ mounts: { "/": dist } });
    const url = `${site}?orm=${orm}&server=${encodeURIComponent(server.url)}&space=${orm}`;
    const device = await profile();
    const a = await visit(device, url);
    await add(a, "New list", "To do");
    await add(a, "New list", "Doing");
    await add(a, "New card in To do", "Warp the loom");
    await expect(card(a, "Warp the loom")).toBeVisible();
    const tab = await visit(device, url);
    await expect(card(tab, "Warp the loom")).toBeVisible();
    await card(tab, "Warp the loom").getByRole("button", { name: /^Done/ }).click();
    await card(tab, "Warp the loom").getByRole("button", { name: /^Urgent/ }).click();
    await expect(list(a, "To do").locator("small")).toHaveText("1 of 1 done");
    await expect(card(a, "Warp the loom").locator("mark")).toHaveText("urgent");

    const other = await visit(await profile(), url);
    await expect(card(other, "Warp the loom")).toBeVisible();
    await add(other, "New card in Doing", "Wind the weft");
    await expect(list(a, "Doing").locator("article")).toHaveText(/Wind the weft/);
    await card(a, "Warp the loom").getByRole("button", { name: /^Move/ }).click();
    await expect(list(other, "Doing").locator("article")).toHaveCount(2);

    await a.getByLabel("Search cards").fill("loo");
    await expect(card(a, "Wind the weft")).toBeHidden();
    await expect(card(a, "Warp the loom")).toBeVisible();
    await expect(a.locator("#status")).toHaveText("live, 0 to send");
    await a.setViewportSize({ width: 390, height: 780 });
    expect(await a.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await a.screenshot({ path: test.info().outputPath(`${orm}-phone.png`) });
    await other.screenshot({ path: test.info().outputPath(`${orm}-desktop.png`) });

    await server.stop();
    await tab.reload();
    await expect(list(tab, "Doing").locator("article")).toHaveCount(2);
  });
}
