// Starts the package's own scripts.

import { HeddleError } from "../shared/errors.js";
import type { FromBroker } from "../shared/messages.js";
import { takeFromBroker } from "../shared/message-shapes.js";
import { lockName } from "../shared/names.js";
import type { Assets } from "./assets.js";
import { compileModules, compileRest } from "./wasm-modules.js";
import type { WorkerSource } from "./worker-supervisor.js";

/** Workers of the page, for the database of that scope. */
export const pageWorkers = (assets: Assets, scope: string): WorkerSource => ({
  start: () => startWorker(assets),
  compile: (ready) => compileModules(assets, ready),
  compileRest: () => compileRest(assets),
  mayLead: async () => {
    const { held } = await navigator.locks.query();
    return !held?.some((lock) => lock.name === lockName(scope));
  },
  noScript: (message) => new HeddleError("HEDDLE_ASSETS",
    `the worker's script ${assets.href("worker")} cannot be loaded: ${message || assets.cure("worker")}`),
});

const elsewhere = (href: string) => new URL(href).origin !== location.origin;

/** Starts worker.js: directly, or, where this module came from another origin,
 * through a blob that imports it (a worker's own script must be of the page's
 * origin; what it imports need not). The import is a dynamic one, which a
 * Content-Security-Policy sees as a script; a static one it sees as a worker. */
function startWorker(assets: Assets): Worker {
  const href = assets.href("worker");
  const options = { type: "module", name: "heddle" } as const;
  if (!elsewhere(href)) return new Worker(href, options);
  const script = `import(${JSON.stringify(href)}).catch((e) => setTimeout(() => { throw e; }));`;
  return new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), options);
}

let noBroker = false;

/** A port to the broker, which is started if there is none. Null on another origin, and without SharedWorker. */
export function brokerPort(assets: Assets, receive: (message: FromBroker) => void): MessagePort | null {
  if (noBroker || typeof SharedWorker !== "function" || elsewhere(assets.href("worker"))) return null;
  try {
    // This exact form is what bundlers recognise: a file as small as this one they would take in as a data: URL.
    const broker = assets.bundled("broker")
      ? new SharedWorker(new URL("./broker.js", import.meta.url), { type: "module", name: "heddle-broker" })
      : new SharedWorker(assets.href("broker"), { type: "module", name: "heddle-broker" });
    broker.onerror = () => {
      noBroker = true;
    };
    broker.port.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = takeFromBroker(data);
      if (message) receive(message);
    };
    return broker.port;
  } catch {
    return null;
  }
}
