import { join } from "node:path";
import { defineConfig } from "vite";

const here = import.meta.dirname;

export default defineConfig({
  root: join(here, "page"),
  base: "./",
  logLevel: "warn",
  build: {
    outDir: join(here, "../../.cache/peers"),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    chunkSizeWarningLimit: 10_000,
  },
  worker: { format: "es" },
});
