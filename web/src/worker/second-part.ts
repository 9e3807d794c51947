// A program in parts: what a start needs, the rest, which comes later, and what few
// apps need (engine/split). The first part runs alone; a call into another one before
// that is there fetches it on the spot. Go's program is one, and each connection's SQLite.

import { HeddleError, asHeddleError } from "../shared/errors.js";

/** A module that exports the function that it imports: a table takes functions of WebAssembly alone. */
const WRAPPER = new WebAssembly.Module(Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // header
  1, 4, 1, 0x60, 0, 0, // a type: no parameters, no results
  2, 7, 1, 1, 0x66, 1, 0x66, 0, 0, // import f.f
  7, 5, 1, 1, 0x66, 0, 0, // export f
));

/** How the first part tells the others apart: the slot of what loads one, and the global that says that it is there. */
const PARTS = { rest: { slot: 0, loaded: "split.loaded" }, third: { slot: 1, loaded: "split.third" } } as const;

export class LaterPart {
  readonly #part: (typeof PARTS)[keyof typeof PARTS];
  readonly #first: WebAssembly.Exports;
  readonly #imports: WebAssembly.Imports;
  readonly #attached: () => void;

  /**
   * @param part which; the third can come after the rest alone
   * @param first the exports of the first part, before it is run
   * @param imports what the first part was instantiated with
   * @param load returns the part's module, now: the program waits for it
   * @param attached is called once the part is there
   */
  constructor(
    part: keyof typeof PARTS, first: WebAssembly.Exports, imports: WebAssembly.Imports, load: () => WebAssembly.Module,
    attached: () => void = () => {},
  ) {
    this.#part = PARTS[part];
    this.#first = first;
    this.#imports = imports;
    this.#attached = attached;
    const f = () => this.attach(load());
    const { exports } = new WebAssembly.Instance(WRAPPER, { f: { f } });
    (first["split.functions"] as WebAssembly.Table).set(this.#part.slot, exports["f"]);
  }

  /** Whether the part is there. */
  get attached(): boolean {
    return this.#loaded.value === 1;
  }

  /** Instantiates the part, if it is not there yet. */
  attach(module: WebAssembly.Module): void {
    if (this.attached) return;
    new WebAssembly.Instance(module, { ...this.#imports, first: this.#first });
    this.#loaded.value = 1;
    this.#attached();
  }

  get #loaded(): WebAssembly.Global {
    return this.#first[this.#part.loaded] as WebAssembly.Global;
  }
}

/** What the rest of Go's program carries: the rest of SQLite, or what C does with SIMD. */
export function carriedBy(rest: WebAssembly.Module, name: "sqlite" | "simd"): WebAssembly.Module {
  const [bytes] = WebAssembly.Module.customSections(rest, name);
  if (bytes === undefined) throw new HeddleError("HEDDLE_ASSETS", "heddle-rest.wasm does not hold what it should");
  return new WebAssembly.Module(bytes);
}

/** Fetches a module and compiles it, while the worker waits. Throws HEDDLE_ASSETS. */
export function loadNow(href: string): WebAssembly.Module {
  try {
    const request = new XMLHttpRequest();
    request.open("GET", href, false);
    request.responseType = "arraybuffer";
    request.send();
    if (request.status !== 200) throw new Error(`the server answered ${request.status}`);
    return new WebAssembly.Module(request.response as ArrayBuffer);
  } catch (error) {
    throw new HeddleError("HEDDLE_ASSETS", `cannot load ${href}: ${asHeddleError(error).message}`, { cause: error });
  }
}
