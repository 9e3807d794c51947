CREATE TABLE "a pair"(a TEXT, b TEXT, "at-time" NUMERIC, PRIMARY KEY(a, b)) WITHOUT ROWID;
CREATE TABLE loose(a TEXT PRIMARY KEY, any_thing);
CREATE VIEW titles AS SELECT id, body AS title, 1 + 1 AS two FROM notes;
CREATE VIRTUAL TABLE search USING fts5(body);
ALTER TABLE notes RENAME COLUMN pages TO sheets;
