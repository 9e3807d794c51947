// What is measured inside the page, through the public API alone. Each function
// is sent to the page by page.evaluate, so it may use nothing of this module.
import type * as Heddle from "../web/src/index.js";

declare global {
  var heddle: typeof Heddle;
  var db: Heddle.Database;
  var benchRows: [number, string, number, string][];
}

/** Opens the database and reads once: milliseconds from the call to the first row. */
export async function start(encrypted: boolean | void): Promise<number> {
  const began = performance.now();
  globalThis.db = await heddle.open({
    name: "bench", encryptAtRest: encrypted === true,
    migrations: [
      `CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL NOT NULL, note TEXT NOT NULL);
       CREATE TABLE log(id INTEGER PRIMARY KEY, body TEXT NOT NULL);
       CREATE TABLE tick(id INTEGER PRIMARY KEY, at REAL NOT NULL);`,
    ],
  });
  await db.query(`SELECT count(*) AS n FROM tick`);
  return performance.now() - began;
}

/** Inserts 100,000 rows of four columns in one transaction: rows a second. */
export async function bulk(): Promise<number> {
  globalThis.benchRows ??= Array.from({ length: 100_000 }, (_, i) => [i + 1, `name ${i * 7919 % 100_003}`, i / 3,
    `a note of some length about row ${i}, no longer than notes are`]);
  await db.exec(`DELETE FROM t`);
  const began = performance.now();
  await db.bulk(`INSERT INTO t(id, name, value, note) VALUES (?, ?, ?, ?)`, benchRows);
  return benchRows.length / (performance.now() - began) * 1000;
}

/** 400 inserts, each awaited, each its own flushed transaction. */
export async function commits(): Promise<{ rate: number; p50: number; p95: number }> {
  const times: number[] = [];
  const began = performance.now();
  for (let i = 0; i < 400; i++) {
    const one = performance.now();
    await db.exec(`INSERT INTO log(body) VALUES (?)`, ["a line that must not be lost"]);
    times.push(performance.now() - one);
  }
  const rate = times.length / (performance.now() - began) * 1000;
  times.sort((a, b) => a - b);
  return { rate, p50: times[200]!, p95: times[380]! };
}

/** 64 writers at once, 16 awaited inserts each: commits a second of all together. */
export async function writers(): Promise<number> {
  const began = performance.now();
  await Promise.all(Array.from({ length: 64 }, async () => {
    for (let i = 0; i < 16; i++) await db.exec(`INSERT INTO log(body) VALUES (?)`, ["one of many"]);
  }));
  return 64 * 16 / (performance.now() - began) * 1000;
}

/** 1,500 look-ups by key, one after the other, then as many with 64 under way. */
export async function lookups(): Promise<{ awaited: number; together: number }> {
  const one = (i: number) => db.query(`SELECT name, value FROM t WHERE id = ?`, [1 + i * 7907 % 100_000]);
  const n = 1500;
  let began = performance.now();
  for (let i = 0; i < n; i++) await one(i);
  const awaited = n / (performance.now() - began) * 1000;
  began = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: 64 }, async () => { while (next < n) await one(next++); }));
  return { awaited, together: n / (performance.now() - began) * 1000 };
}

/** All 100,000 rows of four columns as objects in the page: milliseconds, and the longest time the page was busy. */
export async function rows(): Promise<{ ms: number; block: number }> {
  const channel = new MessageChannel();
  let block = 0, last = performance.now(), on = true;
  channel.port1.onmessage = () => {
    const now = performance.now();
    block = Math.max(block, now - last);
    last = now;
    if (on) channel.port2.postMessage(0);
  };
  channel.port2.postMessage(0);
  const began = performance.now();
  const all = await db.query<{ id: number; note: string }>(`SELECT id, name, value, note FROM t`);
  const ms = performance.now() - began;
  on = false;
  channel.port1.close();
  if (all.length !== 100_000 || !all[99_999]!.note.endsWith("notes are")) throw new Error(`got ${all.length} rows`);
  return { ms, block };
}

/** An aggregate over 100,000 rows with LIKE: milliseconds. */
export async function like(): Promise<number> {
  const began = performance.now();
  await db.query(`SELECT count(*) AS n, sum(length(note)) AS l FROM t WHERE note LIKE '%row 7%9%'`);
  return performance.now() - began;
}

/** CREATE INDEX over 100,000 rows of text: milliseconds. */
export async function index(): Promise<number> {
  const began = performance.now();
  await db.exec(`CREATE INDEX t_name ON t(name)`);
  const ms = performance.now() - began;
  await db.exec(`DROP INDEX t_name`);
  return ms;
}

/**
 * From the call of exec to the live query's callback in the same tab: the median of 40, in milliseconds. Each write
 * comes to a page that was shown nothing in this frame: what comes later in a frame waits for its end.
 */
export async function liveHere(): Promise<number> {
  let arrived: (n: number) => void = () => {};
  let first = () => {};
  const ready = new Promise<void>((resolve) => { first = resolve; });
  const stop = db.live<{ at: number }>(`SELECT at FROM tick WHERE id = 1`, [], ([row]) => {
    first();
    if (row) arrived(row.at);
  });
  await ready;
  const times: number[] = [];
  for (let i = 0; i < 40; i++) {
    const began = performance.now();
    const seen = new Promise<void>((resolve) => { arrived = (at) => { if (at === began) resolve(); }; });
    await Promise.all([db.exec(`INSERT OR REPLACE INTO tick(id, at) VALUES (1, ?)`, [began]), seen]);
    times.push(performance.now() - began);
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  }
  stop();
  return times.sort((a, b) => a - b)[20]!;
}

/** In the other tab: notes when each value of tick 2 arrives, on the clock that both tabs share. */
export async function liveThere(): Promise<void> {
  const arrivals: [number, number][] = [];
  Object.assign(globalThis, { arrivals });
  await new Promise<void>((resolve) => {
    db.live<{ at: number }>(`SELECT at FROM tick WHERE id = 2`, [], ([row]) => {
      if (row) arrivals.push([row.at, performance.timeOrigin + performance.now()]);
      resolve();
    });
  });
}

/** In the first tab: 40 writes for liveThere to see. */
export async function liveSend(): Promise<void> {
  for (let i = 0; i < 40; i++) {
    await db.exec(`INSERT OR REPLACE INTO tick(id, at) VALUES (2, ?)`, [performance.timeOrigin + performance.now()]);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}

/** In the other tab, afterwards: the median from exec to callback, in milliseconds. */
export async function liveMedian(): Promise<number> {
  const { arrivals } = globalThis as unknown as { arrivals: [number, number][] };
  const times = arrivals.map(([sent, seen]) => seen - sent).sort((a, b) => a - b);
  if (times.length < 30) throw new Error(`only ${times.length} of 40 writes were seen`);
  return times[times.length >> 1]!;
}
