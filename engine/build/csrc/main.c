// The one translation unit of the engine: SQLite, the glue of go-sqlite3-wasm,
// a small libc, and what Heddle adds.
//
// Unlike the glue's own main.c it leaves out the extensions decimal, ieee754,
// regexp, series and uint, whose sources are in no Go module (see the README).

// The amalgamation, patched by the recipe.
#include "sqlite3.c"
// Glue.
#include "func.c"
#include "hooks.c"
#include "pointer.c"
#include "stmt.c"
#include "text.c"
#include "time.c"
#include "vfs.c"
#include "vtab.c"
// A libc.
#include "libc.c"
#include "memory.c"
#include "string_fast.c"
#include "localtime.c"
#include "blocks.c"
// Rows to the page, rows from it, and what they change.
#include "pack.c"
#include "rows.c"
#include "tally.c"

static int malloc_good_size_(int size) { return malloc_good_size(size); }

// _initialize is called once by go-sqlite3, before anything else.
void _initialize(void) {
  static sqlite3_mem_methods mem_methods;
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &mem_methods);
  mem_methods.xRoundup = malloc_good_size_;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &mem_methods);

  sqlite3_initialize();
  sqlite3_auto_extension((void (*)(void))sqlite3_time_init);
}
