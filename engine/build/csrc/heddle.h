// What SQLite's module asks of its host beyond the glue's own go_* functions.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Returns the address of a new, zeroed block of at least *bytes bytes, aligned
// to 8 KiB, and stores its size in *bytes; 0 when the memory budget is spent.
void* go_block(size_t* bytes);

// The offset of local time from UTC, in seconds, at the given Unix time.
int go_utc_offset(int64_t unix_seconds);
