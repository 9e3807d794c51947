// A pre-update hook that spares Go the calls that would tell it nothing new:
// events that only count, and inserts of which only the rowid matters. Go says
// which those are; all others go to its own hook.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite3.h"

enum { HEDDLE_TALLIES = 32, HEDDLE_TALLY_NAME = 64, HEDDLE_TALLY_ROWS = 1 << 16 };

struct heddle_tally {
  int op;  // SQLITE_INSERT, SQLITE_UPDATE or SQLITE_DELETE
  int rowids;
  sqlite3_int64 count;
  char name[HEDDLE_TALLY_NAME];
};

struct heddle_noted {
  sqlite3_int64 rowid;
  sqlite3_int64 tally;
};

// An instance of this module has one connection; see heddle_tally_new.
static struct {
  sqlite3* db;
  int n;
  uint32_t rows, cap;
  struct heddle_noted* noted;
  struct heddle_tally list[HEDDLE_TALLIES];
} heddle_tallies;

static int heddle_note(int64_t tally, sqlite3_int64 rowid) {
  uint32_t n = heddle_tallies.rows;
  if (n == heddle_tallies.cap) {
    if (n == HEDDLE_TALLY_ROWS) return 0;
    uint32_t cap = n == 0 ? 256 : n * 2;
    struct heddle_noted* p = realloc(heddle_tallies.noted, cap * sizeof *p);
    if (p == NULL) return 0;
    heddle_tallies.noted = p;
    heddle_tallies.cap = cap;
  }
  heddle_tallies.noted[n] = (struct heddle_noted){rowid, tally};
  heddle_tallies.rows = n + 1;
  return 1;
}

static void heddle_preupdate(void* arg, sqlite3* db, int op, const char* schema, const char* table,
                             sqlite3_int64 old, sqlite3_int64 new) {
  if (db == heddle_tallies.db && heddle_tallies.n > 0 && strcmp(schema, "main") == 0) {
    for (int i = 0; i < heddle_tallies.n; i++) {
      struct heddle_tally* t = &heddle_tallies.list[i];
      if (t->op != op || strcmp(t->name, table) != 0) continue;
      if (sqlite3_preupdate_blobwrite(db) >= 0) break;
      if (t->rowids) {
        if (!heddle_note(i, new)) break;  // Go takes what is noted before it looks at this one
      } else {
        t->count++;
      }
      return;
    }
  }
  go_preupdate_hook(arg, db, op, schema, table, old, new);
}

// Puts the hook before that of go-sqlite3.
void heddle_tally_new(sqlite3* db) {
  heddle_tallies.db = db;
  heddle_tallies.n = 0;
  heddle_tallies.rows = 0;
  sqlite3_preupdate_hook(db, heddle_preupdate, NULL);
}

// Spares Go further events of op on the table. It returns the tally's index, or
// -1 if there is no room.
int heddle_tally_add(const char* table, int op, int rowids) {
  int i = heddle_tallies.n;
  if (i == HEDDLE_TALLIES || strlen(table) >= HEDDLE_TALLY_NAME) return -1;
  struct heddle_tally* t = &heddle_tallies.list[i];
  t->op = op;
  t->rowids = rowids;
  t->count = 0;
  strcpy(t->name, table);
  heddle_tallies.n = i + 1;
  return i;
}

// How many events tally i counted.
sqlite3_int64 heddle_tally_count(int i) { return heddle_tallies.list[i].count; }

// How many rowids are noted, and where they are.
uint32_t heddle_tally_rows(const struct heddle_noted** at) {
  *at = heddle_tallies.noted;
  return heddle_tallies.rows;
}

// Forgets the rowids that Go has taken.
void heddle_tally_taken(void) { heddle_tallies.rows = 0; }

// Forgets all: every event goes to Go again.
void heddle_tally_clear(void) {
  heddle_tallies.n = 0;
  heddle_tallies.rows = 0;
  if (heddle_tallies.cap > 4096) {
    free(heddle_tallies.noted);
    heddle_tallies.noted = NULL;
    heddle_tallies.cap = 0;
  }
}
