// The bulk of Adiantum, which encrypts the files of a database in blocks of 4,096 bytes: the
// hash of NH and Poly1305, and the stream cipher XChaCha12, four lanes at a time. It is a
// module of its own, simd.wasm: a browser without SIMD does not compile it, and Go's own
// code does the work there. Go also does AES, of 16 bytes a block, between the two functions.
//
// https://github.com/google/adiantum/blob/master/specification
#include "cipher.h"

// The left part of a block is hashed; the sum is added to the right part, of 16 bytes.
enum { block = 4096, left = block - 16, group = 1024, passes = 4 };

// keys are what Adiantum derives of its key, and that key, which is the stream's.
struct keys {
  uint8_t stream[32], tweak[16], message[16], nh[group + (passes - 1) * 16];
};

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
  limbs r = poly_key(load64(keys->tweak), load64(keys->tweak + 8));
  limbs of_tweak = poly(poly((limbs){}, r, 8 * left, 0), r, load64(tweak), load64(tweak + 8));
  limbs h = {};
  r = poly_key(load64(keys->message), load64(keys->message + 8));
  for (int at = 0; at < left; at += group)
    h = nh(h, r, text + at, (left - at < group ? left - at : group) / 16, keys->nh);
  return add(poly_sum(of_tweak), poly_sum(h));
}

INLINE void add_to(uint8_t *right, number n) {
  number sum = add((number){load64(right), load64(right + 8)}, n);
  store64(right, sum.low), store64(right + 8, sum.high);
}

// stream adds the key stream of a nonce of 16 bytes to a block's left part. The nonce of
// XChaCha has 24 bytes: a 1 and zeros follow.
INLINE void stream(uint8_t *text, const uint8_t *nonce, const uint8_t *key) {
  v128_t right = wasm_v128_load(text + left); // which the last of the blocks goes into as well
  chacha(text, text, text + block, hchacha(key, nonce, 12), 0, 0, 1, 0, 12);
  wasm_v128_store(text + left, right);
}

// begin adds the hash to a block's right part.
__attribute__((export_name("adiantum_begin")))
int begin(uint8_t *text, const uint8_t *tweak, const struct keys *keys) {
  add_to(text + left, hash(text, tweak, keys));
  return 1;
}

// end adds the key stream to the left part, and takes the hash of that from the right part.
__attribute__((export_name("adiantum_end")))
int end(uint8_t *text, const uint8_t *tweak, const struct keys *keys, const uint8_t *nonce) {
  stream(text, nonce, keys->stream);
  add_to(text + left, negative(hash(text, tweak, keys)));
  return 1;
}
