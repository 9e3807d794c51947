// Runs a statement for many rows of parameters in one call. The rows lie in Go's
// memory as the page sent them: values one after another in the encoding of
// heddle/rpc, whose decoder has checked them.
#include <stdint.h>
#include <string.h>

#include "sqlite3.h"

struct heddle_run {
  sqlite3_int64 changes;  // of all rows
  sqlite3_int64 rowid;    // the last one inserted
  uint32_t bytes, rows;   // how far it came
};

enum { HEDDLE_OTHER = -1 };

// Binds one row and returns where the next begins; NULL if a value is one that
// only Go can refuse properly.
static const uint8_t* heddle_bind_row(sqlite3_stmt* stmt, const uint8_t* p, const uint8_t* end, int columns) {
  for (int i = 1; i <= columns; i++) {
    if (p == end) return NULL;
    uint8_t tag = *p++;
    size_t left = (size_t)(end - p);
    sqlite3_int64 word;
    uint32_t n;
    double d;
    int rc;
    switch (tag) {
      case TAG_NULL:
        rc = sqlite3_bind_null(stmt, i);
        break;
      case TAG_INT:
        if (left < 8) return NULL;
        memcpy(&word, p, 8);
        p += 8;
        rc = sqlite3_bind_int64(stmt, i, word);
        break;
      case TAG_FLOAT:
        if (left < 8) return NULL;
        memcpy(&d, p, 8);
        p += 8;
        if (d != d) return NULL;  // SQLite would store NULL without a word
        rc = sqlite3_bind_double(stmt, i, d);
        break;
      case TAG_TEXT:
      case TAG_BLOB:
        if (left < 4) return NULL;
        memcpy(&n, p, 4);
        if (n > left - 4) return NULL;
        p += 4;
        if (tag == TAG_TEXT) {
          rc = sqlite3_bind_text64(stmt, i, (const char*)p, n, SQLITE_STATIC, SQLITE_UTF8);
        } else if (n == 0) {
          rc = sqlite3_bind_zeroblob(stmt, i, 0);
        } else {
          rc = sqlite3_bind_blob64(stmt, i, p, n, SQLITE_STATIC);
        }
        p += n;
        break;
      default:
        return NULL;
    }
    if (rc != SQLITE_OK) return NULL;
  }
  return p;
}

// Runs stmt, which was reset, for up to max rows. It returns SQLITE_OK with how
// far it came; HEDDLE_OTHER if the next row is one that Go must run; or the error
// of sqlite3_step: then stmt must be reset, which reports it.
int heddle_run_rows(sqlite3_stmt* stmt, const uint8_t* p, uint32_t size, int columns, uint32_t max,
                    struct heddle_run* run) {
  sqlite3* db = sqlite3_db_handle(stmt);
  const uint8_t *from = p, *end = p + size;
  int rc = SQLITE_OK;
  *run = (struct heddle_run){};
  while (run->rows < max) {
    const uint8_t* next = heddle_bind_row(stmt, p, end, columns);
    if (next == NULL) {
      rc = HEDDLE_OTHER;
      break;
    }
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW);
    if (rc != SQLITE_DONE) break;
    sqlite3_reset(stmt);
    rc = SQLITE_OK;
    run->changes += sqlite3_changes64(db);
    run->rows++;
    p = next;
  }
  run->bytes = (uint32_t)(p - from);
  run->rowid = sqlite3_last_insert_rowid(db);
  // The bindings point into memory that is not the statement's.
  if (rc == SQLITE_OK || rc == HEDDLE_OTHER) sqlite3_clear_bindings(stmt);
  return rc;
}
