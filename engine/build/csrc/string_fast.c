// The functions of string.h that libc-gen leaves to its Go host. Here they
// would cross a border for every comparison, so they are C: a word at a time
// where the length is known or the string is long, a byte at a time where a NUL
// ends it soon.
#include <stddef.h>
#include <stdint.h>

typedef uint64_t __attribute__((may_alias, aligned(1))) heddle_word;

int memcmp(const void* a, const void* b, size_t n) {
  const unsigned char* p = a;
  const unsigned char* q = b;
  for (; n >= 8; n -= 8, p += 8, q += 8) {
    uint64_t x = *(const heddle_word*)p;
    uint64_t y = *(const heddle_word*)q;
    if (x != y) {
      x = __builtin_bswap64(x);
      y = __builtin_bswap64(y);
      return x < y ? -1 : 1;
    }
  }
  for (; n > 0; n--, p++, q++) {
    if (*p != *q) return *p < *q ? -1 : 1;
  }
  return 0;
}

void* memchr(const void* s, int c, size_t n) {
  const unsigned char* p = s;
  for (; n > 0; n--, p++) {
    if (*p == (unsigned char)c) return (void*)p;
  }
  return NULL;
}

// The high bit of the lowest byte of x that is zero; of higher ones it may be
// wrong.
static inline uint64_t heddle_zero(uint64_t x) {
  return (x - 0x0101010101010101u) & ~x & 0x8080808080808080u;
}

// The length of s up to a, to b, or to its end. Words are aligned, so that none
// lies half beyond the memory; what lies before s in the first is made to match
// nothing.
static inline size_t heddle_span(const char* s, unsigned char a, unsigned char b) {
  typedef uint64_t __attribute__((may_alias)) word;
  uint64_t as = a * 0x0101010101010101u, bs = b * 0x0101010101010101u;
  size_t before = (uintptr_t)s & 7;
  uint64_t skip = ((uint64_t)1 << (8 * before)) - 1;
  const word* p = (const word*)(s - before);
  for (;; p++, skip = 0) {
    uint64_t x = *p;
    uint64_t found = heddle_zero(x | skip) | heddle_zero((x ^ as) | skip) | heddle_zero((x ^ bs) | skip);
    if (found) return (size_t)((const char*)p - s) + (size_t)__builtin_ctzll(found) / 8;
  }
}

size_t strlen(const char* s) { return heddle_span(s, 0, 0); }

int strcmp(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char* a, const char* b, size_t n) {
  for (; n > 0; n--, a++, b++) {
    if (*a != *b) return (unsigned char)*a - (unsigned char)*b;
    if (*a == 0) break;
  }
  return 0;
}

char* strchrnul(const char* s, int c) {
  while (*s && *s != (char)c) s++;
  return (char*)s;
}

char* strchr(const char* s, int c) {
  s = strchrnul(s, c);
  return *s == (char)c ? (char*)s : NULL;
}

char* strrchr(const char* s, int c) {
  const char* found = NULL;
  for (;; s++) {
    if (*s == (char)c) found = s;
    if (*s == 0) return (char*)found;
  }
}

size_t strspn(const char* s, const char* accept) {
  const char* p = s;
  while (*p && strchr(accept, *p)) p++;
  return (size_t)(p - s);
}

size_t strcspn(const char* s, const char* reject) {
  // LIKE looks for a letter in both cases so.
  if (reject[0] == 0 || reject[1] == 0 || reject[2] == 0) {
    return heddle_span(s, (unsigned char)reject[0], (unsigned char)(reject[0] ? reject[1] : 0));
  }
  const char* p = s;
  while (*p && !strchr(reject, *p)) p++;
  return (size_t)(p - s);
}

char* strstr(const char* haystack, const char* needle) {
  size_t n = strlen(needle);
  for (;; haystack++) {
    if (strncmp(haystack, needle, n) == 0) return (char*)haystack;
    if (*haystack == 0) return NULL;
  }
}
