// Exact arithmetic: rows decoded to F32, products and sums in double. clinear.h states the order of additions.
//
// Activations have at most 29 bits and weights 24, so a product is exact in double and a fused multiply-add rounds
// as a multiplication and an addition do: every table gives the same bits.

typedef double f64x8 __attribute__((ext_vector_type(8)));

// A register tile of rows by tokens; a panel of rows is decoded at a time and meets a group of tokens.
#if defined(TK_LINEAR_AVX512)
enum { EXACT_ROWS = 4, EXACT_TOKENS = 6, EXACT_FEW = 8 };
#elif defined(TK_LINEAR_AVX2)
enum { EXACT_ROWS = 2, EXACT_TOKENS = 3, EXACT_FEW = 4 };
#elif defined(__aarch64__)
enum { EXACT_ROWS = 2, EXACT_TOKENS = 2, EXACT_FEW = 4 };
#else
enum { EXACT_ROWS = 1, EXACT_TOKENS = 2, EXACT_FEW = 2 };
#endif
enum { EXACT_PANEL = 32, EXACT_GROUP = 528 };

TK_INLINE f64x8 d_load(const double *p) {
  f64x8 v;
  memcpy(&v, p, sizeof v);
  return v;
}

TK_INLINE f64x8 d_madd(f64x8 a, f64x8 b, f64x8 sum) {
#ifdef TK_LINEAR_FMA
  return __builtin_elementwise_fma(a, b, sum);
#else
  return a * b + sum;
#endif
}

// Lane j with j + 4, then + 2, then + 1.
TK_INLINE double d_sum(f64x8 a) {
  typedef double f64x4 __attribute__((ext_vector_type(4)));
  f64x4 b = a.lo + a.hi;
  return (b[0] + b[2]) + (b[1] + b[3]);
}

// The sums of eight vectors, each as d_sum adds its lanes.
TK_INLINE f64x8 d_sums(const f64x8 *a) {
  f64x8 four[4], two[2];
  for (int k = 0; k < 4; ++k) {
    f64x8 x = a[2 * k], y = a[2 * k + 1];
    four[k] = __builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11)
        + __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int k = 0; k < 2; ++k) {
    f64x8 x = four[2 * k], y = four[2 * k + 1];
    two[k] = __builtin_shufflevector(x, y, 0, 1, 4, 5, 8, 9, 12, 13)
        + __builtin_shufflevector(x, y, 2, 3, 6, 7, 10, 11, 14, 15);
  }
  return __builtin_shufflevector(two[0], two[1], 0, 2, 4, 6, 8, 10, 12, 14)
      + __builtin_shufflevector(two[0], two[1], 1, 3, 5, 7, 9, 11, 13, 15);
}

static void widen(const float *x, int64_t width, int64_t count, double *out) {
  const int64_t pitch = tk_wide_pitch(width);
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t i = 0; i < width; ++i) out[t * pitch + i] = (double)x[t * width + i];
    for (int64_t i = width; i < pitch; ++i) out[t * pitch + i] = 0;
  }
}

// Where sums go: doubles, or floats.
typedef struct tk_target {
  double *wide;
  float *narrow;
  int64_t stride;
} tk_target;

TK_INLINE void put(const tk_target *to, int64_t token, int64_t row, double sum) {
  if (to->wide) {
    to->wide[token * to->stride + row] = sum;
  } else {
    to->narrow[token * to->stride + row] = (float)sum;
  }
}

// What a panel is made of, beside the formats.
enum { EXACT_WIDE = -1 };

// Eight weights from element i of a row, as doubles.
TK_INLINE f64x8 wide_at(const int format, const uint8_t *row, int64_t i) {
  f32x8 v;
  switch (format) {
    case EXACT_WIDE: return d_load((const double *)(const void *)row + i);
    case TK_F16: {
      u16x8 h;
      memcpy(&h, row + 2 * i, sizeof h);
      v = v_f16_to_f32(h);
      break;
    }
    case TK_BF16: {
      u16x8 h;
      memcpy(&h, row + 2 * i, sizeof h);
      v = (f32x8)(__builtin_convertvector(h, u32x8) << 16);
      break;
    }
    default: memcpy(&v, row + 4 * i, sizeof v); break;
  }
  return __builtin_convertvector(v, f64x8);
}

// `rows` x `tokens` sums over one segment of `length` elements, a multiple of 8, added to `out`. Rows are `pitch` bytes
// apart; tokens from `valid` on repeat the last valid one.
TK_INLINE void exact_tile(
    const int format, const int rows, const int tokens, const uint8_t *w, int64_t pitch, const double *x,
    int64_t x_pitch, int valid, int64_t length, double *out, int64_t stride) {
  f64x8 sum[EXACT_FEW][EXACT_TOKENS];
  const double *value[EXACT_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    value[t] = x + (t < valid ? t : valid - 1) * x_pitch;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) sum[r][t] = (f64x8)(0.0);
  }
#pragma clang loop unroll_count(2)
  for (int64_t i = 0; i < length; i += 8) {
    f64x8 weight[EXACT_FEW];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) weight[r] = wide_at(format, w + r * pitch, i);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      f64x8 v = d_load(value[t] + i);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; ++r) sum[r][t] = d_madd(weight[r], v, sum[r][t]);
    }
  }
#if defined(TK_LINEAR_AVX512)
  if (rows == 4 && tokens % 2 == 0) {
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t += 2) {
      f64x8 both[8];
#pragma clang loop unroll(full)
      for (int k = 0; k < 8; ++k) both[k] = sum[k % 4][t + k / 4];
      const f64x8 add = d_sums(both);
      for (int k = 0; k < 2; ++k) {
        if (t + k >= valid) continue;
        typedef double f64x4 __attribute__((ext_vector_type(4)));
        f64x4 now;
        memcpy(&now, out + (t + k) * stride, sizeof now);
        now += k ? add.hi : add.lo;
        memcpy(out + (t + k) * stride, &now, sizeof now);
      }
    }
    return;
  }
#endif
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    if (t >= valid) continue;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) out[t * stride + r] += d_sum(sum[r][t]);
  }
}

// All rows of a decoded panel with a group of tokens; the panel stays in the cache, activations pass once.
static __attribute__((noinline)) void exact_panel(
    const double *panel, int rows, const double *x, int64_t x_pitch, int64_t count, int64_t length, double *sums) {
  const int64_t pitch = TK_EXACT_SEGMENT * sizeof(double);
  for (int64_t t = 0; t < count; t += EXACT_TOKENS) {
    const int valid = count - t < EXACT_TOKENS ? (int)(count - t) : EXACT_TOKENS;
    const double *from = x + t * x_pitch;
    double *to = sums + t * EXACT_PANEL;
    int r = 0;
    for (; r + EXACT_ROWS <= rows; r += EXACT_ROWS) {
      const uint8_t *w = (const uint8_t *)(panel + r * TK_EXACT_SEGMENT);
      exact_tile(
          EXACT_WIDE, EXACT_ROWS, EXACT_TOKENS, w, pitch, from, x_pitch, valid, length, to + r, EXACT_PANEL);
    }
    for (; r < rows; ++r) {
      const uint8_t *w = (const uint8_t *)(panel + r * TK_EXACT_SEGMENT);
      exact_tile(EXACT_WIDE, 1, EXACT_TOKENS, w, pitch, from, x_pitch, valid, length, to + r, EXACT_PANEL);
    }
  }
}

// Decodes a piece of a row to doubles, with zeros up to a multiple of 8.
static void decode_wide(int32_t format, const uint8_t *in, double *out, int64_t length) {
  if (format == TK_BF16 && length % 8 == 0) {
    for (int64_t i = 0; i < length; i += 8) {
      f64x8 d = wide_at(TK_BF16, in, i);
      memcpy(out + i, &d, sizeof d);
    }
    return;
  }
  float line[TK_EXACT_SEGMENT] __attribute__((aligned(64)));
  decode_piece(format, in, line, length);
  for (int64_t i = length; i < tk_wide_pitch(length); ++i) line[i] = 0;
  for (int64_t i = 0; i < length; i += 8) {
    f32x8 v;
    memcpy(&v, line + i, sizeof v);
    f64x8 d = __builtin_convertvector(v, f64x8);
    memcpy(out + i, &d, sizeof d);
  }
}

// Any format: panels of rows are decoded once for a group of tokens.
static void exact_decoded(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, const tk_target *out) {
  const int64_t row_bytes = stored_bytes(format, in->width), x_pitch = tk_wide_pitch(in->width);
  double panel[EXACT_PANEL * TK_EXACT_SEGMENT] __attribute__((aligned(64)));
  double sums[EXACT_GROUP * EXACT_PANEL] __attribute__((aligned(64)));
  for (int64_t first = 0; first < in->count; first += EXACT_GROUP) {
    const int64_t count = in->count - first < EXACT_GROUP ? in->count - first : EXACT_GROUP;
    for (int64_t r = 0; r < rows; r += EXACT_PANEL) {
      const int group = rows - r < EXACT_PANEL ? (int)(rows - r) : EXACT_PANEL;
      memset(sums, 0, (size_t)(count * EXACT_PANEL) * sizeof *sums);
      for (int64_t at = 0; at < in->width; at += TK_EXACT_SEGMENT) {
        const int64_t length = in->width - at < TK_EXACT_SEGMENT ? in->width - at : TK_EXACT_SEGMENT;
        for (int k = 0; k < group; ++k) {
          decode_wide(
              format, weights + (r + k) * row_bytes + stored_bytes(format, at), panel + k * TK_EXACT_SEGMENT, length);
        }
        exact_panel(
            panel, group, in->wide + first * x_pitch + at, x_pitch, count, tk_wide_pitch(length), sums);
      }
      for (int64_t t = 0; t < count; ++t) {
        const double *from = sums + t * EXACT_PANEL;
        if (out->wide) {
          memcpy(out->wide + (first + t) * out->stride + r, from, (size_t)group * sizeof *from);
        } else {
          float *to = out->narrow + (first + t) * out->stride + r;
          for (int k = 0; k < group; ++k) to[k] = (float)from[k];
        }
      }
    }
  }
}

// `rows` rows with one token. What can be read in place is; else a piece of each row is decoded to floats.
TK_INLINE void exact_rows(
    const int format, const int rows, const uint8_t *weights, int64_t row_bytes, const double *x, int64_t width,
    const tk_target *out, int64_t token, int64_t row) {
  const int in_place = format == TK_F32 || format == TK_F16 || format == TK_BF16;
  float piece[EXACT_FEW][TK_EXACT_SEGMENT] __attribute__((aligned(64)));
  double sums[EXACT_FEW] = {0};
  for (int64_t at = 0; at < width; at += TK_EXACT_SEGMENT) {
    const int64_t length = width - at < TK_EXACT_SEGMENT ? width - at : TK_EXACT_SEGMENT;
    const uint8_t *w = weights + stored_bytes(format, at);
    // Asks for the same piece of rows to come: rows are too short for the processor to see a stream.
    for (int r = 0; r < rows; ++r) {
      for (int64_t b = 0; b < stored_bytes(format, length); b += 64) {
        __builtin_prefetch(w + (r + EXACT_FEW) * row_bytes + b);
      }
    }
    if (in_place && length % 8 == 0) {
      exact_tile(format, rows, 1, w, row_bytes, x + at, 0, 1, length, sums, EXACT_FEW);
    } else {
      for (int r = 0; r < rows; ++r) {
        decode_piece(format, w + r * row_bytes, piece[r], length);
        for (int64_t i = length; i < tk_wide_pitch(length); ++i) piece[r][i] = 0;
      }
      exact_tile(
          TK_F32, rows, 1, (const uint8_t *)piece, sizeof *piece, x + at, 0, 1, tk_wide_pitch(length), sums,
          EXACT_FEW);
    }
  }
  for (int r = 0; r < rows; ++r) put(out, token, row + r, sums[r]);
}

TK_INLINE void exact_few(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, const tk_target *out) {
  const int64_t row_bytes = stored_bytes(format, in->width), x_pitch = tk_wide_pitch(in->width);
  for (int64_t t = 0; t < in->count; ++t) {
    const double *x = in->wide + t * x_pitch;
    int64_t r = 0;
    for (; r + EXACT_FEW <= rows; r += EXACT_FEW) {
      exact_rows(format, EXACT_FEW, weights + r * row_bytes, row_bytes, x, in->width, out, t, r);
    }
    for (; r < rows; ++r) exact_rows(format, 1, weights + r * row_bytes, row_bytes, x, in->width, out, t, r);
  }
}

static void multiply_exact(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, const tk_target *out) {
  if (in->count > 2) {
    exact_decoded(format, weights, rows, in, out);
    return;
  }
  switch (format) {
    case TK_F32: exact_few(TK_F32, weights, rows, in, out); return;
    case TK_F16: exact_few(TK_F16, weights, rows, in, out); return;
    case TK_BF16: exact_few(TK_BF16, weights, rows, in, out); return;
#define TK_CASE(format) \
  case format: exact_few(format, weights, rows, in, out); return;
    TK_EACH_QUANT(TK_CASE)
#undef TK_CASE
  }
}

static void multiply_wide(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, double *out, int64_t stride) {
  const tk_target target = {.wide = out, .stride = stride};
  multiply_exact(format, weights, rows, in, &target);
}
