// The demo and the check in Firefox, which is driven as e2e/firefox does it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchFirefox, type Firefox, type FirefoxTab, type Preferences } from "../firefox/firefox.js";
import { expect, test as base } from "../fixtures.js";

const test = base.extend<{ launch(preferences?: Preferences): Promise<Firefox> }>({
  launch: async ({}, use) => {
    const ends: (() => Promise<void>)[] = [];
    await use(async (preferences) => {
      const profile = mkdtempSync(join(tmpdir(), "heddle-firefox-"));
      const firefox = await launchFirefox(profile, preferences);
      ends.push(async () => {
        await firefox.kill().catch(() => {}); // it may have ended already
        rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
      });
      return firefox;
    });
    for (const end of ends) await end();
  },
});

const ready = (tab: FirefoxTab) => tab.evaluate<string>(`document.documentElement.dataset.ready`);
const text = (tab: FirefoxTab, selector: string) =>
  tab.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ""`);

test("the check finds all that is needed", async ({ launch, server }) => {
  const tab = await (await launch()).tab(`${server.url}/check/`);
  await expect.poll(() => ready(tab)).toMatch(/works|failed/);
  const report = await tab.evaluate<string>(`document.querySelector("#report").value`);
  expect(report.match(/^(fails|not tried|missing) .*/gm), report).toBeNull();
  expect(report).toContain("Firefox/");
  expect(await text(tab, "#verdict")).toBe("Heddle works here.");
});

test("in a private window the check says that there are no private files", async ({ launch, server }) => {
  const tab = await (await launch({ "browser.privatebrowsing.autostart": true })).tab(`${server.url}/check/`);
  await expect.poll(() => ready(tab)).toBe("failed");
  expect(await tab.evaluate<string>(`document.querySelector("#report").value`))
    .toMatch(/^fails\s+Private files \(OPFS\): The browser refuses its private file system/m);
  expect(await text(tab, "#verdict")).toContain("does not work here");
});

test("two devices, a conflict, and a reload after the server has gone", async ({ launch, server }) => {
  const tab = await (await launch()).tab(server.url);
  await expect.poll(() => ready(tab)).toBe("open");
  await tab.evaluate(`document.querySelector(".conflict .primary").click()`);
  await expect.poll(() => text(tab, ".conflict .primary")).toBe("Both go online");
  await tab.evaluate(`document.querySelector(".conflict .primary").click()`);
  await expect.poll(() => text(tab, "#conflict-title")).toBe("What happened");
  const title = await text(tab, "#device-a .card .title");
  expect(title).toMatch(/^(Tea at four|Coffee at five)$/);
  expect(await text(tab, "#device-b .card .title")).toBe(title);

  await tab.evaluate(`navigator.serviceWorker.ready.then(() => 1)`);
  await server.stop();
  await tab.visit(server.url);
  await expect.poll(() => text(tab, "#device-a .card .title")).toBe(title);
  await expect.poll(() => tab.evaluate(`document.querySelector("#device-a").dataset.state`)).toBe("offline");
});
