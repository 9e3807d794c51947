// Checks open()'s options and makes them what a leading worker is told.

import { VERSION, type OpenConfig, type SyncConfig } from "../rpc/messages.gen.js";
import { HeddleError } from "../shared/errors.js";
import { checkName } from "../shared/names.js";
import { checkBatch, describe } from "../rpc/params.js";
import type { AssetUrls, AtRest, Merge, OpenOptions } from "../shared/types.js";

const MERGES: readonly Merge[] = ["last", "counter", "max", "min", "set"];

/** The name of a space: wire.ValidSpace has the same rule. */
const SPACE = /^[A-Za-z0-9_~!$&'()+=:@][A-Za-z0-9_~!$&'()+=:@.-]{0,127}$/;
const SPACE_RULE = "1 to 128 ASCII letters, digits and -._~!$&'()+=:@, and does not begin with . or -";

function refuse(what: string): never {
  throw new HeddleError("HEDDLE_BAD_PARAM", `open: ${what}`);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Throws HEDDLE_BAD_PARAM on what no database can be opened with. */
export function checkOptions(options: OpenOptions): OpenConfig {
  if (!isObject(options)) refuse(`takes an object with a name, not ${describe(options)}`);
  checkName(options.name);
  const migrations: unknown = options.migrations ?? [];
  if (!Array.isArray(migrations)) refuse(`migrations must be an array of SQL strings, it is ${describe(migrations)}`);
  for (let i = 0; i < migrations.length; i++) {
    if (typeof migrations[i] === "string") continue;
    refuse(`migrations[${i}] must be a string, it is ${describe(migrations[i])}`);
  }
  const storage = options.storage ?? "persistent";
  if (storage !== "persistent" && storage !== "memory") {
    refuse(`storage must be "persistent" or "memory", it is ${JSON.stringify(storage)}`);
  }
  const recover: unknown = options.recover ?? false;
  if (typeof recover !== "boolean") refuse(`recover must be true or false, it is ${describe(recover)}`);
  return {
    version: VERSION, name: options.name, storage, migrations: [...migrations] as string[], recover,
    seed: options.seed === undefined ? [] : checkBatch(options.seed, "open: seed"),
    sync: options.sync === undefined ? undefined : checkSync(options.sync),
  };
}

/** encryptAtRest, with the lock for the profile's own key. Throws HEDDLE_BAD_PARAM on a lock that locks nothing. */
export function checkLock({ lock, encryptAtRest, sync }: OpenOptions): AtRest | undefined {
  const atRest = structuredClone(encryptAtRest);
  if (lock === undefined) return atRest;
  if (!(lock instanceof CryptoKey)) refuse("lock is what openLock() of heddle/sealed gives");
  if (atRest === true) return lock;
  const own = isObject(atRest) && atRest["key"] === true;
  if (!own && !sync?.sealed) refuse("lock is for sync.sealed and encryptAtRest: true");
  return own ? { ...atRest as object, key: lock } : atRest;
}

const ASSETS: readonly (keyof AssetUrls)[] = ["worker", "broker", "heddle", "heddleRest", "heddleSealed", "sqlite"];

/** Throws HEDDLE_BAD_PARAM on what names no file. */
export function checkAssets(assets: unknown = {}): AssetUrls {
  if (!isObject(assets)) refuse(`assets must be an object of URLs, it is ${describe(assets)}`);
  for (const [name, url] of Object.entries(assets)) {
    if (!ASSETS.includes(name as keyof AssetUrls)) {
      refuse(`assets.${name} is no file of the package: ${ASSETS.join(", ")}`);
    }
    if (url === undefined) continue;
    if (typeof url !== "string" && !(url instanceof URL)) {
      refuse(`assets.${name} must be a URL, it is ${describe(url)}`);
    }
    if (!URL.canParse(url, location.href)) refuse(`assets.${name} is no URL: ${JSON.stringify(url)}`);
  }
  if ((assets["heddle"] === undefined) !== (assets["heddleRest"] === undefined)) {
    refuse("assets.heddle and assets.heddleRest are two parts of one program: give both, or none");
  }
  return assets;
}

function checkSync(sync: unknown): SyncConfig {
  if (!isObject(sync)) refuse(`sync must be an object, it is ${describe(sync)}`);
  const { url, space, token, tables, integerKey, sealed } = sync;
  // Never open unencrypted what was asked to be encrypted.
  if (sync["key"] !== undefined) refuse("sync.key is no option: see sync.sealed");
  if (typeof url !== "string") refuse(`sync.url must be a string, it is ${describe(url)}`);
  let parsed: URL;
  try {
    parsed = new URL(url, typeof location === "undefined" ? undefined : location.href);
  } catch {
    refuse(`sync.url is no URL: ${JSON.stringify(url)}`);
  }
  if (!/^https?:$/.test(parsed.protocol)) refuse(`sync.url must be http or https, it is ${parsed.protocol}`);
  if (typeof space !== "string") refuse(`sync.space must be a string, it is ${describe(space)}`);
  if (!SPACE.test(space)) refuse(`sync.space has ${SPACE_RULE}; it is ${JSON.stringify(space)}`);
  if (token !== undefined && typeof token !== "function") {
    refuse(`sync.token must be a function, it is ${describe(token)}`);
  }
  for (const [name, value] of Object.entries({ integerKey, sealed })) {
    if (value !== undefined && typeof value !== "boolean") refuse(`sync.${name} must be true or false`);
  }
  if (!isObject(tables)) refuse(`sync.tables must be an object such as { notes: true }, it is ${describe(tables)}`);
  const list = Object.entries(tables).map(([name, columns]) => {
    if (columns === true) return { name, merges: [] };
    if (!isObject(columns)) {
      refuse(`sync.tables.${name} must be true or an object of columns, it is ${describe(columns)}`);
    }
    const merges = Object.entries(columns).map(([column, merge]) => {
      if (!MERGES.includes(merge as Merge)) {
        refuse(`sync.tables.${name}.${column} must be one of ${MERGES.join(", ")}, it is ${JSON.stringify(merge)}`);
      }
      return { column, merge: merge as Merge };
    });
    return { name, merges };
  });
  if (list.length === 0) refuse("sync.tables names no table");
  return {
    url: parsed.href.replace(/[?#].*$/, "").replace(/\/+$/, ""), space,
    integerKey: integerKey === true, token: token !== undefined, sealed: sealed === true, tables: list,
  };
}
