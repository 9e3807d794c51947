CREATE TABLE list(
  id TEXT PRIMARY KEY NOT NULL DEFAULT (uuid7()),
  title TEXT NOT NULL DEFAULT '',
  place REAL NOT NULL DEFAULT 0
);
--> statement-breakpoint
CREATE TABLE card(
  id TEXT PRIMARY KEY NOT NULL DEFAULT (uuid7()),
  list TEXT NOT NULL DEFAULT '' REFERENCES list(id) ON DELETE CASCADE,
  title TEXT NOT NULL DEFAULT '',
  done INTEGER NOT NULL DEFAULT 0,
  place REAL NOT NULL DEFAULT 0
);
--> statement-breakpoint
CREATE INDEX card_list ON card(list, place);
--> statement-breakpoint
CREATE TABLE label(
  card TEXT NOT NULL REFERENCES card(id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  PRIMARY KEY(card, name)
) WITHOUT ROWID;
