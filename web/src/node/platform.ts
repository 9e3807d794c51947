// What the worker needs of the web platform and Node.js lacks: the global scope of a dedicated worker, Web Locks and
// the origin private file system. It is in place before worker/index.ts runs, in a thread of its own.

import { parentPort } from "node:worker_threads";
import { Locks } from "./locks.js";
import { DirectoryHandle } from "./files.js";

/** The thread's first message: in which directory its files lie. */
export interface Root {
  t: "root";
  path: string;
}

const port = parentPort!;
let root = "";

const isRoot = (data: unknown): data is Root => (data as Partial<Root> | null)?.t === "root";

type Listener = (event: object) => void;

const error = (thrown: unknown) =>
  ({ error: thrown, message: String(thrown), reason: thrown, preventDefault: () => {} });

const listen: Record<string, (listener: Listener) => void> = {
  message: (listener) => port.addEventListener("message", (event) => {
    const { data, ports } = event as MessageEvent<unknown>;
    if (isRoot(data)) root = data.path;
    else listener({ data, ports });
  }),
  error: (listener) => void process.on("uncaughtException", (thrown) => listener(error(thrown))),
  unhandledrejection: (listener) => void process.on("unhandledRejection", (thrown) => listener(error(thrown))),
};

const scope: Record<string, unknown> = {
  // Others, such as "online", never happen here.
  addEventListener: (type: string, listener: Listener) => listen[type]?.(listener),
  removeEventListener: () => {},
  postMessage: (data: unknown) => port.postMessage(data),
  close: () => port.close(),
  /** Memory can be shared with the main thread: so an abort takes effect inside a statement. */
  crossOriginIsolated: true,
  navigator: { locks: new Locks(), storage: { getDirectory: async () => new DirectoryHandle(root) } },
};
for (const [name, value] of Object.entries(scope)) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
