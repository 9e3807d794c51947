// The page of every adapter: ?adapter=name&option=value. It offers the runner
// globalThis.bench, whose steps measure; the adapter is fetched by the first.
import * as liveSteps from "./live-steps.js";
import * as commonSteps from "./steps.js";

const steps = { ...commonSteps, ...liveSteps };

const adapters = {
  "heddle": () => import("./adapters/heddle.js"),
  "sqlite-wasm": () => import("./adapters/sqlite-wasm.js"),
  "wa-sqlite": () => import("./adapters/wa-sqlite.js"),
  "sqlocal": () => import("./adapters/sqlocal.js"),
  "powersync": () => import("./adapters/powersync.js"),
  "pglite": () => import("./adapters/pglite.js"),
  "turso": () => import("./adapters/turso.js"),
};

const params = new URLSearchParams(location.search);
const name = params.get("adapter");

/** From nothing to the first row: what fetches, compiles and opens is all in the time. */
async function open() {
  performance.mark("import");
  const began = performance.now();
  const { connect } = await adapters[name]();
  const db = await connect(Object.fromEntries(params));
  performance.mark("opened");
  const rows = await db.query("SELECT 1 AS one");
  const ms = performance.now() - began;
  performance.mark("answered");
  if (Number(rows[0]?.one) !== 1) throw new Error(`SELECT 1 gave ${JSON.stringify(rows)}`);
  globalThis.db = db;
  return ms;
}

globalThis.bench = {
  open,
  /** Runs one step; failures come back as values, so that the runner sees them whole. */
  async step(step, argument) {
    try {
      return { value: step === "open" ? await open() : await steps[step](globalThis.db, argument) };
    } catch (error) {
      return { error: `${error?.name ?? "Error"}: ${error?.message ?? String(error)}`.slice(0, 300) };
    }
  },
};
document.documentElement.dataset.ready = "";
