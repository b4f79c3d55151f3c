// Q5_K: 256 weights in 176 bytes, 5.5 bits each. x = d * scale * q - dmin * min, q 0...31.
//
// Layout (llama.cpp ggml/src/ggml-common.h, block_q5_K): d f16, dmin f16, 12 bytes with eight 6-bit scales
// and mins, 32 bytes of fifth bits (bit j of byte i: weight i of sub-block j), 128 bytes of low nibbles as in
// Q4_K. Method and edge cases: kquant.inc.h (affine search). Decoding is exact: one rounding per product and
// sum, the same order as ggml's.
#include "kquant.inc.h"

enum { q5_k_bytes = 176 };
_Static_assert(q5_k_bytes == 2 * 2 + 12 + 256 / 8 + 256 / 2, "d and dmin, scales and mins, fifth bits, nibbles");

static const float q5_k_tries[][2] = {
    {31.0f, 0.0f}, {31.0f, 0.2f}, {31.25f, -0.2f}, {30.0f, 0.0f}, {29.0f, 0.0f}, {31.25f, 0.0f},
    {28.0f, 0.2f}, {30.0f, -0.2f}, {31.5f, 0.6f}, {31.5f, 0.4f}, {28.25f, 0.0f}, {29.0f, -0.2f},
    {29.0f, 0.2f}, {30.25f, -0.4f}, {32.0f, 0.2f}, {30.0f, 0.2f},
};

KQ_INLINE void enc_q5_k_block(const float *x, const float *importance, int weighted, uint8_t *out) {
  const kq_affine_plan plan = {32, 31.0f, 63.0f, q5_k_tries, 16, 1, 1, weighted ? 2 : 1};
  kq_result r;
  uint8_t q[kq_length];
  kq_affine_best(x, importance, plan, weighted, &r, q);
  kq_put_half(out, r.d);
  kq_put_half(out + 2, r.dmin);
  kq_put_scales(&r, out + 4);
  for (int i = 0; i < 32; i++) {
    int high = 0;
    for (int j = 0; j < 8; j++) high |= (q[32 * j + i] >> 4) << j;
    out[16 + i] = (uint8_t)high;
  }
  for (int c = 0; c < 4; c++) {
    for (int i = 0; i < 32; i++) {
      out[48 + 32 * c + i] = (uint8_t)((q[64 * c + i] & 15) | (q[64 * c + 32 + i] & 15) << 4);
    }
  }
}

static void enc_q5_k(const float *x, const float *importance, uint8_t *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++) {
    if (importance) {
      enc_q5_k_block(x + b * kq_length, importance + b * kq_length, 1, out + b * q5_k_bytes);
    } else {
      enc_q5_k_block(x + b * kq_length, NULL, 0, out + b * q5_k_bytes);
    }
  }
}

static void dec_q5_k(const uint8_t *in, float *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++, in += q5_k_bytes) {
    float d = kq_get_half(in), dmin = kq_get_half(in + 2);
    int scale[8], min[8];
    kq_get_scales(in + 4, scale, min);
    for (int j = 0; j < 8; j++) {
      float s = d * (float)scale[j], m = dmin * (float)min[j];
      const uint8_t *high = in + 16, *q = in + 48 + 32 * (j / 2);
      int shift = 4 * (j & 1);
      for (int i = 0; i < 32; i++) {
        *out++ = s * (float)((q[i] >> shift & 15) | (high[i] >> j & 1) << 4) - m;
      }
    }
  }
}
