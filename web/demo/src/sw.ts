// The service worker: it has the page's files of one version, so that a reload works without a network. The data needs
// no help: it is in the browser's own file system. https://w3c.github.io/ServiceWorker/

/** The files of this version, relative to this script: build.mjs lists them. */
declare const FILES: readonly string[];
/** Changes with their contents. */
declare const VERSION: string;

interface ExtendableEvent extends Event { waitUntil(done: Promise<unknown>): void }
interface FetchEvent extends ExtendableEvent { request: Request; respondWith(response: Promise<Response>): void }
interface Scope {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
  addEventListener(type: "message", listener: (event: MessageEvent<unknown>) => void): void;
}

const worker = self as unknown as Scope;
const CACHE = `heddle-demo ${VERSION}`;
const scope = new URL(worker.registration.scope);

/** The file that the URL names: a folder's is its index. */
function fileOf(url: URL): string | undefined {
  if (url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return undefined;
  const path = url.pathname.slice(scope.pathname.length);
  return [path, `${path}index.html`, `${path}/index.html`].find((file) => FILES.includes(file));
}

async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  // What the page has loaded already is asked for again, and answered by "not modified".
  await cache.addAll(FILES.map((file) => new Request(new URL(file, scope), { cache: "no-cache" })));
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith("heddle-demo ") && name !== CACHE) await caches.delete(name);
  }
  await worker.clients.claim();
}

// One version's files belong together, so they come from its cache even where there is a network. A later version waits
// until no page uses this one, or until a page's reader asks for it.
async function answer(request: Request, file: string): Promise<Response> {
  const cache = await caches.open(CACHE);
  return await cache.match(new URL(file, scope), { ignoreVary: true }) ?? fetch(request);
}

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("message", ({ data }) => { if (data === "activate") void worker.skipWaiting(); });
worker.addEventListener("fetch", (event) => {
  const file = event.request.method === "GET" ? fileOf(new URL(event.request.url)) : undefined;
  if (file !== undefined) event.respondWith(answer(event.request, file));
});
