// db.export() and db.import(): a whole SQLite file, or SQL text, in chunks.

import type { Caller } from "../rpc/client.js";
import { Method, request } from "../rpc/codec.js";
import { HeddleError } from "../shared/errors.js";
import { load, PartRefused } from "./upload.js";
import { describe } from "../rpc/params.js";
import type { CallOptions, ImportSource } from "../shared/types.js";

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

/**
 * The database as the bytes of an SQLite file, which are read from a copy as they
 * are asked for. The copy is made at the first.
 */
export function exportStream(caller: Caller, options: CallOptions): ReadableStream<Uint8Array<ArrayBuffer>> {
  let id = 0, size = 0, at = 0;
  const end = () => {
    if (!id || caller.ended) return;
    const w = request(0, Method.exportEnd, 9);
    w.u32(id);
    id = 0;
    caller.call({ message: w.finish(), lane: "direct", retry: false, result: () => undefined }).catch(() => {});
  };
  return new ReadableStream({
    async pull(controller) {
      try {
        if (!id) {
          size = await caller.call({
            message: request(0, Method.exportFile, 5).finish(), lane: "read", retry: true, ...options,
            sent: (n) => { id = n; }, result: (r) => r.u64(),
          });
        }
        const w = request(0, Method.exportPart, 17);
        w.u32(id);
        w.u64(at);
        const part = await caller.call({
          message: w.finish(), lane: "direct", retry: false, ...options, result: (r) => r.bytes.slice(r.at),
        });
        at += part.length;
        controller.enqueue(part as Uint8Array<ArrayBuffer>);
        if (at < size) return;
        end();
        controller.close();
      } catch (error) {
        end();
        throw error;
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
}

/** All bits set: the end of the file is not known yet. */
const UNKNOWN_SIZE = 0xffffffff;

/** Sends a file or a text in parts, two on their way at a time, which are read as they are sent. */
export async function importFile(caller: Caller, file: ImportSource, options: CallOptions): Promise<void> {
  const source = sourceOf(file);
  const write = caller.newWrite();
  const w = request(0, Method.importBegin, 29);
  w.write(write);
  if (source.size === undefined) {
    w.u32(UNKNOWN_SIZE);
    w.u32(UNKNOWN_SIZE);
  } else {
    w.u64(source.size);
  }
  await load(caller, { message: w.finish(), write, signal: options.signal, timeout: options.timeout, result: () => undefined }, source.once, async (attempt) => {
    const ahead: Promise<void>[] = [];
    let first = true;
    for await (const part of source.parts()) {
      if (attempt.over) break;
      if (first) checkStart(part);
      first = false;
      const message = request(0, Method.importPart, 9 + part.length);
      message.u32(attempt.id);
      message.raw(part);
      const sent: Promise<void> = caller.call({ message: message.finish(), lane: "direct", retry: false, result: () => undefined })
        .catch(() => { throw new PartRefused(); });
      sent.catch(() => {}); // read by whoever awaits it, or not at all
      ahead.push(sent);
      if (ahead.length >= 2) await Promise.race([ahead.shift(), attempt.ended]);
    }
    if (first) checkStart(new Uint8Array());
    await Promise.race([Promise.all(ahead), attempt.ended]);
    if (attempt.over) return;
    const done = request(0, Method.importEnd, 9);
    done.u32(attempt.id);
    caller.tell(done.finish());
  });
}

interface Source {
  /** undefined: not known before the end. */
  size: number | undefined;
  /** It can be read but once. */
  once: boolean;
  parts(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

function sourceOf(file: unknown): Source {
  if (typeof file === "string") return sourceOf(new TextEncoder().encode(file));
  if (file instanceof ArrayBuffer) return sourceOf(new Uint8Array(file));
  if (file instanceof Uint8Array) {
    checkStart(file);
    return {
      size: file.length, once: false,
      * parts() { for (let at = 0; at < file.length; at += PART_BYTES) yield file.subarray(at, at + PART_BYTES); },
    };
  }
  if (typeof Blob !== "undefined" && file instanceof Blob) {
    return {
      size: file.size, once: false,
      async* parts() { for (let at = 0; at < file.size; at += PART_BYTES) yield new Uint8Array(await file.slice(at, at + PART_BYTES).arrayBuffer()); },
    };
  }
  if (typeof ReadableStream !== "undefined" && file instanceof ReadableStream) return { size: undefined, once: true, parts: () => gathered(file) };
  throw new HeddleError("HEDDLE_BAD_PARAM", `import takes the bytes of an SQLite file, a Blob, a stream of bytes or SQL text, not ${describe(file)}`);
}

/** A stream's chunks, made parts of one size. */
async function* gathered(stream: ReadableStream<unknown>): AsyncIterable<Uint8Array> {
  const reader = stream.getReader();
  try {
    let part = new Uint8Array(PART_BYTES), filled = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!(value instanceof Uint8Array)) throw new HeddleError("HEDDLE_BAD_PARAM", `import: the stream gives ${describe(value)}, not bytes`);
      for (let at = 0; at < value.length;) {
        const n = Math.min(value.length - at, PART_BYTES - filled);
        part.set(value.subarray(at, at + n), filled);
        at += n;
        filled += n;
        if (filled < PART_BYTES) continue;
        yield part;
        part = new Uint8Array(PART_BYTES);
        filled = 0;
      }
    }
    if (filled > 0) yield part.subarray(0, filled);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** A file begins with its magic; a text has no control characters but those between lines. */
function checkStart(bytes: Uint8Array): void {
  const magic = "SQLite format 3\0";
  if ([...magic].every((c, i) => bytes[i] === c.charCodeAt(0))) return;
  const start = bytes.subarray(0, 256);
  if (start.length === 0 || !start.every((b) => b >= 0x20 && b !== 0x7f || b === 9 || b === 10 || b === 12 || b === 13)) {
    throw new HeddleError("HEDDLE_BAD_PARAM", "import: these bytes are no SQLite file and no SQL text");
  }
}
