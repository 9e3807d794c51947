// The packed package as an app's tools see it: publint and @arethetypeswrong/cli look at
// its exports, then each compiler compiles usage.ts against it with each set of options
// that an app may have. No skipLibCheck: the declarations themselves have to be right.
// Needs a built web/dist/. Run by ./build.sh test-ts.

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
const out = join(root, ".cache/types");

// As deep as this folder: usage.ts imports what `heddle types` has written.
const app = join(out, "app");
const installed = join(app, "node_modules/heddle");

const bin = (from, script) => join(from, "node_modules", script);

const compilers = {
  "TypeScript 5.4": bin(here, "typescript-5.4/bin/tsc"),
  "TypeScript 5.9": bin(here, "typescript-5.9/bin/tsc"),
  "TypeScript 7.0": bin(root, "typescript/bin/tsc"),
};

/** What apps set beside "strict". */
const variants = {
  bundler: {},
  exact: { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noPropertyAccessFromIndexSignature: true },
  node16: { module: "Node16", moduleResolution: "Node16" },
  nodenext: { module: "NodeNext", moduleResolution: "NodeNext", verbatimModuleSyntax: true, isolatedModules: true },
  "all entries": { module: "NodeNext", moduleResolution: "NodeNext", files: ["entries.ts"] },
};

function spawn(command, args, cwd = root) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  return { failed: status === 0 ? "" : stdout + stderr || `exit ${status}`, stdout };
}

let bad = 0;
function report(what, { failed }) {
  console.log(`${failed ? "failed" : "ok"}: ${what}`);
  if (failed) console.error(failed);
  bad += failed ? 1 : 0;
}

rmSync(out, { recursive: true, force: true });
mkdirSync(installed, { recursive: true });
const packed = spawn("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", out], join(root, "web"));
if (packed.failed) throw new Error(packed.failed);
const tarball = join(out, packed.stdout.trim());
const unpacked = spawn("tar", ["-xzf", tarball, "-C", installed, "--strip-components", "1"]);
if (unpacked.failed) throw new Error(unpacked.failed);

report("publint", spawn(process.execPath, [bin(here, "publint/src/cli.js"), "run", tarball, "--strict"]));

// What is no module of JavaScript or is only fetched has no types; a package of ES modules has no CommonJS.
const { exports } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
const untyped = Object.keys(exports).filter((entry) => typeof exports[entry] === "string");
report("are the types wrong?", spawn(process.execPath, [
  bin(here, "@arethetypeswrong/cli/dist/index.js"), tarball, "--profile", "esm-only",
  "--exclude-entrypoints", ...untyped.map((entry) => entry.replace(/^\.\//, "")),
]));

// Each entry, with what it adapts. Faults in the declarations of others are theirs.
const typed = Object.keys(exports).filter((entry) => !untyped.includes(entry));
writeFileSync(join(app, "entries.ts"),
  typed.map((entry, i) => `export * as e${i} from ${JSON.stringify(entry.replace(/^\./, "heddle"))};\n`).join(""));
const ours = ({ failed }) =>
  ({ failed: failed.split(/\n(?! )/).filter((text) => !/^(node_modules\/|$)/.test(text)).join("\n") });

copyFileSync(join(here, "usage.ts"), join(app, "usage.ts"));
writeFileSync(join(app, "package.json"), JSON.stringify({ type: "module" }));
for (const [name, tsc] of Object.entries(compilers)) {
  for (const [variant, { files = ["usage.ts"], ...options }] of Object.entries(variants)) {
    const config = join(app, `tsconfig.${variant}.json`);
    writeFileSync(config, JSON.stringify({
      compilerOptions: {
        target: "ES2022", lib: ["ES2022", "DOM", "DOM.Iterable", "DOM.AsyncIterable"], module: "ESNext",
        moduleResolution: "Bundler", strict: true, noEmit: true, skipLibCheck: false, types: [], rootDir: root,
        ...options,
      },
      files,
    }));
    report(`${name}, ${variant}`, ours(spawn(process.execPath, [tsc, "-p", config])));
  }
}
process.exitCode = bad > 0 ? 1 : 0;
