// The bulk of Adiantum, which encrypts the files of a database: the hash NH and the stream
// cipher ChaCha12, four lanes at a time. It is a module of its own, adiantum.wasm: a browser
// without SIMD does not compile it, and Go's own code does the work there.
//
// https://github.com/google/adiantum/blob/master/specification
#include <stdint.h>
#include <wasm_simd128.h>

enum { passes = 4, part = 64 }; // units of 16 bytes in a part

// nh hashes a message of whole units, part by part: 32 bytes of sums for each. The key has
// 1,024 bytes and 16 more for each further pass.
__attribute__((export_name("nh")))
void nh(uint8_t *sums, const uint8_t *message, uint32_t units, const uint8_t *key) {
  while (units > 0) {
    uint32_t n = units < part ? units : part;
    units -= n;
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
#pragma clang loop unroll(full)
    for (int i = 0; i < passes; i++, sums += 8)
      wasm_v128_store64_lane(sums, wasm_i64x2_add(sum[i], wasm_i64x2_shuffle(sum[i], sum[i], 1, 0)), 0);
  }
}

static inline v128_t left16(v128_t v) {
  return wasm_i8x16_shuffle(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}
static inline v128_t left8(v128_t v) {
  return wasm_i8x16_shuffle(v, v, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}
static inline v128_t left(v128_t v, int n) {
  return wasm_v128_or(wasm_i32x4_shl(v, n), wasm_u32x4_shr(v, 32 - n));
}

#define QUARTER(a, b, c, d) \
  a = wasm_i32x4_add(a, b), d = left16(wasm_v128_xor(d, a)); \
  c = wasm_i32x4_add(c, d), b = left(wasm_v128_xor(b, c), 12); \
  a = wasm_i32x4_add(a, b), d = left8(wasm_v128_xor(d, a)); \
  c = wasm_i32x4_add(c, d), b = left(wasm_v128_xor(b, c), 7)

static inline void xor_at(uint8_t *p, v128_t v) { wasm_v128_store(p, wasm_v128_xor(wasm_v128_load(p), v)); }

// four turns rows of four blocks' words into each block's words, and adds them to the text.
static inline void four(uint8_t *p, v128_t a, v128_t b, v128_t c, v128_t d) {
  v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
  v128_t ef = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7), gh = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
  xor_at(p, wasm_i64x2_shuffle(ab, cd, 0, 2));
  xor_at(p + 64, wasm_i64x2_shuffle(ab, cd, 1, 3));
  xor_at(p + 128, wasm_i64x2_shuffle(ef, gh, 0, 2));
  xor_at(p + 192, wasm_i64x2_shuffle(ef, gh, 1, 3));
}

// begin is a word of four blocks' states.
static inline v128_t begin(const uint32_t *state, int i) {
  v128_t word = wasm_v128_load32_splat(state + i);
  return i == 12 ? wasm_i32x4_add(word, wasm_i32x4_const(0, 1, 2, 3)) : word;
}

// chacha12 adds the key stream to whole blocks of 64 bytes. The state's word 12 counts them.
__attribute__((export_name("chacha12")))
void chacha12(uint8_t *text, uint32_t blocks, uint32_t *state) {
  for (; blocks >= 4; blocks -= 4, text += 256, state[12] += 4) {
    v128_t x[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) x[i] = begin(state, i);
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
    for (int i = 0; i < 16; i++) x[i] = wasm_i32x4_add(x[i], begin(state, i));
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) four(text + 16 * i, x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]);
  }
  for (; blocks > 0; blocks--, text += 64, state[12]++) {
    v128_t s0 = wasm_v128_load(state), s1 = wasm_v128_load(state + 4), s2 = wasm_v128_load(state + 8),
           s3 = wasm_v128_load(state + 12), a = s0, b = s1, c = s2, d = s3;
    for (int i = 0; i < 6; i++) {
      QUARTER(a, b, c, d);
      b = wasm_i32x4_shuffle(b, b, 1, 2, 3, 0);
      c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
      d = wasm_i32x4_shuffle(d, d, 3, 0, 1, 2);
      QUARTER(a, b, c, d);
      b = wasm_i32x4_shuffle(b, b, 3, 0, 1, 2);
      c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
      d = wasm_i32x4_shuffle(d, d, 1, 2, 3, 0);
    }
    xor_at(text, wasm_i32x4_add(a, s0));
    xor_at(text + 16, wasm_i32x4_add(b, s1));
    xor_at(text + 32, wasm_i32x4_add(c, s2));
    xor_at(text + 48, wasm_i32x4_add(d, s3));
  }
}
