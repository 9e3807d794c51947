// db.export() and db.import(): a whole SQLite file, in chunks.

import type { Caller } from "./caller.js";
import { Method, request } from "./codec.js";
import { HeddleError } from "./errors.js";
import { load, PartRefused } from "./load.js";
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
    message: request(0, Method.export, 5).finish(), lane: "read", retry: true, signal: options.signal, timeout: options.timeout,
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
  const write = caller.newWrite();
  const w = request(0, Method.importBegin, 29);
  w.write(write);
  w.u64(bytes.length);
  await load(caller, { message: w.finish(), write, signal: options.signal, timeout: options.timeout, result: () => undefined }, false, async (attempt) => {
    const ahead: Promise<void>[] = [];
    for (let at = 0; at < bytes.length && !attempt.over; at += PART_BYTES) {
      const part = bytes.subarray(at, Math.min(at + PART_BYTES, bytes.length));
      const message = request(0, Method.importPart, 9 + part.length);
      message.u32(attempt.id);
      message.raw(part);
      const sent: Promise<void> = caller.call({ message: message.finish(), lane: "direct", retry: false, result: () => undefined })
        .catch(() => { throw new PartRefused(); });
      sent.catch(() => {}); // read by whoever awaits it, or not at all
      ahead.push(sent);
      if (ahead.length >= 2) await Promise.race([ahead.shift(), attempt.ended]);
    }
    await Promise.race([Promise.all(ahead), attempt.ended]);
    if (attempt.over) return;
    const done = request(0, Method.importEnd, 9);
    done.u32(attempt.id);
    caller.tell(done.finish());
  });
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
