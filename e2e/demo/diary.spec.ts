// The diary as a person uses it: begun, a second device let in, removed, and recovered from the paper. Screenshots go
// to .cache/screenshots.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";

const pictures = join(root, ".cache/screenshots");

const ready = (page: Page, state: string) => expect(page.locator("html")).toHaveAttribute("data-ready", state);

async function write(page: Page, text: string): Promise<void> {
  await page.getByLabel("What was today?").fill(text);
  await page.getByRole("button", { name: "Write it down" }).click();
  await expect(page.locator(".pages li").filter({ hasText: text })).toBeVisible();
}

const phoneWidth = 390;

/** Pictures of a page, light and dark, as wide as it is and as a phone is; no part of it is wider than that. */
async function picture(page: Page, name: string): Promise<void> {
  const before = page.viewportSize()!;
  for (const width of new Set([before.width, phoneWidth])) {
    await page.setViewportSize({ ...before, width });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name}, ${width} wide`)
      .toBeLessThanOrEqual(width);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await expect(page.locator("html")).toHaveAttribute("data-theme", colorScheme);
      await page.screenshot({ path: join(pictures, `diary-${name}-${width}-${colorScheme}.png`), fullPage: true,
        animations: "disabled" }); // colours change by a transition
    }
  }
  await page.setViewportSize(before);
}

test("a diary on two devices, without one of them, and from the paper", async ({ profile, server }) => {
  await mkdir(pictures, { recursive: true });
  const laptop = await (await profile()).context.newPage();
  await laptop.setViewportSize({ width: 1280, height: 900 });
  await laptop.goto(`${server.url}/diary/`);
  await ready(laptop, "locked");
  await picture(laptop, "desktop-begin");
  const begin = laptop.getByRole("form", { name: "Begin a diary" });
  await begin.getByLabel("A name for this device").fill("Ada's laptop");
  await begin.getByRole("button", { name: "Begin" }).click();
  await ready(laptop, "inside");
  await write(laptop, "The first page, from the laptop");

  await laptop.getByRole("button", { name: "Make a recovery code" }).click();
  const sheet = laptop.locator(".sheet");
  const code = (await sheet.locator(".code").getAttribute("data-code"))!;
  expect(code).toMatch(/^([0-9A-Z]{4}-){6}[0-9A-Z]{4}$/);
  await picture(laptop, "desktop-code");
  const typed = sheet.getByLabel("Type the last four symbols");
  await typed.fill("????");
  await expect(sheet.getByRole("button", { name: "It is on paper" })).toBeDisabled();
  await typed.fill(code.slice(-4).toLowerCase());
  await sheet.getByRole("button", { name: "It is on paper" }).click();
  await expect(laptop.getByText("A recovery code on paper")).toBeVisible();

  const phone = await (await profile()).context.newPage();
  await phone.setViewportSize({ width: phoneWidth, height: 844 });
  const invite = async () => {
    await laptop.getByRole("button", { name: "Add a device" }).click();
    const link = laptop.getByLabel("Link", { exact: true });
    await expect(link).toHaveValue(/#heddle=/);
    return link.inputValue();
  };
  const joins = async (link: string) => {
    await phone.goto("about:blank"); // the same page with another fragment would not load
    await phone.goto(link);
    await ready(phone, "locked");
    await phone.getByLabel("A name for this device").fill("Ada's phone");
    await phone.getByRole("button", { name: "Continue" }).click();
    const digits = phone.locator(".digits");
    await expect(digits).toBeVisible();
    await expect(laptop.locator(".digits")).toHaveText((await digits.textContent())!);
  };
  await joins(await invite()); // and the laptop's user says that the numbers differ
  await picture(laptop, "desktop-asks");
  await picture(phone, "phone-digits");
  await laptop.getByRole("button", { name: "No", exact: true }).click();
  await expect(phone.getByRole("alert")).toHaveText("The other device said no.");
  await joins(await invite());
  await laptop.getByRole("button", { name: "Yes, let it in" }).click();
  await ready(phone, "inside");
  expect(new URL(phone.url()).hash).toBe(""); // the link counts once
  await expect(phone.locator(".pages li")).toHaveText(/The first page, from the laptop/);
  await write(phone, "The second page, from the phone");
  await expect(laptop.locator(".pages li")).toHaveCount(2);
  await expect(phone.getByRole("region", { name: "Devices" }).locator(".name")).toHaveText(
    [/Ada's (laptop|phone this device)/, /Ada's (laptop|phone this device)/]);
  await picture(laptop, "desktop-inside");
  await picture(phone, "phone-inside");

  await laptop.getByRole("button", { name: "Remove Ada's phone" }).click();
  await picture(laptop, "desktop-remove");
  await laptop.getByRole("button", { name: "Remove it" }).click();
  // The phone has asked for nothing: its stream has ended.
  await expect(phone.getByRole("heading", { name: "This device was removed" })).toBeVisible();
  await write(laptop, "The third page, not for the phone");
  await write(phone, "Kept on the phone alone");
  await expect(phone.locator(".pages li")).toHaveCount(3);
  await expect(phone.getByText("not for the phone")).toHaveCount(0);
  await picture(phone, "phone-removed");
  await phone.reload(); // what it has, and what nobody took from it, outlives the page
  await expect(phone.getByRole("heading", { name: "This device was removed" })).toBeVisible();
  await expect(phone.locator(".pages li").filter({ hasText: "Kept on the phone alone" })).toBeVisible();
  await expect(phone.locator(".diary")).toHaveAttribute("data-pending", "1");
  await expect(laptop.locator(".diary")).toHaveAttribute("data-pending", "0");

  const tablet = await (await profile()).context.newPage();
  await tablet.setViewportSize({ width: 820, height: 1100 });
  await tablet.goto(laptop.url());
  await ready(tablet, "locked");
  const recover = tablet.getByRole("form", { name: "I have a recovery code" });
  await recover.getByLabel("A name for this device").fill("A new tablet");
  await recover.getByLabel("The code from your paper").fill(code.replace(/.$/, (c) => (c === "0" ? "1" : "0")));
  await recover.getByRole("button", { name: "Open my diary" }).click();
  await expect(recover.getByRole("alert")).toContainText("symbol by symbol");
  await picture(tablet, "tablet-wrong-code");
  await recover.getByLabel("The code from your paper").fill(code.toLowerCase());
  await recover.getByRole("button", { name: "Open my diary" }).click();
  await ready(tablet, "inside");
  await expect(tablet.locator(".pages li")).toHaveCount(3);
  await write(tablet, "The fourth page, from the new tablet");
  await expect(laptop.locator(".pages li").first()).toContainText("from the new tablet");
  await picture(tablet, "tablet-recovered");
});
