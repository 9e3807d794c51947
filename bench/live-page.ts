// What bench/live.ts has a page do, through the public API alone. Each function is sent to the page by page.evaluate,
// so it may use nothing of this module.
import type * as Heddle from "../web/src/index.js";

declare global {
  var heddle: typeof Heddle;
  var db: Heddle.Database;
  /** From the call of exec() in one tab to the callback in this one, in ms. */
  var latencies: number[];
  var stops: (() => void)[];
  /** What came to the page by its ports: see spy. */
  var received: { messages: number; bytes: number; ms: number };
}

/** Before the page's scripts run: measures each message to the page and what the page does with it. */
export function spy(): void {
  globalThis.received = { messages: 0, bytes: 0, ms: 0 };
  const own = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage")!;
  Object.defineProperty(MessagePort.prototype, "onmessage", {
    ...own,
    set(handler: (event: MessageEvent) => void) {
      own.set!.call(this, (event: MessageEvent) => {
        const began = performance.now();
        handler.call(this, event);
        received.ms += performance.now() - began;
        received.messages++;
        received.bytes += (event.data as Partial<Uint8Array>).byteLength ?? 0;
      });
    },
  });
}

export async function open(): Promise<void> {
  globalThis.latencies = [];
  globalThis.stops = [];
  globalThis.db = await heddle.open({
    name: "bench-live",
    migrations: [
      `CREATE TABLE notes(id INTEGER PRIMARY KEY, list INT, author INT, body TEXT, done INT, rank INT);
       CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
       CREATE TABLE other(id INTEGER PRIMARY KEY, body TEXT);`,
    ],
  });
}

/** 100,000 notes in 10,000 lists of ten, each list with an author of its own. */
export async function fill(): Promise<void> {
  await db.exec(`WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 99999)
    INSERT INTO notes SELECT n, n % 10000, n % 10000, 'a note of some length', 0, n FROM s`);
  await db.exec(`WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 9999)
    INSERT INTO users SELECT n, 'a user' FROM s`);
  await db.exec(`CREATE INDEX notes_list ON notes(list, rank)`);
  await db.exec(`CREATE INDEX notes_author ON notes(author)`);
}

/** Begins the live queries from, from + 1 ... to - 1 of an app: four of each list. How long until all had results. */
export async function watch({ from, to }: { from: number; to: number }): Promise<number> {
  const statements = [
    `SELECT id, body, rank FROM notes WHERE list = ? ORDER BY rank, id`,
    `SELECT * FROM notes WHERE id = ?`,
    `SELECT count(*) AS n, sum(rank) AS s FROM notes WHERE list = ? AND done = 0`,
    `SELECT n.id, n.body, u.name FROM notes n JOIN users u ON u.id = n.author WHERE n.list = ? ORDER BY n.id`,
  ];
  const began = performance.now();
  await Promise.all(Array.from({ length: to - from }, (_, i) => new Promise<void>((first) => {
    const sql = statements[(from + i) % 4]!;
    globalThis.stops.push(db.live<{ body?: string }>(sql, [Math.floor((from + i) / 4)], (rows, diff) => {
      first();
      if (diff.first) return;
      const now = performance.timeOrigin + performance.now();
      for (const at of diff.added) {
        const stamp = Number(rows[at]!.body);
        if (stamp > 0) latencies.push(now - stamp);
      }
    }));
  })));
  return performance.now() - began;
}

/** Begins one live query. */
export async function watchOne(sql: string): Promise<void> {
  await new Promise<void>((first) => { globalThis.stops.push(db.live(sql, [], () => first())); });
}

/** Begins one join for each of the lists below n. */
export async function watchJoins(n: number): Promise<void> {
  const sql = `SELECT n.id, n.body, u.name FROM notes n JOIN users u ON u.id = n.author WHERE n.list = ? ORDER BY n.id`;
  await Promise.all(Array.from({ length: n }, (_, list) => new Promise<void>((first) => {
    globalThis.stops.push(db.live(sql, [list], () => first()));
  })));
}

export async function unwatch(): Promise<void> {
  for (const stop of globalThis.stops.splice(0)) stop();
  await db.query(`SELECT 1`); // the leader has heard of it
}

/** Commits at a rate, each of one row of a list below `lists`: how long all took, and each until its answer, in ms. */
export async function write(
  { commits, rate, lists }: { commits: number; rate: number; lists: number },
): Promise<{ ms: number; answers: number[] }> {
  latencies.length = 0;
  const began = performance.now(), under: Promise<unknown>[] = [], answers: number[] = [];
  for (let i = 0; i < commits; i++) {
    const early = began + i * 1000 / rate - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const id = Math.floor(Math.random() * lists) + 10_000 * Math.floor(Math.random() * 10);
    const asked = performance.now();
    under.push(db.exec(`UPDATE notes SET body = ? WHERE id = ?`, [String(performance.timeOrigin + asked), id])
      .then(() => answers.push(performance.now() - asked)));
  }
  await Promise.all(under);
  return { ms: performance.now() - began, answers };
}

/** The latencies since the last call, once nothing more is on its way. */
export async function collect(): Promise<number[]> {
  await db.query(`SELECT 1`);
  await new Promise((resolve) => setTimeout(resolve, 150));
  return latencies.splice(0);
}

/** Commits one by one, each once the page has made a frame, and what came to the page meanwhile. */
export async function writeQuietly(
  { sql, commits, modulo }: { sql: string; commits: number; modulo: number },
): Promise<{ messages: number; bytes: number; ms: number }> {
  globalThis.received = { messages: 0, bytes: 0, ms: 0 };
  for (let i = 0; i < commits; i++) {
    await db.exec(sql, [`text ${Math.random()}`, i * 7919 % modulo]);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return globalThis.received;
}

/** Durable commits of one row, awaited: the time of each, in ms. */
export async function commits(count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    await db.exec(`UPDATE notes SET body = ? WHERE id = ?`, [`text ${i}`, i * 7919 % 100_000]);
    times.push(performance.now() - began);
  }
  return times;
}

/** 100,000 rows in one transaction, in ms. */
export async function bulk(): Promise<number> {
  const rows = Array.from({ length: 100_000 }, (_, i) => [i, `a row of some length, ${i}`] as const);
  const began = performance.now();
  await db.bulk(`INSERT INTO other(id, body) VALUES (?, ?)`, rows);
  const ms = performance.now() - began;
  await db.exec(`DELETE FROM other`);
  return ms;
}
