// The plugin of "heddle/vite". It keeps Vite's dependency optimizer away from the package, which would move the module
// away from its files; it writes the wasm files with their compressed forms beside them; and it tells vite-plugin-pwa,
// where that is used, to keep them for a start without a network, however large they are.

import { readFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));

/** What an app without sealed spaces never fetches. */
const SEALED = "heddle-sealed.wasm";

/** The compressed forms that lie beside each file of the package. */
const ENDINGS = ["", ".br", ".gz"];

/** @type {(source: string | Uint8Array, original: Uint8Array) => boolean} */
const same = (source, original) => Buffer.compare(Buffer.from(source), original) === 0;

/** @type {typeof import("./index.js").default} */
export default function heddle({ sealed = false } = {}) {
  /** @type {{ root: string, build: { outDir: string }, plugins: readonly { name: string, api?: any }[] }} */
  let config;
  /** What the bundler calls the wasm files, and what the package does. @type {Map<string, string>} */
  const files = new Map();

  return {
    name: "heddle",

    config: () => ({ optimizeDeps: { exclude: ["heddle"] } }),

    configResolved(resolved) {
      config = resolved;
    },

    // Taken out of the bundle here and written below: vite-plugin-pwa looks for files on the disk, and refuses ones of
    // more than 2 MiB unless it is told of them by name.
    generateBundle: {
      order: "post",
      async handler(_options, bundle) {
        for (const name of ["heddle.wasm", "heddle-rest.wasm", SEALED, "sqlite3.wasm"]) {
          const original = await readFile(join(dist, name));
          for (const output of Object.values(bundle)) {
            if (output.type !== "asset" || !output.fileName.endsWith(".wasm")) continue;
            if (!same(output.source, original)) continue;
            files.set(output.fileName, name);
            delete bundle[output.fileName];
          }
        }
        const pwa = config.plugins.find((plugin) => plugin.name === "vite-plugin-pwa")?.api;
        const kept = [...files].filter(([, name]) => sealed || name !== SEALED)
          .map(([url]) => ({ url, revision: null }));
        pwa?.extendManifestEntries((entries) => [...entries, ...kept]);
      },
    },

    closeBundle: {
      order: "post",
      sequential: true,
      async handler() {
        for (const [output, name] of files) {
          const path = resolve(config.root, config.build.outDir, output);
          await mkdir(dirname(path), { recursive: true });
          for (const ending of ENDINGS) await writeFile(path + ending, await readFile(join(dist, name + ending)));
        }
        files.clear();
      },
    },
  };
}
