// db.export() and db.import(): a whole SQLite file, or SQL text, in chunks.

import type { ScopedCaller } from "../rpc/scoped-caller.js";
import {
  exportAll, exportEnd, exportFile as exportCopy, exportPart, importBegin, importEnd, importPart,
} from "../rpc/messages.gen.js";
import { HeddleError } from "../shared/errors.js";
import { load, PartRefused } from "./upload.js";
import { describe } from "../rpc/params.js";
import type { CallOptions, ImportSource } from "../shared/types.js";

const PART_BYTES = 1 << 20;

/** Gathers the leader's chunks. */
export async function exportFile(caller: ScopedCaller, options: CallOptions): Promise<Uint8Array<ArrayBuffer>> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  const take = (bytes: Uint8Array) => {
    chunks.push(bytes.slice());
    size += bytes.length;
  };
  await caller.call({
    ...exportAll(), signal: options.signal, timeout: options.timeout,
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
export function exportStream(caller: ScopedCaller, options: CallOptions): ReadableStream<Uint8Array<ArrayBuffer>> {
  let id = 0, size = 0, at = 0;
  const end = () => {
    if (id) caller.tell(exportEnd(id));
    id = 0;
  };
  return new ReadableStream({
    async pull(controller) {
      try {
        if (!id) {
          size = await caller.call({ ...exportCopy(), ...options, sent: (n) => { id = n; } });
        }
        const part = await caller.call({
          ...exportPart(id, at), lane: "direct", ...options, result: (r) => r.bytes.slice(r.at),
        });
        at += part.length;
        controller.enqueue(part);
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

/** The end of the file is not known yet. */
const UNKNOWN_SIZE = 0;

/** Sends a file or a text in parts, two on their way at a time, which are read as they are sent. */
export async function importFile(caller: ScopedCaller, file: ImportSource, options: CallOptions): Promise<void> {
  const source = sourceOf(file);
  const write = caller.newWrite();
  const begin = importBegin(source.size ?? UNKNOWN_SIZE);
  const spec = { ...begin, write, signal: options.signal, timeout: options.timeout };
  await load(caller, spec, source.once, async (attempt) => {
    const ahead: Promise<void>[] = [];
    let first = true;
    for await (const part of source.parts()) {
      if (attempt.over) break;
      if (first) checkStart(part);
      first = false;
      const sent: Promise<void> = caller.call(importPart(attempt.id, part))
        .catch(() => { throw new PartRefused(); });
      sent.catch(() => {}); // it may never be awaited
      ahead.push(sent);
      if (ahead.length >= 2) await Promise.race([ahead.shift(), attempt.ended]);
    }
    if (first) checkStart(new Uint8Array());
    await Promise.race([Promise.all(ahead), attempt.ended]);
    if (attempt.over) return;
    caller.tell(importEnd(attempt.id));
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
      async* parts() {
        for (let at = 0; at < file.size; at += PART_BYTES) {
          yield new Uint8Array(await file.slice(at, at + PART_BYTES).arrayBuffer());
        }
      },
    };
  }
  if (typeof ReadableStream !== "undefined" && file instanceof ReadableStream) {
    return { size: undefined, once: true, parts: () => gathered(file) };
  }
  throw new HeddleError("HEDDLE_BAD_PARAM",
    `import takes the bytes of an SQLite file, a Blob, a stream of bytes or SQL text, not ${describe(file)}`);
}

/** A stream's chunks, made parts of one size. */
async function* gathered(stream: ReadableStream<unknown>): AsyncIterable<Uint8Array> {
  const reader = stream.getReader();
  try {
    let part = new Uint8Array(PART_BYTES), filled = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!(value instanceof Uint8Array)) {
        throw new HeddleError("HEDDLE_BAD_PARAM", `import: the stream gives ${describe(value)}, not bytes`);
      }
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
  if (String.fromCharCode(...bytes.subarray(0, 16)) === "SQLite format 3\0") return;
  const start = bytes.subarray(0, 256);
  const isText = (b: number) => b >= 0x20 && b !== 0x7f || b === 9 || b === 10 || b === 12 || b === 13;
  if (start.length === 0 || !start.every(isText)) {
    throw new HeddleError("HEDDLE_BAD_PARAM", "import: these bytes are no SQLite file and no SQL text");
  }
}
