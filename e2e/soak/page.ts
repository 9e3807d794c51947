// One tab of the soak: it works without pause, and tells each outcome as it comes
// by `report`, which the driver bound to the page. A tab may die at any moment;
// what it has told by then is what the driver holds the database to.
import type * as Heddle from "../../web/src/index.js";
import { PARTS, type Kind, type Outcome, type Report } from "./report.js";

declare const report: (json: string) => void;

/** A call without an outcome after so many ticks of half a second is hung. A frozen page does not tick. */
const HUNG_TICKS = 60;
/** The database is opened again after this many failures in a row. */
const GIVE_UP = 20;

const heddle: typeof Heddle = await import(new URL("/heddle/index.js", location.href).href);
const parameters = new URLSearchParams(location.search);
const instance = crypto.randomUUID();
const lossy = parameters.has("lossy");
let dropped = 0;

// Half of the announcements of commits get lost on the way to a lossy tab.
if (lossy) {
  globalThis.BroadcastChannel = class extends BroadcastChannel {
    constructor(name: string) {
      super(name);
      if (!name.endsWith(":commits")) return;
      this.addEventListener("message", (event) => {
        if (Math.random() < 0.5) return;
        dropped++;
        event.stopImmediatePropagation();
      });
    }
  };
}

const tell = (message: Report) => report(JSON.stringify(message));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- what is under way -------------------------------------------------------

let ticks = 0;
const pending = new Map<object, { what: string; since: number; told: boolean }>();
setInterval(() => {
  ticks++;
  for (const call of pending.values()) {
    if (call.told || ticks - call.since < HUNG_TICKS) continue;
    call.told = true;
    tell({ t: "hung", instance, what: call.what });
  }
}, 500);

/** Awaits a call, and says how it ended: "ok", or its error's code. */
async function settle(what: string, call: () => Promise<unknown>): Promise<string> {
  const key = {};
  pending.set(key, { what, since: ticks, told: false });
  try {
    await call();
    return "ok";
  } catch (error) {
    return (error as Heddle.HeddleError).code ?? String(error);
  } finally {
    pending.delete(key);
  }
}

// ---- the database --------------------------------------------------------------

let db: Heddle.Database;
let live = -1;
let stopping = false;

/** Like any call it may be blamed for two deaths in a row, which it is told; nothing else ends it. */
function watch(): void {
  db.live<{ n: number }>(`SELECT n FROM total`, [], ([row]) => { live = row!.n; }, {
    onError({ code }) {
      const now = Date.now();
      tell({ t: "call", instance, kind: "query", n: 0, code: `live: ${code}`, start: now, end: now, role: db.role });
      if (code === "HEDDLE_ENGINE_CRASH") watch();
    },
  });
}

/** Resolves once a query of its own has its first result. */
async function begun(): Promise<void> {
  let stop = () => {};
  await new Promise<void>((resolve) => { stop = db.live(`SELECT 1 AS one`, [], () => resolve()); });
  stop();
}

async function openDatabase(): Promise<void> {
  for (;;) {
    const start = Date.now();
    const code = await settle("open", async () => {
      db = await heddle.open({
        name: "soak",
        migrations: [
          `CREATE TABLE log(instance TEXT NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, part INTEGER NOT NULL);
           CREATE INDEX log_instance ON log(instance, n);
           CREATE TABLE total(k INTEGER PRIMARY KEY, n INTEGER NOT NULL); INSERT INTO total VALUES (1, 0)`,
        ],
      });
      watch();
    });
    tell({ t: "open", instance, code, ms: Date.now() - start });
    if (code === "ok") return;
    await pause(200);
  }
}

const insert = `INSERT INTO log(instance, n, kind, part) VALUES (?, ?, ?, ?)`;

const writes: { [kind in Kind]: (n: number) => Promise<unknown> } = {
  exec: (n) => db.exec(insert, [instance, n, "exec", 0]),
  batch: (n) => db.batch(Array.from({ length: PARTS.batch }, (_, part) => [insert, [instance, n, "batch", part]])),
  bulk: (n) => db.bulk(insert, Array.from({ length: PARTS.bulk }, (_, part) => [instance, n, "bulk", part])),
  transaction: (n) => db.transaction(async (tx) => {
    const [row] = await tx.query<{ n: number }>(`SELECT n FROM total`);
    await tx.exec(insert, [instance, n, "transaction", 0]);
    await tx.exec(`UPDATE total SET n = ?`, [row!.n + 1]);
  }),
};

/** The number of the last write that was acknowledged. */
let acknowledged = 0;
let failures = 0;

async function outcome(kind: Outcome["kind"], n: number, call: () => Promise<unknown>): Promise<void> {
  const start = Date.now();
  const code = await settle(kind, call);
  tell({ t: "call", instance, kind, n, code, start, end: Date.now(), role: db.role });
  if (code === "ok") {
    failures = 0;
    return;
  }
  await pause(20);
  if (++failures < GIVE_UP || stopping) return;
  failures = 0;
  tell({ t: "ended", instance, code });
  await db.close();
  await openDatabase();
}

async function writeForEver(): Promise<void> {
  for (let n = 1; !stopping; n++) {
    const dice = Math.random();
    const kind: Kind = dice < 0.6 ? "exec" : dice < 0.75 ? "batch" : dice < 0.85 ? "bulk" : "transaction";
    await outcome(kind, n, async () => {
      await writes[kind](n);
      acknowledged = n;
    });
    await pause(Math.random() * 10);
  }
}

async function readForEver(): Promise<void> {
  while (!stopping) {
    await outcome("query", 0, async () => {
      const least = acknowledged;
      const [row] = await db.query<{ n: number | null }>(`SELECT max(n) AS n FROM log WHERE instance = ?`, [instance]);
      if ((row!.n ?? 0) < least) {
        throw Object.assign(new Error(), { code: `read ${row!.n} after ${least} was acknowledged` });
      }
    });
    await pause(Math.random() * 20);
  }
}

await openDatabase();
const running = Promise.all([writeForEver(), readForEver()]);

/** What the driver calls. */
const soak = {
  role: () => db.role,
  /** What the page is at: its visibility and role, and since how many ticks of half a second it awaits what. */
  state: () => [document.visibilityState, db?.role ?? "no database", ticks,
    ...[...pending.values()].map(({ what, since }) => `${what} for ${ticks - since}`)].join(", "),
  /** Breaks the engine in a way that wasm/faults.go knows. */
  fault: (kind: string) => void db.query(`SELECT heddle_fault(?)`, [kind]).catch(() => {}),
  async stop(): Promise<void> {
    stopping = true;
    await running;
  },
  /** What the live query saw last, once it is what the table holds; else what both say. */
  async converged(): Promise<string> {
    let n = -1;
    // A page in the background waits longer than it is told to.
    for (const end = Date.now() + 30_000; Date.now() < end; ) {
      [{ n }] = await db.query<{ n: number }>(`SELECT n FROM total`) as [{ n: number }];
      if (live === n) return "";
      // A hidden page gets no live results, but with the first one of a query that begins.
      if (document.visibilityState === "hidden") await begun();
      await pause(100);
    }
    return `a live query shows ${live}, the table holds ${n}`;
  },
  dropped: () => dropped,
  query: (sql: string) => db.query(sql),
};
export type Soak = typeof soak;
Object.assign(globalThis, { soak });
document.documentElement.dataset["ready"] = "yes";
