CREATE TABLE notes(
  id TEXT PRIMARY KEY NOT NULL DEFAULT (uuid7()),
  body TEXT NOT NULL DEFAULT '',
  weight REAL,
  pages INTEGER NOT NULL
);
--> statement-breakpoint
CREATE TABLE files(id INTEGER PRIMARY KEY, name VARCHAR(20), data BLOB NOT NULL, size INT AS (length(data)));
