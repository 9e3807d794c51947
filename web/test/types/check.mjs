// Compiles usage.ts against the package's declarations as an app would, with each
// compiler and each set of options that an app may have. No skipLibCheck: the
// declarations themselves have to be right. Run by ./build.sh test-ts.

import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
const out = join(root, ".cache/types");

function compiler(from, name) {
  const path = createRequire(join(from, "package.json")).resolve(`${name}/package.json`);
  return join(dirname(path), "bin/tsc");
}

const compilers = { "TypeScript 5.4": compiler(here, "typescript-5.4"),
  "TypeScript of the workspace": compiler(root, "typescript") };

/** What apps set beside "strict". */
const variants = {
  strict: {},
  exact: { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noPropertyAccessFromIndexSignature: true },
  nodenext: { module: "NodeNext", moduleResolution: "NodeNext", verbatimModuleSyntax: true, isolatedModules: true },
};

function run(tsc, args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...args], { cwd: root, encoding: "utf8" });
  return status === 0 ? "" : stdout + stderr || `exit ${status}`;
}

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "node_modules/heddle"), { recursive: true });
const failed = run(compilers["TypeScript of the workspace"],
  ["-p", "web/tsconfig.build.json", "--outDir", join(out, "node_modules/heddle")]);
if (failed) throw new Error(failed);
writeFileSync(join(out, "node_modules/heddle/package.json"),
  JSON.stringify({ name: "heddle", type: "module", types: "index.d.ts", exports: { ".": { types: "./index.d.ts" } } }));
writeFileSync(join(out, "package.json"), JSON.stringify({ type: "module" }));

let bad = 0;
for (const [name, tsc] of Object.entries(compilers)) {
  for (const [variant, options] of Object.entries(variants)) {
    const config = join(out, `tsconfig.${variant}.json`);
    writeFileSync(config, JSON.stringify({
      compilerOptions: {
        target: "ES2022", lib: ["ES2022", "DOM", "DOM.Iterable", "DOM.AsyncIterable"], module: "ESNext",
          moduleResolution: "Bundler",
        strict: true, noEmit: true, skipLibCheck: false, types: [], rootDir: root, ...options,
          paths: { heddle: ["./node_modules/heddle/index.d.ts"] },
      },
      files: [join(here, "usage.ts")],
    }));
    const said = run(tsc, ["-p", config]);
    console.log(`${said ? "failed" : "ok"}: ${name}, ${variant}`);
    if (said) console.error(said);
    bad += said ? 1 : 0;
  }
}
process.exitCode = bad > 0 ? 1 : 0;
