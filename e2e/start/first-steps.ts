import type * as Heddle from "../../web/src/index.js";

declare global {
  var heddle: typeof Heddle;
}

/**
 * What an app does first: opens, migrates, writes, reads, and keeps a query live. Sent to the page, so it uses nothing
 * of this module.
 *
 * @param server the sync server, or undefined for a database that stays on this device. Sync begins with the second
 * part of the program, and is not waited for.
 */
export async function firstSteps(server?: string): Promise<void> {
  const db = await heddle.open({
    name: server === undefined ? "plain" : "synced",
    migrations: [`CREATE TABLE note(id TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '', rank REAL, done INTEGER) STRICT;
      CREATE INDEX note_rank ON note(done, rank)`],
    ...(server === undefined ? {} : { sync: { url: server, space: "first", tables: { note: true } } }),
  });
  await db.query(`SELECT count(*) AS n FROM note`);
  const id = crypto.randomUUID();
  await db.exec(`INSERT INTO note(id, body, rank) VALUES (?, ?, ?)`, [id, "first", 1.5]);
  let rounds = 0;
  await new Promise<void>((resolve, reject) => {
    db.live(`SELECT id, body FROM note WHERE done IS NULL ORDER BY rank LIMIT 50`, [], () => {
      rounds++;
      if (rounds === 1) void db.exec(`UPDATE note SET body = body || '!' WHERE id = ?`, [id]).catch(reject);
      if (rounds === 2) resolve();
    });
  });
  await db.transaction(async (tx) => {
    await tx.exec(`INSERT INTO note(id, body) VALUES (?, ?)`, [crypto.randomUUID(), "second"]);
    await tx.query(`SELECT * FROM note WHERE id = ?`, [id]);
  });
  await db.exec(`DELETE FROM note WHERE id = ?`, [id]);
}

/** Statements as most apps have them. What only some use, as FTS5, R-Tree, JSON and windows, is in the second part. */
export async function everydaySql(): Promise<void> {
  const db = await heddle.open({ name: "everyday", migrations: [
    `CREATE TABLE list(id INTEGER PRIMARY KEY, name TEXT UNIQUE);
     CREATE TABLE item(id INTEGER PRIMARY KEY, list INTEGER REFERENCES list(id) ON DELETE CASCADE, body TEXT, rank REAL,
       at TEXT DEFAULT CURRENT_TIMESTAMP, CHECK (rank >= 0));
     CREATE INDEX item_list ON item(list, rank);
     CREATE TRIGGER item_body AFTER UPDATE OF body ON item BEGIN
       UPDATE item SET rank = rank + 1 WHERE id = new.id; END;`] });
  await db.bulk(`INSERT INTO list(id, name) VALUES (?, ?)`, Array.from({ length: 50 }, (_, i) => [i, `list ${i}`]));
  await db.bulk(`INSERT INTO item(id, list, body, rank) VALUES (?, ?, ?, ?)`,
    Array.from({ length: 5000 }, (_, i) => [i, i % 50, `item ${i * 7919 % 5003}`, i / 3]));
  for (const sql of [
    `SELECT l.name, count(*), sum(i.rank), avg(i.rank), min(i.body), max(i.body), total(i.rank) FROM list l
      JOIN item i ON i.list = l.id GROUP BY l.id HAVING count(*) > 3 ORDER BY 3 DESC LIMIT 10 OFFSET 2`,
    `SELECT * FROM item i LEFT JOIN list l ON l.id = i.list WHERE i.body LIKE '%7%' ORDER BY i.body, i.rank DESC`,
    `SELECT DISTINCT upper(substr(body, 1, 6)), lower(body), length(body), trim(body) FROM item WHERE id IN (1, 2, 3)`,
    `SELECT count(*) FROM item WHERE rank BETWEEN 5 AND 500 OR body GLOB 'item 9*' OR body IS NULL`,
    `SELECT id FROM list WHERE EXISTS (SELECT 1 FROM item WHERE list = list.id) UNION SELECT 1 UNION ALL SELECT 2
      EXCEPT SELECT 7 INTERSECT SELECT 9 ORDER BY 1`,
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
      SELECT sum(i), group_concat(i) FROM n`,
    `SELECT CASE WHEN rank > 5 THEN 'high' ELSE 'low' END, coalesce(body, '-'), ifnull(at, 0), nullif(id, 3), abs(rank),
      round(rank, 1), CAST(rank AS INTEGER), typeof(body), hex(id), instr(body, '1'), replace(body, 'i', 'j'),
      date(at), strftime('%Y-%m', at), printf('%05d', id), random() IS NULL, body || id FROM item WHERE id < 20`,
    `SELECT body FROM item WHERE list = (SELECT max(id) FROM list) ORDER BY rank DESC LIMIT 3`,
  ]) await db.query(sql);
  await db.exec(`INSERT INTO list(id, name) VALUES (1, 'again') ON CONFLICT(id) DO UPDATE SET name = excluded.name`);
  await db.exec(`INSERT OR REPLACE INTO list(id, name) VALUES (77, 'new')`);
  await db.exec(`UPDATE item SET rank = rank * 2, body = body || '.' WHERE list = 3`);
  await db.query(`DELETE FROM item WHERE id = 4 RETURNING id, body`);
  await db.exec(`DELETE FROM list WHERE id = 5`);
  await db.exec(`CREATE INDEX item_body ON item(body COLLATE NOCASE)`);
  await db.exec(`ALTER TABLE item ADD COLUMN done INTEGER NOT NULL DEFAULT 0`);
  await db.exec(`DROP INDEX item_body`);
  await db.transaction(async (tx) => {
    await tx.exec(`UPDATE list SET name = 'x' WHERE id = 1`);
    throw new Error("rolled back");
  }).catch(() => {});
}
