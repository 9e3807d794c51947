// The wasm files. The page compiles them and posts the modules to its
// worker: engines keep their code cache for documents, so a second start is
// quicker than compiling in the worker.

import { SEALED_MS } from "../shared/bounds.js";
import { HeddleError, abortError, asHeddleError } from "../shared/errors.js";
import type { LaterPartName, Modules } from "../shared/messages.js";
import type { AssetUrls } from "../shared/types.js";
import type { Assets } from "./assets.js";

/** Each file's module, by its URL, and who waits for it. */
const compiled = new Map<string, Compiling>();

interface Compiling {
  module: Promise<WebAssembly.Module>;
  waiting: number;
  /** Ends the download. */
  abort: AbortController;
}

/** How long a download may take, and who gives it up: it ends when all have that wait for it. */
interface Limits {
  ms: number;
  signal: AbortSignal;
}

/**
 * Compiles what a start needs, once a page. A failure is not kept: the next call tries again. The files are asked for
 * at once, and read on when `ready` resolves: what they bring, the browser holds back until then, up to half a megabyte
 * of each.
 */
export async function compileModules(assets: Assets, ready?: Promise<void>): Promise<Modules> {
  const [go, sqlite] = await Promise.all([moduleOf(assets, "heddle", ready), moduleOf(assets, "sqlite", ready)]);
  return { go, sqlite };
}

/**
 * Compiles a later part of Go's program, once a page: its workers share what the browser makes of it. Nothing waits for
 * the second part but what needs it; open() waits for the other one, which therefore has limits.
 */
export const compilePart = (assets: Assets, part: LaterPartName, signal: AbortSignal): Promise<WebAssembly.Module> =>
  part === "rest" ? moduleOf(assets, "heddleRest")
    : moduleOf(assets, "heddleSealed", undefined, { ms: SEALED_MS, signal });

function moduleOf(
  assets: Assets, asset: keyof AssetUrls, ready?: Promise<void>, limits?: Limits,
): Promise<WebAssembly.Module> {
  const href = assets.href(asset);
  let compiling = compiled.get(href);
  if (!compiling) {
    const abort = new AbortController();
    const late = limits && setTimeout(() => abort.abort(new HeddleError("HEDDLE_ASSETS",
      `cannot load ${href}: it has not come in ${limits.ms / 1000} s`)), limits.ms);
    const module = compile(href, assets.cure(asset), abort.signal, ready).finally(() => clearTimeout(late));
    compiled.set(href, compiling = { module, waiting: 0, abort });
    module.catch(() => compiled.delete(href));
  }
  const { module, abort } = compiling, shared = compiling;
  shared.waiting++;
  limits?.signal.addEventListener("abort", () => {
    if (--shared.waiting === 0) abort.abort(abortError(limits.signal));
  }, { once: true });
  return module;
}

async function compile(
  href: string, cure: string, signal: AbortSignal, ready?: Promise<void>,
): Promise<WebAssembly.Module> {
  let response: Response;
  try {
    response = await fetch(href, { credentials: "same-origin", signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new HeddleError("HEDDLE_ASSETS", `cannot load ${href}: ${asHeddleError(error).message}`, { cause: error });
  }
  if (!response.ok) {
    throw new HeddleError("HEDDLE_ASSETS", `cannot load ${href}: the server answered ${response.status}; ${cure}`);
  }
  await ready;
  try {
    // Streaming insists on the right media type; a server without it still works, a little slower.
    const type = response.headers.get("content-type") ?? "";
    if (type.split(";")[0]?.trim() === "application/wasm") return await WebAssembly.compileStreaming(response);
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (error) {
    signal.throwIfAborted();
    throw compileError(href, error, cure);
  }
}

function compileError(href: string, error: unknown, cure: string): HeddleError {
  const message = asHeddleError(error).message;
  if (/content security policy|unsafe-eval|disallowed by embedder/i.test(message)) {
    return new HeddleError(
      "HEDDLE_UNSUPPORTED",
      `the page's Content-Security-Policy refuses WebAssembly: add 'wasm-unsafe-eval' to script-src (${message})`,
      { cause: error },
    );
  }
  const text = `${href} is not the WebAssembly that it should be: ${cure} (${message})`;
  return new HeddleError("HEDDLE_ASSETS", text, { cause: error });
}
