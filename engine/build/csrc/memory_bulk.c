// The instructions memory.copy and memory.fill, for memory.c. This is a unit of
// its own because it alone is compiled with them.
#include <stddef.h>

void* heddle_memory_copy(void* d, const void* s, size_t n) { return __builtin_memmove(d, s, n); }

void* heddle_memory_fill(void* d, int v, size_t n) { return __builtin_memset(d, v, n); }
