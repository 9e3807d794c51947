// The compile-time options of the engine: the glue's, and these.
#include "sqlite_opt.h"

// A write that resolved has been flushed (the glue says NORMAL for WAL).
#undef SQLITE_DEFAULT_WAL_SYNCHRONOUS
#define SQLITE_DEFAULT_WAL_SYNCHRONOUS 2

#define SQLITE_ENABLE_FTS5
#define SQLITE_ENABLE_RTREE
#define SQLITE_ENABLE_GEOPOLY

// A side module cannot map a file.
#undef SQLITE_MAX_MMAP_SIZE
#define SQLITE_MAX_MMAP_SIZE 0

// Sorters and temporary tables stay in memory: the default VFS, which a database
// in memory would use for them, has no files in a browser.
#define SQLITE_TEMP_STORE 3
