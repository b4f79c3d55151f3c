// Q3_K: 256 weights in 110 bytes, 3.4375 bits each. x = d * scale * q, scale -32...31, q -4...3.
//
// Layout (llama.cpp ggml/src/ggml-common.h, block_q3_K): 32 bytes of high bits (bit b of byte i: weight 32b +
// i; set means q >= 0), 64 bytes of low bits (as Q2_K's codes, of q + 4), 12 bytes with sixteen 6-bit scales,
// each plus 32 (low nibbles in bytes 0...7, scale j and j + 8 sharing one; the upper two bits of scales j, j
// + 4, j + 8, j + 12 in byte 8 + j), d f16. Method and edge cases: kquant.inc.h (symmetric search). Decoding
// is exact: one rounding per product, the same order as ggml's.
#include "kquant.inc.h"

enum { q3_k_bytes = 110 };
_Static_assert(q3_k_bytes == 256 / 8 + 256 / 4 + 12 + 2, "upper bits, lower bits, scales, d");

static const float q3_k_inverse[] = {
    4.0f, 4.7f, 2.8f, 7.4f, -5.1f, 4.3f, 3.7f, 5.2f, -4.1f, 2.4f, 3.2f, 6.1f,
};

KQ_INLINE void enc_q3_k_block(const float *x, const float *importance, int weighted, uint8_t *out) {
  const kq_symmetric_plan plan = {16, 4.0f, 32.0f, q3_k_inverse, 12, 1, weighted ? 2 : 1};
  kq_result r;
  uint8_t q[kq_length];
  kq_symmetric_best(x, importance, plan, weighted, &r, q);
  memset(out, 0, q3_k_bytes);
  for (int j = 0; j < 16; j++) {
    int s = (int)r.scale[j] + 32;
    out[96 + j % 8] |= (uint8_t)((s & 15) << 4 * (j / 8));
    out[104 + j % 4] |= (uint8_t)((s >> 4) << 2 * (j / 4));
  }
  for (int i = 0; i < 32; i++) {
    int high = 0;
    for (int b = 0; b < 8; b++) high |= (q[32 * b + i] >> 2) << b;
    out[i] = (uint8_t)high;
  }
  for (int h = 0; h < 2; h++) {
    const uint8_t *p = q + 128 * h;
    for (int i = 0; i < 32; i++) {
      out[32 + 32 * h + i] =
          (uint8_t)((p[i] & 3) | (p[i + 32] & 3) << 2 | (p[i + 64] & 3) << 4 | (p[i + 96] & 3) << 6);
    }
  }
  kq_put_half(out + 108, r.d);
}

static void enc_q3_k(const float *x, const float *importance, uint8_t *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++) {
    if (importance) {
      enc_q3_k_block(x + b * kq_length, importance + b * kq_length, 1, out + b * q3_k_bytes);
    } else {
      enc_q3_k_block(x + b * kq_length, NULL, 0, out + b * q3_k_bytes);
    }
  }
}

static void dec_q3_k(const uint8_t *in, float *out, int64_t n) {
  for (int64_t b = 0; b < n / kq_length; b++, in += q3_k_bytes) {
    float d = kq_get_half(in + 108);
    for (int j = 0; j < 16; j++) {
      int scale = (in[96 + j % 8] >> 4 * (j / 8) & 15) | (in[104 + j % 4] >> 2 * (j / 4) & 3) << 4;
      float s = d * (float)(scale - 32);
      const uint8_t *high = in + 16 * (j & 1), *q = in + 32 + 32 * (j / 8) + 16 * (j & 1);
      int shift = 2 * (j / 2 % 4), bit = j / 2;
      for (int i = 0; i < 16; i++) {
        *out++ = s * (float)((int)((q[i] >> shift & 3) | (high[i] >> bit & 1) << 2) - 4);
      }
    }
  }
}
