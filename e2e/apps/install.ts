// The folders in which the apps of the matrix are built: outside the repository, as a stranger's are, for many a tool
// looks for its settings in the folders above. What npm installs for an app is kept there by the app's lock file; each
// run works on a copy of hard links, so that every build is a first one.
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { root } from "../harness.js";
import type { App } from "./apps.js";
import { run } from "./processes.js";

const here = import.meta.dirname;
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "heddle-apps");

/** A folder for one run. */
export async function workspace(): Promise<string> {
  await mkdir(cache, { recursive: true });
  return mkdtemp(join(cache, "run-"));
}

/** The tarball that npm would publish. */
export async function pack(to: string): Promise<string> {
  const out = await run(`npm pack --ignore-scripts --silent --pack-destination ${to}`, join(root, "web"));
  return join(to, out.trim().split("\n").at(-1)!);
}

interface Manifest {
  dependencies?: Record<string, string>;
  /** Of a lock file: each folder by its path. */
  packages?: Record<string, Manifest>;
}

/** A package.json, or its lock file, without the package itself, which an example has as a link. */
function withoutHeddle(text: string): string {
  const manifest = JSON.parse(text) as Manifest;
  for (const { dependencies } of [manifest, ...Object.values(manifest.packages ?? {})]) delete dependencies?.["heddle"];
  for (const path of ["node_modules/heddle", "../../web"]) delete manifest.packages?.[path];
  return JSON.stringify(manifest);
}

/** The packages that the lock file of a folder names, installed once. */
async function packages(from: string): Promise<string> {
  const name = basename(from), lock = await readFile(join(from, "package-lock.json"), "utf8");
  const hash = createHash("sha256").update(lock).digest("hex").slice(0, 16), kept = join(cache, `${name}-${hash}`);
  const siblings = await readdir(cache);
  if (siblings.includes(`${name}-${hash}`)) return kept;
  const fresh = await mkdtemp(join(cache, "install-"));
  for (const file of ["package.json", "package-lock.json"]) {
    await writeFile(join(fresh, file), withoutHeddle(await readFile(join(from, file), "utf8")));
  }
  await run("npm ci --loglevel=error", fresh);
  await rename(fresh, kept).catch(() => rm(fresh, { recursive: true })); // another run has done it meanwhile
  const older = siblings.filter((dir) => new RegExp(`^${name}-[0-9a-f]{16}$`).test(dir));
  for (const dir of older) await rm(join(cache, dir), { recursive: true, force: true });
  return kept;
}

/** A fresh folder in `to` with an app, its packages and the tarball's content. */
export async function install(name: string, app: App, tarball: string, to: string): Promise<string> {
  const dir = await installFrom(join(here, name), join(here, app.source ?? name), tarball, to);
  await cp(join(here, "shared/notes.js"), join(dir, app.shared, "notes.js"));
  return dir;
}

/** The same for the files of a folder, with the packages that another one, or the same, names. */
export async function installFrom(manifests: string, files: string, tarball: string, to: string): Promise<string> {
  const dir = join(to, basename(manifests)), heddle = join(dir, "node_modules/heddle");
  await run(`cp -al ${await packages(manifests)} ${dir}`, to);
  const own = (path: string) => !["node_modules", "dist", ".next"].includes(basename(path));
  await cp(files, dir, { recursive: true, force: true, filter: own });
  // As npm does it for a package without dependencies, at a fraction of the time.
  await mkdir(heddle, { recursive: true });
  await run(`tar -xzf ${tarball} -C ${heddle} --strip-components 1`, dir);
  return dir;
}
