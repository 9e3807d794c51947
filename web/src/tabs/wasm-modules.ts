// The wasm files. The page compiles them and posts the modules to its
// worker: engines keep their code cache for documents, so a second start is
// quicker than compiling in the worker.

import { HeddleError, asHeddleError } from "../shared/errors.js";
import type { Modules } from "../shared/messages.js";
import type { AssetUrls } from "../shared/types.js";
import type { Assets } from "./assets.js";

/** Each file's module, by its URL. */
const compiled = new Map<string, Promise<WebAssembly.Module>>();

/**
 * Compiles what a start needs, once a page. A failure is not kept: the next call tries again. The files are asked for
 * at once, and read on when `ready` resolves: what they bring, the browser holds back until then, up to half a megabyte
 * of each.
 */
export async function compileModules(assets: Assets, ready?: Promise<void>): Promise<Modules> {
  const [go, sqlite] = await Promise.all([moduleOf(assets, "heddle", ready), moduleOf(assets, "sqlite", ready)]);
  return { go, sqlite };
}

/** Compiles the second part of Go's program, once a page. */
export const compileRest = (assets: Assets): Promise<WebAssembly.Module> => moduleOf(assets, "heddleRest");

function moduleOf(assets: Assets, asset: keyof AssetUrls, ready?: Promise<void>): Promise<WebAssembly.Module> {
  const href = assets.href(asset);
  let module = compiled.get(href);
  if (!module) {
    module = compile(href, assets.cure(asset), ready);
    compiled.set(href, module);
    module.catch(() => compiled.delete(href));
  }
  return module;
}

async function compile(href: string, cure: string, ready?: Promise<void>): Promise<WebAssembly.Module> {
  let response: Response;
  try {
    response = await fetch(href, { credentials: "same-origin" });
  } catch (error) {
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
