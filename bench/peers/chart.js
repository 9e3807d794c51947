// One small bar chart a figure, Heddle's bar in its own colour; bars that no
// theme of the reader hides.
const picked = [
  ["bulk", "bulk insert, rows/s"], ["commits", "awaited durable commits, /s"], ["lookups", "awaited look-ups, /s"],
  ["objects", "rows to objects, rows/s"], ["liveHere", "commit to live callback, ms"], ["cold", "cold start, ms"],
];

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const show = (n) => n >= 100 ? Math.round(n).toLocaleString("en") : n >= 10 ? n.toFixed(1) : n.toFixed(2);

export function chart(all) {
  const width = 860, columns = 2, gap = 24, labels = 168, line = 17;
  const cell = (width - gap * (columns + 1)) / columns;
  const height = 30 + all.length * line;
  const parts = picked.map(([key, title], i) => {
    const x = gap + (i % columns) * (cell + gap), y = gap + Math.floor(i / columns) * (height + gap);
    const values = all.map((c) => c.figures[key]), most = Math.max(...values.filter(Number.isFinite), 0);
    const bars = all.map((c, row) => {
      const value = values[row], top = y + 26 + row * line, room = cell - labels - 66;
      const text = Number.isFinite(value) ? show(value) : "–",
        length = Number.isFinite(value) ? Math.max(1, value / most * room) : 0;
      return `<text x="${x + labels - 8}" y="${top + 10}" text-anchor="end" class="name">${escape(c.title)}</text>`
        + `<rect x="${x + labels}" y="${top}" width="${length.toFixed(1)}" height="12" rx="2" ` +
          `class="${c.key === "heddle" ? "mine" : "peer"}"/>`
        + `<text x="${(x + labels + length + 6).toFixed(1)}" y="${top + 10}">${text}</text>`;
    });
    return `<text x="${x}" y="${y + 12}" class="title">${escape(title)}</text>${bars.join("")}`;
  });
  const total = gap + Math.ceil(picked.length / columns) * (height + gap);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${total}" role="img"
 aria-label="Heddle and other databases of the browser, measured in one run">
<style>text{font:11px system-ui,sans-serif;fill:#444}
.title{font-weight:600;font-size:13px;fill:#111}.mine{fill:#b4491f}.peer{fill:#9aa5b1}</style>
<rect width="${width}" height="${total}" fill="#fff"/>
${parts.join("\n")}
</svg>
`;
}
