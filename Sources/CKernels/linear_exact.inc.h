// Exact arithmetic: rows decoded to F32, products and sums in double. clinear.h states the order of additions.
//
// Activations have at most 29 bits and weights 24, so a product is exact in double and a fused multiply-add rounds
// as a multiplication and an addition do: every table gives the same bits.

#define TILE_(name) wide_##name
#define TILE_REAL double
#define TILE_SEGMENT TK_EXACT_SEGMENT
#if defined(TK_LINEAR_AVX512)
#define TILE_LANES 8
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define TILE_OCTETS 4
#elif defined(TK_LINEAR_AVX2)
#define TILE_LANES 4
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define TILE_OCTETS 2
#elif defined(__aarch64__)
#define TILE_LANES 2
#define TILE_VECTORS 4
#define TILE_TOKENS 4
#define TILE_OCTETS 1
#else
#define TILE_LANES 2
#define TILE_VECTORS 4
#define TILE_TOKENS 2
#define TILE_OCTETS 1
#endif
#ifdef TK_LINEAR_FMA
#define TILE_MADD(a, b, sum) __builtin_elementwise_fma(a, b, sum)
#else
#define TILE_MADD(a, b, sum) ((a) * (b) + (sum))
#endif
enum { EXACT_TOKENS = TILE_TOKENS, EXACT_OCTETS = TILE_OCTETS };
#include "linear_tile.inc.h"

// A panel of rows is decoded at a time and meets a group of tokens.
enum { EXACT_PANEL = 32, EXACT_GROUP = 528 };

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

TK_INLINE void put(const tk_target *to, int64_t token, int64_t row, const double *sums, int count) {
  if (to->wide) {
    memcpy(to->wide + token * to->stride + row, sums, (size_t)count * sizeof *sums);
  } else {
    float *out = to->narrow + token * to->stride + row;
    for (int k = 0; k < count; ++k) out[k] = (float)sums[k];
  }
}

// Many tokens: panels of rows are decoded once for a group of tokens.
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
        const uint8_t *w = weights + r * row_bytes + stored_bytes(format, at);
        for (int k = 0; k < group; k += wide_ROWS) {
          wide_fill(format, w + k * row_bytes, row_bytes, group - k, length, panel + k * length);
        }
        for (int64_t t = 0; t < count; t += EXACT_TOKENS) {
          const int valid = count - t < EXACT_TOKENS ? (int)(count - t) : EXACT_TOKENS;
          const double *x = in->wide + (first + t) * x_pitch + at;
          for (int k = 0; k < group; k += wide_ROWS) {
            wide_tile(
                TK_FUSED, panel + k * length, x, x_pitch, valid, length, sums + t * EXACT_PANEL + k, EXACT_PANEL);
          }
        }
      }
      for (int64_t t = 0; t < count; ++t) put(out, first + t, r, sums + t * EXACT_PANEL, group);
    }
  }
}

// Few tokens, one after the other.
TK_INLINE void exact_few(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, const tk_target *out) {
  const int64_t row_bytes = stored_bytes(format, in->width), width = in->width;
  for (int64_t t = 0; t < in->count; ++t) {
    const double *x = in->wide + t * tk_wide_pitch(width);
    for (int64_t r = 0; r < rows;) {
      const uint8_t *w = weights + r * row_bytes;
      const int most = rows - r >= 8 * EXACT_OCTETS ? 8 * EXACT_OCTETS : 8;
      const int valid = rows - r < most ? (int)(rows - r) : most;
      double sums[8 * EXACT_OCTETS] = {0};
      if (most == 8 * EXACT_OCTETS) {
        wide_few(format, EXACT_OCTETS, w, row_bytes, valid, x, width, sums);
      } else {
        wide_few(format, 1, w, row_bytes, valid, x, width, sums);
      }
      put(out, t, r, sums, valid);
      r += valid;
    }
  }
}

static void multiply_exact(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, const tk_target *out) {
  if (in->count > 2) {
    exact_decoded(format, weights, rows, in, out);
    return;
  }
  switch (format) {
#define TK_CASE(format) \
  case format: exact_few(format, weights, rows, in, out); return;
    TK_EACH_FORMAT(TK_CASE)
#undef TK_CASE
  }
}

static void multiply_wide(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, double *out, int64_t stride) {
  const tk_target target = {.wide = out, .stride = stride};
  multiply_exact(format, weights, rows, in, &target);
}
