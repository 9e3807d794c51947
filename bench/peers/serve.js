// A static server on a free port. It notes what was fetched, for the payload, and
// lets the browser cache, as a real site would.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const types = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm",
    ".json": "application/json",
};
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export async function serve(mounts, isolated) {
  const fetched = new Set();
  const cache = new Map();
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://site").pathname));
    for (const [prefix, dir] of Object.entries(mounts)) {
      if (!path.startsWith(prefix)) continue;
      const file = join(dir, path.slice(prefix.length) || "index.html");
      let body = cache.get(file);
      if (!body) {
        body = await readFile(file).catch(() => undefined);
        if (!body) continue;
        cache.set(file, body);
      }
      fetched.add(file);
      response.writeHead(200, {
        "Content-Type": types[extname(file)] ?? "application/octet-stream", "Content-Length": body.length,
        "Cache-Control": "public, max-age=3600", ...(isolated ? isolation : {}),
      });
      response.end(body);
      return;
    }
    response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://localhost:${server.address().port}/`,
    fetched,
    close() { server.closeAllConnections(); server.close(); },
  };
}
