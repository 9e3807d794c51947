// heddle/react in a real React: 200 mounted queries, StrictMode, Suspense, mounting again.
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";

interface Page {
  db: import("../../web/src/index.js").Database;
  rendered(): Record<string, number>;
  choose(list: number | null): void;
  show(now: boolean): void;
}

const dist = join(root, "web/dist");
let dir: string;

/** A page with React as it is in that mode: in development StrictMode mounts everything twice. */
async function bundle(mode: "production" | "development"): Promise<string> {
  const to = join(dir, mode);
  await build({
    entryPoints: [join(root, "e2e/frameworks/react.tsx")], outfile: join(to, "main.js"), bundle: true, format: "esm",
    target: "es2022", jsx: "automatic", nodePaths: [join(root, "node_modules")],
    define: { "process.env.NODE_ENV": JSON.stringify(mode) },
    alias: { "heddle/react": join(dist, "react.js"), heddle: join(dist, "index.js") },
  });
  // esbuild leaves import.meta.url as it is: the files have to lie beside the bundle.
  for (const name of ["worker.js", "broker.js", "heddle.wasm", "sqlite3.wasm"]) {
    await cp(join(dist, name), join(to, name));
  }
  await writeFile(join(to, "index.html"),
    `<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="main.js"></script>`);
  return to;
}

test.beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), "heddle-react-")); });
test.afterAll(() => rm(dir, { recursive: true, force: true }));

test("200 queries are mounted; one row changes, and one row renders", async ({ profile, serve }) => {
  const url = await serve({ mounts: { "/": await bundle("production") } });
  const page = await (await profile()).context.newPage();
  await page.goto(url);
  await expect(page.locator("#list-199[data-state=ready] li")).toHaveCount(5);
  await expect(page.locator("#total")).toHaveText("1000");
  await expect(page.locator("#one")).toHaveText("note 7, off, 0, react");
  const call = <T>(fn: (page: Page) => T) => page.evaluate<Awaited<T>>(`(${fn.toString()})(globalThis)`);

  await expect(page.locator("ul[data-state=ready]")).toHaveCount(200);
  await call((p) => p.rendered());
  await call((p) => p.db.exec("UPDATE notes SET body = 'changed' WHERE id = 'n7'"));
  await expect(page.locator("#list-7 li", { hasText: "changed" })).toHaveCount(1);
  await expect(page.locator("#one")).toHaveText("changed, off, 0, react");
  expect(await call((p) => p.rendered())).toEqual({ "list 7": 1, line: 1 });

  // Another tab's write, and a row that is gone.
  const other = await page.context().newPage();
  await other.goto(url);
  await expect(other.locator("#list-7 li", { hasText: "changed" })).toHaveCount(1);
  await other.evaluate(() => (globalThis as unknown as Page).db.exec("DELETE FROM notes WHERE id = 'n8'"));
  await expect(page.locator("#list-8 li")).toHaveCount(4);
  await expect(page.locator("#total")).toHaveText("999");
  expect(await call((p) => p.rendered())).toEqual({ "list 8": 1 });

  // Unmounted and mounted again: the rows are there at once.
  await call((p) => p.show(false));
  await expect(page.locator("ul")).toHaveCount(0);
  expect(await call((p) => {
    p.show(true);
    return (globalThis as unknown as { document: Document }).document.querySelectorAll("ul[data-state=ready]").length;
  })).toBe(200);

  // Parameters change: the rows before stay until the new ones are there.
  await expect(page.locator("#chosen")).toHaveAttribute("data-state", "loading");
  await call((p) => p.choose(1));
  await expect(page.locator("#chosen[data-state=ready]")).toHaveText(/^note 1, note 201/);
  const between = await call((p) => {
    p.choose(2);
    const { textContent, dataset } = document.querySelector<HTMLElement>("#chosen")!;
    return [textContent.slice(0, 6), dataset["state"]];
  });
  expect(between).toEqual(["note 1", "loading"]);
  await expect(page.locator("#chosen[data-state=ready]")).toHaveText(/^note 2, note 202/);
});

test("in development, where StrictMode mounts twice, the queries stay one each", async ({ profile, serve }) => {
  const url = await serve({ mounts: { "/": await bundle("development") } });
  const page = await (await profile()).context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  await expect(page.locator("ul[data-state=ready]")).toHaveCount(200);
  await expect(page.locator("#total")).toHaveText("1000");
  await page.evaluate(() =>
    (globalThis as unknown as Page).db.exec("UPDATE notes SET body = 'changed' WHERE id = 'n7'"));
  await expect(page.locator("#list-7 li", { hasText: "changed" })).toHaveCount(1);
  expect(complaints).toEqual([]);
});
