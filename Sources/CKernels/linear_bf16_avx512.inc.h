// Engine arithmetic of BF16 weights with AVX512_BF16: pairs of products of rounded activations, summed as F32.
//
// Weights are read in place. Lane j of 16 sums the pairs 2j, 2j + 1 of each 32 elements in order. The
// instruction takes subnormal inputs and sums as zeros.

#define TK_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")))

// BF16_AHEAD: bytes that prefetching runs ahead with a single token.
enum { BF16_ROWS = 4, BF16_TOKENS = 6, BF16_PANEL = 32, BF16_AHEAD = 4096 };

// `count` rows times `tokens` tokens, all columns; tokens from `valid` on repeat the last valid one.
static inline __attribute__((always_inline)) TK_BF16_TARGET void bf16_tile(
    const int count, const int tokens, const uint8_t *weights, int64_t row_bytes, const tk_inputs *in, int64_t token,
    int valid, float *out, int64_t stride) {
  const int64_t width = in->width;
  const uint16_t *x[BF16_TOKENS];
  __m512 sum[BF16_ROWS][BF16_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    x[t] = in->bf16 + (token + (t < valid ? t : valid - 1)) * width;
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) sum[r][t] = _mm512_setzero_ps();
  }
  int64_t i = 0;
  for (; i + 32 <= width; i += 32) {
    __m512i w[BF16_ROWS];
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) {
      const uint8_t *from = weights + r * row_bytes + 2 * i;
      if (tokens == 1) _mm_prefetch((const char *)from + BF16_AHEAD, _MM_HINT_T0);
      w[r] = _mm512_loadu_si512(from);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      __m512i value = _mm512_loadu_si512(x[t] + i);
#pragma clang loop unroll(full)
      for (int r = 0; r < count; ++r) sum[r][t] = _mm512_dpbf16_ps(sum[r][t], (__m512bh)w[r], (__m512bh)value);
    }
  }
  if (i < width) {
    const __mmask32 rest = (__mmask32)((1ull << (width - i)) - 1);
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) {
      __m512i w = _mm512_maskz_loadu_epi16(rest, weights + r * row_bytes + 2 * i);
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; ++t) {
        __m512i value = _mm512_maskz_loadu_epi16(rest, x[t] + i);
        sum[r][t] = _mm512_dpbf16_ps(sum[r][t], (__m512bh)w, (__m512bh)value);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    if (t >= valid) continue;
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) out[(token + t) * stride + r] = _mm512_reduce_add_ps(sum[r][t]);
  }
}

static TK_BF16_TARGET void multiply_bf16(
    const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = 2 * in->width;
  // A panel of rows stays in the cache while all tokens pass.
  for (int64_t first = 0; first < rows; first += BF16_PANEL) {
    const int64_t end = rows - first < BF16_PANEL ? rows : first + BF16_PANEL;
    for (int64_t t = 0; t < in->count;) {
      const int valid = in->count - t < BF16_TOKENS ? (int)(in->count - t) : BF16_TOKENS;
      for (int64_t r = first; r < end;) {
        // A single token takes row after row: reading the bytes in order is faster (linear_few.inc.h).
        const int four = end - r >= BF16_ROWS && valid > 1;
        const uint8_t *w = weights + r * row_bytes;
        if (valid == 1) {
          bf16_tile(1, 1, w, row_bytes, in, t, 1, out + r, stride);
        } else if (four) {
          bf16_tile(BF16_ROWS, BF16_TOKENS, w, row_bytes, in, t, valid, out + r, stride);
        } else {
          bf16_tile(1, BF16_TOKENS, w, row_bytes, in, t, valid, out + r, stride);
        }
        r += four ? BF16_ROWS : 1;
      }
      t += valid;
    }
  }
}
