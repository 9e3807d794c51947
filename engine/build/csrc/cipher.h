// What the ciphers share: Poly1305, and ChaCha with four lanes at a time. Nothing here needs a
// stack: the memory is Go's.
#include <stdint.h>
#include <wasm_simd128.h>

#define INLINE static inline __attribute__((always_inline))

typedef struct { uint64_t low, high; } number; // of 128 bits

INLINE uint64_t load64(const uint8_t *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
INLINE void store64(uint8_t *p, uint64_t v) { __builtin_memcpy(p, &v, 8); }

// limbs are a number of 130 bits in five parts of 26 bits, which may be a little longer.
typedef struct { uint64_t l[5]; } limbs;

enum { bits = 26, mask = (1 << bits) - 1 };

INLINE limbs limbs_of(uint64_t low, uint64_t high) {
  return (limbs){{low & mask, low >> 26 & mask, (low >> 52 | high << 12) & mask, high >> 14 & mask, high >> 40}};
}

INLINE limbs carried(limbs h) {
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) h.l[i + 1] += h.l[i] >> bits, h.l[i] &= mask;
  h.l[0] += 5 * (h.l[4] >> bits), h.l[4] &= mask;
  h.l[1] += h.l[0] >> bits, h.l[0] &= mask;
  return h;
}

INLINE limbs poly_key(uint64_t low, uint64_t high) {
  return limbs_of(low & 0x0ffffffc0fffffff, high & 0x0ffffffc0ffffffc);
}

// poly takes a block of 16 bytes into a sum of Poly1305 (RFC 8439, section 2.5).
INLINE limbs poly(limbs h, limbs r, uint64_t low, uint64_t high) {
  limbs m = limbs_of(low, high), sum = {};
  m.l[4] |= 1 << 24;
#pragma clang loop unroll(full)
  for (int i = 0; i < 5; i++) {
    uint64_t n = h.l[i] + m.l[i];
#pragma clang loop unroll(full)
    for (int k = 0; k < 5; k++) sum.l[(i + k) % 5] += n * (i + k < 5 ? r.l[k] : 5 * r.l[k]);
  }
  return carried(sum);
}

// poly_sum is the sum modulo 2^130 - 5, without the number that is added in the end.
INLINE number poly_sum(limbs h) {
  h = carried(carried(h));
  limbs g = h;
  g.l[0] += 5;
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) g.l[i + 1] += g.l[i] >> bits, g.l[i] &= mask;
  uint64_t over = 0 - (g.l[4] >> bits); // all ones where h is too large
#pragma clang loop unroll(full)
  for (int i = 0; i < 5; i++) h.l[i] = (h.l[i] & ~over) | (g.l[i] & over & mask);
  return (number){h.l[0] | h.l[1] << 26 | h.l[2] << 52, h.l[2] >> 12 | h.l[3] << 14 | h.l[4] << 40};
}

INLINE number add(number a, number b) {
  uint64_t low = a.low + b.low;
  return (number){low, a.high + b.high + (low < b.low)};
}

INLINE v128_t left16(v128_t v) {
  return wasm_i8x16_shuffle(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}
INLINE v128_t left8(v128_t v) {
  return wasm_i8x16_shuffle(v, v, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}
INLINE v128_t left_by(v128_t v, int n) {
  return wasm_v128_or(wasm_i32x4_shl(v, n), wasm_u32x4_shr(v, 32 - n));
}

#define QUARTER(a, b, c, d) \
  a = wasm_i32x4_add(a, b), d = left16(wasm_v128_xor(d, a)); \
  c = wasm_i32x4_add(c, d), b = left_by(wasm_v128_xor(b, c), 12); \
  a = wasm_i32x4_add(a, b), d = left8(wasm_v128_xor(d, a)); \
  c = wasm_i32x4_add(c, d), b = left_by(wasm_v128_xor(b, c), 7)

INLINE void xor_at(uint8_t *to, const uint8_t *from, v128_t v) {
  wasm_v128_store(to, wasm_v128_xor(wasm_v128_load(from), v));
}

// four turns rows of four blocks' words into each block's words, and adds them to the text.
INLINE void four(uint8_t *to, const uint8_t *from, v128_t a, v128_t b, v128_t c, v128_t d) {
  v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
  v128_t ef = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7), gh = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
  xor_at(to, from, wasm_i64x2_shuffle(ab, cd, 0, 2));
  xor_at(to + 64, from + 64, wasm_i64x2_shuffle(ab, cd, 1, 3));
  xor_at(to + 128, from + 128, wasm_i64x2_shuffle(ef, gh, 0, 2));
  xor_at(to + 192, from + 192, wasm_i64x2_shuffle(ef, gh, 1, 3));
}

// The four equal words of a row.
#define WORDS(to, row) \
  to[0] = wasm_i32x4_shuffle(row, row, 0, 0, 0, 0), to[1] = wasm_i32x4_shuffle(row, row, 1, 1, 1, 1), \
  to[2] = wasm_i32x4_shuffle(row, row, 2, 2, 2, 2), to[3] = wasm_i32x4_shuffle(row, row, 3, 3, 3, 3)

// mix does so many rounds on the rows of one block.
INLINE void mix(v128_t *a, v128_t *b, v128_t *c, v128_t *d, int rounds) {
  for (int i = 0; i < rounds; i += 2) {
    QUARTER(*a, *b, *c, *d);
    *b = wasm_i32x4_shuffle(*b, *b, 1, 2, 3, 0);
    *c = wasm_i32x4_shuffle(*c, *c, 2, 3, 0, 1);
    *d = wasm_i32x4_shuffle(*d, *d, 3, 0, 1, 2);
    QUARTER(*a, *b, *c, *d);
    *b = wasm_i32x4_shuffle(*b, *b, 3, 0, 1, 2);
    *c = wasm_i32x4_shuffle(*c, *c, 2, 3, 0, 1);
    *d = wasm_i32x4_shuffle(*d, *d, 1, 2, 3, 0);
  }
}

#define CONSTANT wasm_i32x4_const(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574)

typedef struct { v128_t low, high; } chacha_key;

// hchacha derives the key of one text from a key of 32 bytes and 16 bytes of its nonce.
INLINE chacha_key hchacha(const uint8_t *key, const uint8_t *nonce, int rounds) {
  v128_t a = CONSTANT, b = wasm_v128_load(key), c = wasm_v128_load(key + 16), d = wasm_v128_load(nonce);
  mix(&a, &b, &c, &d, rounds);
  return (chacha_key){a, d};
}

// chacha adds a key stream to the bytes up to end, of which there must be a multiple of 256: it writes so
// many at a time. The last row of its blocks' states begins with a count, from the given one on.
INLINE void chacha(uint8_t *to, const uint8_t *from, const uint8_t *end, chacha_key key, uint32_t count, uint32_t n13,
                   uint32_t n14, uint32_t n15, int rounds) {
  const v128_t constant = CONSTANT;
  v128_t counts = wasm_i32x4_add(wasm_i32x4_splat(count), wasm_i32x4_const(0, 1, 2, 3));
  for (; from < end; from += 256, to += 256) {
    v128_t s[16], x[16];
    WORDS((s + 0), constant);
    WORDS((s + 4), key.low);
    WORDS((s + 8), key.high);
    s[12] = counts, s[13] = wasm_i32x4_splat(n13), s[14] = wasm_i32x4_splat(n14), s[15] = wasm_i32x4_splat(n15);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) x[i] = s[i];
    for (int i = 0; i < rounds; i += 2) {
      QUARTER(x[0], x[4], x[8], x[12]);
      QUARTER(x[1], x[5], x[9], x[13]);
      QUARTER(x[2], x[6], x[10], x[14]);
      QUARTER(x[3], x[7], x[11], x[15]);
      QUARTER(x[0], x[5], x[10], x[15]);
      QUARTER(x[1], x[6], x[11], x[12]);
      QUARTER(x[2], x[7], x[8], x[13]);
      QUARTER(x[3], x[4], x[9], x[14]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) x[i] = wasm_i32x4_add(x[i], s[i]);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++)
      four(to + 16 * i, from + 16 * i, x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]);
    counts = wasm_i32x4_add(counts, wasm_i32x4_splat(4));
  }
}
