// What is measured, in the page, through an adapter and nothing else. Times are
// milliseconds, rates are per second. Loops end after a count or after a time,
// whichever is first: a slow peer must not hold up the run.
const ROWS = 100_000;

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

let rows;
const data = () => rows ??= Array.from({ length: ROWS }, (_, i) =>
  [i + 1, `name ${i * 7919 % 100_003}`, i / 3, `a note of some length about row ${i}, no longer than notes are`]);

async function timed(fn) {
  const began = performance.now();
  await fn();
  return performance.now() - began;
}

/**
 * Awaits fn(i) one after another, after a short warm-up: how many a second, the median of
 * one, and what one in twenty takes longer than. The page's clock has steps of 0.1 ms, so
 * the median is of five timed together.
 */
async function oneByOne(fn, count, limit) {
  const fives = [], times = [];
  let began = performance.now(), i = 0;
  while (i < 100 && performance.now() - began < 200) await fn(i++);
  began = performance.now();
  const start = i;
  while (i - start < count && performance.now() - began < limit) {
    const first = times.length;
    for (let k = 0; k < 5; k++) times.push(await timed(() => fn(i++)));
    fives.push(times.slice(first).reduce((sum, ms) => sum + ms) / 5);
  }
  const ms = performance.now() - began;
  return { rate: (i - start) / ms * 1000, p50: median(fives),
    p95: times.sort((a, b) => a - b)[Math.floor(times.length * 0.95)] };
}

/** The median of fn's times, after one to warm up; a slow one is asked less often. */
async function repeated(fn) {
  const times = [await timed(fn)];
  for (let i = 0, began = performance.now(); i < 3 && performance.now() - began < 3000 && times[0] < 3000; i++) {
    times.push(await timed(fn));
  }
  return median(times.length > 1 ? times.slice(1) : times);
}

/** The tables, in the dialect of the adapter. */
export async function schema(db) {
  const { real = "REAL", key = "INTEGER PRIMARY KEY" } = db.dialect ?? {};
  await db.exec(`CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, value ${real} NOT NULL, ` +
    `note TEXT NOT NULL)`);
  await db.exec(`CREATE TABLE IF NOT EXISTS log(id ${key}, body TEXT NOT NULL)`);
  await db.exec(`CREATE TABLE IF NOT EXISTS tick(id INTEGER PRIMARY KEY, at ${real} NOT NULL)`);
  await db.exec(`INSERT INTO tick(id, at) VALUES (1, 0), (2, 0)`);
}

/** Single-row inserts, each awaited, each a transaction that is on the disk when it resolves. */
export async function commits(db) {
  const one = () => db.exec(`INSERT INTO log(body) VALUES (?)`, ["a line that must not be lost"]);
  return oneByOne(one, 400, 1500);
}

/** 64 writers at once, each awaiting its own inserts. */
export async function writers(db) {
  const began = performance.now();
  let done = 0;
  await Promise.all(Array.from({ length: 64 }, async () => {
    for (let i = 0; i < 16 && performance.now() - began < 2000; i++) {
      await db.exec(`INSERT INTO log(body) VALUES (?)`, ["one of many"]);
      done++;
    }
  }));
  return done / (performance.now() - began) * 1000;
}

/** 100,000 rows of four columns into an empty table: the first rows that the page moves, on code that is cold. */
export async function firstBulk(db) {
  const all = data();
  return ROWS / await timed(() => db.bulk("t", ["id", "name", "value", "note"], all)) * 1000;
}

/** The same later on; before it 20,000 rows to warm up. */
export async function bulk(db) {
  const all = data();
  await db.exec(`DELETE FROM t`);
  await db.bulk("t", ["id", "name", "value", "note"], all.slice(0, 20_000));
  await db.exec(`DELETE FROM t`);
  const ms = await timed(() => db.bulk("t", ["id", "name", "value", "note"], all));
  const [{ n }] = await db.query(`SELECT count(*) AS n FROM t`);
  if (Number(n) !== ROWS) throw new Error(`${n} rows are there`);
  return ROWS / ms * 1000;
}

/** Rows by key, each awaited. */
export async function lookups(db) {
  const one = (i) => db.query(`SELECT name, value FROM t WHERE id = ?`, [1 + i * 7907 % ROWS]);
  return oneByOne(one, 4000, 1000);
}

/** Watches how long the page cannot take a message. */
function watchBlocks() {
  const { port1, port2 } = new MessageChannel();
  let longest = 0, last = performance.now(), on = true;
  port1.onmessage = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (on) port2.postMessage(0);
  };
  port2.postMessage(0);
  return () => {
    on = false;
    longest = Math.max(longest, performance.now() - last);
    port1.close();
    return longest;
  };
}

/** The whole table to the page as objects: rows a second, the longest block, and when the first rows were there. */
export async function objects(db) {
  const sql = `SELECT id, name, value, note FROM t`;
  const once = async () => {
    const stop = watchBlocks(), began = performance.now();
    let first, count = 0, last;
    if (db.stream) {
      await db.stream(sql, (part) => {
        first ??= performance.now() - began;
        count += part.length;
        last = part.at(-1);
      });
    } else {
      const all = await db.query(sql);
      count = all.length;
      last = all.at(-1);
    }
    const ms = performance.now() - began;
    const block = stop();
    if (count !== ROWS || !last.note.endsWith("notes are")) throw new Error(`got ${count} rows`);
    return { rate: ROWS / ms * 1000, block, first: first ?? ms };
  };
  const cold = await once();
  return cold.rate < 30_000 ? cold : once();
}

/** The same table as one JSON text that the page parses. */
export async function json(db) {
  const sql = db.dialect?.json ??
    `SELECT json_group_array(json_object('id', id, 'name', name, 'value', value, 'note', note)) AS j FROM t`;
  const once = async () => {
    const began = performance.now();
    const [{ j }] = await db.query(sql);
    const all = typeof j === "string" ? JSON.parse(j) : j;
    const ms = performance.now() - began;
    if (all.length !== ROWS) throw new Error(`got ${all.length} rows`);
    return ROWS / ms * 1000;
  };
  const cold = await once();
  return cold < 30_000 ? cold : once();
}

/** An aggregate that looks at every note. */
export async function like(db) {
  return repeated(() => db.query(`SELECT count(*) AS n, sum(length(note)) AS l FROM t WHERE note LIKE '%row 7%9%'`));
}

/** An index over 100,000 texts; it stays. */
export async function index(db) {
  const first = await timed(() => db.exec(`CREATE INDEX t_name ON t(name)`));
  await db.exec(`DROP INDEX t_name`);
  return Math.min(first, await timed(() => db.exec(`CREATE INDEX t_name ON t(name)`)));
}

/** 20,000 rows, every fifth, whose indexed column changes. */
export async function update(db) {
  let turn = 0;
  return repeated(() =>
    db.exec(`UPDATE t SET name = 'name ' || id || 'x${turn++}', value = value + 1 WHERE id % 5 = 0`));
}

/** The table joined with itself twice, by key. */
export async function join(db) {
  const sql = `SELECT count(*) AS n, sum(c.value) AS s FROM t a JOIN t b ON b.id = (a.id * 7) % 100000 + 1 JOIN t c ` +
    `ON c.id = (b.id * 13) % 100000 + 1`;
  return repeated(async () => {
    const [{ n }] = await db.query(sql);
    if (Number(n) !== ROWS) throw new Error(`${n} rows`);
  });
}

/** From the call of exec to the live query's callback in the same tab. */
export async function liveHere(db) {
  if (!db.live) return undefined;
  let arrived = () => {}, ready;
  const first = new Promise((resolve) => { ready = resolve; });
  const stop = await db.live(`SELECT at FROM tick WHERE id = 1`, ["tick"], ([row]) => {
    ready();
    if (row) arrived(Number(row.at));
  });
  await first;
  const times = [], limit = performance.now() + 5000;
  for (let i = 1; i <= 25 && performance.now() < limit; i++) {
    const began = performance.now();
    const seen = new Promise((resolve) => { arrived = (at) => { if (at === i) resolve(); }; });
    await Promise.all([db.exec(`UPDATE tick SET at = ? WHERE id = 1`, [i]),
      seen.then(() => times.push(performance.now() - began))]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await stop();
  return median(times);
}

/** In the other tab: notes when each value arrives, on the clock that both tabs share. */
export async function liveListen(db) {
  if (!db.live) return undefined;
  globalThis.arrivals = [];
  await new Promise((resolve, reject) => {
    Promise.resolve(db.live(`SELECT at FROM tick WHERE id = 2`, ["tick"], ([row]) => {
      if (row && Number(row.at) > 0) arrivals.push(performance.timeOrigin + performance.now() - Number(row.at));
      resolve();
    })).catch(reject);
  });
}

/** In the first tab: the writes that liveListen waits for. */
export async function liveSend(db) {
  const limit = performance.now() + 6000;
  for (let i = 0; i < 25 && performance.now() < limit; i++) {
    await db.exec(`UPDATE tick SET at = ? WHERE id = 2`, [performance.timeOrigin + performance.now()]);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
}

/** In the other tab, afterwards. */
export async function liveThere() {
  if (arrivals.length < 3) throw new Error(`only ${arrivals.length} writes were seen`);
  return median(arrivals);
}

/** Reads a row of the table, after a reload. */
export async function read(db) {
  const [row] = await db.query(`SELECT note FROM t WHERE id = ?`, [77_777]);
  if (!row?.note.includes("row 77776,")) throw new Error("the row is not there");
}

/** A table of one GiB, in transactions of 16 MiB. */
export async function fill(db) {
  await db.exec(db.dialect?.big ?? `CREATE TABLE big(id INTEGER PRIMARY KEY, body BLOB NOT NULL)`);
  const sql = db.dialect?.fill ??
    `INSERT INTO big(body) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16) SELECT ` +
      `randomblob(1048576) FROM n`;
  for (let i = 0; i < 64; i++) await db.exec(sql);
}

/** One small read from the large table. */
export async function readBig(db) {
  const [row] = await db.query(`SELECT id, length(body) AS l FROM big WHERE id = 700`);
  if (Number(row?.l) < 1_000_000) throw new Error("the row is not there");
}

export const close = (db) => db.close();
