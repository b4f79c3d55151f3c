// Engine arithmetic for one token with AVX-512 (linear_few.inc.h).
//
// 64 codes make a vector; a dot instruction adds four products into each of its 16 lanes, starting from the
// offset's part. Lanes become F32, times the scales of their sub-blocks, and are summed at the end of the row.

TK_INLINE __m512i few_join(__m256i a, __m256i b) { return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1); }

TK_INLINE __m256i few_load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

TK_INLINE __m128i few_load16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }

// 0 ... 0, 4 ... 4 and so on by 16-bit lanes: shifts of the two halves of a vector, each 32 bytes.
TK_INLINE __m512i few_shift_halves(__m512i v, int low, int high) {
  __m512i count = _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
  return _mm512_srlv_epi16(v, count);
}

// Two times 16 bytes of nibbles in natural order: low ones of the first, its high ones, then the second.
TK_INLINE __m512i few_nibbles(__m128i a, __m128i b) {
  const __m512i count = _mm512_set_epi64(
      0x4000400040004, 0x4000400040004, 0, 0, 0x4000400040004, 0x4000400040004, 0, 0);
  __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
  __m512i v = _mm512_permutexvar_epi64(_mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0), _mm512_castsi256_si512(both));
  return _mm512_and_si512(_mm512_srlv_epi16(v, count), _mm512_set1_epi8(15));
}

TK_INLINE __m512i few_levels(__m512i index) {
  const __m128i table = _mm_setr_epi8(
      1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166, (char)181, (char)197, (char)217,
      (char)241);
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index);
}

// Codes of two blocks of 32.
TK_INLINE __m512i few_pair(const int format, const uint8_t *a, const uint8_t *b) {
  switch (format) {
    case TK_Q8_0:
      return _mm512_xor_si512(few_join(few_load32(a + 2), few_load32(b + 2)), _mm512_set1_epi8((char)128));
    case TK_Q4_0: return few_nibbles(few_load16(a + 2), few_load16(b + 2));
    case TK_Q4_1: return few_nibbles(few_load16(a + 4), few_load16(b + 4));
    case TK_IQ4_NL: return few_levels(few_nibbles(few_load16(a + 2), few_load16(b + 2)));
    case TK_Q5_0: {
      __mmask64 fifth = (uint64_t)tk_load32(a + 2) | (uint64_t)tk_load32(b + 2) << 32;
      __m512i v = few_nibbles(few_load16(a + 6), few_load16(b + 6));
      return _mm512_mask_add_epi8(v, fifth, v, _mm512_set1_epi8(16));
    }
    default: {  // Q5_1
      __mmask64 fifth = (uint64_t)tk_load32(a + 4) | (uint64_t)tk_load32(b + 4) << 32;
      __m512i v = few_nibbles(few_load16(a + 8), few_load16(b + 8));
      return _mm512_mask_add_epi8(v, fifth, v, _mm512_set1_epi8(16));
    }
  }
}

// The halves at a and b, each in eight lanes.
TK_INLINE __m512 few_two_halves(const uint8_t *a, const uint8_t *b) {
  __m128i x = _mm_set1_epi16((short)tk_load16(a)), y = _mm_set1_epi16((short)tk_load16(b));
  return _mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(x), y, 1));
}

TK_INLINE __m512 few_two_floats(float a, float b) {
  return _mm512_insertf32x8(_mm512_set1_ps(a), _mm256_set1_ps(b), 1);
}

// What the codes' offset takes away: -offset * the sum of each four quants.
TK_INLINE __m512i few_start(const int format, __m512i quants) {
  if (code_offset(format) == 0) return _mm512_setzero_si512();
  __m512i sums = _mm512_dpbusd_epi32(
      _mm512_setzero_si512(), _mm512_set1_epi8((char)code_offset(format)), quants);
  return _mm512_sub_epi32(_mm512_setzero_si512(), sums);
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
  __m512 total[FEW_ROWS];
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) total[r] = _mm512_setzero_ps();
  int64_t i = 0;
  for (; i + 64 <= width; i += 64) {
    const __m512i q = _mm512_loadu_si512(quants + i), start = few_start(format, q);
    const __m512 dy = few_two_floats(scales[i / 32], scales[i / 32 + 1]);
    __m512 off;
    if (has_addend(format)) {
      off = _mm512_maskz_mov_ps(0x0101, few_two_floats(offsets[i / 32], offsets[i / 32 + 1]));
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) {
      const uint8_t *a = weights + r * row_bytes + i / 32 * bytes, *b = a + bytes;
      few_ahead(format, a, row_bytes);
      if (2 * bytes > 64) few_ahead(format, b, row_bytes);
      __m512i dot = _mm512_dpbusd_epi32(start, few_pair(format, a, b), q);
      __m512 factor = _mm512_mul_ps(few_two_halves(a, b), dy);
      total[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), factor, total[r]);
      if (has_addend(format)) total[r] = _mm512_fmadd_ps(few_two_halves(a + 2, b + 2), off, total[r]);
    }
  }
  if (i < width) {
    // One block left: the second half counts for nothing.
    const __m512i q = _mm512_zextsi256_si512(few_load32((const uint8_t *)quants + i)), start = few_start(format, q);
    const __m512 dy = _mm512_maskz_mov_ps(0x00ff, _mm512_set1_ps(scales[i / 32]));
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) {
      const uint8_t *a = weights + r * row_bytes + i / 32 * bytes;
      __m512i dot = _mm512_dpbusd_epi32(start, few_pair(format, a, a), q);
      __m512 d = _mm512_maskz_mov_ps(0x00ff, few_two_halves(a, a));
      total[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(d, dy), total[r]);
      if (has_addend(format)) {
        __m512 off = _mm512_maskz_mov_ps(1, _mm512_set1_ps(offsets[i / 32]));
        total[r] = _mm512_fmadd_ps(_mm512_maskz_mov_ps(1, few_two_halves(a + 2, a + 2)), off, total[r]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) out[r] = _mm512_reduce_add_ps(total[r]);
}

// Scales and addends of a super-block, one lane for each sub-block.
TK_INLINE __m512 few_scales(const int format, const uint8_t *in, __m512 *add) {
  switch (format) {
    case TK_Q4_K:
    case TK_Q5_K: {
      uint64_t scales, mins;
      six_bits(in + 4, &scales, &mins);
      __m256 d = _mm256_set1_ps(half_at(in)), dmin = _mm256_set1_ps(-half_at(in + 2));
      __m256 s = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)scales)));
      __m256 m = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)mins)));
      *add = _mm512_zextps256_ps512(_mm256_mul_ps(dmin, m));
      return _mm512_castps256_ps512(_mm256_mul_ps(d, s));
    }
    case TK_Q2_K: {
      __m512i both = _mm512_cvtepu8_epi32(few_load16(in));
      *add = _mm512_mul_ps(
          _mm512_set1_ps(-half_at(in + 82)), _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)));
      return _mm512_mul_ps(
          _mm512_set1_ps(half_at(in + 80)), _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15))));
    }
    case TK_Q3_K: {
      uint32_t a = tk_load32(in + 96), b = tk_load32(in + 100), c = tk_load32(in + 104);
      __m128i s = _mm_set_epi32(
          (int)((b >> 4 & 0x0f0f0f0fu) | (c >> 2 & 0x30303030u)), (int)((a >> 4 & 0x0f0f0f0fu) | (c & 0x30303030u)),
          (int)((b & 0x0f0f0f0fu) | (c << 2 & 0x30303030u)), (int)((a & 0x0f0f0f0fu) | (c << 4 & 0x30303030u)));
      __m512i wide = _mm512_sub_epi32(_mm512_cvtepu8_epi32(s), _mm512_set1_epi32(32));
      return _mm512_mul_ps(_mm512_set1_ps(half_at(in + 108)), _mm512_cvtepi32_ps(wide));
    }
    case TK_Q6_K:
      return _mm512_mul_ps(
          _mm512_set1_ps(half_at(in + 208)), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(few_load16(in + 192))));
    default: {  // IQ4_XS: low nibbles in order, the upper pairs of bits in a word
      uint64_t low = tk_load32(in + 4), high = tk_load16(in + 2);
      low = _pdep_u64(low, 0x0f0f0f0f0f0f0f0full) | _pdep_u64(high, 0x3030303030303030ull);
      __m256i s = _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)low)), _mm256_set1_epi32(32));
      return _mm512_castps256_ps512(_mm256_mul_ps(_mm256_set1_ps(half_at(in)), _mm256_cvtepi32_ps(s)));
    }
  }
}

// Codes 64 * part ... of a super-block.
TK_INLINE __m512i few_part(const int format, const uint8_t *in, const int part) {
  const __m512i fifteen = _mm512_set1_epi8(15), three = _mm512_set1_epi8(3);
  switch (format) {
    case TK_Q4_K: {
      __m512i v = _mm512_broadcast_i64x4(few_load32(in + 16 + 32 * part));
      return _mm512_and_si512(few_shift_halves(v, 0, 4), fifteen);
    }
    case TK_Q5_K: {
      __m512i v = _mm512_broadcast_i64x4(few_load32(in + 48 + 32 * part));
      __m512i high = _mm512_broadcast_i64x4(few_load32(in + 16));
      __m512i bit = _mm512_inserti64x4(
          _mm512_set1_epi8((char)(1 << 2 * part)), _mm256_set1_epi8((char)(2 << 2 * part)), 1);
      v = _mm512_and_si512(few_shift_halves(v, 0, 4), fifteen);
      return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(high, bit), v, _mm512_set1_epi8(16));
    }
    case TK_Q2_K: {
      __m512i v = _mm512_broadcast_i64x4(few_load32(in + 16 + 32 * (part / 2)));
      return _mm512_and_si512(few_shift_halves(v, part % 2 * 4, part % 2 * 4 + 2), three);
    }
    case TK_Q3_K: {
      __m512i v = _mm512_broadcast_i64x4(few_load32(in + 32 + 32 * (part / 2)));
      __m512i high = _mm512_broadcast_i64x4(few_load32(in));
      __m512i bit = _mm512_inserti64x4(
          _mm512_set1_epi8((char)(1 << 2 * part)), _mm256_set1_epi8((char)(2 << 2 * part)), 1);
      v = _mm512_and_si512(few_shift_halves(v, part % 2 * 4, part % 2 * 4 + 2), three);
      return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(high, bit), v, _mm512_set1_epi8(4));
    }
    case TK_Q6_K: {
      __m512i low = _mm512_loadu_si512(in + 64 * (part / 2));
      __m512i high = _mm512_broadcast_i64x4(few_load32(in + 128 + 32 * (part / 2)));
      low = _mm512_and_si512(part % 2 ? _mm512_srli_epi16(low, 4) : low, fifteen);
      high = _mm512_and_si512(few_shift_halves(high, part % 2 * 4, part % 2 * 4 + 2), three);
      return _mm512_or_si512(low, _mm512_slli_epi16(high, 4));
    }
    default:  // IQ4_XS
      return few_levels(few_nibbles(few_load16(in + 8 + 32 * part), few_load16(in + 24 + 32 * part)));
  }
}

// One token times `count` rows of super-blocks.
TK_INLINE void few_rows256(
    const int format, const int count, const uint8_t *weights, int64_t row_bytes, const tk_inputs *in, int64_t token,
    float *out) {
  const int64_t width = in->width;
  const int8_t *quants = in->quants + token * width;
  const float *scales = in->scales + token * width / 256;
  const float *offsets = has_addend(format) ? in->offsets + token * width / 16 : NULL;
  const int bytes = block_bytes(format), by16 = sub_length(format) == 16;
  const __m512i even = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i lanes16 = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  const __m512i lanes32 = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  __m512 total[FEW_ROWS];
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) total[r] = _mm512_setzero_ps();
  for (int64_t b = 0; b < width / 256; ++b) {
    __m512i q[4], start[4];
#pragma clang loop unroll(full)
    for (int p = 0; p < 4; ++p) {
      q[p] = _mm512_loadu_si512(quants + 256 * b + 64 * p);
      start[p] = few_start(format, q[p]);
    }
    const __m512 dy = _mm512_set1_ps(scales[b]);
    __m512 off;
    if (has_addend(format)) {
      off = _mm512_loadu_ps(offsets + 16 * b);
      if (!by16) {
        __m512 odd = _mm512_permutexvar_ps(_mm512_add_epi32(even, _mm512_set1_epi32(1)), off);
        off = _mm512_maskz_add_ps(0x00ff, _mm512_permutexvar_ps(even, off), odd);
      }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < count; ++r) {
      const uint8_t *block = weights + r * row_bytes + b * bytes;
      for (int i = 0; i < bytes; i += 64) few_ahead(format, block + i, row_bytes);
      __m512 add, scale = few_scales(format, block, &add), sum = _mm512_setzero_ps();
#pragma clang loop unroll(full)
      for (int p = 0; p < 4; ++p) {
        __m512i dot = _mm512_dpbusd_epi32(start[p], few_part(format, block, p), q[p]);
        __m512i lanes = by16 ? _mm512_add_epi32(lanes16, _mm512_set1_epi32(4 * p))
                             : _mm512_add_epi32(lanes32, _mm512_set1_epi32(2 * p));
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_permutexvar_ps(lanes, scale), sum);
      }
      total[r] = _mm512_fmadd_ps(sum, dy, total[r]);
      if (has_addend(format)) total[r] = _mm512_fmadd_ps(add, off, total[r]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < count; ++r) out[r] = _mm512_reduce_add_ps(total[r]);
}
