// One block of any quantized format as unsigned codes in natural order with the scale and addend of each
// sub-block: x = scale * (code - offset) + add. Layouts: the files of the formats (q4_0.inc.h ...).
//
// `format` is a constant wherever these are called, so the switches vanish.
#ifndef TINCTURE_LINEAR_UNPACK_INC_H
#define TINCTURE_LINEAR_UNPACK_INC_H

typedef uint8_t u8x16 __attribute__((ext_vector_type(16)));
typedef uint8_t u8x32 __attribute__((ext_vector_type(32)));

// Whether weights are floats and not blocks of codes.
TK_INLINE int is_plain(int format) { return format == TK_F32 || format == TK_F16 || format == TK_BF16; }

// Elements of a block.
TK_INLINE int block_length(int format) {
  switch (format) {
    case TK_Q2_K: case TK_Q3_K: case TK_Q4_K: case TK_Q5_K: case TK_Q6_K: case TK_IQ4_XS: return 256;
    default: return 32;
  }
}

// Bytes of a block.
TK_INLINE int block_bytes(int format) {
  switch (format) {
    case TK_Q8_0: return 34;
    case TK_Q4_0: case TK_IQ4_NL: return 18;
    case TK_Q4_1: return 20;
    case TK_Q5_0: return 22;
    case TK_Q5_1: return 24;
    case TK_Q2_K: return 84;
    case TK_Q3_K: return 110;
    case TK_Q4_K: return 144;
    case TK_Q5_K: return 176;
    case TK_Q6_K: return 210;
    default: return 136;  // IQ4_XS
  }
}

// Elements that share a scale.
TK_INLINE int sub_length(int format) {
  return format == TK_Q2_K || format == TK_Q3_K || format == TK_Q6_K ? 16 : 32;
}

// What codes stand above the value they mean.
TK_INLINE int code_offset(int format) {
  switch (format) {
    case TK_Q8_0: case TK_IQ4_NL: case TK_IQ4_XS: return 128;
    case TK_Q6_K: return 32;
    case TK_Q5_0: return 16;
    case TK_Q4_0: return 8;
    case TK_Q3_K: return 4;
    default: return 0;
  }
}

// Whether sub-blocks have an addend.
TK_INLINE int has_addend(int format) {
  return format == TK_Q4_1 || format == TK_Q5_1 || format == TK_Q2_K || format == TK_Q4_K || format == TK_Q5_K;
}

TK_INLINE u8x16 load16(const uint8_t *p) {
  u8x16 v;
  memcpy(&v, p, sizeof v);
  return v;
}

TK_INLINE u8x32 load32(const uint8_t *p) {
  u8x32 v;
  memcpy(&v, p, sizeof v);
  return v;
}

TK_INLINE void store32(uint8_t *p, u8x32 v) { memcpy(p, &v, sizeof v); }

// 16 bytes of nibbles: the low ones, then the high ones.
TK_INLINE u8x32 nibbles_of(u8x16 b) {
  return __builtin_shufflevector(
      b & (u8x16)(15), b >> 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
      23, 24, 25, 26, 27, 28, 29, 30, 31);
}

// 16 in lane i where bit i of the four bytes is set, else 0.
TK_INLINE u8x32 fifths_of(const uint8_t *p) {
  const u8x32 place = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                       1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint32_t word = tk_load32(p);
  typedef uint32_t u32x4 __attribute__((ext_vector_type(4)));
  u8x16 b = (u8x16)((u32x4)(word));
  u8x32 spread = __builtin_shufflevector(
      b, b, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  return (u8x32)((spread & place) == place) & (u8x32)(16);
}

// The levels of IQ4_NL, each plus 128.
TK_INLINE u8x16 levels_of(u8x16 index) {
  const u8x16 table = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
#if defined(__x86_64__) && defined(TK_LINEAR_AVX2)
  return (u8x16)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
#elif defined(__aarch64__)
  return (u8x16)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
#else
  u8x16 out;
  for (int i = 0; i < 16; ++i) out[i] = table[index[i]];
  return out;
#endif
}

TK_INLINE u8x32 level_pair(const uint8_t *p) {
  u8x16 b = load16(p);
  u8x16 low = levels_of(b & (u8x16)(15)), high = levels_of(b >> 4);
  return __builtin_shufflevector(
      low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
      26, 27, 28, 29, 30, 31);
}

TK_INLINE float half_at(const uint8_t *p) { return tk_f16_to_f32(tk_load16(p)); }

// The codes of a block of 32.
TK_INLINE u8x32 codes32(int format, const uint8_t *in) {
  switch (format) {
    case TK_Q8_0: return load32(in + 2) ^ (u8x32)(128);
    case TK_Q4_0: return nibbles_of(load16(in + 2));
    case TK_IQ4_NL: return level_pair(in + 2);
    case TK_Q5_0: return nibbles_of(load16(in + 6)) | fifths_of(in + 2);
    case TK_Q4_1: return nibbles_of(load16(in + 4));
    default: return nibbles_of(load16(in + 8)) | fifths_of(in + 4);  // Q5_1
  }
}

TK_INLINE void unpack_block32(int format, const uint8_t *in, uint8_t *codes, float *scale, float *add) {
  scale[0] = half_at(in);
  if (has_addend(format)) add[0] = half_at(in + 2);
  store32(codes, codes32(format, in));
}

// The eight 6-bit scales and mins of Q4_K and Q5_K, as bytes: scales in the low word, mins in the high one.
TK_INLINE void six_bits(const uint8_t *in, uint64_t *scales, uint64_t *mins) {
  uint32_t a = tk_load32(in), b = tk_load32(in + 4), c = tk_load32(in + 8);
  uint32_t high_scales = (c & 0x0f0f0f0fu) | ((a >> 2) & 0x30303030u);
  uint32_t high_mins = ((c >> 4) & 0x0f0f0f0fu) | ((b >> 2) & 0x30303030u);
  *scales = (uint64_t)(a & 0x3f3f3f3fu) | (uint64_t)high_scales << 32;
  *mins = (uint64_t)(b & 0x3f3f3f3fu) | (uint64_t)high_mins << 32;
}

TK_INLINE f32x8 bytes_to_floats(uint64_t bytes) {
  u8x8 v;  // a cast would repeat the lowest byte
  memcpy(&v, &bytes, sizeof v);
  return __builtin_convertvector(v, f32x8);
}

TK_INLINE void unpack_scales_k45(const uint8_t *in, float *scale, float *add) {
  uint64_t scales, mins;
  six_bits(in + 4, &scales, &mins);
  v_store(scale, v_splat(half_at(in)) * bytes_to_floats(scales));
  v_store(add, v_splat(-half_at(in + 2)) * bytes_to_floats(mins));
}

TK_INLINE void unpack_block256(int format, const uint8_t *in, uint8_t *codes, float *scale, float *add) {
  switch (format) {
    case TK_Q4_K:
      unpack_scales_k45(in, scale, add);
      for (int c = 0; c < 4; ++c) {
        u8x32 b = load32(in + 16 + 32 * c);
        store32(codes + 64 * c, b & (u8x32)(15));
        store32(codes + 64 * c + 32, b >> 4);
      }
      break;
    case TK_Q5_K: {
      unpack_scales_k45(in, scale, add);
      u8x32 high = load32(in + 16);
      for (int c = 0; c < 4; ++c) {
        u8x32 b = load32(in + 48 + 32 * c);
        store32(codes + 64 * c, (b & (u8x32)(15)) | ((high >> (uint8_t)(2 * c) & (u8x32)(1)) << 4));
        store32(codes + 64 * c + 32, b >> 4 | ((high >> (uint8_t)(2 * c + 1) & (u8x32)(1)) << 4));
      }
      break;
    }
    case TK_Q2_K: {
      f32x8 d = v_splat(half_at(in + 80)), dmin = v_splat(-half_at(in + 82));
      for (int h = 0; h < 2; ++h) {
        uint64_t both;
        memcpy(&both, in + 8 * h, 8);
        v_store(scale + 8 * h, d * bytes_to_floats(both & 0x0f0f0f0f0f0f0f0full));
        v_store(add + 8 * h, dmin * bytes_to_floats(both >> 4 & 0x0f0f0f0f0f0f0f0full));
        u8x32 b = load32(in + 16 + 32 * h);
        for (int s = 0; s < 4; ++s) store32(codes + 128 * h + 32 * s, b >> (uint8_t)(2 * s) & (u8x32)(3));
      }
      break;
    }
    case TK_Q3_K: {
      float d = half_at(in + 108);
      for (int j = 0; j < 16; ++j) {
        int s = (in[96 + j % 8] >> 4 * (j / 8) & 15) | (in[104 + j % 4] >> 2 * (j / 4) & 3) << 4;
        scale[j] = d * (float)(s - 32);
      }
      u8x32 high = load32(in);
      for (int h = 0; h < 2; ++h) {
        u8x32 b = load32(in + 32 + 32 * h);
        for (int s = 0; s < 4; ++s) {
          u8x32 top = (high >> (uint8_t)(4 * h + s) & (u8x32)(1)) << 2;
          store32(codes + 128 * h + 32 * s, (b >> (uint8_t)(2 * s) & (u8x32)(3)) | top);
        }
      }
      break;
    }
    case TK_Q6_K: {
      float d = half_at(in + 208);
      for (int j = 0; j < 16; ++j) scale[j] = d * (float)(int8_t)in[192 + j];
      for (int h = 0; h < 2; ++h) {
        u8x32 a = load32(in + 64 * h), b = load32(in + 64 * h + 32), top = load32(in + 128 + 32 * h);
        u8x32 low = (u8x32)(15), two = (u8x32)(3);
        store32(codes + 128 * h, (a & low) | (top & two) << 4);
        store32(codes + 128 * h + 32, (b & low) | (top >> 2 & two) << 4);
        store32(codes + 128 * h + 64, a >> 4 | (top >> 4 & two) << 4);
        store32(codes + 128 * h + 96, b >> 4 | (top >> 6) << 4);
      }
      break;
    }
    default: {  // IQ4_XS
      float d = half_at(in);
      uint32_t upper = tk_load16(in + 2);
      for (int s = 0; s < 8; ++s) {
        int lower = in[4 + s / 2] >> (4 * (s % 2)) & 15;
        scale[s] = d * (float)((lower | (int)(upper >> (2 * s) & 3) << 4) - 32);
        store32(codes + 32 * s, level_pair(in + 8 + 16 * s));
      }
      break;
    }
  }
}

// `length` elements, a multiple of the block's, from the blocks at `in`.
TK_INLINE void unpack(int format, const uint8_t *in, int length, uint8_t *codes, float *scale, float *add) {
  const int block = block_length(format), subs = block / sub_length(format);
  for (int i = 0; i < length; i += block) {
    if (block == 32) {
      unpack_block32(format, in, codes + i, scale, add);
    } else {
      unpack_block256(format, in, codes + i, scale, add);
    }
    in += block_bytes(format);
    scale += subs;
    add += subs;
  }
}

#endif
