// Starts threads, and compiles the engine for them once a process.

import { readFile } from "node:fs/promises";
import { Worker as Thread } from "node:worker_threads";

import { HeddleError, asHeddleError } from "../shared/errors.js";
import type { FromWorker, Modules, ToWorker } from "../shared/messages.js";
import type { WorkerLike, WorkerSource } from "../tabs/worker-supervisor.js";
import type { Root } from "./platform.js";

// A test runner over Vite puts /@fs before the path of a module that lies outside of its own folder, as a linked
// package does: https://vite.dev/config/server-options#server-fs-allow
const here = import.meta.url.replace(/^file:\/\/\/@fs\//, "file:///");

const file = (name: string) => new URL(name, here);

let modules: Promise<Modules> | undefined;

async function compile(name: string): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(new Uint8Array(await readFile(file(name))));
  } catch (error) {
    throw new HeddleError("HEDDLE_ASSETS", `cannot load ${file(name).href}: ${asHeddleError(error).message}`,
      { cause: error });
  }
}

async function compileModules(): Promise<Modules> {
  const [go, rest, sqlite] =
    await Promise.all([compile("heddle.wasm"), compile("heddle-rest.wasm"), compile("sqlite3.wasm")]);
  return { go, rest, sqlite };
}

/** A thread as a Worker of the web. What it says before it is used is kept. */
class ThreadWorker implements WorkerLike {
  onmessage: WorkerLike["onmessage"] = null;
  onerror: WorkerLike["onerror"] = null;
  readonly #thread = new Thread(file("node-worker.js"), { name: "heddle", execArgv: [] });
  #said: FromWorker[] | undefined = [];
  #ended = false;

  constructor() {
    this.#thread.on("message", (message: FromWorker) => {
      if (this.#said) this.#said.push(message);
      else this.#hear(message);
    });
    this.#thread.on("error", (error) => this.#died(error.message));
    this.#thread.on("exit", (code) => this.#died(`its thread ended with code ${code}`));
    this.#thread.unref();
  }

  use(root: string): this {
    this.#thread.ref();
    this.postMessage({ t: "root", path: root } satisfies Root);
    queueMicrotask(() => {
      const said = this.#said!;
      this.#said = undefined;
      for (const message of said) this.#hear(message);
    });
    return this;
  }

  postMessage(message: ToWorker | Root, transfer: Transferable[] = []): void {
    this.#thread.postMessage(message, transfer as never);
  }

  terminate(): void {
    this.#ended = true;
    void this.#thread.terminate();
  }

  #hear(data: FromWorker): void {
    this.onmessage?.({ data } as MessageEvent<FromWorker>);
  }

  #died(message: string): void {
    if (!this.#ended) this.onerror?.({ message, preventDefault: () => {} } as ErrorEvent);
    this.#ended = true;
  }

  get ended(): boolean {
    return this.#ended;
  }
}

/** A thread that was started ahead: the next database need not wait for it. */
let spare: ThreadWorker | undefined;

function start(root: string): WorkerLike {
  const thread = spare && !spare.ended ? spare : new ThreadWorker();
  spare = new ThreadWorker();
  return thread.use(root);
}

/** Threads whose files lie below root. */
export function threads(root: string): WorkerSource {
  return {
    start: () => start(root),
    compile: () => modules ??= compileModules().catch((error: unknown) => {
      modules = undefined;
      throw error;
    }),
    compilePart: (part) => Promise.reject(new HeddleError("HEDDLE_UNSUPPORTED",
      part === "rest" ? "it is among the modules" : "sealed spaces need a browser")),
    mayLead: async () => true,
    noScript: (message) => new HeddleError("HEDDLE_ASSETS",
      `the engine's thread ${file("node-worker.js").href} cannot be started: ${message}`),
  };
}
