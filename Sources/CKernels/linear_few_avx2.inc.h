// Engine arithmetic for one token with AVX2 (linear_few.inc.h).
//
// 32 codes make a vector. Unsigned ones are multiplied as they are and what their offset adds is taken away by the
// token's sums; signed ones lend their sign to the quants (256 unsigned codes would overflow the 16 bits of a pair of
// products). The sub-blocks' scales of a super-block are integers and come in as such; all its sums are exact.

TK_INLINE __m256i few_load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

TK_INLINE __m128i few_load16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

// Whether codes are given with their sign.
TK_INLINE int few_signed(const int format) { return code_offset(format) == 128; }

TK_INLINE __m256i few_nibbles(const uint8_t *p) {
  __m128i b = few_load16(p);
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(b, 4), b), _mm256_set1_epi8(15));
}

TK_INLINE __m256i few_levels(const uint8_t *p) {
  const __m128i table = _mm_setr_epi8(
      -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), few_nibbles(p));
}

// Codes of a block of 32.
TK_INLINE __m256i few_block(const int format, const uint8_t *in) {
  switch (format) {
    case TK_Q8_0: return few_load32(in + 2);
    case TK_Q4_0: return few_nibbles(in + 2);
    case TK_Q4_1: return few_nibbles(in + 4);
    case TK_IQ4_NL: return few_levels(in + 2);
    case TK_Q5_0: return _mm256_or_si256(few_nibbles(in + 6), (__m256i)fifths_of(in + 2));
    default: return _mm256_or_si256(few_nibbles(in + 8), (__m256i)fifths_of(in + 4));  // Q5_1
  }
}

// Sums of pairs of products, 16 of 16 bits.
TK_INLINE __m256i few_pairs(const int format, __m256i codes, __m256i quants) {
  if (!few_signed(format)) return _mm256_maddubs_epi16(codes, quants);
  return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(quants, codes));
}

TK_INLINE float few_sum(__m256 a) {
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

// One token times `count` rows of blocks of 32.
TK_INLINE void few_rows32(
    const int format, const int count, const uint8_t *weights, int64_t row_bytes, const tk_inputs *in, int64_t token,
    float *out) {
  const int64_t width = in->width;
  const int8_t *quants = in->quants + token * width;
  const float *scales = in->scales + token * width / 32;
  const float *offsets = has_addend(format) ? in->offsets + token * width / 32 : NULL;
  const int bytes = block_bytes(format);
  const __m256i ones = _mm256_set1_epi16(1);
  __m256 total[FEW_ROWS];
  float add[FEW_ROWS] = {0};
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) total[r] = _mm256_setzero_ps();
  for (int64_t b = 0; b < width / 32; ++b) {
    const __m256i q = few_load32(quants + 32 * b);
    const float dy = scales[b];
    __m256i above = _mm256_setzero_si256();
    if (code_offset(format) != 0 && !few_signed(format)) {
      above = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8((char)code_offset(format)), q), ones);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) {
      const uint8_t *block = weights + r * row_bytes + b * bytes;
      few_ahead(format, block, row_bytes);
      __m256i dot = _mm256_madd_epi16(few_pairs(format, few_block(format, block), q), ones);
      if (code_offset(format) != 0 && !few_signed(format)) dot = _mm256_sub_epi32(dot, above);
      total[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(half_at(block) * dy), total[r]);
      if (has_addend(format)) add[r] = __builtin_fmaf(half_at(block + 2), offsets[b], add[r]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) out[r] = few_sum(total[r]) + add[r];
}

// Sixteen bytes as 16 bits each: those with even numbers in the low half, those with odd ones in the high half. So one
// byte shuffle gives the two scales of 32 codes.
TK_INLINE __m128i few_even_odd(__m128i bytes) {
  return _mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
}

// Scales and mins of a super-block's 16 groups of 16 elements, in that order.
TK_INLINE __m256i few_scales(const int format, const uint8_t *in, __m256i *mins) {
  switch (format) {
    case TK_Q4_K:
    case TK_Q5_K: {
      uint64_t low, high;
      six_bits(in + 4, &low, &high);
      *mins = _mm256_cvtepu8_epi16(_mm_set1_epi64x((long long)high));
      return _mm256_cvtepu8_epi16(_mm_set1_epi64x((long long)low));
    }
    case TK_Q2_K: {
      __m128i both = few_even_odd(few_load16(in)), fifteen = _mm_set1_epi8(15);
      *mins = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), fifteen));
      return _mm256_cvtepu8_epi16(_mm_and_si128(both, fifteen));
    }
    case TK_Q3_K: {
      uint32_t a = tk_load32(in + 96), b = tk_load32(in + 100), c = tk_load32(in + 104);
      __m128i s = _mm_set_epi32(
          (int)((b >> 4 & 0x0f0f0f0fu) | (c >> 2 & 0x30303030u)), (int)((a >> 4 & 0x0f0f0f0fu) | (c & 0x30303030u)),
          (int)((b & 0x0f0f0f0fu) | (c << 2 & 0x30303030u)), (int)((a & 0x0f0f0f0fu) | (c << 4 & 0x30303030u)));
      return _mm256_sub_epi16(_mm256_cvtepu8_epi16(few_even_odd(s)), _mm256_set1_epi16(32));
    }
    case TK_Q6_K: return _mm256_cvtepi8_epi16(few_even_odd(few_load16(in + 192)));
    default: {  // IQ4_XS: low nibbles in order, the upper pairs of bits in a word
      uint64_t low = tk_load32(in + 4), upper = tk_load16(in + 2), scales = 0;
      for (int s = 0; s < 8; ++s) scales |= ((low >> 4 * s & 15) | (upper >> 2 * s & 3) << 4) << 8 * s;
      return _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_set1_epi64x((long long)scales)), _mm256_set1_epi16(32));
    }
  }
}

// Codes 32 * c ... of a super-block.
TK_INLINE __m256i few_part(const int format, const uint8_t *in, const int c) {
  const __m256i fifteen = _mm256_set1_epi8(15), three = _mm256_set1_epi8(3);
  switch (format) {
    case TK_Q4_K: return _mm256_and_si256(_mm256_srli_epi16(few_load32(in + 16 + 32 * (c / 2)), c % 2 * 4), fifteen);
    case TK_Q5_K: {
      __m256i v = _mm256_and_si256(_mm256_srli_epi16(few_load32(in + 48 + 32 * (c / 2)), c % 2 * 4), fifteen);
      __m256i bit = _mm256_and_si256(_mm256_srli_epi16(few_load32(in + 16), c), _mm256_set1_epi8(1));
      return _mm256_or_si256(v, _mm256_slli_epi16(bit, 4));
    }
    case TK_Q2_K: return _mm256_and_si256(_mm256_srli_epi16(few_load32(in + 16 + 32 * (c / 4)), c % 4 * 2), three);
    case TK_Q3_K: {
      __m256i v = _mm256_and_si256(_mm256_srli_epi16(few_load32(in + 32 + 32 * (c / 4)), c % 4 * 2), three);
      __m256i bit = _mm256_and_si256(_mm256_srli_epi16(few_load32(in), c), _mm256_set1_epi8(1));
      return _mm256_or_si256(v, _mm256_slli_epi16(bit, 2));
    }
    case TK_Q6_K: {
      __m256i low = few_load32(in + 64 * (c / 4) + 32 * (c % 2)), high = few_load32(in + 128 + 32 * (c / 4));
      low = _mm256_and_si256(_mm256_srli_epi16(low, c % 4 / 2 * 4), fifteen);
      return _mm256_or_si256(low, _mm256_slli_epi16(_mm256_and_si256(_mm256_srli_epi16(high, c % 4 * 2), three), 4));
    }
    default: return few_levels(in + 8 + 16 * c);  // IQ4_XS
  }
}

// Where the super-block's scales stand, as halves: that of the codes and that of the mins.
TK_INLINE void few_super(const int format, const uint8_t *in, float *d, float *dmin) {
  switch (format) {
    case TK_Q4_K:
    case TK_Q5_K:
      *d = half_at(in);
      *dmin = half_at(in + 2);
      return;
    case TK_Q2_K:
      *d = half_at(in + 80);
      *dmin = half_at(in + 82);
      return;
    case TK_Q3_K: *d = half_at(in + 108); return;
    case TK_Q6_K: *d = half_at(in + 208); return;
    default: *d = half_at(in); return;  // IQ4_XS
  }
}

// The sums of a super-block's groups of 16 quants, as 16 bits, ordered as few_scales gives them.
TK_INLINE __m256i few_sums(const int32_t *sums) {
  const __m256i order = _mm256_setr_epi8(
      0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  __m256i both = _mm256_packs_epi32(few_load32(sums), few_load32(sums + 8));
  return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(_mm256_permute4x64_epi64(both, 0xd8), order), 0xd8);
}

// One token times `count` rows of super-blocks.
TK_INLINE void few_rows256(
    const int format, const int count, const uint8_t *weights, int64_t row_bytes, const tk_inputs *in, int64_t token,
    float *out) {
  const int64_t width = in->width;
  const int8_t *quants = in->quants + token * width;
  const float *scales = in->scales + token * width / 256;
  const int32_t *sums = in->sums + token * width / 16;
  const int bytes = block_bytes(format);
  __m256 total[FEW_ROWS];
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) total[r] = _mm256_setzero_ps();
  for (int64_t b = 0; b < width / 256; ++b) {
    const int8_t *q = quants + 256 * b;
    const __m256i group = few_sums(sums + 16 * b);
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) {
      const uint8_t *block = weights + r * row_bytes + b * bytes;
      for (int i = 0; i < bytes; i += 64) few_ahead(format, block + i, row_bytes);
      float d, dmin = 0;
      few_super(format, block, &d, &dmin);
      __m256i mins = _mm256_setzero_si256(), scale = few_scales(format, block, &mins), dot = _mm256_setzero_si256();
#pragma clang loop unroll(full)
      for (int c = 0; c < 8; ++c) {
        __m256i pairs = few_pairs(format, few_part(format, block, c), few_load32(q + 32 * c));
        __m256i factor = _mm256_shuffle_epi8(scale, _mm256_set1_epi16((short)(2 * c | (2 * c + 1) << 8)));
        dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, factor));
      }
      if (code_offset(format) != 0 && !few_signed(format)) {
        __m256i above = _mm256_madd_epi16(scale, group);
        dot = _mm256_sub_epi32(dot, _mm256_mullo_epi32(above, _mm256_set1_epi32(code_offset(format))));
      }
      total[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(d * scales[b]), total[r]);
      if (has_addend(format)) {
        __m256 add = _mm256_cvtepi32_ps(_mm256_madd_epi16(mins, group));
        total[r] = _mm256_fnmadd_ps(add, _mm256_set1_ps(dmin * scales[b]), total[r]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) out[r] = few_sum(total[r]);
}
