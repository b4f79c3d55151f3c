// Q4_K: 256 weights in 144 bytes, 4.5 bits each. x = d * scale * q - dmin * min, q 0...15.
//
// Layout (llama.cpp ggml/src/ggml-common.h, block_q4_K): d f16, dmin f16, 12 bytes with eight 6-bit scales
// and mins, 128 bytes of codes: byte 32c + i holds sub-blocks 2c (low nibble) and 2c + 1 (high) of 32
// weights. Method and edge cases: kquant.inc.h (affine search). Decoding is exact: one rounding per product
// and sum, the same order as ggml's.
#include "kquant.inc.h"

enum { q4_k_bytes = 144 };
_Static_assert(q4_k_bytes == 2 * 2 + 12 + 256 / 2, "d and dmin, scales and mins, codes");

static const float q4_k_tries[][2] = {
    {15.0f, 0.0f}, {15.25f, -0.2f}, {15.25f, 0.4f}, {15.25f, 0.0f}, {14.25f, 0.2f}, {15.25f, 0.6f},
    {15.5f, 0.4f}, {16.25f, 0.2f}, {13.0f, 0.0f}, {16.0f, 0.4f}, {14.25f, 0.0f}, {16.5f, 1.2f},
    {14.75f, 0.0f}, {14.5f, -0.4f},
};

KQ_INLINE void enc_q4_k_block(const float *x, const float *importance, int weighted, uint8_t *out) {
  const kq_affine_plan plan = {32, 15.0f, 63.0f, q4_k_tries, 14, 1, 1, weighted ? 2 : 1};
  kq_result r;
  uint8_t q[kq_length];
  kq_affine_best(x, importance, plan, weighted, &r, q);
  kq_put_half(out, r.d);
  kq_put_half(out + 2, r.dmin);
  kq_put_scales(&r, out + 4);
  for (int c = 0; c < 4; c++) {
    for (int i = 0; i < 32; i++) out[16 + 32 * c + i] = (uint8_t)(q[64 * c + i] | q[64 * c + 32 + i] << 4);
  }
}

static void enc_q4_k(const float *x, const float *importance, uint8_t *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++) {
    if (importance) {
      enc_q4_k_block(x + b * kq_length, importance + b * kq_length, 1, out + b * q4_k_bytes);
    } else {
      enc_q4_k_block(x + b * kq_length, NULL, 0, out + b * q4_k_bytes);
    }
  }
}

static void dec_q4_k(const uint8_t *in, float *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++, in += q4_k_bytes) {
    float d = kq_get_half(in), dmin = kq_get_half(in + 2);
    int scale[8], min[8];
    kq_get_scales(in + 4, scale, min);
    for (int j = 0; j < 8; j++) {
      float s = d * (float)scale[j], m = dmin * (float)min[j];
      const uint8_t *q = in + 16 + 32 * (j / 2);
      int shift = 4 * (j & 1);
      for (int i = 0; i < 32; i++) *out++ = s * (float)(q[i] >> shift & 15) - m;
    }
  }
}
