// What the build adds to the worker's bundle: Go's own loader, from the
// toolchain that built heddle.wasm, so that the two cannot drift apart.

declare module "heddle:wasm_exec" {}

/** The class that wasm_exec.js leaves in the global object. */
declare class Go {
  argv: string[];
  env: Record<string, string>;
  exit: (code: number) => void;
  readonly exited: boolean;
  readonly importObject: WebAssembly.Imports;
  run(instance: WebAssembly.Instance): Promise<void>;
  /** Lets goroutines run until all of them wait. */
  _resume(): void;
}
