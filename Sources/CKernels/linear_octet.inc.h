// Eight rows of any format decoded side by side: a vector holds the same element of each. What stands there is, to the
// bit, what the codecs decode.
//
// Bytes are exchanged between rows before they become floats: three rounds of interleaving give the eight rows' codes
// of each element, which is a quarter of the work that exchanging floats would be.

// Elements that are opened at once: a block, or 32 plain floats.
TK_INLINE int octet_length(const int format) { return is_plain(format) ? 32 : block_length(format); }

typedef struct tk_octet {
  union {
    uint8_t codes[256][8];
    uint16_t halves[32][8];
    float floats[32][8];
  } at __attribute__((aligned(64)));
  float scale[16][8], base[16][8];  // of each sub-block
} tk_octet;

// Interleaves eight rows of 32 bytes; `out` gets eight bytes for each of 32 columns.
TK_INLINE void interleave_bytes(const u8x32 *rows, uint8_t (*out)[8]) {
  u8x32 a[8], b[8];
#define TK_LOW 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, \
    22, 54, 23, 55
#define TK_HIGH 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, \
    29, 61, 30, 62, 31, 63
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; ++i) {
    a[i] = __builtin_shufflevector(rows[i], rows[i + 4], TK_LOW);
    a[i + 4] = __builtin_shufflevector(rows[i], rows[i + 4], TK_HIGH);
  }
  // a[0..3]: elements 0 to 7 of rows i and i + 4, a[4..7]: elements 8 to 15; and 16 further.
#pragma clang loop unroll(full)
  for (int h = 0; h < 8; h += 4) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 2; ++i) {
      b[h + i] = __builtin_shufflevector(a[h + i], a[h + i + 2], TK_LOW);
      b[h + i + 2] = __builtin_shufflevector(a[h + i], a[h + i + 2], TK_HIGH);
    }
  }
#pragma clang loop unroll(full)
  for (int q = 0; q < 4; ++q) {
    const u8x32 low = __builtin_shufflevector(b[2 * q], b[2 * q + 1], TK_LOW);
    const u8x32 high = __builtin_shufflevector(b[2 * q], b[2 * q + 1], TK_HIGH);
    const u8x16 part[4] = {low.lo, high.lo, low.hi, high.hi};
    memcpy(out[4 * q], &part[0], 16);
    memcpy(out[4 * q + 2], &part[1], 16);
    memcpy(out[4 * q + 16], &part[2], 16);
    memcpy(out[4 * q + 18], &part[3], 16);
  }
#undef TK_LOW
#undef TK_HIGH
}

// The same for eight rows of 16 halves.
TK_INLINE void interleave_halves(const u16x16 *rows, uint16_t (*out)[8]) {
  u16x16 a[8], b[8];
#define TK_LOW 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27
#define TK_HIGH 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; ++i) {
    a[i] = __builtin_shufflevector(rows[i], rows[i + 4], TK_LOW);
    a[i + 4] = __builtin_shufflevector(rows[i], rows[i + 4], TK_HIGH);
  }
#pragma clang loop unroll(full)
  for (int h = 0; h < 8; h += 4) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 2; ++i) {
      b[h + i] = __builtin_shufflevector(a[h + i], a[h + i + 2], TK_LOW);
      b[h + i + 2] = __builtin_shufflevector(a[h + i], a[h + i + 2], TK_HIGH);
    }
  }
#pragma clang loop unroll(full)
  for (int q = 0; q < 4; ++q) {
    const u16x16 low = __builtin_shufflevector(b[2 * q], b[2 * q + 1], TK_LOW);
    const u16x16 high = __builtin_shufflevector(b[2 * q], b[2 * q + 1], TK_HIGH);
    const u16x8 part[4] = {low.lo, high.lo, low.hi, high.hi};
    memcpy(out[2 * q], &part[0], 16);
    memcpy(out[2 * q + 1], &part[1], 16);
    memcpy(out[2 * q + 8], &part[2], 16);
    memcpy(out[2 * q + 9], &part[3], 16);
  }
#undef TK_LOW
#undef TK_HIGH
}

// Eight vectors of eight floats, rows and columns exchanged.
TK_INLINE void interleave_floats(const f32x8 *rows, float (*out)[8]) {
  f32x8 a[8], b[8];
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; ++i) {
    a[i] = __builtin_shufflevector(rows[i], rows[i + 4], 0, 8, 1, 9, 4, 12, 5, 13);
    a[i + 4] = __builtin_shufflevector(rows[i], rows[i + 4], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma clang loop unroll(full)
  for (int h = 0; h < 8; h += 4) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 2; ++i) {
      b[h + i] = __builtin_shufflevector(a[h + i], a[h + i + 2], 0, 8, 1, 9, 4, 12, 5, 13);
      b[h + i + 2] = __builtin_shufflevector(a[h + i], a[h + i + 2], 2, 10, 3, 11, 6, 14, 7, 15);
    }
  }
  // b[2 q] holds rows 0 2 4 6 and b[2 q + 1] rows 1 3 5 7: of element q in the low half, of q + 4 in the high one.
#pragma clang loop unroll(full)
  for (int q = 0; q < 4; ++q) {
    const f32x8 low = __builtin_shufflevector(b[2 * q], b[2 * q + 1], 0, 8, 1, 9, 2, 10, 3, 11);
    const f32x8 high = __builtin_shufflevector(b[2 * q], b[2 * q + 1], 4, 12, 5, 13, 6, 14, 7, 15);
    v_store(out[q], low);
    v_store(out[q + 4], high);
  }
}

// Opens `length` elements, at most octet_length of them, of eight rows that are `row_bytes` apart; rows from `valid` on
// repeat the last valid one.
TK_INLINE void octet_open(
    const int format, const uint8_t *in, int64_t row_bytes, int valid, int64_t length, tk_octet *octet) {
  const uint8_t *row[8];
#pragma clang loop unroll(full)
  for (int r = 0; r < 8; ++r) row[r] = in + (r < valid ? r : valid - 1) * row_bytes;
  switch (format) {
    case TK_F32: {
      float line[8][32];
      const int whole = length == 32;
      if (!whole) memset(line, 0, sizeof line);
      for (int r = 0; !whole && r < 8; ++r) memcpy(line[r], row[r], (size_t)length * sizeof(float));
      for (int i = 0; i < 32; i += 8) {
        f32x8 rows[8];
#pragma clang loop unroll(full)
        for (int r = 0; r < 8; ++r) rows[r] = v_load(whole ? (const float *)(const void *)row[r] + i : line[r] + i);
        interleave_floats(rows, octet->at.floats + i);
      }
      return;
    }
    case TK_F16:
    case TK_BF16: {
      uint16_t line[8][32];
      const int whole = length == 32;
      if (!whole) memset(line, 0, sizeof line);
      for (int r = 0; !whole && r < 8; ++r) memcpy(line[r], row[r], (size_t)length * sizeof(uint16_t));
      for (int i = 0; i < 32; i += 16) {
        u16x16 rows[8];
#pragma clang loop unroll(full)
        for (int r = 0; r < 8; ++r) memcpy(&rows[r], whole ? row[r] + 2 * i : (const uint8_t *)(line[r] + i), 32);
        interleave_halves(rows, octet->at.halves + i);
      }
      return;
    }
    default: {
      const int subs = block_length(format) / sub_length(format), offset = code_offset(format);
      if (block_length(format) == 32) {
        u8x32 rows[8];
        u16x8 scale, add = 0;
#pragma clang loop unroll(full)
        for (int r = 0; r < 8; ++r) {
          rows[r] = codes32(format, row[r]);
          scale[r] = tk_load16(row[r]);
          if (has_addend(format)) add[r] = tk_load16(row[r] + 2);
        }
        interleave_bytes(rows, octet->at.codes);
        const f32x8 factor = v_f16_to_f32(scale);
        v_store(octet->scale[0], factor);
        v_store(octet->base[0], has_addend(format) ? v_f16_to_f32(add) : v_splat(-(float)offset) * factor);
        return;
      }
      uint8_t codes[8][256] __attribute__((aligned(32)));
      float scale[8][16], add[8][16];
      for (int r = 0; r < 8; ++r) unpack_block256(format, row[r], codes[r], scale[r], add[r]);
      for (int s = 0; s < subs; s += 8) {
        f32x8 rows[8];
        for (int r = 0; r < 8; ++r) rows[r] = v_load(scale[r] + s);
        interleave_floats(rows, octet->scale + s);
        if (has_addend(format)) {
          for (int r = 0; r < 8; ++r) rows[r] = v_load(add[r] + s);
          interleave_floats(rows, octet->base + s);
        } else {
          for (int k = s; k < s + 8; ++k) v_store(octet->base[k], v_splat(-(float)offset) * v_load(octet->scale[k]));
        }
      }
      for (int i = 0; i < 256; i += 32) {
        u8x32 rows[8];
#pragma clang loop unroll(full)
        for (int r = 0; r < 8; ++r) rows[r] = load32(codes[r] + i);
        interleave_bytes(rows, octet->at.codes + i);
      }
      return;
    }
  }
}

// Element k of the eight rows, of the sub-block element `from` belongs to. Code times scale has at most 24 bits, so it is
// exact, fused or not, and the one rounding left is the codecs' own.
TK_INLINE f32x8 octet_floats(const int format, const tk_octet *octet, int k, int from) {
  switch (format) {
    case TK_F32: return v_load(octet->at.floats[k]);
    case TK_F16:
    case TK_BF16: {
      u16x8 h;
      memcpy(&h, octet->at.halves[k], sizeof h);
      return format == TK_F16 ? v_f16_to_f32(h) : (f32x8)(__builtin_convertvector(h, u32x8) << 16);
    }
    default: {
      u8x8 c;
      memcpy(&c, octet->at.codes[k], sizeof c);
      const int s = from / sub_length(format);
      const f32x8 v = __builtin_convertvector(c, f32x8);
      const f32x8 scale = v_load(octet->scale[s]), base = v_load(octet->base[s]);
#ifdef TK_LINEAR_FMA
      return __builtin_elementwise_fma(v, scale, base);
#else
      return v * scale + base;
#endif
    }
  }
}
