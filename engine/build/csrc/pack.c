// Packs result rows into a block of the language between page and worker, column
// by column, without crossing into Go for each value. The layout, and what
// becomes of broken UTF-8, are those of heddle/rpc, whose Packer does the same in
// Go and against which this is tested.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite3.h"

enum { FORM_NULL, FORM_INT32, FORM_FLOAT, FORM_INT64, FORM_TEXT, FORM_BLOB, FORM_MIXED, FORM_NULLS = 0x80 };
enum { TAG_NULL, TAG_INT, TAG_FLOAT, TAG_TEXT, TAG_BLOB };

struct heddle_bytes {
  uint8_t* at;
  size_t len, cap;
};

struct heddle_column {
  uint8_t* tags;
  uint64_t* words;
  struct heddle_bytes text, blob;
  uint8_t seen;  // 1 << tag for each tag
  bool big;      // an INTEGER that no double is
  bool wide;     // an INTEGER that no int32 is
};

struct heddle_packer {
  int ncol;
  uint32_t rows, cap;
  size_t size;  // what the rows will take, about
  struct heddle_bytes out;
  struct heddle_column col[];
};

static bool heddle_room(struct heddle_bytes* b, size_t more) {
  size_t need = b->len + more;
  if (need < more) return false;
  if (need <= b->cap) return true;
  size_t cap = b->cap + b->cap / 2;
  if (cap < need) cap = need;
  if (cap < 256) cap = 256;
  uint8_t* at = realloc(b->at, cap);
  if (at == NULL) return false;
  b->at = at;
  b->cap = cap;
  return true;
}

void heddle_pack_free(struct heddle_packer* p) {
  if (p == NULL) return;
  for (int i = 0; i < p->ncol; i++) {
    free(p->col[i].tags);
    free(p->col[i].words);
    free(p->col[i].text.at);
    free(p->col[i].blob.at);
  }
  free(p->out.at);
  free(p);
}

struct heddle_packer* heddle_pack_new(int ncol) {
  size_t size = sizeof(struct heddle_packer) + (size_t)ncol * sizeof(struct heddle_column);
  struct heddle_packer* p = calloc(1, size);
  if (p != NULL) p->ncol = ncol;
  return p;
}

static bool heddle_more_rows(struct heddle_packer* p) {
  uint32_t cap = p->cap == 0 ? 64 : p->cap * 2;
  for (int i = 0; i < p->ncol; i++) {
    struct heddle_column* c = &p->col[i];
    uint8_t* tags = realloc(c->tags, cap);
    if (tags == NULL) return false;
    c->tags = tags;
    uint64_t* words = realloc(c->words, (size_t)cap * sizeof(uint64_t));
    if (words == NULL) return false;
    c->words = words;
  }
  p->cap = cap;
  return true;
}

// Appends text as valid UTF-8 and returns its length in UTF-16 code units, or -1.
// Each maximal part of an invalid sequence becomes U+FFFD, as in the decoder of
// https://encoding.spec.whatwg.org/#utf-8-decoder.
static int64_t heddle_text(struct heddle_bytes* out, const uint8_t* s, size_t n) {
  if (!heddle_room(out, n)) return -1;
  const uint8_t* end = s + n;
  int64_t units = 0;
  while (s < end) {
    const uint8_t* run = s;
    while (end - s >= 8 && (*(const heddle_word*)s & 0x8080808080808080u) == 0) s += 8;
    while (s < end && *s < 0x80) s++;
    if (s > run) {
      memcpy(out->at + out->len, run, (size_t)(s - run));
      out->len += (size_t)(s - run);
      units += s - run;
      continue;
    }
    uint8_t low = 0x80, high = 0xBF;
    int more = 0;
    if (*s >= 0xC2 && *s <= 0xDF) {
      more = 1;
    } else if (*s >= 0xE0 && *s <= 0xEF) {
      more = 2;
      if (*s == 0xE0) low = 0xA0;
      if (*s == 0xED) high = 0x9F;
    } else if (*s >= 0xF0 && *s <= 0xF4) {
      more = 3;
      if (*s == 0xF0) low = 0x90;
      if (*s == 0xF4) high = 0x8F;
    }
    bool valid = more > 0;
    int wide = more == 3;
    const uint8_t* next = s + 1;
    for (; more > 0; more--, next++) {
      if (next == end || *next < low || *next > high) {
        valid = false;
        break;
      }
      low = 0x80, high = 0xBF;
    }
    if (valid) {
      memcpy(out->at + out->len, s, (size_t)(next - s));
      out->len += (size_t)(next - s);
      units += 1 + wide;
    } else {
      // Three bytes for one at the least: there must be room for the rest too.
      if (!heddle_room(out, 3 + (size_t)(end - next))) return -1;
      memcpy(out->at + out->len, "\xEF\xBF\xBD", 3);
      out->len += 3;
      units++;
    }
    s = next;
  }
  return units;
}

static bool heddle_pack_row(struct heddle_packer* p, sqlite3_stmt* stmt) {
  if (p->rows == p->cap && !heddle_more_rows(p)) return false;
  for (int i = 0; i < p->ncol; i++) {
    struct heddle_column* c = &p->col[i];
    uint8_t tag = TAG_NULL;
    uint64_t word = 0;
    switch (sqlite3_column_type(stmt, i)) {
      case SQLITE_INTEGER: {
        int64_t v = sqlite3_column_int64(stmt, i);
        tag = TAG_INT;
        word = (uint64_t)v;
        if (v != (int32_t)v) {
          c->wide = true;
          if (v > (1LL << 53) || v < -(1LL << 53)) c->big = true;
        }
        break;
      }
      case SQLITE_FLOAT: {
        double v = sqlite3_column_double(stmt, i);
        tag = TAG_FLOAT;
        memcpy(&word, &v, sizeof word);
        break;
      }
      case SQLITE_TEXT: {
        const uint8_t* s = sqlite3_column_text(stmt, i);
        int n = sqlite3_column_bytes(stmt, i);
        if (s == NULL && n > 0) return false;
        size_t before = c->text.len;
        int64_t units = n > 0 ? heddle_text(&c->text, s, (size_t)n) : 0;
        if (units < 0) return false;
        tag = TAG_TEXT;
        word = (uint64_t)units;
        p->size += c->text.len - before;
        break;
      }
      case SQLITE_BLOB: {
        const void* b = sqlite3_column_blob(stmt, i);
        int n = sqlite3_column_bytes(stmt, i);
        if (b == NULL && n > 0) return false;
        if (!heddle_room(&c->blob, (size_t)n)) return false;
        if (n > 0) memcpy(c->blob.at + c->blob.len, b, (size_t)n);
        c->blob.len += (size_t)n;
        tag = TAG_BLOB;
        word = (uint64_t)n;
        p->size += (size_t)n;
        break;
      }
    }
    c->tags[p->rows] = tag;
    c->words[p->rows] = word;
    c->seen |= (uint8_t)(1 << tag);
  }
  p->rows++;
  p->size += 9 * (size_t)p->ncol;
  return true;
}

// Packs the row that stmt stands on, if on_row says that it stands on one that
// was not packed, then steps on and packs until the block has max_rows rows or
// about max_size bytes, or steps steps were made. Answers SQLITE_ROW if more may
// follow: stmt then stands on a row that was packed. SQLITE_DONE and errors are
// those of sqlite3_step; the statement is to be reset then.
int heddle_pack_rows(struct heddle_packer* p, sqlite3_stmt* stmt, int on_row,
                     uint32_t max_rows, uint32_t max_size, int steps) {
  if (on_row && !heddle_pack_row(p, stmt)) return SQLITE_NOMEM;
  while (p->rows < max_rows && p->size < max_size && steps-- > 0) {
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW) return rc;
    if (!heddle_pack_row(p, stmt)) return SQLITE_NOMEM;
  }
  return SQLITE_ROW;
}

// How many rows wait in the block.
int heddle_pack_count(struct heddle_packer* p) { return (int)p->rows; }

static int heddle_form(const struct heddle_column* c) {
  int nulls = c->seen & (1 << TAG_NULL) ? FORM_NULLS : 0;
  switch (c->seen & ~(1 << TAG_NULL)) {
    case 0:
      return FORM_NULL;
    case 1 << TAG_INT:
      return (!c->wide ? FORM_INT32 : !c->big ? FORM_FLOAT : FORM_INT64) | nulls;
    case 1 << TAG_FLOAT:
      return FORM_FLOAT | nulls;
    case 1 << TAG_FLOAT | 1 << TAG_INT:
      return c->big ? FORM_MIXED : FORM_FLOAT | nulls;
    case 1 << TAG_TEXT:
      return FORM_TEXT | nulls;
    case 1 << TAG_BLOB:
      return FORM_BLOB | nulls;
  }
  return FORM_MIXED;
}

static void heddle_u32(struct heddle_bytes* b, uint32_t v) {
  memcpy(b->at + b->len, &v, sizeof v);
  b->len += sizeof v;
}

static void heddle_pad(struct heddle_bytes* b, size_t base) {
  while ((base + b->len) % 8 != 0) b->at[b->len++] = 0;
}

static void heddle_write(struct heddle_bytes* out, const struct heddle_column* c, uint32_t rows, size_t base) {
  int form = heddle_form(c);
  out->at[out->len++] = (uint8_t)form;
  heddle_pad(out, base);
  if (form & FORM_NULLS) {
    uint8_t* bits = out->at + out->len;
    size_t n = (rows + 7) / 8;
    memset(bits, 0, n);
    for (uint32_t r = 0; r < rows; r++) {
      if (c->tags[r] == TAG_NULL) bits[r / 8] |= (uint8_t)(1 << (r % 8));
    }
    out->len += n;
    heddle_pad(out, base);
  }
  uint8_t* at = out->at + out->len;
  switch (form & ~FORM_NULLS) {
    case FORM_NULL:
      return;
    case FORM_INT32:
    case FORM_TEXT:
    case FORM_BLOB:
      for (uint32_t r = 0; r < rows; r++) memcpy(at + 4 * r, &c->words[r], 4);
      out->len += 4 * (size_t)rows;
      return;
    case FORM_FLOAT:
      for (uint32_t r = 0; r < rows; r++) {
        double v = (double)(int64_t)c->words[r];
        memcpy(at + 8 * r, c->tags[r] == TAG_INT ? (void*)&v : (void*)&c->words[r], 8);
      }
      out->len += 8 * (size_t)rows;
      return;
    case FORM_MIXED:
      memcpy(at, c->tags, rows);
      out->len += rows;
      heddle_pad(out, base);
      at = out->at + out->len;
      break;
  }
  memcpy(at, c->words, 8 * (size_t)rows);
  out->len += 8 * (size_t)rows;
}

// Writes the block from its number of columns on, as if base bytes stood before
// it in the message, stores where it lies in *block, and returns its length, or
// -1 for want of memory. The next block begins; *block is good until then.
int heddle_pack_block(struct heddle_packer* p, uint32_t base, const uint8_t** block) {
  struct heddle_bytes* out = &p->out;
  out->len = 0;
  size_t text = 0, blob = 0;
  for (int i = 0; i < p->ncol; i++) {
    text += p->col[i].text.len;
    blob += p->col[i].blob.len;
  }
  size_t cells = (size_t)p->rows * (size_t)p->ncol;
  if (!heddle_room(out, 14 + text + blob + 9 * cells + cells / 8 + 32 * (size_t)p->ncol)) return -1;
  uint16_t ncol = (uint16_t)p->ncol;
  memcpy(out->at, &ncol, sizeof ncol);
  out->len = sizeof ncol;
  heddle_u32(out, p->rows);
  heddle_u32(out, (uint32_t)text);
  heddle_u32(out, (uint32_t)blob);
  for (int i = 0; i < p->ncol; i++) heddle_write(out, &p->col[i], p->rows, base);
  for (int i = 0; i < p->ncol; i++) {
    if (p->col[i].text.len) memcpy(out->at + out->len, p->col[i].text.at, p->col[i].text.len);
    out->len += p->col[i].text.len;
  }
  for (int i = 0; i < p->ncol; i++) {
    if (p->col[i].blob.len) memcpy(out->at + out->len, p->col[i].blob.at, p->col[i].blob.len);
    out->len += p->col[i].blob.len;
    struct heddle_column* c = &p->col[i];
    c->text.len = c->blob.len = 0;
    c->seen = 0;
    c->big = c->wide = false;
  }
  p->rows = 0;
  p->size = 0;
  *block = out->at;
  return (int)out->len;
}
