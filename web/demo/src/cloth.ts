// A digest as a piece of cloth: which thread lies on top, and in which dye, is
// read off the digest's bits. Two devices hold the same rows if and only if
// their cloth is the same, which shows at once.

const ns = "http://www.w3.org/2000/svg";
const columns = 26, rows = 9, cell = 10;

function rect(x: number, y: number, width: number, height: number, classes: string): SVGRectElement {
  const node = document.createElementNS(ns, "rect");
  for (const [name, value] of Object.entries({ x, y, width, height, rx: 2.2, class: classes })) {
    node.setAttribute(name, String(value));
  }
  return node;
}

/** Draws the cloth of a digest (hex), or the bare warp if there is none. */
export function cloth(digest: string): SVGSVGElement {
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", `0 0 ${columns * cell} ${rows * cell}`);
  svg.setAttribute("preserveAspectRatio", "xMidYMid slice");
  svg.setAttribute("class", "cloth");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", digest ? `Pattern of the digest ${digest.slice(0, 8)}` : "Nothing woven yet");
  let bits = "";
  for (const digit of digest) bits += parseInt(digit, 16).toString(2).padStart(4, "0");
  const bit = (i: number) => bits[i % bits.length] === "1";
  const half = columns / 2;
  const dye = (from: number) => (bit(from) ? 2 : 0) + (bit(from + 1) ? 1 : 0);
  // The pattern is mirrored, as woven borders often are: 13 × 9 bits say which
  // thread is on top, the rest which dyes.
  const dyes = rows * half;
  for (let x = 0; x < columns; x++) {
    const fold = x < half ? x : columns - 1 - x;
    const warp = digest ? `warp dye${dye(dyes + 2 * fold)}` : "warp bare";
    svg.append(rect(x * cell + 1, -4, cell - 2, rows * cell + 8, warp));
  }
  if (!digest) return svg;
  for (let y = 0; y < rows; y++) {
    const row = document.createElementNS(ns, "g");
    row.setAttribute("class", "pick");
    row.style.setProperty("--row", String(y));
    const weft = `weft dye${dye(dyes + 2 * half + 2 * y)}`;
    for (let x = 0; x < columns;) {
      let end = x;
      const over = (i: number) => bit(y * half + (i < half ? i : columns - 1 - i));
      while (end < columns && over(end)) end++;
      if (end > x) row.append(rect(x * cell - 0.5, y * cell + 1, (end - x) * cell + 1, cell - 2, weft));
      x = Math.max(end, x + 1);
    }
    svg.append(row);
  }
  return svg;
}
