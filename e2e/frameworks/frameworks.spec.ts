// The hooks of each framework in that framework: 200 mounted queries, of which one row's change renders one row; pages;
// parameters that change; and what is mounted again.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { bundle, type Mode } from "./bundle.js";

interface Controls {
  db: import("../../web/src/index.js").Database;
  rendered(): Record<string, number>;
  choose(list: number | null): unknown;
  show(now: boolean): unknown;
}

/** The components of React and Vue render anew where one of their rows has changed; Svelte and Solid have only rows. */
const frameworks = [
  { entry: "react.tsx", components: true }, { entry: "vue.ts", components: true },
  { entry: "svelte.ts", components: false }, { entry: "solid.tsx", components: false },
];

let dir: string;
test.beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), "heddle-frameworks-")); });
test.afterAll(() => rm(dir, { recursive: true, force: true }));

const call = <T>(page: Page, fn: (page: Controls) => T) =>
  page.evaluate<Awaited<T>>(`(${fn.toString()})(globalThis)`);

async function mounted(page: Page): Promise<void> {
  await expect(page.locator(".list[data-state=ready]")).toHaveCount(200);
  await expect(page.locator("#total")).toHaveText("1000");
  await expect(page.locator("#one")).toHaveText("note 7, off, 0, frameworks");
  await expect(page.locator("#pages[data-state=ready] li")).toHaveCount(20);
}

for (const { entry, components } of frameworks) {
  const visit = async (mode: Mode, { profile, serve }: {
    profile(): Promise<import("../fixtures.js").Profile>;
    serve(options: object): Promise<string>;
  }) => {
    const url = await serve({ mounts: { "/": await bundle(entry, mode, join(dir, entry, mode)) } });
    const page = await (await profile()).context.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(url);
    await mounted(page);
    return { page, url, complaints };
  };

  test(`${entry}: 200 queries are mounted; one row changes, and one row renders`, async ({ profile, serve }) => {
    const { page, url, complaints } = await visit("production", { profile, serve });
    await call(page, (p) => p.rendered());
    await call(page, (p) => p.db.exec("UPDATE notes SET body = 'changed' WHERE id = 'n107'"));
    await expect(page.locator("#list-107 li", { hasText: "changed" })).toHaveCount(1);
    expect(await call(page, (p) => p.rendered())).toEqual({ line: 1, ...(components ? { "list 107": 1 } : {}) });

    // A row that three parts of the page show, in one commit.
    await call(page, (p) => p.db.exec("UPDATE notes SET body = 'seventh' WHERE id = 'n1'"));
    await expect(page.locator("#pages li", { hasText: "seventh" })).toHaveCount(1);
    await expect(page.locator("#list-1 li", { hasText: "seventh" })).toHaveCount(1);
    expect(await call(page, (p) => p.rendered())).toEqual({ line: 1, row: 1, ...(components ? { "list 1": 1 } : {}) });

    // Another tab's write, and a row that is gone.
    const other = await page.context().newPage();
    await other.goto(url);
    await expect(other.locator("#list-107 li", { hasText: "changed" })).toHaveCount(1);
    await call(other, (p) => p.db.exec("DELETE FROM notes WHERE id = 'n108'"));
    await expect(page.locator("#list-108 li")).toHaveCount(4);
    await expect(page.locator("#total")).toHaveText("999");
    expect(await call(page, (p) => p.rendered())).toEqual(components ? { "list 108": 1 } : {});

    // Unmounted and mounted again: the rows are there at once.
    await call(page, (p) => p.show(false));
    await expect(page.locator(".list")).toHaveCount(0);
    const ready = await call(page, async (p) => {
      await p.show(true);
      return document.querySelectorAll(".list[data-state=ready]").length;
    });
    expect(ready).toBe(200);

    // Parameters change: the rows before stay until the new ones are there.
    await expect(page.locator("#chosen")).toHaveAttribute("data-state", "loading");
    await call(page, (p) => p.choose(31));
    await expect(page.locator("#chosen[data-state=ready]")).toHaveText(/^note 231, note 31, note 431/);
    const between = await call(page, async (p) => {
      await p.choose(32);
      const { textContent, dataset } = document.querySelector<HTMLElement>("#chosen")!;
      return [textContent.trim().slice(0, 8), dataset["state"]];
    });
    expect(between).toEqual(["note 231", "loading"]);
    await expect(page.locator("#chosen[data-state=ready]")).toHaveText(/^note 232, note 32, note 432/);
    expect(complaints).toEqual([]);
  });

  test(`${entry}: a window of pages that follow each other by keys`, async ({ profile, serve }) => {
    const { page } = await visit("production", { profile, serve });
    const rows = page.locator("#pages li"), more = page.locator("#more");
    const texts = () => rows.allTextContents();
    const expected = async (count: number) => (await page.evaluate((limit) =>
      (globalThis as unknown as Controls).db.query<{ body: string }>(
        "SELECT body FROM notes ORDER BY list, id LIMIT ?", [limit]), count)).map(({ body }) => body);
    await call(page, (p) => p.rendered());
    await more.click();
    await expect(rows).toHaveCount(40);
    await expect(page.locator("#pages")).toHaveAttribute("data-state", "ready");
    expect(await texts()).toEqual(await expected(40));
    expect((await call(page, (p) => p.rendered()))["row"]).toBe(20); // those of before stay as they are

    // What is inserted into the first page is shown there, and pushes nothing out.
    await call(page, (p) => p.db.exec("INSERT INTO notes VALUES ('n0a', 'inserted', 0)"));
    await expect(page.locator("#pages[data-total='1001']")).toHaveCount(1);
    await expect(rows).toHaveCount(41);
    expect(await texts()).toEqual(await expected(41));
    expect((await call(page, (p) => p.rendered()))["row"]).toBe(1);

    // The last page refills: it has twenty rows as long as there are as many.
    await call(page, (p) => p.db.exec("DELETE FROM notes WHERE list BETWEEN 4 AND 6"));
    await expect(page.locator("#pages[data-total='986']")).toHaveCount(1);
    await expect.poll(texts).toEqual(await expected(41));
    await call(page, (p) => p.db.exec("DELETE FROM notes WHERE list > 8"));
    await expect.poll(texts).toEqual(await expected(1000));
    await expect(more).toBeDisabled();
  });

  test(`${entry}: nothing is complained of in development`, async ({ profile, serve }) => {
    const { page, complaints } = await visit("development", { profile, serve });
    await call(page, (p) => p.db.exec("UPDATE notes SET body = 'changed' WHERE id = 'n107'"));
    await expect(page.locator("#list-107 li", { hasText: "changed" })).toHaveCount(1);
    await page.locator("#more").click();
    await expect(page.locator("#pages[data-state=ready] li")).toHaveCount(40);
    expect(complaints).toEqual([]);
  });
}
