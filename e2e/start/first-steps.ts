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
