// The page itself without a network: its service worker.
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";
import { Device, ready } from "./demo.js";

/** Waits until the service worker has all files. */
const kept = (page: Page) => page.evaluate(async () => void await navigator.serviceWorker.ready);

test("the server is gone: after a reload the page and the data are there, and writing goes on",
  async ({ profile, server }) => {
  const device = await profile();
  const page = await ready(await device.tab(server.url));
  const a = new Device(page, "a");
  await a.add("Before the end");
  await expect(new Device(page, "b").card("Before the end")).toBeVisible();
  await kept(page);
  await server.stop();
  await page.reload();
  await ready(page);
  await expect(a.card("Before the end")).toBeVisible();
  await expect(a.pane).toHaveAttribute("data-state", "offline");
  await a.add("Without a server");
  await expect(a.fact("pending")).toHaveText("1");

  // Also in a new tab, after a restart of the browser, and on the page that checks it.
  await device.restart();
  const again = await ready(await device.tab(server.url));
  await expect(new Device(again, "a").card("Without a server")).toBeVisible();
  await again.goto(`${server.url}/check`);
  await expect(again.locator("html")).toHaveAttribute("data-ready", "works");

  await server.start();
  await again.goto(server.url);
  await expect(new Device(await ready(again), "b").card("Without a server")).toBeVisible();
});

test("a newer version is offered, and all tabs take it at once", async ({ profile, serve }) => {
  const dir = await mkdtemp(join(tmpdir(), "heddle-demo-"));
  await cp(join(root, "web/demo/dist"), dir, { recursive: true });
  const url = await serve({ mounts: { "/": dir } });
  const device = await profile();
  const page = await ready(await device.tab(url));
  await kept(page);
  const other = await ready(await device.tab(url));
  await expect(page.getByText("A newer version")).toHaveCount(0);

  // The next build: another page, and so another version in the worker's script.
  const edit = async (file: string, from: string | RegExp, to: string) => {
    const before = await readFile(join(dir, file), "utf8"), after = before.replace(from, to);
    expect(after, file).not.toBe(before);
    await writeFile(join(dir, file), after);
  };
  await edit("index.html", "<h1>SQLite in your browser", "<h1>The next version");
  await edit("sw.js", /heddle-demo [0-9a-f]{16}/, "heddle-demo 0123456789abcdef");
  await page.reload();
  await ready(page);
  await expect(page.getByRole("heading", { level: 1 })).toContainText("SQLite in your browser");
  await page.getByRole("button", { name: "Reload" }).click();
  for (const tab of [page, other]) {
    await expect(tab.getByRole("heading", { level: 1 })).toContainText("The next version");
    await ready(tab);
  }
  expect(await page.evaluate(() => caches.keys())).toEqual(["heddle-demo 0123456789abcdef"]);
  await rm(dir, { recursive: true, force: true });
});
