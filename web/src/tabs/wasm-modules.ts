// The two wasm files. The page compiles them and posts the modules to its
// worker: engines keep their code cache for documents, so a second start is
// quicker than compiling in the worker.

import { HeddleError, asHeddleError } from "../shared/errors.js";
import type { Modules } from "../shared/messages.js";

// These exact forms are what bundlers recognise as files to carry along.
const goURL = () => new URL("./heddle.wasm", import.meta.url);
const sqliteURL = () => new URL("./sqlite3.wasm", import.meta.url);

let compiled: Promise<Modules> | undefined;

/** Compiles both files, once a page. A failure is not kept: the next call tries again. */
export function compileModules(): Promise<Modules> {
  compiled ??= Promise.all([compile(goURL()), compile(sqliteURL())]).then(
    ([go, sqlite]) => ({ go, sqlite }),
    (error: unknown) => {
      compiled = undefined;
      throw error;
    },
  );
  return compiled;
}

async function compile(url: URL): Promise<WebAssembly.Module> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin" });
  } catch (error) {
    throw new HeddleError("HEDDLE_ASSETS", `cannot load ${url.href}: ${asHeddleError(error).message}`, { cause: error });
  }
  if (!response.ok) {
    throw new HeddleError("HEDDLE_ASSETS", `cannot load ${url.href}: the server answered ${response.status}`);
  }
  try {
    // Streaming insists on the right media type; a server without it still works, a little slower.
    const type = response.headers.get("content-type") ?? "";
    if (type.split(";")[0]?.trim() === "application/wasm") return await WebAssembly.compileStreaming(response);
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (error) {
    throw compileError(url, error);
  }
}

function compileError(url: URL, error: unknown): HeddleError {
  const message = asHeddleError(error).message;
  if (/content security policy|unsafe-eval|disallowed by embedder/i.test(message)) {
    return new HeddleError(
      "HEDDLE_UNSUPPORTED",
      `the page's Content-Security-Policy refuses WebAssembly: add 'wasm-unsafe-eval' to script-src (${message})`,
      { cause: error },
    );
  }
  return new HeddleError("HEDDLE_ASSETS", `${url.href} is not the WebAssembly that it should be: ${message}`, { cause: error });
}
