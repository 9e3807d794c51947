// The words around the table in docs/BENCHMARKS.md.
import { figures } from "./configurations.js";

const gib = (n) => `${(n / 2 ** 30).toFixed(0)} GiB`;

export function comparable(results, all, table) {
  const versions = [...new Set(all.map((c) => c.package).filter(Boolean))]
    .map((name) => `\`${name}\` ${results.versions[name]}`);
  const rounds = Math.min(...all.map(({ runs }) => runs.length));
  const load = [...results.load].sort((a, b) => a - b);
  return `# Benchmarks

Heddle beside the other databases for browsers: one page and one set of steps for all, from the page, through each one's
public API, in one run. Medians of ${rounds} rounds; each round gives every configuration a new Chromium on a new
profile and goes through all of them, so that what the machine does meanwhile hits all alike. ${figures.length} rows,
${all.length} configurations.

    make bench-peers            # QUICK=1: one round; the results stay in bench/results/

${table}

**Bold** is the best peer of a row; – means that it does not offer this, or was not asked. ↑ more is better, ↓ less is
better. The last column is Heddle's figure divided by the best peer's, whichever way is better.

![The same as bars](benchmarks.svg)

## With what

- ${results.at.slice(0, 10)}; ${results.cpus} × ${results.cpu}, ${gib(results.memory)} of memory, Linux, headless
  Chromium ${results.chromium}.
- The load average was ${load[0]?.toFixed(1)} to ${load.at(-1)?.toFixed(1)}. Above the number of processors the
  machine had other work to do: then the ratios say more than the figures, and a ratio near 1 says little.
- Heddle ${results.versions.heddle}; the newest versions on the registry when they were pinned: 
  ${versions.join(", ")}. sqlite-wasm is the newest by version number and
  by date of publication: the registry's \`latest\` tag points at an old one. SQLocal brings the sqlite-wasm
  that it asks for.
- The steps are in \`bench/peers/page/steps.js\`, what each peer does in \`bench/peers/page/adapters/\` and
  \`workers/\`.

## How

- Every peer runs by what its own documentation advises, or by something quicker that we know. sqlite-wasm and
  wa-sqlite get a worker with prepared statements that are kept; SQLite peers take bulk rows as one JSON text through
  \`json_each\`, PGlite by \`COPY\` from a Blob, Turso by a prepared statement in a transaction. PowerSync's watched
  queries are throttled by 1 ms instead of its 30, and keep prepared statements.
- Durability is asked for and checked: \`synchronous\` is FULL for all that have it; PGlite without relaxed durability.
  sqlite-wasm also appears with WAL in exclusive mode; wa-sqlite's pool runs so, as its documentation advises.
- The page's clock has steps of 0.1 ms, so look-ups and commits are timed five at a time. Each step ends after a count
  or after a time, so that a slow peer is measured over fewer calls. A step that does not answer is ended and printed
  as failed; one that failed twice is not tried again in later rounds. The 64 writers are not asked of a peer that
  makes fewer than 20 commits a second.
- Start-up counts from the import of the library to the answer of \`SELECT 1\`, from a local server, uncompressed: no
  network is in it. The payload is what the page fetched until then, each file with brotli at its best.
- Memory is what the page's process holds for itself after it opened a file of 1 GiB and read one row of it, less what
  it held before the import; once for each.

## What is not comparable

- **Turso's engine runs on the page's own thread**: a look-up crosses no thread, and the page stands still while a query
  runs. Rows where that decides give a second ratio, to the best peer whose engine is in a worker. Turso and SQLocal
  need COOP and COEP; the others do not.
- **Some serve one tab only**: sqlite-wasm's and wa-sqlite's pools and Turso. They need no lock before a
  write. Heddle, SQLocal, PowerSync, OPFSCoopSync and PGlite work in several tabs; of these SQLocal and PowerSync open
  the file in each tab and lock it for each transaction.
- **A write is more in Heddle, PowerSync, SQLocal and PGlite** than in the bare engines: hooks note which rows changed,
  for live queries.
- **PGlite is Postgres**: its LIKE minds case, its planner has a hash join, its data directory is many files. In
  IndexedDB its files are held in memory and written back after each query; whether a browser has then flushed them is
  the browser's affair.
- **PowerSync's tables** are plain tables here; those that it syncs are views over JSON, and slower.
- **The payload** of Heddle holds its sync client, live queries, FTS5 and R-Tree; sqlite-wasm, wa-sqlite and SQLocal
  are storage only.
`;
}
