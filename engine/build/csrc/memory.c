// memcpy, memmove and memset. A browser answers memory.copy and memory.fill by a
// call out of the module, which costs more than what SQLite copies: mostly some
// tens of bytes. So those go a word at a time, and what is large by the
// instruction (memory_bulk.c). The compiler must not make these loops into calls
// of themselves, nor copies elsewhere into the instruction: see flags.go.
#include <stddef.h>
#include <stdint.h>

void* heddle_memory_copy(void* d, const void* s, size_t n);
void* heddle_memory_fill(void* d, int v, size_t n);

typedef uint64_t __attribute__((may_alias, aligned(1))) heddle_8bytes;
typedef uint32_t __attribute__((may_alias, aligned(1))) heddle_4bytes;
typedef uint16_t __attribute__((may_alias, aligned(1))) heddle_2bytes;

enum { HEDDLE_LARGE = 256 };

// Moves up to 8 bytes, which may overlap: all is loaded before any is stored.
static inline void heddle_move8(unsigned char* d, const unsigned char* s, size_t n) {
  if (n >= 4) {
    uint32_t first = *(const heddle_4bytes*)s, last = *(const heddle_4bytes*)(s + n - 4);
    *(heddle_4bytes*)d = first;
    *(heddle_4bytes*)(d + n - 4) = last;
  } else if (n >= 2) {
    uint16_t first = *(const heddle_2bytes*)s, last = *(const heddle_2bytes*)(s + n - 2);
    *(heddle_2bytes*)d = first;
    *(heddle_2bytes*)(d + n - 2) = last;
  } else if (n == 1) {
    *d = *s;
  }
}

// Ascending, so that d may also lie below s and overlap it.
static inline void heddle_move_up(unsigned char* d, const unsigned char* s, size_t n) {
  uint64_t last = *(const heddle_8bytes*)(s + n - 8);
  unsigned char* end = d + n - 8;
  for (; d < end; d += 8, s += 8) *(heddle_8bytes*)d = *(const heddle_8bytes*)s;
  *(heddle_8bytes*)end = last;
}

static inline void heddle_move_down(unsigned char* d, const unsigned char* s, size_t n) {
  uint64_t first = *(const heddle_8bytes*)s;
  for (size_t i = n; i > 8; i -= 8) *(heddle_8bytes*)(d + i - 8) = *(const heddle_8bytes*)(s + i - 8);
  *(heddle_8bytes*)d = first;
}

__attribute__((no_builtin)) void*(memcpy)(void* d, const void* s, size_t n) {
  if (n < 8) {
    heddle_move8(d, s, n);
  } else if (n <= HEDDLE_LARGE) {
    heddle_move_up(d, s, n);
  } else {
    heddle_memory_copy(d, s, n);
  }
  return d;
}

__attribute__((no_builtin)) void*(memmove)(void* d, const void* s, size_t n) {
  if (n < 8) {
    heddle_move8(d, s, n);
  } else if (n > HEDDLE_LARGE) {
    heddle_memory_copy(d, s, n);
  } else if ((uintptr_t)d - (uintptr_t)s >= n) {
    heddle_move_up(d, s, n);
  } else {
    heddle_move_down(d, s, n);
  }
  return d;
}

__attribute__((no_builtin)) void*(memset)(void* d, int v, size_t n) {
  unsigned char* p = d;
  uint64_t word = (unsigned char)v * 0x0101010101010101u;
  if (n > HEDDLE_LARGE) {
    heddle_memory_fill(d, v, n);
  } else if (n >= 8) {
    unsigned char* end = p + n - 8;
    for (; p < end; p += 8) *(heddle_8bytes*)p = word;
    *(heddle_8bytes*)end = word;
  } else if (n >= 4) {
    *(heddle_4bytes*)p = (uint32_t)word;
    *(heddle_4bytes*)(p + n - 4) = (uint32_t)word;
  } else if (n >= 2) {
    *(heddle_2bytes*)p = (uint16_t)word;
    *(heddle_2bytes*)(p + n - 2) = (uint16_t)word;
  } else if (n == 1) {
    *p = (unsigned char)v;
  }
  return d;
}
