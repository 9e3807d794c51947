// A static server on a free port. It notes what was fetched and when, for the payload, and
// lets the browser cache, as a real site would.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";

const types = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm",
    ".json": "application/json",
};
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** What a server sends that compresses its files beforehand. Fonts and images are not among what is served here. */
const brotli = (bytes) => promisify(brotliCompress)(bytes, { params: {
  [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24,
  [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
} });

/**
 * @param options isolated: with COOP and COEP; compressed: with brotli, made at a file's first request; before: text
 * to put before a file's own, by its path
 */
export async function serve(mounts, { isolated = false, compressed = false, before = {} } = {}) {
  /** Each file with the time of its first request, and its bytes raw and on the way. */
  const fetched = new Map();
  const cache = new Map();
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://site").pathname));
    for (const [prefix, dir] of Object.entries(mounts)) {
      if (!path.startsWith(prefix)) continue;
      const file = join(dir, path.slice(prefix.length) || "index.html");
      let body = cache.get(file);
      if (!body) {
        const own = await readFile(file).catch(() => undefined);
        if (!own) continue;
        const raw = before[path] ? Buffer.concat([Buffer.from(before[path]), own]) : own;
        body = { raw: own.length, sent: compressed ? await brotli(raw) : raw };
        cache.set(file, body);
      }
      if (!fetched.has(file)) fetched.set(file, { at: Date.now(), raw: body.raw, sent: body.sent.length });
      response.writeHead(200, {
        "Content-Type": types[extname(file)] ?? "application/octet-stream", "Content-Length": body.sent.length,
        ...(compressed ? { "Content-Encoding": "br" } : {}),
        "Cache-Control": "public, max-age=3600", ...(isolated ? isolation : {}),
      });
      response.end(body.sent);
      return;
    }
    response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  return {
    url: `http://localhost:${port}/`,
    port,
    fetched,
    close() { server.closeAllConnections(); server.close(); },
  };
}
