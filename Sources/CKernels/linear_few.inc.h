// Engine arithmetic for few tokens, one after the other: weight bytes are read in place and never stored unpacked.
//
// few_rows32 and few_rows256 multiply `count` rows of blocks of 32 or 256 with one token.

// Most rows side by side; bytes that prefetching runs ahead.
enum { FEW_ROWS = 4, FEW_AHEAD = 4096 };

// Rows side by side, which share what depends on the token only. Where one row keeps the units busy, reading the bytes
// in order is faster: nearly twice on a Zen 3.
TK_INLINE int few_rows(const int format) { return block_length(format) == 256 || format == TK_Q8_0 ? 1 : FEW_ROWS; }

// Asks for the bytes that will be read some rows later: rows are too short for the processor to see a stream.
TK_INLINE void few_ahead(const int format, const uint8_t *p, int64_t row_bytes) {
  const int64_t rows = row_bytes * few_rows(format);
  _mm_prefetch((const char *)p + (rows < FEW_AHEAD ? FEW_AHEAD : rows), _MM_HINT_T0);
}

#if defined(TK_LINEAR_AVX512)
#include "linear_few_avx512.inc.h"
#else
#include "linear_few_avx2.inc.h"
#endif

TK_INLINE void few_some(
    const int format, const int count, const uint8_t *weights, int64_t row_bytes, const tk_inputs *in, int64_t token,
    float *out) {
  if (block_length(format) == 32) {
    few_rows32(format, count, weights, row_bytes, in, token, out);
  } else {
    few_rows256(format, count, weights, row_bytes, in, token, out);
  }
}

TK_INLINE void few_blocks(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  for (int64_t t = 0; t < in->count; ++t) {
    float *to = out + t * stride;
    int64_t r = 0;
    for (; r + few_rows(format) <= rows; r += few_rows(format)) {
      few_some(format, few_rows(format), weights + r * row_bytes, row_bytes, in, t, to + r);
    }
    for (; r < rows; ++r) few_some(format, 1, weights + r * row_bytes, row_bytes, in, t, to + r);
  }
}
