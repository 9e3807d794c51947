// Line icons, drawn for this demo on a 20-unit grid.

const paths = {
  pin: "M7 3h6l-1 5 3 3H5l3-3-1-5ZM10 11v6",
  heart: "M10 16.5C4 12 3 9.5 3 7.5a3.5 3.5 0 0 1 7-1 3.5 3.5 0 0 1 7 1c0 2-1 4.5-7 9Z",
  bin: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6M8.7 9v4M11.3 9v4",
  close: "M5 5l10 10M15 5L5 15",
  tab: "M3 6h14v10H3zM3 6l1-2h5l1 2",
  device: "M6 3h8v14H6zM9 14.5h2",
  file: "M5 3h7l3 3v11H5zM10 8v5M7.5 11l2.5 2.5 2.5-2.5",
  globe: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM3 10h14M10 3c4 4 4 10 0 14M10 3c-4 4-4 10 0 14",
} as const;

/** An icon that says nothing to a screen reader: its button has a label. */
export const Icon = ({ name }: { name: keyof typeof paths }) =>
  <svg viewBox="0 0 20 20" aria-hidden="true" className="glyph"><path d={paths[name]} /></svg>;
