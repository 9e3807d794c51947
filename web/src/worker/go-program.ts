// Starts heddle.wasm in this worker, with SQLite and the files linked to it, and
// says how it ended.

import "heddle:wasm_exec";
import { linkEngine } from "./engine.js";
import type { OpfsImports } from "./opfs.js";
import { PARTS_MS } from "../shared/bounds.js";
import { HeddleError } from "../shared/errors.js";
import type { LaterPartName, Modules, WorkerOptions } from "../shared/messages.js";
import type { Heartbeat } from "./heartbeat.js";
import type { GoHost } from "./go-host.js";
import { LaterPart, carriedBy, loadNow } from "./second-part.js";

/** How much of what the program writes is kept, and how much of that a report gets. */
const KEPT = 200_000;
const REPORT = 2_000;

/**
 * A start collects no garbage, unless it makes this much: a migration may. wasm/main.go sets what holds afterwards. The
 * collector's functions would have to be compiled first, one by one.
 */
const ENV = { GOGC: "off", GOMEMLIMIT: "64MiB" };

/** What the program wrote last: its panic, if it had one, and every goroutine's stack. */
let tail = "";

const decoder = new TextDecoder();

// wasm_exec.js keeps what fs it finds, so this replaces only the writing.
const { fs } = globalThis as unknown as { fs: { writeSync(fd: number, bytes: Uint8Array): number } };
fs.writeSync = (_fd, bytes) => {
  tail = (tail + decoder.decode(bytes, { stream: true })).slice(-KEPT);
  return bytes.length;
};

/** Settles when the page has answered. */
interface Asked {
  module: Promise<WebAssembly.Module>;
  resolve(module: WebAssembly.Module): void;
  reject(error: HeddleError): void;
}

/**
 * Go's program and SQLite, each in two parts; one file brings the second part of both. What sealed spaces alone need is
 * a third part of Go's.
 */
export class Program {
  readonly #modules: Modules;
  readonly #urls: WorkerOptions["parts"];
  readonly #askPart: (part: LaterPartName) => void;
  readonly #asked = new Map<LaterPartName, Asked>();
  #rest: WebAssembly.Module | undefined;
  #goRest: LaterPart | undefined;
  #goSealed: LaterPart | undefined;
  #sqliteRest: WebAssembly.Module | undefined;
  #restCame!: () => void;
  readonly #whole = new Promise<void>((resolve) => {
    this.#restCame = resolve;
  });

  /**
   * @param urls where the later parts are, if they are not among the modules
   * @param askPart asks the page for a module for givePart()
   */
  constructor(modules: Modules, urls: WorkerOptions["parts"], askPart: (part: LaterPartName) => void) {
    this.#modules = modules;
    this.#urls = urls;
    this.#askPart = askPart;
  }

  /** Runs it with `host` for Go to find. Settles when the program ended; rejects if it crashed. */
  async run(files: OpfsImports, host: GoHost, heartbeat: Heartbeat): Promise<void> {
    const go = new Go();
    const key = `heddle:${crypto.randomUUID()}`;
    Object.defineProperty(globalThis, key, { value: host.forGo, configurable: true });
    go.argv = ["heddle", key];
    go.env = ENV;
    let code = 0;
    go.exit = (exit) => {
      code = exit;
    };
    const { go: first, rest, sqlite } = this.#modules;
    const engine = linkEngine(sqlite, undefined, () => this.#sqliteRest ??= carriedBy(this.#restNow(), "sqlite"),
      () => carriedBy(this.#restNow(), "simd"));
    const imports = { ...go.importObject, ...engine.imports, ...files.imports, ...host.imports, ...heartbeat.imports };
    const instance = await WebAssembly.instantiate(first, imports);
    const { exports } = instance;
    this.#goRest = new LaterPart("rest", exports, imports, () => this.#restNow(), () => this.#restCame());
    this.#goSealed = new LaterPart("third", exports, imports, () => loadNow(this.#urls.sealed!));
    if (rest) this.#giveRest(rest);
    engine.attach(instance.exports);
    files.attach(instance.exports);
    const program = { exports: instance.exports, resume: () => go._resume() };
    host.attach(program);
    heartbeat.attach(program);
    await go.run(instance);
    if (code !== 0) throw new Error(lastWords() || `the engine ended with code ${code}`);
  }

  /** Takes the page's answer: the part, or why it cannot be had now. */
  givePart(part: LaterPartName, module: WebAssembly.Module | HeddleError): void {
    const asked = this.#asked.get(part);
    this.#asked.delete(part);
    if (module instanceof Error) asked?.reject(module);
    else asked?.resolve(module);
  }

  /** Asks the page for a part; again, where that has failed before. */
  #ask(part: LaterPartName): Promise<WebAssembly.Module> {
    let asked = this.#asked.get(part);
    if (!asked) {
      let settle!: Omit<Asked, "module">;
      const module = new Promise<WebAssembly.Module>((resolve, reject) => {
        settle = { resolve, reject };
      });
      this.#asked.set(part, asked = { module, ...settle });
      this.#askPart(part);
    }
    return asked.module;
  }

  /** A connection's SQLite takes its own second part when it is needed first. */
  #giveRest(module: WebAssembly.Module): void {
    this.#rest ??= module;
    this.#goRest?.attach(this.#rest);
  }

  /** The second part, while the program waits. */
  #restNow(): WebAssembly.Module {
    return this.#rest ??= loadNow(this.#urls.rest!);
  }

  /**
   * Resolves once the second part is there, which is asked for if it is not. Where it does not come, the next call asks
   * again: what Go does about an error is in it.
   */
  rest(): Promise<void> {
    if (!this.#goRest?.attached) this.#askRest().catch(() => {});
    return this.#whole;
  }

  async #askRest(): Promise<void> {
    this.#giveRest(await this.#ask("rest"));
  }

  /** Resolves once the part for sealed spaces is there as well. Rejects after PARTS_MS. */
  async sealed(): Promise<void> {
    if (this.#goSealed!.attached) return;
    let late: ReturnType<typeof setTimeout> | undefined;
    const expired = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new HeddleError("HEDDLE_ASSETS",
        `what sealed spaces need of the program has not come in ${PARTS_MS / 1000} s`)), PARTS_MS);
    });
    try {
      const rest = Promise.race([this.#askRest(), this.#whole]);
      const [module] = await Promise.race([Promise.all([this.#ask("sealed"), rest]), expired]);
      this.#goSealed!.attach(module);
    } finally {
      clearTimeout(late);
    }
  }
}

/** What the program died of, if it said so; else what it wrote last. */
export function lastWords(): string {
  const cause = Math.max(tail.lastIndexOf("panic: "), tail.lastIndexOf("fatal error: "));
  return (cause < 0 ? tail.slice(-REPORT) : tail.slice(cause, cause + REPORT)).trim();
}
