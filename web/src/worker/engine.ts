/**
 * Links SQLite into Go's memory.
 *
 * Go must be instantiated first, since its memory is SQLite's, and yet imports
 * SQLite's functions. A small module of trampolines gives Go its imports at
 * once; each of them calls through a table, whose slots are filled when SQLite
 * is instantiated, once for each connection. SQLite's own imports are Go's
 * exports, behind a second small module that adds the connection's id. So no
 * JavaScript lies on the way between the two.
 *
 * The Go side is engine/link; both are generated from the same sqlite3.wasm.
 */
import * as generated from "./engine-modules.gen.js";
import { LaterPart } from "./second-part.js";

/** What a worker gets from {@link linkEngine}. */
export interface Engine {
  /** To be merged into Go's import object before Go is instantiated. */
  readonly imports: {
    readonly sqlite: WebAssembly.ModuleImports;
    readonly engine: WebAssembly.ModuleImports;
  };
  /** Takes the exports of the instantiated Go program, before it is run. */
  attach(go: WebAssembly.Exports): void;
  /** The shadow stack of each open connection, by id: for tests and diagnosis. */
  readonly stacks: ReadonlyMap<number, Stack>;
}

/** A connection's shadow stack, in the linear memory; it grows downwards. */
export interface Stack {
  /** SQLite's stack pointer now; equal to `high` when nothing is inside SQLite. */
  readonly pointer: number;
  readonly high: number;
  /** Moves the limit below which SQLite traps. */
  setLow(low: number): void;
}

/** The answers of `open`, which engine/link turns into errors. */
const enum Answer {
  ok = 0,
  otherModule = 1,
  notAttached = 2,
  failed = 3,
}

/**
 * Prepares a Go program to be linked with SQLite.
 *
 * @param sqlite - the compiled engine/sqlite3.wasm, or its first part
 * @param report - is told why a connection could not be instantiated
 * @param rest - returns the second part, now; for a first part alone
 * @param simdModule - returns engine/simd.wasm, now; throws where the browser has no SIMD
 */
export function linkEngine(
  sqlite: WebAssembly.Module,
  report: (error: unknown) => void = (error) => console.error(error),
  rest: () => WebAssembly.Module = noRest,
  simdModule: () => WebAssembly.Module = noSimdModule,
): Engine {
  const trampolines = new WebAssembly.Instance(compile(generated.trampolines)).exports;
  const table = trampolines["table"] as WebAssembly.Table;
  const callbacks = compile(generated.callbacks);
  const sameModule = dylinkOf(sqlite) === generated.dylink;
  let go: WebAssembly.Exports | undefined;
  const stacks = new Map<number, Stack>();

  let simd: Simd | undefined;
  const withSimd = (): Simd => {
    if (simd === undefined) {
      try {
        const imports = { env: { memory: go!["mem"] as WebAssembly.Memory } };
        simd = new WebAssembly.Instance(simdModule(), imports).exports as unknown as Simd;
      } catch (error) {
        if (!(error instanceof WebAssembly.CompileError)) return noSimd; // it is not here yet
        simd = noSimd;
      }
    }
    return simd;
  };

  const engine = {
    // Called by Go's sqlite3_wasm.Adiantum and Boxes, with addresses in the linear memory.
    adiantum_begin: (block: number, tweak: number, keys: number): number =>
      withSimd().adiantum_begin(block, tweak, keys),
    adiantum_end: (block: number, tweak: number, keys: number, nonce: number): number =>
      withSimd().adiantum_end(block, tweak, keys, nonce),
    box_open: (plain: number, box: number, n: number, about: number, m: number, nonce: number, key: number): number =>
      withSimd().box_open(plain, box, n, about, m, nonce, key),
    snappy_decode: (to: number, size: number, block: number, n: number): number =>
      withSimd().snappy_decode(to, size, block, n),

    // Called by Go's sqlite3_wasm.New, with addresses in the linear memory.
    open(abi: number, id: number, base: number, memoryBase: number, stackLow: number, stackHigh: number): number {
      if (!sameModule || abi !== generated.abi) return Answer.otherModule;
      if (go === undefined) return Answer.notAttached;
      try {
        const pointer = new WebAssembly.Global({ value: "i32", mutable: true }, stackHigh);
        const instance = instantiate(sqlite, rest, callbacks, go, id, memoryBase, pointer);
        const setLow = (low: number) => call(instance, "__set_stack_limits", stackHigh, low);
        call(instance, "__wasm_apply_data_relocs");
        setLow(stackLow);
        const end = base + generated.exportNames.length;
        if (end > table.length) table.grow(end - table.length);
        generated.exportNames.forEach((name, i) => table.set(base + i, instance[name]));
        stacks.set(id, {
          get pointer() {
            return pointer.value >>> 0;
          },
          high: stackHigh >>> 0,
          setLow,
        });
      } catch (error) {
        report(error);
        return Answer.failed;
      }
      return Answer.ok;
    },

    // Called by Go once a connection is closed: nothing holds the instance then.
    close(id: number, base: number): void {
      for (let i = 0; i < generated.exportNames.length; i++) table.set(base + i, null);
      stacks.delete(id);
    },

    // Local time as the browser has it; Go's own zone knows no daylight saving.
    utc_offset(unixSeconds: number): number {
      const d = new Date(unixSeconds * 1000);
      const local = Date.UTC(
        d.getFullYear(), d.getMonth(), d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds(),
      );
      return Math.round(local / 1000 - Math.floor(unixSeconds));
    },
  };

  return {
    imports: { sqlite: trampolines, engine },
    attach(exports) {
      go = exports;
    },
    stacks,
  };
}

/** The exports of engine/simd.wasm, from engine/build/csrc. They answer 0 where Go has to do the work. */
interface Simd {
  adiantum_begin(block: number, tweak: number, keys: number): number;
  adiantum_end(block: number, tweak: number, keys: number, nonce: number): number;
  box_open(plain: number, box: number, n: number, about: number, m: number, nonce: number, key: number): number;
  snappy_decode(to: number, size: number, block: number, n: number): number;
}

/** A browser's without SIMD, and anyone's while the module is not there. */
const noSimd: Simd = { adiantum_begin: () => 0, adiantum_end: () => 0, box_open: () => 0, snappy_decode: () => 0 };

function noSimdModule(): never {
  throw new WebAssembly.CompileError("this worker has no simd.wasm"); // and never will
}

function noRest(): never {
  throw new Error("the whole of sqlite3.wasm has no second part");
}

function instantiate(
  sqlite: WebAssembly.Module,
  rest: () => WebAssembly.Module,
  callbacks: WebAssembly.Module,
  go: WebAssembly.Exports,
  id: number,
  memoryBase: number,
  stackPointer: WebAssembly.Global,
): WebAssembly.Exports {
  const link = { id: constant(id) };
  const toGo = new WebAssembly.Instance(callbacks, { go, link }).exports;
  const target = (name: string): Function => {
    const f = toGo[name] ?? go[name] ?? go[`math_${name}`];
    if (typeof f !== "function") throw new Error(`Go does not export ${name}`);
    return f;
  };

  // Slot 0 stays empty: it is C's null pointer.
  const tableBase = 1;
  const firstGot = tableBase + generated.tableSize;
  const functions = new WebAssembly.Table({
    element: "anyfunc",
    initial: firstGot + generated.gotNames.length,
  });
  const got: WebAssembly.ModuleImports = {};
  generated.gotNames.forEach((name, i) => {
    functions.set(firstGot + i, target(name));
    got[name] = new WebAssembly.Global({ value: "i32", mutable: true }, firstGot + i);
  });

  const env: WebAssembly.ModuleImports = {
    memory: go["mem"] as WebAssembly.Memory,
    __indirect_function_table: functions,
    __stack_pointer: stackPointer,
    __memory_base: constant(memoryBase),
    __table_base: constant(tableBase),
  };
  for (const name of generated.directNames) env[name] = target(name) as WebAssembly.ImportValue;
  const imports = { env, "GOT.func": got };
  const { exports } = new WebAssembly.Instance(sqlite, imports);
  if ("split.functions" in exports) new LaterPart("rest", exports, imports, rest);
  return exports;
}

function constant(value: number): WebAssembly.Global {
  return new WebAssembly.Global({ value: "i32", mutable: false }, value);
}

function call(exports: WebAssembly.Exports, name: string, ...args: number[]): void {
  (exports[name] as (...args: number[]) => void)(...args);
}

/** Compiles one of the small modules, which are here as bytes: a file would need a URL. */
function compile(base64: string): WebAssembly.Module {
  return new WebAssembly.Module(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
}

/** The dylink.0 section, which says what a side module needs, in hexadecimal. */
function dylinkOf(module: WebAssembly.Module): string {
  const [section] = WebAssembly.Module.customSections(module, "dylink.0");
  if (section === undefined) return "";
  return Array.from(new Uint8Array(section), (b) => b.toString(16).padStart(2, "0")).join("");
}
