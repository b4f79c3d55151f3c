// Q6_K: 256 weights in 210 bytes, 6.5625 bits each. x = d * scale * q, scale -128...127, q -32...31.
//
// Layout (llama.cpp ggml/src/ggml-common.h, block_q6_K), of q + 32: 128 bytes of low nibbles (half h of 128
// weights: byte 64h + i holds weights i and i + 64, byte 64h + 32 + i weights i + 32 and i + 96), 64 bytes of
// upper bit pairs (byte 32h + i: weights i, i + 32, i + 64, i + 96 from the low bits up), 16 signed scales, d
// f16. Method and edge cases: kquant.inc.h (symmetric search). Decoding is exact: one rounding per product,
// the same order as ggml's.
#include "kquant.inc.h"

enum { q6_k_bytes = 210 };
_Static_assert(q6_k_bytes == 256 / 2 + 256 / 4 + 16 + 2, "nibbles, upper bits, scales, d");

static const float q6_k_inverse[] = {
    32.0f, 30.8f, 28.0f, 30.0f, 28.9f, 26.0f, 27.0f, 32.4f, 31.7f, 33.2f, 31.2f, 29.3f,
};

KQ_INLINE void enc_q6_k_block(const float *x, const float *importance, int weighted, uint8_t *out) {
  const kq_symmetric_plan plan = {16, 32.0f, 128.0f, q6_k_inverse, 12, 2, weighted ? 2 : 1};
  kq_result r;
  uint8_t q[kq_length];
  kq_symmetric_best(x, importance, plan, weighted, &r, q);
  for (int j = 0; j < 16; j++) {
    out[192 + j] = (uint8_t)(int)r.scale[j];
  }
  for (int h = 0; h < 2; h++) {
    const uint8_t *p = q + 128 * h;
    for (int i = 0; i < 32; i++) {
      out[64 * h + i] = (uint8_t)((p[i] & 15) | (p[i + 64] & 15) << 4);
      out[64 * h + 32 + i] = (uint8_t)((p[i + 32] & 15) | (p[i + 96] & 15) << 4);
      out[128 + 32 * h + i] =
          (uint8_t)(p[i] >> 4 | (p[i + 32] >> 4) << 2 | (p[i + 64] >> 4) << 4 | (p[i + 96] >> 4) << 6);
    }
  }
  kq_put_half(out + 208, r.d);
}

static void enc_q6_k(const float *x, const float *importance, uint8_t *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++) {
    if (importance) {
      enc_q6_k_block(x + b * kq_length, importance + b * kq_length, 1, out + b * q6_k_bytes);
    } else {
      enc_q6_k_block(x + b * kq_length, NULL, 0, out + b * q6_k_bytes);
    }
  }
}

static void dec_q6_k(const uint8_t *in, float *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++, in += q6_k_bytes) {
    float d = kq_get_half(in + 208);
    for (int j = 0; j < 16; j++) {
      float s = d * (float)(int8_t)in[192 + j];
      const uint8_t *low = in + 64 * (j / 8) + 32 * (j / 2 % 2) + 16 * (j & 1);
      const uint8_t *high = in + 128 + 32 * (j / 8) + 16 * (j & 1);
      int shift = 4 * (j / 4 % 2), bits = 2 * (j / 2 % 4);
      for (int i = 0; i < 16; i++) {
        *out++ = s * (float)((int)((low[i] >> shift & 15) | (high[i] >> bits & 3) << 4) - 32);
      }
    }
  }
}
