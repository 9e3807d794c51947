// Runs a test binary of Go in a worker, as web/src/worker/leader.ts runs the product:
// SQLite linked to it, the files of some databases opened before.
import "heddle:wasm_exec";
import { linkEngine } from "../../web/src/worker/engine.js";
import { OpfsDirectory, OpfsImports } from "../../web/src/worker/opfs.js";

/** As many as wasm/conformance has. */
const DIRECTORIES = 6;

/** What the worker is told to do. */
export type Order =
  | { t: "open" }
  /** Runs the binary with those arguments. */
  | { t: "run"; args: string[] }
  | { t: "check" }
  | { t: "close" };

/** What it answers. */
export interface Done { ok: boolean; output: string }

const directories: OpfsDirectory[] = [];
const decoder = new TextDecoder();
let output = "";

const { fs } = globalThis as unknown as { fs: { writeSync(fd: number, bytes: Uint8Array): number } };
fs.writeSync = (_fd, bytes) => {
  output += decoder.decode(bytes, { stream: true });
  return bytes.length;
};

const compile = (url: string) => WebAssembly.compileStreaming(fetch(url));

async function run(args: string[]): Promise<boolean> {
  const [program, sqlite] = await Promise.all([compile("/conformance.wasm"), compile("/engine/sqlite3.wasm")]);
  const go = new Go();
  go.argv = ["conformance", ...args];
  let code = 0;
  go.exit = (exit) => { code = exit; };
  const engine = linkEngine(sqlite);
  const files = new OpfsImports();
  for (const directory of directories) files.add(directory);
  const instance = await WebAssembly.instantiate(program, { ...go.importObject, ...engine.imports, ...files.imports });
  engine.attach(instance.exports);
  files.attach(instance.exports);
  await go.run(instance);
  return code === 0;
}

async function obey(order: Order): Promise<boolean> {
  switch (order.t) {
    case "open":
      for (let i = 0; i < DIRECTORIES; i++) directories.push(await OpfsDirectory.open(`Conformance ${i}`));
      return true;
    case "run":
      return run(order.args);
    case "check":
      for (const directory of directories) if (!(await directory.check())) return false;
      return true;
    case "close":
      for (const directory of directories.splice(0)) directory.close();
      return true;
  }
}

onmessage = async ({ data }: MessageEvent<Order>) => {
  output = "";
  let ok = false;
  try {
    ok = await obey(data);
  } catch (error) {
    output += String((error as Error).stack ?? error);
  }
  postMessage({ ok, output } satisfies Done);
};
