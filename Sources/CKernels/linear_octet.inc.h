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

// Of each half of two vectors the lower, the upper part of the items in turn.
TK_INLINE u8x32 low_codes(u8x32 a, u8x32 b) {
  return __builtin_shufflevector(
      a, b, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22,
      54, 23, 55);
}

TK_INLINE u8x32 high_codes(u8x32 a, u8x32 b) {
  return __builtin_shufflevector(
      a, b, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29,
      61, 30, 62, 31, 63);
}

TK_INLINE u16x16 low_halves(u16x16 a, u16x16 b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27);
}

TK_INLINE u16x16 high_halves(u16x16 a, u16x16 b) {
  return __builtin_shufflevector(a, b, 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31);
}

TK_INLINE f32x8 low_floats(f32x8 a, f32x8 b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13); }

TK_INLINE f32x8 high_floats(f32x8 a, f32x8 b) { return __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15); }

// Interleaves eight rows of 32 bytes: `out` gets the eight rows' items of each column, column by column. Rows r and
// r + 4 first, then those two apart, then the even rows with the odd ones.
#define TK_DEFINE(items, vector) \
  TK_INLINE void interleave_##items(const vector *rows, void *out) { \
    vector a[8], b[8]; \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; ++i) { \
      a[i] = low_##items(rows[i], rows[i + 4]); \
      a[i + 4] = high_##items(rows[i], rows[i + 4]); \
    } \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 8; ++i) { \
      const int first = i / 4 * 4 + i % 2; \
      b[i] = i % 4 < 2 ? low_##items(a[first], a[first + 2]) : high_##items(a[first], a[first + 2]); \
    } \
    _Pragma("clang loop unroll(full)") for (int q = 0; q < 4; ++q) { \
      const u8x32 low = (u8x32)low_##items(b[2 * q], b[2 * q + 1]); \
      const u8x32 high = (u8x32)high_##items(b[2 * q], b[2 * q + 1]); \
      const u8x16 part[4] = {low.lo, high.lo, low.hi, high.hi}; \
      for (int k = 0; k < 4; ++k) memcpy((uint8_t *)out + 32 * q + 16 * (k % 2) + 128 * (k / 2), &part[k], 16); \
    } \
  }
TK_DEFINE(codes, u8x32)
TK_DEFINE(halves, u16x16)
TK_DEFINE(floats, f32x8)
#undef TK_DEFINE

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
        interleave_codes(rows, octet->at.codes);
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
        interleave_codes(rows, octet->at.codes + i);
      }
      return;
    }
  }
}

// Element k of the eight rows, of the sub-block element `from` belongs to. Code times scale has at most 24 bits, so it
// is exact, fused or not, and the one rounding left is the codecs' own.
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
