// The demo as a person uses it; screenshots go to .cache/screenshots.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";

const pictures = join(root, ".cache/screenshots");

/** Waits until the demo has opened its database. */
async function ready(page: Page): Promise<Page> {
  await expect(page.locator("html")).toHaveAttribute("data-ready", "open");
  return page;
}

async function add(page: Page, text: string): Promise<void> {
  await page.getByLabel("New note").fill(text);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await expect(page.locator(".card").filter({ hasText: text.split("\n")[0]! })).toBeVisible();
}

const card = (page: Page, text: string) => page.locator(".card").filter({ hasText: text });

test("add, edit, search, delete, undo", async ({ profile, server }) => {
  const page = await ready(await (await profile()).tab(server.url));
  await expect(page.getByRole("heading", { name: "An empty loom" })).toBeVisible();
  await page.keyboard.press("n");
  await expect(page.getByLabel("New note")).toBeFocused();
  await page.keyboard.type("Bread\n");
  await add(page, "Weaving\nA shuttle carries the weft through the shed");
  await expect(page.locator(".card")).toHaveCount(2);

  await card(page, "Bread").getByRole("button", { name: "Bread" }).click();
  await page.getByRole("dialog").getByLabel("Note", { exact: true }).fill("Rye, with caraway");
  await page.getByRole("button", { name: "Done" }).click();
  await expect(card(page, "Bread")).toContainText("Rye, with caraway");

  await page.keyboard.press("/");
  await expect(page.getByRole("searchbox")).toBeFocused();
  await page.keyboard.type("carr");
  await expect(page.locator(".card")).toHaveCount(1);
  await expect(page.locator(".card mark")).toHaveText("carries");
  await page.keyboard.press("Escape");
  await expect(page.locator(".card")).toHaveCount(2);

  await card(page, "Bread").getByRole("button", { name: "Pin the note", exact: true }).click();
  await expect(page.locator(".card").first()).toContainText("Bread");
  await card(page, "Bread").getByRole("button", { name: "Delete the note" }).click();
  await expect(page.locator(".card")).toHaveCount(1);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(card(page, "Bread")).toContainText("Rye, with caraway");

  await page.reload();
  await ready(page);
  await expect(page.locator(".card")).toHaveCount(2);
});

test("a second tab and a second device show the same, also after both were offline", async ({ profile, server }) => {
  const device = await profile();
  const one = await ready(await device.tab(server.url));
  await add(one, "Before\nwritten on the first");
  const open = async (button: string) => {
    const [page] = await Promise.all([device.context.waitForEvent("page"), one.locator(button).click()]);
    return ready(page);
  };
  const tab = await open("#second-tab"), two = await open("#second-device");
  expect(new URL(tab.url()).origin).toBe(new URL(one.url()).origin);
  expect(new URL(two.url()).origin).not.toBe(new URL(one.url()).origin);
  await expect(one.locator("#role")).toHaveAttribute("data-value", "leader");
  await expect(tab.locator("#role")).toHaveAttribute("data-value", "follower");
  await expect(two.locator("#role")).toHaveAttribute("data-value", "leader");
  await expect(card(tab, "Before")).toBeVisible();
  await expect(card(two, "Before")).toBeVisible();

  await one.getByLabel("Offline").check();
  await two.getByLabel("Offline").check();
  await expect(one.locator("#device")).toHaveAttribute("data-state", "paused");
  await add(one, "From the first");
  await add(two, "From the second");
  await expect(one.locator("#pending")).toHaveText("1");
  await expect(card(one, "From the second")).toHaveCount(0);
  await one.getByLabel("Offline").uncheck();
  await two.getByLabel("Offline").uncheck();
  await expect(card(one, "From the second")).toBeVisible();
  await expect(card(two, "From the first")).toBeVisible();
  await expect(card(tab, "From the second")).toBeVisible();
  for (const page of [one, two, tab]) {
    await expect(page.locator("#device")).toHaveAttribute("data-state", "live");
    await expect(page.locator("#pending")).toHaveText("0");
    await expect(page.locator("#seq")).toHaveText("3");
  }
  // The panel works the digest out once things are quiet.
  for (const page of [one, two, tab]) await expect(page.locator("#digest")).toHaveAttribute("data-seq", "3");
  const digests = await Promise.all([one, two, tab].map((page) => page.locator("#digest").getAttribute("data-digest")));
  expect(digests[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(digests).size).toBe(1);
  const cloths = await Promise.all([one, two, tab].map((page) => page.locator(".cloth").innerHTML()));
  expect(new Set(cloths).size, "different pieces of cloth").toBe(1);
});

for (const [name, width, height] of [["desktop", 1280, 820], ["phone", 360, 740]] as const) {
  for (const colours of ["light", "dark"] as const) {
    test(`pictures: ${name}, ${colours}`, async ({ profile, server }) => {
      await mkdir(pictures, { recursive: true });
      const device = await profile();
      const page = await device.context.newPage();
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme: colours, reducedMotion: "reduce" });
      const picture = async (of: string) => {
        await page.screenshot({ path: join(pictures, `${name}-${colours}-${of}.png`) });
        const wide = await page.evaluate(() =>
          document.documentElement.scrollWidth - document.documentElement.clientWidth);
        expect(wide, `${of}: pixels that stick out to the right`).toBe(0);
      };
      await page.goto(server.url);
      await ready(page);
      await expect(page.getByRole("heading", { name: "An empty loom" })).toBeVisible();
      await picture("empty");
      await page.getByRole("button", { name: "Start with three notes" }).click();
      await add(page, "Reading list\nThe Weather Machine\nThe Peregrine\nA Pattern Language");
      await expect(page.locator("#device")).toHaveAttribute("data-state", "live");
      await expect(page.locator("#digest")).toHaveAttribute("data-seq", /^[1-9]/);
      await picture("notes");
      if (name === "phone") {
        await page.locator(".summary").click();
        await expect(page.locator("#digest")).toBeVisible();
        await picture("device");
        await page.locator(".summary").click();
      }
      await card(page, "Reading list").getByRole("button", { name: /Reading list/ }).click();
      await expect(page.getByRole("dialog").getByLabel("Note", { exact: true })).toHaveValue(/Peregrine/);
      await picture("editor");
      await page.getByRole("button", { name: "Done" }).click();
      await page.getByRole("button", { name: /^Places/ }).click();
      await picture("places");
      await page.getByRole("button", { name: /Change to/ }).click();
      await expect(page.locator("html")).toHaveAttribute("data-theme", colours === "light" ? "dark" : "light");
    });
  }
}
