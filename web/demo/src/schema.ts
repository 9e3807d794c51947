// The schema: migrations, and which tables sync. Tests use it as well.

/** The synced tables. Two hearts given at the same time are two: a counter adds up. */
export const tables = { notes: { hearts: "counter" }, places: true } as const;

// notes_fts is not synced: each device builds its own index, by triggers that
// fire for what another device wrote as well.
export const migrations = [
  `CREATE TABLE notes(
     id TEXT PRIMARY KEY DEFAULT (uuid7()),
     title TEXT NOT NULL DEFAULT '',
     body TEXT NOT NULL DEFAULT '',
     pinned INTEGER NOT NULL DEFAULT 0,
     created INTEGER NOT NULL DEFAULT 0,
     updated INTEGER NOT NULL DEFAULT 0
   );
   CREATE VIRTUAL TABLE notes_fts USING fts5(id UNINDEXED, title, body, tokenize = 'unicode61 remove_diacritics 2');
   CREATE TRIGGER notes_fts_insert AFTER INSERT ON notes BEGIN
     INSERT INTO notes_fts(id, title, body) VALUES (new.id, new.title, new.body);
   END;
   CREATE TRIGGER notes_fts_update AFTER UPDATE ON notes BEGIN
     UPDATE notes_fts SET title = new.title, body = new.body WHERE id = old.id;
   END;
   CREATE TRIGGER notes_fts_delete AFTER DELETE ON notes BEGIN
     DELETE FROM notes_fts WHERE id = old.id;
   END;`,
  `CREATE TABLE places(
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL DEFAULT '',
     country TEXT NOT NULL DEFAULT '',
     lat REAL NOT NULL DEFAULT 0,
     lng REAL NOT NULL DEFAULT 0
   );`,
  `ALTER TABLE notes ADD COLUMN hearts INTEGER NOT NULL DEFAULT 0`,
];
