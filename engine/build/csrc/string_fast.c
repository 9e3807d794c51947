// The functions of string.h that libc-gen leaves to its Go host. Here they
// would cross a border for every comparison, so they are C: a word at a time
// where the length is known, a byte at a time where a NUL ends it.
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

size_t strlen(const char* s) {
  const char* p = s;
  while (*p) p++;
  return (size_t)(p - s);
}

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
