// The demo as its tests see it.
import type { Locator, Page } from "@playwright/test";
import { expect } from "../fixtures.js";

/** Waits until the page has opened its databases. */
export async function ready(page: Page): Promise<Page> {
  await expect(page.locator("html")).toHaveAttribute("data-ready", "open");
  return page;
}

/** One device of the page. */
export class Device {
  readonly pane: Locator;

  constructor(readonly page: Page, name: string) {
    this.pane = page.locator(`#device-${name}`);
  }

  card(text: string): Locator {
    return this.pane.locator(".card").filter({ hasText: text });
  }

  /** The value of a fact, such as "pending" or "role". */
  fact(name: string): Locator {
    return this.pane.locator(`[data-fact="${name}"] summary b`);
  }

  get offline(): Locator {
    return this.pane.getByRole("switch", { name: "Offline" });
  }

  async add(text: string): Promise<void> {
    await this.pane.getByLabel("New note").fill(text);
    await this.pane.getByRole("button", { name: "Add", exact: true }).click();
    await expect(this.card(text.split("\n")[0]!)).toBeVisible();
  }

  /** Waits until the server has everything of the device, and the device all up to that number. */
  async synced(seq: number): Promise<void> {
    await expect(this.pane).toHaveAttribute("data-state", "live");
    await expect(this.pane).toHaveAttribute("data-pending", "0");
    await expect(this.pane).toHaveAttribute("data-seq", String(seq));
  }

  /** The digest at a sequence number: the page works it out once things are quiet. */
  async digest(seq: number): Promise<string> {
    const shown = this.pane.locator(".digest");
    await expect(shown).toHaveAttribute("data-seq", String(seq));
    return (await shown.getAttribute("data-digest"))!;
  }
}
