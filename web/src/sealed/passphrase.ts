// What becomes of a passphrase on its page: a key, by Argon2id. The passphrase goes no
// further than the worker that computes it.

import type { KDF } from "../rpc/messages.gen.js";
import { HeddleError, asHeddleError } from "../shared/errors.js";
import { startScript, unoptimized } from "../tabs/package-files.js";
import type { Argon2Answer, Argon2Request } from "./argon2.js";

/** The fewest characters of a new passphrase. */
const LEAST = 12;

/** The same text is the same bytes, however a keyboard composes its characters. */
const normal = (passphrase: string) => passphrase.normalize("NFC");

/** Throws HEDDLE_BAD_PASSPHRASE where a passphrase is too short to be a new one. */
export function checkPassphrase(passphrase: string): void {
  if (typeof passphrase !== "string") throw new HeddleError("HEDDLE_BAD_PARAM", "a passphrase is a string");
  if ((normal(passphrase).match(/./gsu)?.length ?? 0) < LEAST) {
    throw new HeddleError("HEDDLE_BAD_PASSPHRASE", `a passphrase has at least ${LEAST} characters`);
  }
}

// This exact form is what bundlers recognise as a file to carry along.
const beside = () => unoptimized(new URL("./argon2.js", import.meta.url).href);

/**
 * Computes Argon2id in a worker that ends with it.
 * @param file argon2.js, where it is not beside this module
 * @returns 32 bytes in hexadecimal
 */
export function stretch(passphrase: string, kdf: KDF, file: string | URL | undefined, signal: AbortSignal):
  Promise<string> {
  const href = new URL(file ?? beside(), location.href).href;
  return new Promise<string>((resolve, reject) => {
    signal.throwIfAborted();
    const worker = startScript(href, "heddle-argon2");
    const end = () => {
      signal.removeEventListener("abort", aborted);
      worker.terminate();
    };
    const aborted = () => {
      end();
      reject(asHeddleError(signal.reason));
    };
    signal.addEventListener("abort", aborted);
    worker.onmessage = ({ data }: MessageEvent<Argon2Answer>) => {
      end();
      if ("key" in data) resolve(data.key);
      else reject(new HeddleError("HEDDLE_UNSUPPORTED", `Argon2id cannot be computed here: ${data.error}`));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      end();
      reject(new HeddleError("HEDDLE_ASSETS", `the script ${href} cannot be loaded: ${event.message || "copy " +
        "argon2.js of heddle/dist beside the bundle, or give its URL to sealedSpace(db, { argon2 })"}`));
    };
    const request: Argon2Request = { passphrase: normal(passphrase), ...kdf };
    worker.postMessage(request);
  });
}
