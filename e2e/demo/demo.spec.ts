// The demo as a person uses it; screenshots go to .cache/screenshots.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";
import { Device, ready } from "./demo.js";

/** Waits until an element has had a text, for however short a time. */
const seen = (page: Page, selector: string, text: string) =>
  page.evaluate(({ selector, text }) => new Promise<void>((resolve) => {
    const observer = new MutationObserver(() => {
      if (![...document.querySelectorAll(selector)].some((element) => element.textContent?.includes(text))) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(document.body, { childList: true, characterData: true, subtree: true });
  }), { selector, text });

const pictures = join(root, ".cache/screenshots");

test("add, edit, search, give a heart, delete, undo; each action's SQL is shown", async ({ profile, server }) => {
  const page = await ready(await (await profile()).tab(server.url));
  const a = new Device(page, "a"), b = new Device(page, "b");
  const sql = a.pane.getByRole("list", { name: /^SQL/ }).locator("li").first();
  await expect(page.getByRole("heading", { level: 1 })).toHaveCount(1);
  await expect(a.pane.getByRole("heading", { name: "An empty loom" })).toBeVisible();
  await expect(sql).toContainText("SELECT id, title");
  await expect(sql).toContainText("live query");
  await a.pane.getByLabel("New note").fill("Bread");
  await page.keyboard.press("Enter");
  await expect(sql).toContainText("INSERT INTO notes");
  await expect(sql).toContainText(/\["Bread".*1 row/);
  await a.add("Weaving\nA shuttle carries the weft through the shed");
  await expect(a.pane.locator(".card")).toHaveCount(2);

  await a.card("Bread").getByRole("button", { name: "Bread" }).click();
  await expect(a.pane.getByLabel("Note", { exact: true })).toBeFocused();
  const marked = seen(page, "#device-b .card", "from another device"); // for some seconds
  await page.keyboard.type("Rye, with caraway");
  // What is typed on one device comes to the other while it is typed.
  await expect(b.card("Bread")).toContainText("Rye, with caraway");
  await marked;
  await page.keyboard.press("Escape");
  await expect(a.card("Bread").getByRole("button", { name: /^Bread/ })).toBeFocused();
  await expect(a.card("Bread")).toContainText("Rye, with caraway");
  await expect(sql).toContainText("UPDATE notes SET body = ?, updated = ?");

  await a.pane.getByRole("searchbox").fill("carr");
  await expect(a.pane.locator(".card")).toHaveCount(1);
  await expect(a.pane.locator("mark")).toHaveText("carries");
  await expect(sql).toContainText("notes_fts MATCH ?");
  await a.pane.getByRole("searchbox").fill("nowhere");
  await expect(a.pane.getByRole("heading", { name: "No note says that" })).toBeVisible();
  await a.pane.getByRole("searchbox").fill("");
  await expect(a.pane.locator(".card")).toHaveCount(2);

  await a.card("Bread").getByRole("button", { name: /heart/ }).click();
  await expect(b.card("Bread").getByRole("button", { name: "Give a heart; it has 1" })).toBeVisible();
  await a.card("Bread").getByRole("button", { name: "Pin the note", exact: true }).click();
  await expect(a.pane.locator(".card").first()).toContainText("Bread");
  await a.card("Bread").getByRole("button", { name: "Delete the note" }).click();
  await expect(a.pane.locator(".card")).toHaveCount(1);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(a.card("Bread")).toContainText("Rye, with caraway");
  await expect(b.card("Bread")).toContainText("Rye, with caraway");
});

test("the editor takes in what another device changes, and keeps what is typed", async ({ profile, server }) => {
  const page = await ready(await (await profile()).tab(server.url));
  const a = new Device(page, "a"), b = new Device(page, "b");
  await a.add("One\nfirst");
  await expect(b.card("One")).toBeVisible();
  await a.card("One").getByRole("button", { name: /^One/ }).click();
  await b.card("One").getByRole("button", { name: /^One/ }).click();
  await a.pane.getByLabel("Note", { exact: true }).fill("from A");
  await expect(b.pane.getByLabel("Note", { exact: true })).toHaveValue("from A");
  await b.pane.getByLabel("Note", { exact: true }).fill("from B");
  await expect(a.pane.getByLabel("Note", { exact: true })).toHaveValue("from B");
  // The same text once more is written once more.
  await a.pane.getByLabel("Note", { exact: true }).fill("from A");
  await expect(b.pane.getByLabel("Note", { exact: true })).toHaveValue("from A");
  await a.pane.getByLabel("Title", { exact: true }).fill("Two");
  await a.pane.getByRole("button", { name: "Done" }).click();
  await expect(b.pane.getByLabel("Title", { exact: true })).toHaveValue("Two");
  await expect(a.card("Two")).toContainText("from A");
});

test("a second tab, a third device, and all of them after they were offline", async ({ profile, server }) => {
  const device = await profile();
  const page = await ready(await device.tab(server.url));
  const a = new Device(page, "a"), b = new Device(page, "b");
  await a.add("Before\nwritten on the first");
  await expect(b.card("Before")).toBeVisible();
  const open = async (link: string) => {
    const [opened] = await Promise.all([device.context.waitForEvent("page"),
      a.pane.getByRole("link", { name: link }).click()]);
    return ready(opened);
  };
  const tab = await open("Second tab"), other = await open("Third device");
  const a2 = new Device(tab, "a"), c = new Device(other, "c");
  expect(new URL(tab.url()).origin).toBe(new URL(page.url()).origin);
  expect(new URL(other.url()).origin).not.toBe(new URL(page.url()).origin);
  await expect(a.fact("role")).toHaveText("Leader");
  await expect(a2.fact("role")).toHaveText("Follower");
  await expect(c.fact("role")).toHaveText("Leader");
  await expect(a2.card("Before")).toBeVisible();
  await expect(c.card("Before")).toBeVisible();

  for (const one of [a, b, c]) await one.offline.check();
  await expect(a2.offline).toBeChecked();
  await a.add("From the first");
  await b.add("From the second");
  await c.add("From the third");
  await expect(a.fact("pending")).toHaveText("1");
  await expect(a.card("From the second")).toHaveCount(0);
  await expect(page.locator(".same")).toHaveText("Rows differ");
  for (const one of [a, b, c]) await one.offline.uncheck();
  for (const one of [a, a2, b, c]) {
    for (const text of ["first", "second", "third"]) await expect(one.card(`From the ${text}`)).toBeVisible();
    await one.synced(4);
  }
  const digests = await Promise.all([a, a2, b, c].map((one) => one.digest(4)));
  expect(digests[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(digests).size).toBe(1);
  const cloths = await Promise.all([a, a2, b, c].map((one) => one.pane.locator(".cloth").innerHTML()));
  expect(new Set(cloths).size, "different pieces of cloth").toBe(1);
  await expect(page.locator(".same")).toHaveText("Same rows on both");
});

test("a conflict is tried with two buttons, and what happened is shown", async ({ profile, server }) => {
  const page = await ready(await (await profile()).tab(server.url));
  const a = new Device(page, "a"), b = new Device(page, "b");
  const conflict = page.locator(".conflict"), row = (column: string) =>
    conflict.getByRole("row").filter({ hasText: `notes.${column}` }).getByRole("cell");
  await conflict.getByRole("button", { name: "Start" }).click();
  await expect(conflict.getByRole("button", { name: "Both go online" })).toBeEnabled();
  await expect(a.offline).toBeChecked();
  await expect(b.offline).toBeChecked();
  await expect(a.card("Tea at four")).toBeVisible();
  await expect(b.card("Coffee at five")).toBeVisible();
  await expect(row("title")).toHaveText(["Tea at four", "Coffee at five", "–"]);
  await expect(row("hearts")).toHaveText(["+1", "+2", "–"]);

  await conflict.getByRole("button", { name: "Both go online" }).click();
  await expect(conflict.getByRole("heading", { name: "What happened" })).toBeVisible();
  const [, , now] = await row("title").allTextContents();
  expect(["Tea at four", "Coffee at five"]).toContain(now);
  await expect(conflict).toContainText(`The server got Device ${now === "Tea at four" ? "A" : "B"}'s transaction last`);
  await expect(row("hearts")).toHaveText(["+1", "+2", "3"]);
  for (const one of [a, b]) await expect(one.card(now!)).toContainText("3");
  await expect(conflict.getByText("Same rows on both")).toBeVisible();

  await conflict.getByRole("button", { name: "Once more" }).click();
  await expect(row("hearts")).toHaveText(["+1", "+2", "–"]);
});

test("a conflict made by hand is seen, and settled for whoever was later", async ({ profile, server }) => {
  const page = await ready(await (await profile()).tab(server.url));
  const a = new Device(page, "a"), b = new Device(page, "b");
  const cells = page.locator(".conflict tbody td");
  await a.add("Shopping");
  await expect(b.card("Shopping")).toBeVisible();
  for (const [one, text] of [[a, "milk"], [b, "oats"]] as const) {
    await one.offline.check();
    await one.card("Shopping").getByRole("button", { name: /^Shopping/ }).click();
    await one.pane.getByLabel("Note", { exact: true }).fill(text);
    await one.pane.getByRole("button", { name: "Done" }).click();
  }
  await b.card("Shopping").getByRole("button", { name: "Pin the note", exact: true }).click();
  await expect(cells).toHaveText(["milk", "oats", "–"]);
  // B's transactions come first, so A's is the later one; B's pin is a cell of its own.
  await b.offline.uncheck();
  await expect(b.fact("pending")).toHaveText("0");
  await a.offline.uncheck();
  await expect(cells).toHaveText(["milk", "oats", "milk"]);
  await expect(page.locator(".conflict")).toContainText("The server got Device A's transaction last");
  for (const one of [a, b]) {
    await expect(one.card("Shopping")).toContainText("milk");
    await expect(one.card("Shopping").getByRole("button", { name: "Unpin the note" })).toBeVisible();
  }
});

test("each term is explained where it stands, by keyboard too; the file is SQLite", async ({ profile, server }) => {
  const page = await ready(await (await profile()).tab(server.url));
  const a = new Device(page, "a");
  for (const [fact, says] of [["digest", "hold the same rows"], ["pending", "has not confirmed"], ["seq", "one order"],
    ["sync", "each change"], ["role", "holds the file"], ["storage", "promise"]]) {
    const term = a.pane.locator(`[data-fact="${fact}"]`);
    await expect(term.locator("p")).toBeHidden();
    await term.locator("summary").focus();
    await page.keyboard.press("Enter");
    await expect(term.locator("p")).toContainText(says!);
  }
  const [file] = await Promise.all([page.waitForEvent("download"),
    a.pane.getByRole("button", { name: "The file" }).click()]);
  expect(file.suggestedFilename()).toBe("notes-a.db");
  const parts: Buffer[] = [];
  for await (const part of await file.createReadStream()) parts.push(part as Buffer);
  expect(Buffer.concat(parts).subarray(0, 15).toString()).toBe("SQLite format 3");
});

test("every link of the demo's pages that stays with it leads somewhere", async ({ server }) => {
  const seen = new Map<string, string>(), left = [server.url];
  for (let url = left.pop(); url !== undefined; url = left.pop()) {
    const address = new URL(url), page = address.origin + address.pathname;
    if (!seen.has(page)) {
      const reply = await fetch(page);
      expect(reply.status, page).toBe(200);
      seen.set(page, await reply.text());
      if (!reply.headers.get("content-type")?.startsWith("text/html")) continue;
      for (const [, href] of seen.get(page)!.matchAll(/(?:href|src)="([^"]+)"/g)) {
        const target = new URL(href!, page);
        if (target.origin === address.origin) left.push(target.href);
      }
    }
    const anchor = decodeURIComponent(address.hash.slice(1));
    if (anchor) expect(seen.get(page), `#${anchor} in ${page}`).toContain(`id="${anchor}"`);
  }
  const pages = [...seen.keys()].map((page) => new URL(page).pathname);
  for (const page of ["/check/", "/docs/", "/docs/API.html", "/docs/GLOSSARY.html"]) expect(pages).toContain(page);
});

test("a first visit loads little beside Heddle", async ({ profile, server }) => {
  const page = await (await profile()).context.newPage();
  const bytes = new Map<string, number>();
  page.on("requestfinished", async (request) => {
    const { responseBodySize } = await request.sizes();
    bytes.set(new URL(request.url()).pathname, responseBodySize);
  });
  await page.goto(server.url);
  await ready(page);
  await expect.poll(() => [...bytes.keys()]).toEqual(expect.arrayContaining(["/", "/app.js", "/app.css", "/icon.svg"]));
  const own = [...bytes].filter(([path]) => /^\/(app\..*|icon\.svg)?$/.test(path));
  const kB = own.reduce((sum, [, size]) => sum + size, 0) / 1000;
  // A budget that is far too large keeps nothing.
  expect(kB, JSON.stringify(own)).toBeLessThan(30);
  expect(kB, "lower the budget").toBeGreaterThan(20);
});

for (const [name, width, height] of [["desktop", 1280, 820], ["phone", 360, 740]] as const) {
  for (const colours of ["light", "dark"] as const) {
    test(`pictures: ${name}, ${colours}`, async ({ profile, server }) => {
      await mkdir(pictures, { recursive: true });
      const page = await (await profile()).context.newPage();
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme: colours, reducedMotion: "reduce" });
      const picture = async (of: string) => {
        await page.screenshot({ path: join(pictures, `${name}-${colours}-${of}.png`), fullPage: true });
        const wide = await page.evaluate(() =>
          document.documentElement.scrollWidth - document.documentElement.clientWidth);
        expect(wide, `${of}: pixels that stick out to the right`).toBe(0);
      };
      await page.goto(server.url);
      await ready(page);
      const a = new Device(page, "a"), b = new Device(page, "b");
      await expect(a.pane.getByRole("heading", { name: "An empty loom" })).toBeVisible();
      await picture("empty");
      await a.pane.getByRole("button", { name: "Start with three notes" }).click();
      await a.add("Reading list\nThe Weather Machine\nThe Peregrine\nA Pattern Language");
      await expect(b.card("Reading list")).toBeVisible();
      await b.digest(4);
      await picture("notes");
      await page.getByRole("button", { name: "Start", exact: true }).click();
      await expect(page.getByRole("button", { name: "Both go online" })).toBeVisible();
      await picture("apart");
      await page.getByRole("button", { name: "Both go online" }).click();
      await expect(page.getByRole("heading", { name: "What happened" })).toBeVisible();
      await picture("conflict");
      await a.card("Reading list").getByRole("button", { name: /^Reading list/ }).click();
      await expect(a.pane.getByLabel("Note", { exact: true })).toHaveValue(/Peregrine/);
      await b.pane.getByRole("button", { name: /^Places/ }).click();
      for (const summary of await a.pane.locator(".fact summary").all()) await summary.click();
      await picture("terms");
      await page.getByRole("button", { name: /Change to/ }).click();
      await expect(page.locator("html")).toHaveAttribute("data-theme", colours === "light" ? "dark" : "light");
      await page.goto(`${server.url}/docs/GLOSSARY.html`);
      await picture("docs");
    });
  }
}
