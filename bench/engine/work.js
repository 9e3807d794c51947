// Times the same SQL in several engines, in one thread, by turns: what the
// machine does meanwhile hits them alike. Databases are in memory.

const fill = `
  DROP TABLE IF EXISTS t;
  CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL NOT NULL, note TEXT NOT NULL);
  INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
    SELECT i + 1, 'name ' || (i * 7919 % 100003), i / 3.0,
      'a note of some length about row ' || i || ', no longer than notes are' FROM n`;
const join = `SELECT count(*) AS n, sum(c.value) AS s FROM t a JOIN t b ON b.id = (a.id * 7) % 100000 + 1 JOIN t c ` +
  `ON c.id = (b.id * 13) % 100000 + 1`;

/** name, SQL to time, SQL to run untimed after it. */
const work = [
  ["insert 100k rows", fill],
  ["LIKE aggregate", `SELECT count(*) AS n, sum(length(note)) AS l FROM t WHERE note LIKE '%row 7%9%'`],
  ["three-way join", join],
  ["CREATE INDEX", `CREATE INDEX t_name ON t(name)`, `DROP INDEX t_name`],
  ["UPDATE 20k, indexed", `UPDATE t SET name = name || 'x', value = value + 1 WHERE id % 5 = 0`, "",
    `CREATE INDEX IF NOT EXISTS t_name ON t(name)`],
  ["ORDER BY", `SELECT sum(r) FROM (SELECT row_number() OVER (ORDER BY note DESC) AS r FROM t)`],
  ["JSON text",
    `SELECT length(json_group_array(json_object('id', id, 'name', name, 'value', value, 'note', note))) AS j FROM t`],
  ["GROUP BY", `SELECT id % 1000 AS g, count(*), sum(value), max(note) FROM t GROUP BY g`],
];

/** Milliseconds of each round of each piece of work for each of dbs. */
export function measure(dbs, { rounds, only, now }) {
  for (const db of dbs) {
    db.exec(`PRAGMA cache_size = -16384`); // both use it: the one as its default, Heddle by package store
    for (let i = 0; i < 2; i++) db.exec(fill);
  }
  return work.filter(([name]) => !only || name.includes(only)).map(([name, sql, after, before]) => {
    const times = dbs.map(() => []);
    for (let round = -2; round < rounds; round++) {
      for (let k = 0; k < dbs.length; k++) {
        const i = (k + round + dbs.length * 2) % dbs.length;
        if (before) dbs[i].exec(before);
        const began = now();
        dbs[i].exec(sql);
        const ms = now() - began;
        if (round >= 0) times[i].push(ms);
        if (after) dbs[i].exec(after);
      }
    }
    return { name, times };
  });
}

/** The peer, from the URL of its module. */
export async function peer(url) {
  const { default: init } = await import(url);
  const sqlite3 = await init({ print: () => {}, printErr: () => {} });
  const db = new sqlite3.oo1.DB(":memory:");
  return { exec: (sql) => db.exec(sql) };
}
