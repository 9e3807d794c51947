// The bulk of Adiantum, which encrypts the files of a database in blocks of 4,096 bytes: the
// hash of NH and Poly1305, and the stream cipher XChaCha12, four lanes at a time. It is a
// module of its own, adiantum.wasm: a browser without SIMD does not compile it, and Go's own
// code does the work there. Go also does AES, of 16 bytes a block, between the two functions.
//
// https://github.com/google/adiantum/blob/master/specification
#include <stdint.h>
#include <wasm_simd128.h>

// The left part of a block is hashed; the sum is added to the right part, of 16 bytes.
enum { block = 4096, left = block - 16, group = 1024, passes = 4 };

// keys are what Adiantum derives of its key, and that key, which is the stream's.
struct keys {
  uint8_t stream[32], tweak[16], message[16], nh[group + (passes - 1) * 16];
};

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

INLINE limbs poly_key(const uint8_t *p) {
  return limbs_of(load64(p) & 0x0ffffffc0fffffff, load64(p + 8) & 0x0ffffffc0ffffffc);
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

// poly_sum is the sum modulo 2^130 - 5, without a key added: Adiantum's is zero.
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

INLINE number negative(number a) { return add((number){~a.low, ~a.high}, (number){1, 0}); }

// nh takes the NH hash of n units of 16 bytes into a sum.
INLINE limbs nh(limbs h, limbs r, const uint8_t *message, int n, const uint8_t *key) {
  v128_t sum[passes] = {};
  v128_t k0 = wasm_v128_load(key), k1 = wasm_v128_load(key + 16), k2 = wasm_v128_load(key + 32);
  for (const uint8_t *next = key + 48; n > 0; n--, next += 16, message += 16) {
    v128_t m = wasm_v128_load(message), k3 = wasm_v128_load(next);
    v128_t keys[passes] = {k0, k1, k2, k3};
#pragma clang loop unroll(full)
    for (int i = 0; i < passes; i++) {
      v128_t s = wasm_i32x4_add(m, keys[i]);
      v128_t other = wasm_i32x4_shuffle(s, s, 2, 3, 0, 1);
      sum[i] = wasm_i64x2_add(sum[i], wasm_u64x2_extmul_low_u32x4(s, other));
    }
    k0 = k1, k1 = k2, k2 = k3;
  }
  uint64_t of[passes];
#pragma clang loop unroll(full)
  for (int i = 0; i < passes; i++) of[i] = wasm_u64x2_extract_lane(sum[i], 0) + wasm_u64x2_extract_lane(sum[i], 1);
  return poly(poly(h, r, of[0], of[1]), r, of[2], of[3]);
}

// hash is that of a tweak of 16 bytes and of a block's left part.
INLINE number hash(const uint8_t *text, const uint8_t *tweak, const struct keys *keys) {
  limbs r = poly_key(keys->tweak);
  limbs of_tweak = poly(poly((limbs){}, r, 8 * left, 0), r, load64(tweak), load64(tweak + 8));
  limbs h = {};
  r = poly_key(keys->message);
  for (int at = 0; at < left; at += group)
    h = nh(h, r, text + at, (left - at < group ? left - at : group) / 16, keys->nh);
  return add(poly_sum(of_tweak), poly_sum(h));
}

INLINE void add_to(uint8_t *right, number n) {
  number sum = add((number){load64(right), load64(right + 8)}, n);
  store64(right, sum.low), store64(right + 8, sum.high);
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

INLINE void xor_at(uint8_t *p, v128_t v) { wasm_v128_store(p, wasm_v128_xor(wasm_v128_load(p), v)); }

// four turns rows of four blocks' words into each block's words, and adds them to the text.
INLINE void four(uint8_t *p, v128_t a, v128_t b, v128_t c, v128_t d) {
  v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
  v128_t ef = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7), gh = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
  xor_at(p, wasm_i64x2_shuffle(ab, cd, 0, 2));
  xor_at(p + 64, wasm_i64x2_shuffle(ab, cd, 1, 3));
  xor_at(p + 128, wasm_i64x2_shuffle(ef, gh, 0, 2));
  xor_at(p + 192, wasm_i64x2_shuffle(ef, gh, 1, 3));
}

// The four equal words of a row.
#define WORDS(to, row) \
  to[0] = wasm_i32x4_shuffle(row, row, 0, 0, 0, 0), to[1] = wasm_i32x4_shuffle(row, row, 1, 1, 1, 1), \
  to[2] = wasm_i32x4_shuffle(row, row, 2, 2, 2, 2), to[3] = wasm_i32x4_shuffle(row, row, 3, 3, 3, 3)

// stream adds the key stream of a nonce of 16 bytes to a block's left part. The nonce of
// XChaCha has 24 bytes: a 1 and zeros follow.
INLINE void stream(uint8_t *text, const uint8_t *nonce, const uint8_t *key) {
  const v128_t constant = wasm_i32x4_const(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
  v128_t a = constant, b = wasm_v128_load(key), c = wasm_v128_load(key + 16), d = wasm_v128_load(nonce);
  for (int i = 0; i < 6; i++) { // HChaCha: the first and the last row are the key of this text
    QUARTER(a, b, c, d);
    b = wasm_i32x4_shuffle(b, b, 1, 2, 3, 0);
    c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
    d = wasm_i32x4_shuffle(d, d, 3, 0, 1, 2);
    QUARTER(a, b, c, d);
    b = wasm_i32x4_shuffle(b, b, 3, 0, 1, 2);
    c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
    d = wasm_i32x4_shuffle(d, d, 1, 2, 3, 0);
  }
  v128_t right = wasm_v128_load(text + left); // which the last of the blocks goes into as well
  v128_t counts = wasm_i32x4_const(0, 1, 2, 3);
  for (uint8_t *end = text + block; text < end; text += 256) {
    v128_t s[16], x[16];
    WORDS((s + 0), constant);
    WORDS((s + 4), a);
    WORDS((s + 8), d);
    s[12] = counts, s[13] = s[15] = wasm_i32x4_splat(0), s[14] = wasm_i32x4_splat(1);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) x[i] = s[i];
    for (int i = 0; i < 6; i++) {
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
    for (int i = 0; i < 4; i++) four(text + 16 * i, x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]);
    counts = wasm_i32x4_add(counts, wasm_i32x4_splat(4));
  }
  wasm_v128_store(text - 16, right);
}

// begin adds the hash to a block's right part.
__attribute__((export_name("begin")))
void begin(uint8_t *text, const uint8_t *tweak, const struct keys *keys) {
  add_to(text + left, hash(text, tweak, keys));
}

// end adds the key stream to the left part, and takes the hash of that from the right part.
__attribute__((export_name("end")))
void end(uint8_t *text, const uint8_t *tweak, const struct keys *keys, const uint8_t *nonce) {
  stream(text, nonce, keys->stream);
  add_to(text + left, negative(hash(text, tweak, keys)));
}
