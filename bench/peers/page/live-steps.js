// Live queries, in the page, through an adapter and nothing else: as many as one likes, of which one changes.
import { median } from "./steps.js";

const LISTS = 10_000;

/** 100,000 rows in 10,000 lists of ten. */
export async function liveFill(db) {
  await db.exec(`CREATE TABLE IF NOT EXISTS item(id INTEGER PRIMARY KEY, list INTEGER NOT NULL, body TEXT NOT NULL)`);
  await db.bulk("item", ["id", "list", "body"],
    Array.from({ length: 10 * LISTS }, (_, i) => [i, i % LISTS, "an item of some length"]));
  await db.exec(`CREATE INDEX item_list ON item(list)`);
}

let arrived = () => {};
const stops = [];

/** Begins queries until n are live: how long until all have their first result. */
export async function liveWatch(db, n) {
  const began = performance.now(), first = [];
  for (let list = stops.length; list < n; list++) {
    const sql = `SELECT id, body FROM item WHERE list = ${list} ORDER BY id`;
    first.push(new Promise((resolve, reject) => {
      stops.push(Promise.resolve(db.live(sql, ["item"], (rows) => {
        if (rows.length !== 10) reject(new Error(`a list of ${rows.length} rows`));
        resolve();
        for (const { body } of rows) arrived(body);
      })).catch(reject));
    }));
  }
  await Promise.all(first);
  return performance.now() - began;
}

/** One row of one of n lists changes, 40 times or for 8 s: from the call of exec to the callback. */
export async function liveWrite(db, n) {
  const times = [], limit = performance.now() + 8000;
  for (let i = 0; i < 40 && performance.now() < limit; i++) {
    const body = `change ${i} ${Math.random()}`, id = i * 7919 % n + LISTS * (i % 10);
    const began = performance.now();
    const seen = new Promise((resolve) => {
      arrived = (one) => { if (one === body) { times.push(performance.now() - began); resolve(); } };
    });
    await Promise.all([db.exec(`UPDATE item SET body = ? WHERE id = ?`, [body, id]), seen]);
    await new Promise((resolve) => setTimeout(resolve, 40)); // the page makes its frame
  }
  times.sort((a, b) => a - b);
  return { count: times.length, p50: median(times), p95: times[Math.floor(times.length * 0.95)] };
}
