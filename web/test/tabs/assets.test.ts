// Where the package's files are looked for, and what is said where one is missing.
import { deepEqual, equal, match, throws } from "node:assert/strict";
import { test } from "node:test";
import { checkAssets } from "../../src/api/options.js";
import { unoptimized } from "../../src/tabs/package-files.js";
import { Assets } from "../../src/tabs/assets.js";

Object.assign(globalThis, { location: new URL("https://app.example/shop/cart") });

test("files lie beside the module", () => {
  const assets = new Assets();
  equal(assets.href("heddle"), new URL("../../src/tabs/heddle.wasm", import.meta.url).href);
  equal(assets.bundled("broker"), true);
  match(assets.cure("heddle"), /copy the files of heddle\/dist/);
});

test("a module that Vite's optimizer has moved finds the package's files", () => {
  for (const [moved, file] of [
    ["http://localhost:5173/node_modules/.vite/deps/worker.js?v=1f",
      "http://localhost:5173/node_modules/heddle/dist/worker.js?v=1f"],
    ["http://localhost:3000/_nuxt/@fs/app/node_modules/.cache/vite/client/deps/worker.js",
      "http://localhost:3000/_nuxt/@fs/app/node_modules/heddle/dist/worker.js"],
    ["https://app.example/node_modules/heddle/dist/worker.js",
      "https://app.example/node_modules/heddle/dist/worker.js"],
  ] as const) equal(unoptimized(moved), file);
});

test("given URLs begin at the page's", () => {
  const broker = new URL("https://cdn.example/broker.js");
  const assets = new Assets({ worker: "/static/worker.js", sqlite: "sqlite3.wasm", broker });
  equal(assets.href("worker"), "https://app.example/static/worker.js");
  equal(assets.href("sqlite"), "https://app.example/shop/sqlite3.wasm");
  equal(assets.href("broker"), "https://cdn.example/broker.js");
  deepEqual([assets.bundled("broker"), assets.bundled("heddle")], [false, true]);
  match(assets.cure("worker"), /assets: \{ worker \}/);
});

test("what names no file is refused, with the reason", () => {
  deepEqual(checkAssets(undefined), {});
  for (const [assets, says] of [
    ["/static/", /must be an object/], [{ wasm: "/x.wasm" }, /assets\.wasm is no file of the package: worker, broker/],
    [{ worker: 7 }, /must be a URL/], [{ worker: "http://[" }, /is no URL/],
  ] as const) {
    throws(() => checkAssets(assets), { code: "HEDDLE_BAD_PARAM", message: says });
  }
});
