// A page that checks what the browser's WebCrypto does for sealed spaces.
import { build } from "esbuild";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, type SiteOptions } from "../harness.js";
import type { SealVectors } from "../../web/test/worker/seal-check.js";

/** What the page's `checkSeal()` finds. */
export interface SealReport { wrong: string[]; looked: number }

/** Builds the page; its `checkSeal()` resolves to a SealReport. */
export async function sealSite(name: string): Promise<SiteOptions> {
  const out = join(root, ".cache/seal", name);
  mkdirSync(out, { recursive: true });
  await build({ entryPoints: [join(root, "web/test/worker/seal-check.ts")], outfile: join(out, "check.js"),
    bundle: true, format: "esm", target: "es2022", logLevel: "warning" });
  const read = (file: string): unknown => JSON.parse(readFileSync(join(root, "sync/seal/testdata", file), "utf8"));
  const vectors = { rfc: read("rfc.json"), ours: read("vectors.json") } as SealVectors;
  writeFileSync(join(out, "vectors.json"), JSON.stringify(vectors));
  writeFileSync(join(out, "index.html"), `<!doctype html><html data-ready><script type="module">
    globalThis.checkSeal = async () => (await import("/check.js"))
      .checkSealSuite(await (await fetch("/vectors.json")).json());
  </script>`);
  return { mounts: { "/": out } };
}
