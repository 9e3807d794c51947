// Starts the package's own scripts. The forms `new URL("./x.js",
// import.meta.url)` and `new SharedWorker(new URL(…))` are what bundlers
// recognise: they carry the files along.

import type { FromBroker } from "../shared/messages.js";
import { take } from "../shared/message-shapes.js";

// One URL tells where the package was loaded from: bundlers change
// import.meta.url itself into other things.
const workerURL = () => new URL("./worker.js", import.meta.url);

let blobURL: string | undefined;

/** Starts worker.js: directly, or, where this module came from another origin,
 * through a blob that imports it (a worker's own script must be of the page's
 * origin; what it imports need not). The import is a dynamic one, which a
 * Content-Security-Policy sees as a script; a static one it sees as a worker. */
export function startWorker(): Worker {
  const url = workerURL();
  const options = { type: "module", name: "heddle" } as const;
  if (url.origin === location.origin) return new Worker(url, options);
  blobURL ??= URL.createObjectURL(new Blob([`import(${JSON.stringify(url.href)}).catch((e) => setTimeout(() => { throw e; }));`], { type: "text/javascript" }));
  return new Worker(blobURL, options);
}

let noBroker = false;

/** A port to the broker, which is started if there is none; null where there can be none: another origin, or no SharedWorker. */
export function brokerPort(receive: (message: FromBroker) => void): MessagePort | null {
  if (noBroker || typeof SharedWorker !== "function" || workerURL().origin !== location.origin) return null;
  try {
    const broker = new SharedWorker(new URL("./broker.js", import.meta.url), { type: "module", name: "heddle" });
    broker.onerror = () => {
      noBroker = true;
    };
    broker.port.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = take.fromBroker(data);
      if (message) receive(message);
    };
    return broker.port;
  } catch {
    return null;
  }
}
