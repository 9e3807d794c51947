// Packs what a release publishes: the package heddle, and for each platform one with the program of `npx heddle`, as
// optional dependencies, of which npm installs the one that fits the machine.
//
//   node web/release.mjs --to DIR [PLATFORM…]
//
// Needs a built web/dist/, by `node web/build.mjs --release`. Prints what each weighs. The dependencies are added here
// and not in web/package.json: before they are published, their names belong to nobody.

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const web = dirname(fileURLToPath(import.meta.url)), root = dirname(web);

/** Node's platform and architecture, and Go's. */
const PLATFORMS = {
  "linux-x64": "linux/amd64",
  "linux-arm64": "linux/arm64",
  "darwin-x64": "darwin/amd64",
  "darwin-arm64": "darwin/arm64",
  "win32-x64": "windows/amd64",
  "win32-arm64": "windows/arm64",
};

const manifest = JSON.parse(readFileSync(join(web, "package.json"), "utf8"));
const { version, license, repository } = manifest;

const writeJSON = (path, value) => writeFileSync(path, JSON.stringify(value, undefined, 2) + "\n");

function pack(dir, to) {
  const args = ["pack", "--ignore-scripts", "--silent", "--pack-destination", to];
  return join(to, execFileSync("npm", args, { cwd: dir, encoding: "utf8" }).trim());
}

/** The package of a platform, in a folder of its own; resolves with the program's path. */
function platformPackage(platform, dir) {
  const [GOOS, GOARCH] = PLATFORMS[platform].split("/"), [os, cpu] = platform.split("-");
  const program = join(dir, "bin", GOOS === "windows" ? "heddle.exe" : "heddle");
  mkdirSync(join(dir, "bin"), { recursive: true });
  execFileSync("go", ["build", "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/heddle"],
    { cwd: root, stdio: "inherit", env: { ...process.env, GOOS, GOARCH, CGO_ENABLED: "0" } });
  for (const name of ["LICENSE", "NOTICE"]) copyFileSync(join(root, name), join(dir, name));
  writeFileSync(join(dir, "README.md"), `The program of \`npx heddle\` for ${platform}: install the package heddle.\n`);
  writeJSON(join(dir, "package.json"), {
    name: `@heddle/${platform}`, version, description: `The program of npx heddle, for ${platform}`,
    repository, license, os: [os], cpu: [cpu], files: ["bin", "LICENSE", "NOTICE"], preferUnplugged: true,
  });
  return program;
}

function heddlePackage(dir, platforms) {
  for (const name of ["README.md", ...new Set(manifest.files.map((pattern) => pattern.split("/")[0]))]) {
    cpSync(join(web, name), join(dir, name), { recursive: true });
  }
  const optionalDependencies = Object.fromEntries(platforms.map((platform) => [`@heddle/${platform}`, version]));
  writeJSON(join(dir, "package.json"), { ...manifest, optionalDependencies });
}

function main() {
  const { values, positionals } = parseArgs({ options: { to: { type: "string" } }, allowPositionals: true });
  if (!values.to) throw new Error("--to DIR is needed");
  const to = resolve(values.to), platforms = positionals.length > 0 ? positionals : Object.keys(PLATFORMS);
  const unknown = platforms.filter((name) => !PLATFORMS[name]);
  if (unknown.length > 0) throw new Error(`not among ${Object.keys(PLATFORMS).join(", ")}: ${unknown.join(", ")}`);
  mkdirSync(to, { recursive: true });
  const megabytes = (path) => `${(statSync(path).size / 1e6).toFixed(1)} MB`.padStart(10);
  const stage = mkdtempSync(join(tmpdir(), "heddle-release-"));
  try {
    for (const platform of platforms) {
      const dir = join(stage, platform), program = platformPackage(platform, dir), tarball = pack(dir, to);
      console.log(`${`@heddle/${platform}`.padEnd(22)}${megabytes(program)} ${megabytes(tarball)} packed`);
    }
    const dir = join(stage, "heddle");
    mkdirSync(dir);
    heddlePackage(dir, platforms);
    console.log(`${"heddle".padEnd(33)}${megabytes(pack(dir, to))} packed`);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

main();
