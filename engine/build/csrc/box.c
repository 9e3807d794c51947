// Opens boxes of sealed spaces: XChaCha20-Poly1305, and Snappy's blocks. See sync/seal.
#include "cipher.h"

// What the functions answer. 0 is for a browser without SIMD, which does not come here.
enum { ok = 1, wrong = 2 };

// poly_all takes bytes into a sum, and zeros up to a multiple of 16.
INLINE limbs poly_all(limbs h, limbs r, const uint8_t *p, uint32_t n) {
  for (; n >= 16; n -= 16, p += 16) h = poly(h, r, load64(p), load64(p + 8));
  if (n == 0) return h;
  number last = {};
  for (uint32_t i = 0; i < n; i++) {
    if (i < 8) last.low |= (uint64_t)p[i] << 8 * i;
    else last.high |= (uint64_t)p[i] << 8 * (i - 8);
  }
  return poly(h, r, last.low, last.high);
}

// box_open writes the n bytes of a box's plain text. n must be a multiple of 256, as engine/link checks. The
// tag's 16 bytes follow them in the box. about is the associated data, of m bytes.
__attribute__((export_name("box_open")))
int box_open(uint8_t *plain, const uint8_t *box, uint32_t n, const uint8_t *about, uint32_t m, const uint8_t *nonce,
             const uint8_t *key) {
  chacha_key text = hchacha(key, nonce, 20);
  uint32_t n14 = (uint32_t)load64(nonce + 16), n15 = (uint32_t)(load64(nonce + 16) >> 32);
  v128_t a = CONSTANT, b = text.low, c = text.high, d = wasm_i32x4_make(0, 0, n14, n15);
  mix(&a, &b, &c, &d, 20); // the block 0 is Poly1305's key
  a = wasm_i32x4_add(a, CONSTANT), b = wasm_i32x4_add(b, text.low);
  limbs r = poly_key(wasm_i64x2_extract_lane(a, 0), wasm_i64x2_extract_lane(a, 1));
  limbs h = poly_all(poly_all((limbs){}, r, about, m), r, box, n);
  number tag = poly_sum(poly(h, r, m, n));
  tag = add(tag, (number){wasm_i64x2_extract_lane(b, 0), wasm_i64x2_extract_lane(b, 1)});
  if (((tag.low ^ load64(box + n)) | (tag.high ^ load64(box + n + 8))) != 0) return wrong;
  chacha(plain, box, box + n, text, 1, 0, n14, n15, 20);
  return ok;
}

INLINE void copy16(uint8_t *to, const uint8_t *from) { wasm_v128_store(to, wasm_v128_load(from)); }

// snappy_decode writes the size bytes of a block of n bytes, whose own size was read before.
// https://github.com/google/snappy/blob/main/format_description.txt
//
// Copies are of 16 bytes where there is room for them: what is written too far is written again.
__attribute__((export_name("snappy_decode")))
int snappy_decode(uint8_t *out, uint32_t size, const uint8_t *in, uint32_t n) {
  uint8_t *to = out, *const to_end = out + size;
  const uint8_t *const in_end = in + n;
  while (in < in_end) {
    uint32_t tag = *in++, kind = tag & 3, length = tag >> 2, offset = 0, more = kind;
    if (kind == 0) more = length < 60 ? 0 : length - 59;
    else if (kind == 3) more = 4;
    if ((uint32_t)(in_end - in) < more) return wrong;
    uint32_t value = 0;
    for (uint32_t i = 0; i < more; i++) value |= (uint32_t)*in++ << 8 * i;
    if (kind == 0) {
      if (more > 0) length = value;
      uint32_t room = (uint32_t)(to_end - to), there = (uint32_t)(in_end - in);
      if (length >= room || length >= there) return wrong; // the length is one more
      length++;
      if (length <= 16 && room >= 16 && there >= 16) {
        copy16(to, in);
      } else {
        uint32_t i = 0;
        for (; i + 16 <= length; i += 16) copy16(to + i, in + i);
        for (; i < length; i++) to[i] = in[i];
      }
      to += length, in += length;
      continue;
    }
    offset = value;
    if (kind == 1) offset |= tag >> 5 << 8, length = 4 + (length & 7);
    else length++;
    uint32_t room = (uint32_t)(to_end - to);
    if (offset == 0 || offset > (uint32_t)(to - out) || length > room) return wrong;
    const uint8_t *from = to - offset;
    if (offset >= 16 && room >= 64) { // a copy has 64 bytes at most
      for (uint32_t i = 0; i < length; i += 16) copy16(to + i, from + i);
    } else {
      for (uint32_t i = 0; i < length; i++) to[i] = from[i];
    }
    to += length;
  }
  return to == to_end ? ok : wrong;
}
