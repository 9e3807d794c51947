// Line icons, drawn for this demo on a 20-unit grid.

const paths = {
  pin: "M7 3h6l-1 5 3 3H5l3-3-1-5ZM10 11v6",
  bin: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6M8.7 9v4M11.3 9v4",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7ZM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 " +
    "14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1",
  moon: "M16 12.2A6.5 6.5 0 0 1 7.8 4a6.5 6.5 0 1 0 8.2 8.2Z",
  close: "M5 5l10 10M15 5L5 15",
  refresh: "M15.5 8A6 6 0 1 0 16 11M16 4v4h-4",
  tab: "M3 6h14v10H3zM3 6l1-2h5l1 2",
  device: "M6 3h8v14H6zM9 14.5h2",
  up: "M5 12l5-5 5 5",
  globe: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM3 10h14M10 3c4 4 4 10 0 14M10 3c-4 4-4 10 0 14",
} as const;

export type Icon = keyof typeof paths;

/** An icon that says nothing to a screen reader: its button has a label. */
export function icon(name: Icon): SVGSVGElement {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "glyph");
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", paths[name]);
  svg.append(path);
  return svg;
}
