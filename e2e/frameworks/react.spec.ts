// heddle/react beside what all frameworks have: what a server renders, Suspense, error boundaries, and a provider that
// opens the database.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { text } from "node:stream/consumers";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";
import { bundle, bundleForServer } from "./bundle.js";
import type { Database } from "../../web/src/index.js";

interface Controls { db: Database; recovered: unknown[]; opened: Promise<Database>[]; unmount(): void }

let dir: string, server: { render(db: Database | undefined, to: Writable): Promise<void> };
test.beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "heddle-react-"));
  server = await import(await bundleForServer("hydrate.tsx", dir)) as typeof server;
});
test.afterAll(() => rm(dir, { recursive: true, force: true }));

async function rendered(db?: Database): Promise<string> {
  const sent = new PassThrough(), html = text(sent);
  await server.render(db, sent);
  return html;
}

/** Visits the page over the HTML; whatever the console complains of is collected. */
async function visit(page: Page, url: string): Promise<string[]> {
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  return complaints;
}

const BROWSER_ONLY = "BAILOUT_TO_CLIENT_SIDE_RENDERING";

for (const mode of ["development", "production"] as const) {
  test(`a server renders the loading state, and the page goes on from there: ${mode}`, async ({ profile, serve }) => {
    const { open } = await import(join(root, "web/dist/node.js")) as typeof import("../../web/src/node/index.js");
    const ofServer = await open({ name: "server", storage: "memory", migrations: [] });
    const html = await rendered(ofServer);
    await ofServer.close();
    expect(html).toContain(`<p id="list">loading, 0, undefined, off</p>`);
    expect(html).toContain(`<p id="total">counting</p>`);
    expect(html).toContain(`<p id="nowhere">asking</p>`);

    const url = await serve({ mounts: { "/": await bundle("hydrate.tsx", mode, join(dir, `given ${mode}`), html) } });
    const page = await (await profile()).context.newPage();
    const complaints = await visit(page, `${url}?given`);
    await expect(page.locator("#list")).toHaveText("ready, 5, note 7, off");
    await expect(page.locator("#total")).toHaveText("1000");
    await expect(page.locator("#nowhere")).toHaveText("SQLITE_ERROR");
    // The two that suspend are the browser's from the beginning; nothing else differed from the server's HTML.
    expect(await page.evaluate(() => (globalThis as unknown as Controls).recovered))
      .toEqual([BROWSER_ONLY, BROWSER_ONLY]);
    // In development React logs what an error boundary has caught.
    expect(complaints.filter((one) => !one.includes("nowhere"))).toEqual([]);
  });
}

test("a provider opens the database where it is mounted, and closes it", async ({ profile, serve }) => {
  const html = await rendered();
  expect(html).toBe(`<p id="list">opening</p>`);
  const url = await serve({ mounts: { "/": await bundle("hydrate.tsx", "development", join(dir, "opens"), html) } });
  const { context } = await profile();
  // StrictMode mounts twice what is not a server's: what the first mount has opened is closed.
  for (const [query, ended] of [["", []], ["?fresh", ["HEDDLE_CLOSED"]]] as const) {
    const page = await context.newPage();
    const complaints = await visit(page, url + query);
    await expect(page.locator("#list")).toHaveText("ready, 0, undefined, off");
    const states = () => page.evaluate(async () => {
      const { opened } = globalThis as unknown as Controls;
      return Promise.all(opened.map(async (db) => (await db).query("SELECT 1").then(() => "open", ({ code }) => code)));
    });
    await expect.poll(states).toEqual([...ended, "open"]);
    expect(page.workers()).toHaveLength(1);
    expect(await page.evaluate(() => (globalThis as unknown as Controls).recovered)).toEqual([]);
    await page.evaluate(() => (globalThis as unknown as Controls).unmount());
    await expect.poll(states).toEqual([...ended, "HEDDLE_CLOSED"]);
    expect(complaints.filter((one) => !one.includes("nowhere"))).toEqual([]);
  }
});

test("what fails while the database is opened reaches the error boundary", async ({ profile, serve }) => {
  const html = await rendered();
  const url = await serve({ mounts: { "/": await bundle("hydrate.tsx", "production", join(dir, "fails"), html) } });
  const page = await (await profile()).context.newPage();
  await visit(page, `${url}?broken`);
  await expect(page.locator("#failed")).toHaveText(/^(SQLITE_ERROR|HEDDLE_MIGRATION)$/);
});
