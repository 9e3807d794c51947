// The part of an app that is tested: it takes its database from whoever opens it.

export const migrations = [
  `CREATE TABLE notes(id TEXT PRIMARY KEY DEFAULT (uuid7()), body TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0)`,
];

export const tables = { notes: true };

export async function add(db, body) {
  const { rows: [note] } = await db.exec(`INSERT INTO notes(body) VALUES (?) RETURNING id`, [body]);
  return note.id;
}

export const finish = (db, id) => db.exec(`UPDATE notes SET done = 1 WHERE id = ?`, [id]);

/** Calls show with the open notes, now and whenever they change. */
export const follow = (db, show) => db.live(`SELECT id, body FROM notes WHERE done = 0 ORDER BY body`, [], show);
