// The React kanban of examples/, with Vite and in Next.js: the packed package, two tabs, two devices, a token, a card
// that is added while the server is away, and an edit of the app while it runs.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { installFrom, pack, workspace } from "../apps/install.js";
import { end, run, start } from "../apps/processes.js";
import { expect, test, type Profile } from "../fixtures.js";
import { freePort, root, startServer } from "../harness.js";

const example = (name: string) => join(root, "examples", name);

/** How each example is built, and served for its users and for its author. PORT stands for the port. */
const apps = [
  { name: "kanban-react", source: "src", serve: "npx vite preview --port PORT --strictPort",
    dev: "npx vite --port PORT --strictPort" },
  { name: "kanban-next", source: "app", serve: "npx next start -p PORT", dev: "npx next dev -p PORT" },
];

let space: string, tarball: string;
test.beforeAll(async () => {
  space = await workspace();
  tarball = await pack(space);
});
test.afterAll(() => rm(space, { recursive: true, force: true }));

const list = (page: Page, title: string) =>
  page.locator("section").filter({ has: page.locator("h2", { hasText: title }) });
const card = (page: Page, title: string) => page.locator("article", { hasText: title });

async function add(page: Page, placeholder: string, text: string): Promise<void> {
  const field = page.getByLabel(placeholder, { exact: true });
  await field.fill(text);
  await field.press("Enter");
  await expect(field).toHaveValue("");
}

async function visit(device: Profile, url: string, complaints: string[]): Promise<Page> {
  const page = await device.context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  await expect(page.getByRole("heading", { name: "Kanban" })).toBeVisible();
  return page;
}

/** Runs a server of the app until `use` is done with it. */
async function served(command: string, dir: string, use: (url: string) => Promise<void>): Promise<void> {
  const port = await freePort(), server = start(command.replaceAll("PORT", String(port)), dir);
  const url = `http://localhost:${port}/`;
  try {
    await expect.poll(() => fetch(url).then(({ status }) => status, () => server.output())).toBe(200);
    await use(url);
  } finally {
    end(server);
  }
}

async function screenshots(page: Page, name: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const [device, width, height] of [["phone", 390, 780], ["desktop", 1280, 720]] as const) {
      await page.setViewportSize({ width, height });
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      await page.screenshot({ path: test.info().outputPath(`${name}-${device}-${colorScheme}.png`) });
    }
  }
}

test("the app is one of at most 80 lines, and the same in both examples", async () => {
  const read = (path: string) => readFile(join(root, "examples", path), "utf8");
  const code = await Promise.all(["Kanban.tsx", "main.tsx"].map((name) => read(`kanban-react/src/${name}`)));
  expect(code.join("").trimEnd().split("\n").length).toBeLessThanOrEqual(80);
  for (const file of ["Kanban.tsx", "style.css"]) {
    expect(await read(`kanban-next/app/${file}`)).toBe(await read(`kanban-react/src/${file}`));
  }
});

for (const { name, source, serve, dev } of apps) {
  test(`${name}: two tabs, two devices, and a server that goes away`, async ({ profile }) => {
    const dir = await installFrom(example(name), example(name), tarball, await mkdtemp(join(space, "build-")));
    await run("npm run build", dir);
    const data = await mkdtemp(join(tmpdir(), "heddle-kanban-")), key = join(data, "key");
    await served(serve, dir, async (site) => {
      await run(`bin/heddle token --new-key --token-key ${key}`, root);
      const server = await startServer(join(data, "spaces"), ["--token-key", key, "--origin", site.slice(0, -1)]);
      const complaints: string[] = [];
      try {
        const tokenOf = (subject: string) =>
          server.run("token", "--token-key", key, "--space", "board", "--subject", subject);
        const urlOf = async (subject: string) => `${site}?${new URLSearchParams({
          server: server.url, space: "board", token: await tokenOf(subject) })}`;
        expect(await (await fetch(site)).text()).toContain(name === "kanban-next" ? "Opening the board" : "root");

        const laptop = await profile(), a = await visit(laptop, await urlOf("ada"), complaints);
        await add(a, "New list", "To do");
        await add(a, "New list", "Doing");
        await add(a, "New card in To do", "Warp the loom");
        const tab = await visit(laptop, await urlOf("ada"), complaints);
        await card(tab, "Warp the loom").getByRole("button", { name: /^Done/ }).click();
        await card(tab, "Warp the loom").getByRole("button", { name: /^Urgent/ }).click();
        await expect(list(a, "To do").locator("small")).toHaveText("1 of 1 done");
        await expect(card(a, "Warp the loom").locator("mark")).toHaveText("urgent");

        const b = await visit(await profile(), await urlOf("ben"), complaints);
        await expect(card(b, "Warp the loom")).toBeVisible();
        await card(b, "Warp the loom").getByRole("button", { name: /^Move/ }).click();
        await expect(list(a, "Doing").locator("article")).toHaveText(/Warp the loom/);
        await expect(a.locator("output")).toHaveText("live, 0 to send");

        // Added at once, and sent when there is a server again.
        await server.stop();
        await add(a, "New card in Doing", "Wind the weft");
        await expect(list(a, "Doing").locator("article")).toHaveCount(2);
        await expect(a.locator("output")).toHaveText(/, 1 to send$/);
        await expect(list(b, "Doing").locator("article")).toHaveCount(1);
        await server.start();
        await expect(list(b, "Doing").locator("article")).toHaveCount(2);
        await expect(a.locator("output")).toHaveText("live, 0 to send");

        // Found also on the device to which the card has come.
        await b.getByLabel("Search cards").fill("win we");
        await expect(card(b, "Warp the loom")).toBeHidden();
        await expect(card(b, "Wind the weft")).toBeVisible();
        await b.getByLabel("Search cards").fill("");
        await expect(card(b, "Warp the loom")).toBeVisible();
        await screenshots(b, name);
        await card(b, "Wind the weft").getByRole("button", { name: /^Remove/ }).click();
        await expect(list(a, "Doing").locator("article")).toHaveCount(1);
        expect(complaints).toEqual([]);
      } finally {
        await server.stop();
        await rm(data, { recursive: true, force: true });
      }
    });
  });

  test(`${name}: an edit while the app runs leaves its page and its database`, async ({ profile }) => {
    const dir = await installFrom(example(name), example(name), tarball, await mkdtemp(join(space, "dev-")));
    const complaints: string[] = [];
    await served(dev, dir, async (site) => {
      const page = await visit(await profile(), site, complaints);
      await add(page, "New list", "To do");
      await expect(list(page, "To do")).toBeVisible();
      const kept = await page.evaluateHandle(() => document.querySelector("main"));
      const file = join(dir, source, "Kanban.tsx");
      await writeFile(file, (await readFile(file, "utf8")).replace("<h1>Kanban</h1>", "<h1>Edited</h1>"));
      await expect(page.getByRole("heading", { name: "Edited" })).toBeVisible();
      expect(await kept.evaluate((main) => main!.isConnected), "the page was not loaded again").toBe(true);
      await add(page, "New card in To do", "after the edit");
      await expect(card(page, "after the edit")).toBeVisible();
      expect(page.workers()).toHaveLength(1);
    });
    expect(complaints).toEqual([]);
  });
}
