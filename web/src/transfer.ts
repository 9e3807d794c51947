// db.export() and db.import(): a whole SQLite file, in chunks.

import type { Caller } from "./caller.js";
import { Method, request } from "./codec.js";
import { HeddleError } from "./errors.js";
import { describe } from "./params.js";
import type { CallOptions } from "./types.js";

const PART_BYTES = 1 << 20;

/** Gathers the leader's chunks. */
export async function exportFile(caller: Caller, options: CallOptions): Promise<Uint8Array<ArrayBuffer>> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  const take = (bytes: Uint8Array) => {
    chunks.push(bytes.slice());
    size += bytes.length;
  };
  await caller.call({
    message: request(0, Method.export, 5).finish(), lane: "read", retry: true, signal: options.signal,
    sent: () => { chunks = []; size = 0; },
    chunk: (r) => take(r.bytes.subarray(r.at)),
    result: (r) => take(r.bytes.subarray(r.at)),
  });
  const file = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    file.set(chunk, at);
    at += chunk.length;
  }
  return file;
}

/** Sends a file in parts, two on their way at a time. */
export async function importFile(caller: Caller, file: Uint8Array | ArrayBuffer | Blob, options: CallOptions): Promise<void> {
  const bytes = await fileBytes(file);
  const w = request(0, Method.importBegin, 13);
  w.u64(bytes.length);
  let id = 0;
  let begun!: () => void;
  const sent = new Promise<void>((resolve) => { begun = resolve; });
  let over = false;
  const end = caller.call({
    message: w.finish(), lane: "write", retry: false, signal: options.signal,
    sent: (n) => { id = n; begun(); }, result: () => undefined,
  });
  const ended = end.then(() => { over = true; }, () => { over = true; });
  await Promise.race([sent, ended]);
  const ahead: Promise<void>[] = [];
  for (let at = 0; at < bytes.length && !over; at += PART_BYTES) {
    const part = bytes.subarray(at, Math.min(at + PART_BYTES, bytes.length));
    const message = request(0, Method.importPart, 9 + part.length);
    message.u32(id);
    message.raw(part);
    // A part that fails fails the whole; the reply to importBegin says why.
    ahead.push(caller.call({ message: message.finish(), lane: "direct", retry: false, result: () => undefined }).catch(() => {}));
    if (ahead.length >= 2) await Promise.race([ahead.shift(), ended]);
  }
  await Promise.race([Promise.all(ahead), ended]);
  if (!over) {
    const done = request(0, Method.importEnd, 9);
    done.u32(id);
    caller.tell(done.finish());
  }
  await end;
}

async function fileBytes(file: Uint8Array | ArrayBuffer | Blob): Promise<Uint8Array> {
  const bytes = file instanceof Uint8Array ? file
    : file instanceof ArrayBuffer ? new Uint8Array(file)
    : typeof Blob !== "undefined" && file instanceof Blob ? new Uint8Array(await file.arrayBuffer())
    : undefined;
  if (!bytes) throw new HeddleError("HEDDLE_BAD_PARAM", `import takes the bytes of an SQLite file, not ${describe(file)}`);
  const magic = "SQLite format 3\0";
  for (let i = 0; i < magic.length; i++) {
    if (bytes[i] !== magic.charCodeAt(i)) {
      throw new HeddleError("HEDDLE_BAD_PARAM", "import: these bytes are no SQLite file");
    }
  }
  return bytes;
}
