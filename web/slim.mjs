// Takes out of a Go program for wasm what it is never asked for: the tables that
// lead from an instruction to its file and line. A panic still names its
// functions, and a build without this step says the lines. It also joins the
// 80,000 pieces into which Go's linker cuts the data at every few zeros: each has
// a header, and each is a step of instantiation.
//
// The layout of the table is the runtime's: src/runtime/symtab.go, pcHeader and
// _func; the values are varints, src/cmd/internal/objabi/funcdata.go.

const CODE_MAGIC = 0xfffffff1;
const HEADER = 8 + 8 * 8;
const FUNC = 44;
const UNSAFE_POINT = 0; // the table that tells where a goroutine may be interrupted; on wasm none ever is
const GAP = 64; // zeros that cost less than another piece

/** The program, smaller. Throws where it is not as expected. */
export function slim(wasm) {
  const sections = readSections(wasm);
  const data = sections.find((s) => s.id === 11);
  if (!data) throw new Error("slim: the program has no data");
  const pieces = readPieces(wasm, data);
  const image = new Uint8Array(Math.max(...ends(pieces)));
  for (const { at, from, to } of pieces) image.set(wasm.subarray(from, to), at);
  dropLines(image);
  const body = writePieces(image, join(pieces));
  const out = [wasm.subarray(0, 8)];
  for (const s of sections) {
    if (s === data) out.push(Uint8Array.of(11), unsigned(body.length), body);
    else out.push(wasm.subarray(s.start, s.end));
  }
  return Buffer.concat(out);
}

function* ends(pieces) {
  let end = 0;
  for (const { at, from, to } of pieces) end = Math.max(end, at + to - from);
  yield end;
}

function readSections(wasm) {
  const sections = [];
  for (let p = 8; p < wasm.length; ) {
    const [size, body] = readUnsigned(wasm, p + 1);
    sections.push({ id: wasm[p], start: p, body, end: body + size });
    p = body + size;
  }
  return sections;
}

function readPieces(wasm, section) {
  const pieces = [];
  let [count, p] = readUnsigned(wasm, section.body);
  for (; count > 0; count--) {
    if (wasm[p] !== 0 || wasm[p + 1] !== 0x41) throw new Error("slim: a piece of data is of another kind");
    const [at, after] = readSigned(wasm, p + 2);
    const [size, from] = readUnsigned(wasm, after + 1); // past the expression's end
    pieces.push({ at, from, to: from + size });
    p = from + size;
  }
  return pieces;
}

/** Pieces of the image, in order, those that are near each other as one. */
function join(pieces) {
  const joined = [];
  for (const { at, from, to } of [...pieces].sort((a, b) => a.at - b.at)) {
    const last = joined.at(-1);
    if (last && at - last.to <= GAP) last.to = Math.max(last.to, at + to - from);
    else joined.push({ from: at, to: at + to - from });
  }
  return joined;
}

function writePieces(image, pieces) {
  const out = [unsigned(pieces.length)];
  for (const { from, to } of pieces) {
    out.push(Uint8Array.of(0, 0x41), signed(from), Uint8Array.of(0x0b), unsigned(to - from), image.subarray(from, to));
  }
  return Buffer.concat(out);
}

/** Zeroes the tables of files and lines, and what else no wasm program reads. */
function dropLines(image) {
  const view = new DataView(image.buffer);
  const u32 = (at) => view.getUint32(at, true);
  const base = findTable(view);
  const word = (i) => Number(view.getBigUint64(base + 8 + 8 * i, true));
  const functions = word(0);
  const values = base + word(6);
  const table = base + word(7);
  const drop = new Set();
  const keep = new Set([0]);
  for (let i = 0; i < functions; i++) {
    const f = table + u32(table + 8 * i + 4);
    keep.add(u32(f + 16)); // pcsp
    drop.add(u32(f + 20)); // pcfile
    drop.add(u32(f + 24)); // pcln
    for (let j = u32(f + 28) - 1; j >= 0; j--) (j === UNSAFE_POINT ? drop : keep).add(u32(f + FUNC + 4 * j));
  }
  for (const at of drop) if (!keep.has(at)) zeroValues(image, values + at);
}

// The header is where its parts lead where they should.
function findTable(view) {
  for (let at = 0; at + HEADER < view.byteLength; at += 8) {
    if (view.getUint32(at, true) !== CODE_MAGIC || view.getUint32(at + 4, true) !== 0x08010000) continue;
    const words = Array.from({ length: 8 }, (_, i) => Number(view.getBigUint64(at + 8 + 8 * i, true)));
    if (words[3] === HEADER && words.slice(3).every((w, i, all) => i === 0 || w >= all[i - 1]) && at +
      words[7] < view.byteLength) {
      return at;
    }
  }
  throw new Error("slim: there is no table of functions as this version of Go makes it");
}

// Pairs of varints up to a first one of 0, which the first pair may have.
function zeroValues(image, start) {
  let p = start;
  const skip = () => { while (image[p] & 0x80) p++; p++; };
  for (let first = true; first || image[p] !== 0; first = false) { skip(); skip(); }
  image.fill(0, start, p);
}

function readUnsigned(bytes, p) {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[p++];
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, p];
  }
}

function readSigned(bytes, p) {
  let value = 0;
  for (let shift = 0; ; ) {
    const byte = bytes[p++];
    value |= (byte & 0x7f) << shift;
    shift += 7;
    if (byte < 0x80) return [shift < 32 && byte & 0x40 ? value | (-1 << shift) : value, p];
  }
}

function unsigned(value) {
  const out = [];
  do {
    out.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return Uint8Array.from(out);
}

function signed(value) {
  const out = [];
  for (;;) {
    const byte = value & 0x7f;
    value >>= 7;
    if ((value === 0 && !(byte & 0x40)) || (value === -1 && byte & 0x40)) {
      out.push(byte);
      return Uint8Array.from(out);
    }
    out.push(byte | 0x80);
  }
}
