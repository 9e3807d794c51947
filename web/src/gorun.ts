// Starts heddle.wasm in this worker, with SQLite and the files linked to it, and
// says how it ended.

import "heddle:wasm_exec";
import { linkEngine } from "./engine.js";
import type { OpfsImports } from "./opfs.js";
import type { Modules } from "./protocol.js";
import type { Shell } from "./shell.js";

const TAIL = 4_000;

/** What the program wrote last: its panic, if it had one. */
let tail = "";

const decoder = new TextDecoder();

// wasm_exec.js keeps what fs it finds, so this replaces only the writing.
const { fs } = globalThis as unknown as { fs: { writeSync(fd: number, bytes: Uint8Array): number } };
fs.writeSync = (_fd, bytes) => {
  tail = (tail + decoder.decode(bytes, { stream: true })).slice(-TAIL);
  return bytes.length;
};

/** Runs Go with `shell` for the program to find. Settles when the program ended; rejects if it crashed. */
export async function runGo(modules: Modules, files: OpfsImports, shell: Shell): Promise<void> {
  const go = new Go();
  const key = `heddle:${crypto.randomUUID()}`;
  Object.defineProperty(globalThis, key, { value: shell.forGo, configurable: true });
  go.argv = ["heddle", key];
  let code = 0;
  go.exit = (exit) => {
    code = exit;
  };
  const engine = linkEngine(modules.sqlite);
  const imports = { ...go.importObject, ...engine.imports, ...files.imports, ...shell.imports };
  const instance = await WebAssembly.instantiate(modules.go, imports);
  engine.attach(instance.exports);
  files.attach(instance.exports);
  shell.attach({ exports: instance.exports, resume: () => go._resume() });
  await go.run(instance);
  if (code !== 0) throw new Error(lastWords() || `the engine ended with code ${code}`);
}

/** What the program wrote before it died. */
export function lastWords(): string {
  return tail.trim();
}
