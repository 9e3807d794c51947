// Builds a page of this folder with the package as it was built, for the mode in which its framework runs.

import { cp, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { transformAsync } from "@babel/core";
import { build, transform, type BuildOptions, type Plugin } from "esbuild";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";
import { root } from "../harness.js";

export type Mode = "production" | "development";

const dist = join(root, "web/dist");
const adapters = ["react", "vue", "svelte", "solid"];

const svelte = (mode: Mode): Plugin => ({
  name: "svelte",
  setup(b) {
    b.onLoad({ filter: /\.svelte$/ }, async ({ path }) => {
      const { js } = compile(await readFile(path, "utf8"),
        { filename: path, generate: "client", dev: mode === "development", runes: true });
      return { contents: js.code, loader: "js", resolveDir: dirname(path) };
    });
  },
});

/** Components in one file, with a setup script in TypeScript and a template that is compiled into it. */
const vue: Plugin = {
  name: "vue",
  setup(b) {
    b.onLoad({ filter: /\.vue$/ }, async ({ path }) => {
      const { descriptor } = parse(await readFile(path, "utf8"), { filename: path });
      const { content } = compileScript(descriptor, { id: path, inlineTemplate: true });
      return { contents: content, loader: "ts", resolveDir: dirname(path) };
    });
  },
};

/** Solid's templates are compiled by Babel, once esbuild has taken the types out. */
const solid: Plugin = {
  name: "solid",
  setup(b) {
    b.onLoad({ filter: /\.tsx$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      if (!source.includes("@jsxImportSource solid-js")) return undefined;
      const { code } = await transform(source, { loader: "tsx", jsx: "preserve", sourcefile: path });
      const compiled = await transformAsync(code, { presets: ["babel-preset-solid"], configFile: false });
      return { contents: compiled!.code!, loader: "js" };
    });
  },
};

const settings = (entry: string, mode: Mode): BuildOptions => ({
  entryPoints: [resolve(import.meta.dirname, entry)], bundle: true, target: "es2022", jsx: "automatic",
  nodePaths: [join(root, "node_modules")], conditions: [mode], plugins: [svelte(mode), solid, vue],
  define: {
    "process.env.NODE_ENV": JSON.stringify(mode),
    __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "true",
  },
  alias: {
    ...Object.fromEntries(adapters.map((name) => [`heddle/${name}`, join(dist, `${name}.js`)])),
    heddle: join(dist, "index.js"),
  },
});

/** Builds `entry` into `to`, with an index.html whose #root has `html` in it. */
export async function bundle(entry: string, mode: Mode, to: string, html = ""): Promise<string> {
  await build({ ...settings(entry, mode), outfile: join(to, "main.js"), format: "esm" });
  // esbuild leaves import.meta.url as it is: the files have to lie beside the bundle.
  for (const name of ["worker.js", "broker.js", "heddle.wasm", "heddle-rest.wasm", "heddle-sealed.wasm",
    "sqlite3.wasm"]) {
    await cp(join(dist, name), join(to, name));
  }
  await writeFile(join(to, "index.html"), `<!doctype html><link rel="icon" href="data:,"><div id="root">${html}</div>`
    + `<script type="module" src="main.js"></script>`);
  return to;
}

/** Builds `entry` for Node.js; returns the path of what can be required there. */
export async function bundleForServer(entry: string, to: string): Promise<string> {
  const outfile = join(to, "server.mjs"), require = `import { createRequire } from "node:module";
    const require = createRequire(import.meta.url);`; // for React's modules, which are CommonJS
  await build({ ...settings(entry, "production"), outfile, format: "esm", platform: "node", banner: { js: require } });
  return outfile;
}
