// Q2_K: 256 weights in 84 bytes, 2.625 bits each. x = d * scale * q - dmin * min, q 0...3.
//
// Layout (llama.cpp ggml/src/ggml-common.h, block_q2_K): 16 bytes, one per sub-block of 16 weights (scale in
// the low nibble, min in the high one), 64 bytes of codes (half h of 128 weights: byte 32h + i holds weights
// i, i + 32, i + 64, i + 96 of the half from the low bits up), d f16, dmin f16. Method and edge cases:
// kquant.inc.h (affine search). Decoding is exact: one rounding per product and sum, the same order as
// ggml's.
#include "kquant.inc.h"

enum { q2_k_bytes = 84 };
_Static_assert(q2_k_bytes == 16 + 2 * 2 + 256 / 4, "scales and mins, d and dmin, codes");

static const float q2_k_tries[][2] = {
    {3.0f, 0.0f}, {4.0f, 0.4f}, {4.4f, 1.2f}, {3.8f, 0.0f}, {2.8f, 0.4f}, {4.0f, 0.8f}, {3.0f, -0.2f},
    {4.0f, 0.6f}, {5.2f, 0.4f}, {3.0f, 0.2f}, {3.8f, 0.2f}, {4.6f, 1.6f},
};

KQ_INLINE void enc_q2_k_block(const float *x, const float *importance, int weighted, uint8_t *out) {
  const kq_affine_plan plan = {16, 3.0f, 15.0f, q2_k_tries, 12, 1, 1, weighted ? 2 : 1};
  kq_result r;
  uint8_t q[kq_length];
  kq_affine_best(x, importance, plan, weighted, &r, q);
  for (int j = 0; j < 16; j++) {
    out[j] = (uint8_t)((int)r.scale[j] | (int)r.min[j] << 4);
  }
  for (int h = 0; h < 2; h++) {
    const uint8_t *p = q + 128 * h;
    for (int i = 0; i < 32; i++) {
      out[16 + 32 * h + i] = (uint8_t)(p[i] | p[i + 32] << 2 | p[i + 64] << 4 | p[i + 96] << 6);
    }
  }
  kq_put_half(out + 80, r.d);
  kq_put_half(out + 82, r.dmin);
}

static void enc_q2_k(const float *x, const float *importance, uint8_t *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++) {
    if (importance) {
      enc_q2_k_block(x + b * kq_length, importance + b * kq_length, 1, out + b * q2_k_bytes);
    } else {
      enc_q2_k_block(x + b * kq_length, NULL, 0, out + b * q2_k_bytes);
    }
  }
}

static void dec_q2_k(const uint8_t *in, float *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++, in += q2_k_bytes) {
    float d = kq_get_half(in + 80), dmin = kq_get_half(in + 82);
    for (int j = 0; j < 16; j++) {
      float s = d * (float)(in[j] & 15), m = dmin * (float)(in[j] >> 4);
      const uint8_t *q = in + 16 + 32 * (j / 8) + 16 * (j & 1);
      int shift = 2 * (j / 2 % 4);
      for (int i = 0; i < 16; i++) *out++ = s * (float)(q[i] >> shift & 3) - m;
    }
  }
}
