// What takes part: one line a configuration. `isolated` asks for
// COOP and COEP; `onPage` says that the engine runs on the page's own thread.
export const configurations = [
  { key: "heddle", title: "Heddle", query: "adapter=heddle" },
  { key: "sqlite-wasm", title: "sqlite-wasm, sahpool", package: "@sqlite.org/sqlite-wasm",
    query: "adapter=sqlite-wasm" },
  { key: "sqlite-wasm-wal", title: "sqlite-wasm, sahpool, WAL", package: "@sqlite.org/sqlite-wasm",
    query: "adapter=sqlite-wasm&journal=wal" },
  { key: "wa-sqlite-ahp", title: "wa-sqlite, AccessHandlePool", package: "@journeyapps/wa-sqlite",
    query: "adapter=wa-sqlite&vfs=pool" },
  { key: "wa-sqlite-coop", title: "wa-sqlite, OPFSCoopSync", package: "@journeyapps/wa-sqlite",
    query: "adapter=wa-sqlite&vfs=coop" },
  { key: "sqlocal", title: "SQLocal", package: "sqlocal", query: "adapter=sqlocal", isolated: true },
  { key: "powersync", title: "PowerSync, OPFSCoopSync", package: "@powersync/web", query: "adapter=powersync" },
  { key: "pglite-opfs", title: "PGlite, opfs-ahp", package: "@electric-sql/pglite",
    query: "adapter=pglite&dir=opfs-ahp://bench" },
  { key: "pglite-idb", title: "PGlite, IndexedDB", package: "@electric-sql/pglite",
    query: "adapter=pglite&dir=idb://bench" },
  { key: "turso", title: "Turso", package: "@tursodatabase/database-wasm", query: "adapter=turso", isolated: true,
    onPage: true },
];

/** Another build of Heddle, beside this one. */
export const another = { key: "against", title: "Heddle, the other build", query: "adapter=heddle&from=/against/" };

/** The rows: key, name, unit, whether more is better, and the goal: of the ratio to the best peer, or with its unit. */
export const figures = [
  { key: "bulk", name: "100k rows × 4 columns inserted, one transaction", unit: "rows/s", more: true },
  { key: "firstBulk", name: "… the first on a page, on cold code", unit: "rows/s", more: true, goal: "≥ 2.5" },
  { key: "commits", name: "durable single-row commits, awaited one by one", unit: "/s", more: true, goal: "≥ 1.2" },
  { key: "commitP50", name: "… p50 of one", unit: "ms", goal: "≤ 0.83" },
  { key: "commitP95", name: "… p95 of one", unit: "ms", goal: "≤ 0.83" },
  { key: "writers", name: "durable single-row commits, 64 writers at once", unit: "/s", more: true },
  { key: "lookups", name: "point look-ups, awaited one by one", unit: "/s", more: true, goal: "in a worker ≥ 1.2" },
  { key: "lookupP50", name: "… p50 of one", unit: "ms", goal: "≤ 0.83" },
  { key: "lookupP95", name: "… p95 of one", unit: "ms", goal: "≤ 0.83" },
  { key: "objects", name: "100k rows × 4 columns to the page as objects", unit: "rows/s", more: true },
  { key: "block", name: "… longest time the page was busy", unit: "ms" },
  { key: "first", name: "… first rows after", unit: "ms" },
  { key: "json", name: "the same as one JSON text, JSON.parse in the page", unit: "rows/s", more: true },
  { key: "like", name: "LIKE aggregate over 100k rows", unit: "ms" },
  { key: "index", name: "CREATE INDEX over 100k rows", unit: "ms", goal: "≤ 0.9" },
  { key: "update", name: "UPDATE of 20k rows, indexed column", unit: "ms" },
  { key: "join", name: "three-way self-join over 100k rows", unit: "ms", goal: "≤ 1.0" },
  { key: "liveHere", name: "commit to live callback, same tab", unit: "ms" },
  { key: "liveThere", name: "commit to live callback, other tab", unit: "ms" },
  { key: "cold", name: "cold start: new origin, import to `SELECT 1`", unit: "ms", goal: "≤ 1.5" },
  { key: "warm", name: "warm reopen: reload with 100k rows, import to `SELECT 1`", unit: "ms", goal: "≤ 1.2" },
  { key: "payload", name: "payload to the first query, brotli", unit: "KiB", goal: "≤ 900 KiB" },
  { key: "memory", name: "memory after opening 1 GiB and reading one row", unit: "MiB", goal: "≤ 45 MiB" },
];
