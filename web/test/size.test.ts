// What an app downloads before its first query, so that it cannot creep.
// Compressed quickly: as a server that compresses well does it, it is a tenth less.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const KIB = 1024;

/**
 * The most that each file may weigh, in KiB of brotli at quality 5. Sealed spaces are heddle-sealed.wasm, which no
 * other app fetches, and what is not divided: some 20 of heddle.wasm and 2.2 of worker.js. To go on with a restored
 * server is 4 of heddle-sealed.wasm; heads and evidence are 22 of it, and 6 of heddle.wasm; snapshots 45 of it. Files
 * encrypted at rest are 24 of heddle-rest.wasm, and 1.4 of worker.js: their key has to be there before Go is. SQLite's
 * second part is 125 of heddle-rest.wasm; ciphers and Snappy with SIMD are 4 there, and 1 of heddle-sealed.wasm.
 * argon2.js is loaded where a passphrase is set or used.
 */
const budgets = { "heddle.wasm": 994, "heddle-rest.wasm": 988, "heddle-sealed.wasm": 223, "sqlite3.wasm": 270,
  "index.js": 31, "worker.js": 24, "argon2.js": 11 };

test("the package's files keep their budgets", () => {
  for (const [name, budget] of Object.entries(budgets)) {
    const file = new URL(`../dist/${name}`, import.meta.url);
    const bytes = readFileSync(file); // `make build` leaves it there
    const size = brotliCompressSync(bytes,
      { params: { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_LGWIN]: 24 } }).length / KIB;
    assert.ok(size < budget, `${name} weighs ${size.toFixed(0)} KiB, its budget is ${budget}`);
    // A budget that is far too large keeps nothing.
    assert.ok(size > budget * 0.7, `${name} weighs ${size.toFixed(0)} KiB: lower its budget of ${budget}`);
  }
});

/** The most that the hooks of a framework may add to an app, in KiB of gzip. */
const HOOKS = 3;

test("the hooks of each framework are thin", () => {
  for (const name of ["react", "vue", "svelte", "solid"]) {
    const size = gzipSync(readFileSync(new URL(`../dist/${name}.js`, import.meta.url)), { level: 9 }).length / KIB;
    assert.ok(size <= HOOKS, `${name}.js weighs ${size.toFixed(2)} KiB, its budget is ${HOOKS}`);
    assert.ok(size > HOOKS * 0.7, `${name}.js weighs ${size.toFixed(2)} KiB: lower the budget of ${HOOKS}`);
  }
});
