// The examples of docs/MIGRATING.md, as they stand there, with the libraries that they come from.
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../apps/processes.js";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";

const here = import.meta.dirname, dir = join(root, ".cache/migrating");

test.describe.configure({ mode: "default" }); // one folder is built, by one worker

/** What the old app had, as it arrives. */
const arrives: Record<string, object[]> = {
  dexie: [{ id: 1, name: "Ada", age: 36, tags: `["math"]` }, { id: 2, name: "Grace", age: null, tags: "[]" }],
  powersync: [{ id: "a", name: "Ada", age: 36 }, { id: "g", name: "Grace", age: null }],
  sqlocal: [{ id: 1, name: "Ada", age: 36 }, { id: 2, name: "Grace", age: null }],
};

/** A page for each library: the old app's data, then the block of the documentation that imports the library. */
test.beforeAll(async () => {
  const text = await readFile(join(root, "docs/MIGRATING.md"), "utf8");
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]!);
  expect(blocks).toHaveLength(Object.keys(arrives).length);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  await symlink(join(here, "node_modules"), join(dir, "node_modules"));
  for (const name of Object.keys(arrives)) {
    const block = blocks.find((code) => code.split("\n", 1)[0]!.includes(name))!;
    await writeFile(join(dir, `${name}.js`), `import ${JSON.stringify(join(here, "before", `${name}.js`))};\n${block}
      globalThis.db = db;
      document.documentElement.dataset.ready = "";`);
    await writeFile(join(dir, `${name}.html`), `<!doctype html><link rel="icon" href="data:,">
      <script type="module" src="./${name}.js"></script>`);
  }
  await writeFile(join(dir, "vite.config.js"), `export default {
    resolve: { alias: { heddle: ${JSON.stringify(join(root, "web/dist/index.js"))} }, preserveSymlinks: true },
    build: { target: "es2022", assetsInlineLimit: 0,
      rollupOptions: { input: ${JSON.stringify(Object.keys(arrives).map((name) => `${name}.html`))} } },
    worker: { format: "es" },
  };`);
  await run("npx --no-install vite build", dir);
});

for (const [name, rows] of Object.entries(arrives)) {
  test(`from ${name}`, async ({ profile, serve }) => {
    // SQLocal needs an isolated page.
    const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
    const url = `${await serve({ mounts: { "/": join(dir, "dist") }, headers })}${name}.html`;
    const { context } = await profile();
    const first = await context.newPage();
    const friends = () => first.evaluate(() => db.query("SELECT * FROM friends ORDER BY id"));
    const there = () => first.waitForSelector("html[data-ready]", { state: "attached" });
    await first.goto(url);
    await there();
    expect(await friends()).toEqual(rows);
    // What was written since is not touched by a second start.
    await first.evaluate(() => db.exec("UPDATE friends SET age = 37 WHERE name = 'Ada'"));
    await first.reload();
    await there();
    expect(await friends()).toEqual(rows.map((row, i) => (i === 0 ? { ...row, age: 37 } : row)));
  });
}
