// Products and sums in F32: an output head in exact arithmetic, and plain floats with many tokens in engine arithmetic.
//
// Nothing is computed from logits, so the head's rounding (5e-13 of their energy in the mean) goes no further, and takes
// half the time of double. A head always has a fused multiply-add: the same bits for one token as for many, and on every
// instruction set.

#define TILE_(name) single_##name
#define TILE_REAL float
#define TILE_SEGMENT TK_SINGLE_SEGMENT
#if defined(TK_LINEAR_AVX512)
#define TILE_LANES 16
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define TILE_OCTETS 4
#elif defined(TK_LINEAR_AVX2)
#define TILE_LANES 8
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define TILE_OCTETS 4
#elif defined(__aarch64__)
#define TILE_LANES 4
#define TILE_VECTORS 4
#define TILE_TOKENS 4
#define TILE_OCTETS 2
#else
#define TILE_LANES 4
#define TILE_VECTORS 4
#define TILE_TOKENS 2
#define TILE_OCTETS 1
#endif
#define TILE_MADD(a, b, sum) __builtin_elementwise_fma(a, b, sum)
enum { SINGLE_TOKENS = TILE_TOKENS, SINGLE_OCTETS = TILE_OCTETS };
#include "linear_tile.inc.h"

// A panel of rows is decoded at a time and meets a group of tokens, a span of elements at a time. Of tokens whose doubles
// are made floats first as many as there is room for: SINGLE_VALUES floats.
enum { SINGLE_PANEL = 32, SINGLE_GROUP = 528, SINGLE_SPAN = 1024, SINGLE_VALUES = 336 * SINGLE_SPAN };

// `length` doubles of a token, from element `at`, as floats.
TK_INLINE void single_values(const tk_inputs *in, int64_t token, int64_t at, int64_t length, float *out) {
  const double *x = in->wide + token * tk_wide_pitch(in->width) + at;
  for (int64_t i = 0; i < length; ++i) out[i] = (float)x[i];
}

// Many tokens, `wide` ones or those of `values`. The sums of some rows begin at 0 with the first span, `at` 0; the others
// add to what `out` holds.
static void single_decoded(
    const int wide, const int fused, int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in,
    float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  float panel[SINGLE_PANEL * SINGLE_SPAN] __attribute__((aligned(64)));
  float values[SINGLE_VALUES] __attribute__((aligned(64)));
  float sums[SINGLE_GROUP * SINGLE_PANEL] __attribute__((aligned(64)));
  const int64_t room = SINGLE_VALUES / (in->width < SINGLE_SPAN ? in->width : SINGLE_SPAN);
  const int64_t most = wide && room < SINGLE_GROUP ? room : SINGLE_GROUP;
  for (int64_t first = 0; first < in->count; first += most) {
    const int64_t count = in->count - first < most ? in->count - first : most;
    for (int64_t at = 0; at < in->width; at += SINGLE_SPAN) {
      const int64_t length = in->width - at < SINGLE_SPAN ? in->width - at : SINGLE_SPAN;
      for (int64_t t = 0; wide && t < count; ++t) single_values(in, first + t, at, length, values + t * length);
      const float *x = wide ? values : in->values + first * in->width + at;
      const int64_t pitch = wide ? length : in->width;
      for (int64_t r = 0; r < rows; r += SINGLE_PANEL) {
        const int group = rows - r < SINGLE_PANEL ? (int)(rows - r) : SINGLE_PANEL;
        float *to = out + first * stride + r;
        for (int64_t t = 0; t < count; ++t) {
          if (at == 0) memset(sums + t * SINGLE_PANEL, 0, SINGLE_PANEL * sizeof *sums);
          if (at > 0) memcpy(sums + t * SINGLE_PANEL, to + t * stride, (size_t)group * sizeof *sums);
        }
        const uint8_t *w = weights + r * row_bytes + stored_bytes(format, at);
        for (int k = 0; k < group; k += single_ROWS) {
          single_fill(format, w + k * row_bytes, row_bytes, group - k, length, panel + k * length);
        }
        // Asks for the panel to come, a share of its rows with each few tokens: decoding it would wait for memory.
        const int64_t left = rows - r - group, next = left < SINGLE_PANEL ? left : SINGLE_PANEL;
        for (int64_t t = 0, asked = 0; t < count; t += SINGLE_TOKENS) {
          for (; asked * count < next * (t + SINGLE_TOKENS) && asked < next; ++asked) {
            const uint8_t *ahead = w + (group + asked) * row_bytes;
            for (int64_t b = 0; b < stored_bytes(format, length); b += 64) __builtin_prefetch(ahead + b);
          }
          const int valid = count - t < SINGLE_TOKENS ? (int)(count - t) : SINGLE_TOKENS;
          for (int k = 0; k < group; k += single_ROWS) {
            single_tile(
                fused, panel + k * length, x + t * pitch, pitch, valid, length, sums + t * SINGLE_PANEL + k,
                SINGLE_PANEL);
          }
        }
        for (int64_t t = 0; t < count; ++t) {
          memcpy(to + t * stride, sums + t * SINGLE_PANEL, (size_t)group * sizeof *sums);
        }
      }
    }
  }
}

// Eights of rows that meet a single token: as many as keep the units busy and leave the rows to come room in the cache.
TK_INLINE int single_octets(const int format) {
  const int most = is_plain(format) || block_length(format) == 256 ? 2 : 4;
  return most < SINGLE_OCTETS ? most : SINGLE_OCTETS;
}

// Few tokens, one after the other.
TK_INLINE void single_one(
    const int format, const int octets, const uint8_t *w, int64_t row_bytes, int valid, const float *x, int64_t length,
    int first, float *out) {
  float sums[8 * SINGLE_OCTETS] = {0};
  if (!first) memcpy(sums, out, (size_t)valid * sizeof *sums);
  single_few(format, octets, w, row_bytes, valid, x, length, sums);
  memcpy(out, sums, (size_t)valid * sizeof *sums);
}

TK_INLINE void single_direct(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  float x[SINGLE_SPAN] __attribute__((aligned(64)));
  for (int64_t t = 0; t < in->count; ++t) {
    for (int64_t at = 0; at < in->width; at += SINGLE_SPAN) {
      const int64_t length = in->width - at < SINGLE_SPAN ? in->width - at : SINGLE_SPAN;
      single_values(in, t, at, length, x);
      const uint8_t *w = weights + stored_bytes(format, at);
      float *to = out + t * stride;
      const int octets = single_octets(format);
      int64_t r = 0;
      for (; r + 8 * octets <= rows; r += 8 * octets) {
        single_one(format, octets, w + r * row_bytes, row_bytes, 8 * octets, x, length, at == 0, to + r);
      }
      for (; r < rows; r += 8) {
        const int valid = rows - r < 8 ? (int)(rows - r) : 8;
        single_one(format, 1, w + r * row_bytes, row_bytes, valid, x, length, at == 0, to + r);
      }
    }
  }
}

static void multiply_single(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  if (in->count > 2) {
    single_decoded(1, 1, format, weights, rows, in, out, stride);
    return;
  }
  switch (format) {
#define TK_CASE(format) \
  case format: single_direct(format, weights, rows, in, out, stride); return;
    TK_EACH_FORMAT(TK_CASE)
#undef TK_CASE
  }
}
