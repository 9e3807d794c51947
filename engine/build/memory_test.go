package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMemory tries csrc/memory.c and the word at a time of csrc/string_fast.c,
// compiled for this machine, over every size up to where the instruction takes
// over, every alignment and every overlap.
func TestMemory(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		if cc, err = exec.LookPath("clang-19"); err != nil {
			t.Skip("no C compiler")
		}
	}
	const program = `
#include <stdio.h>
#include <stdlib.h>
#define memcpy heddle_memcpy
#define memmove heddle_memmove
#define memset heddle_memset
#include "memory.c"
#define memcmp heddle_memcmp
#define memchr heddle_memchr
#define strlen heddle_strlen
#define strcmp heddle_strcmp
#define strncmp heddle_strncmp
#define strchrnul heddle_strchrnul
#define strchr heddle_strchr
#define strrchr heddle_strrchr
#define strspn heddle_strspn
#define strcspn heddle_strcspn
#define strstr heddle_strstr
#include "string_fast.c"
#undef memcpy
#undef memmove
#undef memset
static int large;
void* heddle_memory_copy(void* d, const void* s, size_t n) { large++; return __builtin_memmove(d, s, n); }
void* heddle_memory_fill(void* d, int v, size_t n) { large++; return __builtin_memset(d, v, n); }
enum { SIZE = 1400 };
static unsigned char a[SIZE], b[SIZE];
static void fresh(void) { for (int i = 0; i < SIZE; i++) a[i] = b[i] = (unsigned char)(i * 31 + i / 7); }
static void same(const char* what, int n, int from, int to) {
  for (int i = 0; i < SIZE; i++) {
    if (a[i] == b[i]) continue;
    printf("%s of %d bytes from %d to %d: byte %d\n", what, n, from, to, i);
    exit(1);
  }
}
static void naive(unsigned char* d, const unsigned char* s, int n) {
  unsigned char copy[SIZE];
  for (int i = 0; i < n; i++) copy[i] = s[i];
  for (int i = 0; i < n; i++) d[i] = copy[i];
}
static void strings(void) {
  static char buffer[64] __attribute__((aligned(8)));
  static const char* const rejects[] = {"", "r", "rR", "R\x80", "\x01\x02", "abc"};
  unsigned seed = 1;
  for (int round = 0; round < 400000; round++) {
    // Neighbours of what is looked for, and of zero, are where a borrow would lie.
    static const char letters[] = {'r', 's', 'q', 'R', 'S', 1, 2, (char)0x80, (char)0x81, 'a', 'x', 0};
    for (int i = 0; i < 63; i++) {
      seed = seed * 1664525 + 1013904223;
      buffer[i] = letters[(seed >> 16) % (round % 2 ? 12 : 11)];
    }
    const char* s = buffer + round % 17;
    const char* reject = rejects[round % 6];
    size_t n = 0, m = 0;
    while (s[n]) n++;
    for (; s[m]; m++) {
      int hit = 0;
      for (const char* r = reject; *r; r++) hit |= s[m] == *r;
      if (hit) break;
    }
    if (heddle_strlen(s) != n || heddle_strcspn(s, reject) != m) {
      printf("round %d: strlen %d and strcspn %d, want %d and %d\n", round,
        (int)heddle_strlen(s), (int)heddle_strcspn(s, reject), (int)n, (int)m);
      exit(1);
    }
  }
}
int main(void) {
  strings();
  for (int n = 0; n <= HEDDLE_LARGE + 20; n++) {
    for (int from = 300; from < 308; from++) {
      for (int to = from - n - 9; to <= from + n + 9; to += n > 40 ? 5 : 1) {
        if (to < 0) continue;
        fresh(), heddle_memmove(a + to, a + from, n), naive(b + to, b + from, n), same("memmove", n, from, to);
      }
      fresh(), heddle_memcpy(a + 700 + from % 5, a + from, n), naive(b + 700 + from % 5, b + from, n);
      same("memcpy", n, from, 700);
      fresh(), heddle_memset(a + from, 0x1A5, n);
      for (int i = 0; i < n; i++) b[from + i] = 0xA5;
      same("memset", n, from, from);
    }
  }
  if (large == 0) { printf("the instruction was never used\n"); return 1; }
  return 0;
}`
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.c"), filepath.Join(dir, "main")
	if err := os.WriteFile(source, []byte(program), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-O2", "-Icsrc", source, "-o", binary).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(binary).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
