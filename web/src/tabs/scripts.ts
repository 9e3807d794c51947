// Starts the package's own scripts.

import { HeddleError } from "../shared/errors.js";
import type { FromBroker } from "../shared/messages.js";
import { takeFromBroker } from "../shared/message-shapes.js";
import { lockName } from "../shared/names.js";
import { elsewhere, startScript } from "./package-files.js";
import type { Assets } from "./assets.js";
import { compileModules, compilePart } from "./wasm-modules.js";
import type { WorkerSource } from "./worker-supervisor.js";

/** Workers of the page, for the database of that scope. */
export const pageWorkers = (assets: Assets, scope: string): WorkerSource => ({
  start: () => startScript(assets.href("worker"), "heddle"),
  compile: (ready) => compileModules(assets, ready),
  compilePart: (part, signal) => compilePart(assets, part, signal),
  mayLead: async () => {
    const { held } = await navigator.locks.query();
    return !held?.some((lock) => lock.name === lockName(scope));
  },
  noScript: (message) => new HeddleError("HEDDLE_ASSETS",
    `the worker's script ${assets.href("worker")} cannot be loaded: ${message || assets.cure("worker")}`),
});

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
