// What of the loader needs no Go program; the rest is in engine/linktest.
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { linkEngine } from "../../src/worker/engine.js";
import { carriedBy } from "../../src/worker/second-part.js";
import * as generated from "../../src/worker/engine-modules.gen.js";

const bytes = fs.readFileSync(new URL("../../../engine/sqlite3.wasm", import.meta.url));
const sqlite = new WebAssembly.Module(bytes);
const empty = new WebAssembly.Module(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));

const simdNames = ["adiantum_begin", "adiantum_end", "box_open", "snappy_decode"];

type Open = (abi: number, id: number, base: number, memoryBase: number, stackLow: number, stackHigh: number) => number;

function opener(module: WebAssembly.Module, report: (error: unknown) => void = (error) => assert.fail(String(error))) {
  const engine = linkEngine(module, report);
  return { engine, open: engine.imports.engine["open"] as Open };
}

test("the module's imports are those that the loader provides", () => {
  const known = new Set([...generated.callbackNames, ...generated.directNames, ...generated.gotNames]);
  for (const { module, name, kind } of WebAssembly.Module.imports(sqlite)) {
    assert.ok(module === "env" || module === "GOT.func", `${module}.${name}`);
    if (kind === "function" || module === "GOT.func") assert.ok(known.has(name), `${module}.${name}`);
  }
});

test("Go can import every function before there is a connection", () => {
  const { engine } = opener(sqlite);
  for (const name of generated.exportNames) {
    assert.equal(typeof engine.imports.sqlite[name], "function", name);
  }
});

test("a function of a closed connection answers zero", () => {
  const { engine } = opener(sqlite);
  const closed = 0;
  assert.equal((engine.imports.sqlite["sqlite3_step"] as (base: number, stmt: number) => number)(closed, 8), 0);
  assert.equal((engine.imports.sqlite["sqlite3_column_double"] as Function)(closed, 8, 0), 0);
  assert.equal((engine.imports.sqlite["sqlite3_column_int64"] as Function)(closed, 8, 0), 0n);
});

test("another module or another program is refused", () => {
  assert.equal(opener(empty).open(generated.abi, 1, 0, 0, 0, 0), 1);
  assert.equal(opener(sqlite).open(generated.abi + 1, 1, 0, 0, 0, 0), 1);
});

test("a connection before attach is refused", () => {
  assert.equal(opener(sqlite).open(generated.abi, 1, 0, 0, 0, 0), 2);
});

test("a program without the callbacks is refused and reported", () => {
  const reported: unknown[] = [];
  const { engine, open } = opener(sqlite, (error) => reported.push(error));
  engine.attach({ mem: new WebAssembly.Memory({ initial: 64 }) });
  assert.equal(open(generated.abi, 1, generated.exportNames.length, 65536, 1 << 20, 2 << 20), 3);
  assert.equal(reported.length, 1);
  assert.equal(engine.stacks.size, 0);
});

test("where there is no SIMD, Go is told to do the work", () => {
  const { engine } = opener(sqlite);
  engine.attach({ mem: new WebAssembly.Memory({ initial: 1 }) });
  for (const name of simdNames) {
    assert.equal((engine.imports.engine[name] as Function)(0, 0, 0, 0, 0, 0, 0), 0, name);
  }
});

test("heddle-rest.wasm carries the code with SIMD", () => {
  const rest = new WebAssembly.Module(fs.readFileSync(new URL("../../dist/heddle-rest.wasm", import.meta.url)));
  const exports = WebAssembly.Module.exports(carriedBy(rest, "simd"));
  assert.deepEqual(exports.map(({ name }) => name).toSorted(), simdNames);
});

test("local time is the browser's", () => {
  const offset = opener(sqlite).engine.imports.engine["utc_offset"] as (unixSeconds: number) => number;
  for (const unix of [0, 1700000000, 1720000000.25, -86400 * 365 * 30, 4102444800]) {
    const minutes = new Date(unix * 1000).getTimezoneOffset();
    assert.equal(Math.round(offset(unix) / 60) + Math.round(minutes), 0, String(unix));
  }
});
