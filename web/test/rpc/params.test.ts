import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { checkLock, checkOptions } from "../../src/api/options.js";
import { checkBatch, checkParams, checkSql, checkValue, isRead } from "../../src/rpc/params.js";
import type { OpenOptions, Params } from "../../src/shared/types.js";

const bad = (says: RegExp) => ({ name: "HeddleError", code: "HEDDLE_BAD_PARAM", message: says });

test("values become SQLite's", () => {
  const buffer = new Uint8Array([1, 2, 3, 4]).buffer;
  for (const [given, want] of [
    [null, null], [true, 1], [false, 0], [NaN, null], [1.5, 1.5], ["x", "x"], [10n, 10n],
    [buffer, new Uint8Array([1, 2, 3, 4])], [new DataView(buffer, 1, 2), new Uint8Array([2, 3])],
    [new Uint16Array(buffer, 2, 1), new Uint8Array([3, 4])], [Buffer.from("ab"), Buffer.from("ab")],
  ] as const) assert.deepEqual(checkValue(given, "p"), want);
});

test("what SQLite cannot store is refused, with what to do", () => {
  for (const [given, says] of [
    [undefined, /parameter 1 is undefined: pass null/],
    [new Date(0), /Date.*toISOString/],
    [() => 1, /function/],
    [Symbol("s"), /symbol/],
    [{ a: 1 }, /an object.*JSON\.stringify/],
    [[1], /an array.*JSON\.stringify/],
    [new Map(), /type Map/],
    [Promise.resolve(1), /forgotten await/],
    [new Blob([]), /arrayBuffer\(\)/],
    [2n ** 63n, /64-bit/],
    [-(2n ** 63n) - 1n, /64-bit/],
  ] as const) assert.throws(() => checkParams([given], "SELECT ?"),
    { ...bad(says), sql: "SELECT ?" });
  assert.throws(() => checkParams({ ":a": undefined }, "S"), bad(/parameter ":a" is undefined/));
  // oxlint-disable-next-line no-sparse-arrays
  assert.throws(() => checkParams([1, , 3], "S"), bad(/parameter 2 is undefined/));
  for (const params of ["x", 5, null, new Date(), new Map(), new Uint8Array()]) {
    assert.throws(() => checkParams(params as unknown as Params, "S"), bad(/array or an object/));
  }
});

test("params of either kind", () => {
  assert.deepEqual(checkParams(undefined, "S"), { kind: "none" });
  assert.deepEqual(checkParams([], "S"), { kind: "positional", values: [] });
  assert.deepEqual(checkParams({ a: 1, $b: "x" }, "S"), { kind: "named", names: ["a", "$b"], values: [1, "x"] });
  assert.deepEqual(checkParams(Object.assign(Object.create(null) as object, { a: 1 }) as Params, "S"),
    { kind: "named", names: ["a"], values: [1] });
});

test("SQL and batches", () => {
  assert.throws(() => checkSql(5), bad(/must be a string/));
  assert.throws(() => checkSql("SELECT 1\0; DROP"), bad(/NUL/));
  assert.deepEqual(checkBatch(["A", ["B"], ["C", [1]]]).map((s) => s.params.kind), ["none", "none", "positional"]);
  assert.throws(() => checkBatch("x" as never), bad(/array of \[sql, params\]/));
  assert.throws(() => checkBatch([{ sql: "x" }] as never), bad(/entry 0/));
});

test("only what surely reads is taken for a read", () => {
  const path = new URL("../../../internal/store/testdata/class.json", import.meta.url);
  const cases = JSON.parse(readFileSync(path, "utf8")) as { sql: string; class: string; surely_reads: boolean }[];
  for (const { sql, class: kind, surely_reads } of cases) {
    assert.equal(isRead(sql), surely_reads, sql);
    if (isRead(sql)) assert.ok(kind === "read" || sql.startsWith("EXPLAIN"), sql);
  }
});

test("options: what no database can be opened with", () => {
  const sync = { url: "https://x.test", space: "s", tables: { t: true } };
  for (const [options, says] of [
    [undefined, /takes an object/],
    [{}, /name/],
    [{ name: "" }, /empty/],
    [{ name: "x".repeat(300) }, /name/],
    [{ name: "a", migrations: "x" }, /migrations must be an array/],
    [{ name: "a", migrations: ["x", 5] }, /migrations\[1\]/],
    [{ name: "a", storage: "disk" }, /storage/],
    [{ name: "a", sync: 5 }, /sync must be an object/],
    [{ name: "a", sync: { ...sync, url: "::" } }, /no URL/],
    [{ name: "a", sync: { ...sync, url: "ftp://x" } }, /http/],
    [{ name: "a", sync: { ...sync, space: "" } }, /space/],
    [{ name: "a", sync: { ...sync, token: "abc" } }, /token must be a function/],
    [{ name: "a", sync: { ...sync, sealed: "yes" } }, /sealed must be true or false/],
    [{ name: "a", sync: { ...sync, key: {} } }, /sync\.key is no option/],
    [{ name: "a", sync: { ...sync, tables: ["t"] } }, /tables must be an object/],
    [{ name: "a", sync: { ...sync, tables: {} } }, /no table/],
    [{ name: "a", sync: { ...sync, tables: { t: false } } }, /tables\.t must be true/],
    [{ name: "a", sync: { ...sync, tables: { t: { c: "sum" } } } }, /t\.c must be one of/],
  ] as const) assert.throws(() => checkOptions(options as unknown as OpenOptions), bad(says));
  assert.throws(() => checkOptions({ name: "a", seed: "x" } as unknown as OpenOptions),
    bad(/open: seed takes an array/));
  assert.throws(() => checkOptions({ name: "a", seed: [1] } as unknown as OpenOptions), bad(/open: seed: entry 0/));
  assert.equal(checkOptions({ name: "a",
    sync: { ...sync, tables: { t: true }, url: "https://x.test/base/?q#f" } }).sync!.url, "https://x.test/base");
});

test("a lock stands for the profile's own key, and locks something", async () => {
  const lock = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const key = new Uint8Array(32);
  const sealed = { url: "https://x.test", space: "s", tables: { t: true as const }, sealed: true };
  assert.equal(checkLock({ name: "a", lock, encryptAtRest: true }), lock);
  assert.deepEqual(checkLock({ name: "a", lock, encryptAtRest: { key: true, was: key } }), { key: lock, was: key });
  assert.equal(checkLock({ name: "a", lock, sync: sealed }), undefined);
  assert.deepEqual(checkLock({ name: "a", lock, encryptAtRest: key, sync: sealed }), key);
  assert.equal(checkLock({ name: "a", encryptAtRest: true }), true);
  for (const options of [{ lock }, { lock, encryptAtRest: key }, { lock, sync: { ...sealed, sealed: false } },
    { lock, encryptAtRest: { key: null, was: true } }]) {
    assert.throws(() => checkLock({ name: "a", ...options } as OpenOptions), bad(/lock is for sync.sealed/));
  }
  for (const secret of ["correct horse", { passphrase: "correct horse" }]) {
    assert.throws(() => checkLock({ name: "a", lock: secret as unknown as CryptoKey, encryptAtRest: true }),
      (error: Error) => /openLock/.test(error.message) && !/horse/.test(error.message));
  }
});

test("a space's name is looked at before anything starts, by the server's rule", () => {
  const path = new URL("../../../sync/wire/testdata/spaces.json", import.meta.url);
  const names = JSON.parse(readFileSync(path, "utf8")) as { valid: string[]; invalid: string[] };
  assert.ok(names.valid.length > 0 && names.invalid.length > 0);
  const options = (space: unknown) =>
    ({ name: "a", sync: { url: "https://x.test", space, tables: { t: true } } }) as OpenOptions;
  for (const space of names.valid) assert.equal(checkOptions(options(space)).sync?.space, space);
  for (const space of names.invalid) assert.throws(() => checkOptions(options(space)),
    bad(/sync\.space has 1 to 128 ASCII letters, digits and/), space);
});
