// Engine arithmetic: integer products of blocks.

#if defined(TK_LINEAR_AVX2) || defined(TK_LINEAR_DOTPROD)
#include "linear_panel.inc.h"
// Tokens from which unpacking a panel pays.
#define TK_PANEL_FROM 4
#else
#define TK_PANEL_FROM INT64_MAX
#define panel_blocks engine_blocks
#endif

TK_INLINE void engine_blocks(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int sub = sub_length(format), offset = code_offset(format);
  const int64_t row_bytes = stored_bytes(format, in->width), width = in->width;
  const int64_t group = block_length(format) == 256 ? 16 : 32, per_scale = block_length(format);
  uint8_t codes[TK_SEGMENT];
  float scale[TK_SEGMENT / 16], add[TK_SEGMENT / 16];
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t at = 0; at < width; at += TK_SEGMENT) {
      const int64_t length = width - at < TK_SEGMENT ? width - at : TK_SEGMENT;
      unpack(format, weights + r * row_bytes + stored_bytes(format, at), (int)length, codes, scale, add);
      for (int64_t t = 0; t < in->count; ++t) {
        const int8_t *q = in->quants + t * width + at;
        float total = 0;
        for (int64_t i = 0; i < length; i += sub) {
          int32_t sum = 0;
          for (int k = 0; k < sub; ++k) sum += (int32_t)codes[i + k] * (int32_t)q[i + k];
          const int64_t g = (t * width + at + i) / group;
          for (int k = 0; k < sub; k += (int)group) sum -= offset * in->sums[g + k / group];
          total += (scale[i / sub] * in->scales[(t * width + at + i) / per_scale]) * (float)sum;
          if (has_addend(format)) {
            for (int k = 0; k < sub; k += (int)group) total += add[i / sub] * in->offsets[g + k / group];
          }
        }
        out[t * stride + r] = at == 0 ? total : out[t * stride + r] + total;
      }
    }
  }
}

#if defined(TK_LINEAR_AVX512)
#include "linear_bf16_avx512.inc.h"
#endif
#if defined(TK_LINEAR_AVX2)
#include "linear_few.inc.h"
#else
#define few_blocks engine_blocks
#endif

#define TK_DEFINE(format) \
  static void engine_##format( \
      const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) { \
    if (in->count >= TK_PANEL_FROM) { \
      panel_blocks(format, weights, rows, in, out, stride); \
    } else { \
      few_blocks(format, weights, rows, in, out, stride); \
    } \
  }
TK_EACH_QUANT(TK_DEFINE)
#undef TK_DEFINE

static void multiply_engine(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  switch (format) {
#define TK_CASE(format) \
  case format: engine_##format(weights, rows, in, out, stride); return;
    TK_EACH_QUANT(TK_CASE)
#undef TK_CASE
#if defined(TK_LINEAR_AVX512)
    case TK_BF16:
      if (!__builtin_cpu_supports("avx512bf16")) break;
      multiply_bf16(weights, rows, in, out, stride);
      return;
#endif
    default: break;
  }
  multiply_float(format, weights, rows, in, out, stride);
}
