// A digest as a piece of cloth: which thread lies on top, and in which dye, is read off the digest's bits. Two devices
// hold the same rows if and only if their cloth is the same, which shows at once.
import { memo, type CSSProperties } from "react";

const columns = 26, rows = 5, cell = 10, half = columns / 2;

/** The cloth of a digest (hex), or the bare warp if there is none. */
export const Cloth = memo(function Cloth({ digest }: { digest: string }) {
  let bits = "";
  for (const digit of digest) bits += parseInt(digit, 16).toString(2).padStart(4, "0");
  const bit = (i: number) => bits[i % bits.length] === "1";
  const dye = (from: number) => (bit(from) ? 2 : 0) + (bit(from + 1) ? 1 : 0);
  // The pattern is mirrored, as woven borders often are: 13 × 5 bits say which thread is on top, the rest which dyes.
  const fold = (x: number) => (x < half ? x : columns - 1 - x);
  const dyes = rows * half;
  const warp = Array.from({ length: columns }, (_, x) =>
    <rect key={x} x={x * cell + 1} y={-4} width={cell - 2} height={rows * cell + 8} rx={2.2}
      className={digest ? `warp dye${dye(dyes + 2 * fold(x))}` : "warp bare"} />);
  const weft = digest ? Array.from({ length: rows }, (_, y) =>
    <g key={y} className="pick" style={{ "--row": y } as CSSProperties}>
      {runs(columns, (x) => bit(y * half + fold(x))).map(([from, to]) =>
        <rect key={from} x={from * cell - 0.5} y={y * cell + 1} width={(to - from) * cell + 1} height={cell - 2}
          rx={2.2} className={`weft dye${dye(dyes + 2 * half + 2 * y)}`} />)}
    </g>) : [];
  return (
    <svg className="cloth" viewBox={`0 0 ${columns * cell} ${rows * cell}`} preserveAspectRatio="xMidYMid slice"
      role="img" aria-label={digest ? `Pattern of the digest ${digest.slice(0, 8)}` : "Nothing woven yet"}>
      {warp}{weft}
    </svg>
  );
});

/** Where is() holds without a break: from, and the end. */
function runs(length: number, is: (i: number) => boolean): [number, number][] {
  const found: [number, number][] = [];
  for (let from = 0; from < length; from++) {
    let to = from;
    while (to < length && is(to)) to++;
    if (to > from) found.push([from, to]);
    from = to;
  }
  return found;
}
