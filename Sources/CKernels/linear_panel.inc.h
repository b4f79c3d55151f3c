// Engine arithmetic for many tokens: a panel of rows is unpacked once and multiplied with all tokens.
//
// A panel holds PANEL_ROWS rows of one segment. Four codes of a row make a 32-bit lane, a vector holds the same
// four columns of PANEL_LANES rows: one integer dot instruction per vector and token. The sums of a sub-block
// stay integers; its scale and the token's come in once, as F32. Codes stay unsigned where the instruction
// wants it (the offset times the token's sum is then where the integer sum starts), else they are made signed.
//
// Every row is alone in its lane: results do not depend on the other rows.

typedef uint32_t u32x4 __attribute__((ext_vector_type(4)));

#if defined(TK_LINEAR_AVX512)
enum { PANEL_LANES = 16, PANEL_VECTORS = 2, PANEL_TOKENS = 6 };
#elif defined(TK_LINEAR_AVX2)
enum { PANEL_LANES = 8, PANEL_VECTORS = 2, PANEL_TOKENS = 3 };
#else
enum { PANEL_LANES = 4, PANEL_VECTORS = 4, PANEL_TOKENS = 4 };
#endif
enum { PANEL_ROWS = PANEL_LANES * PANEL_VECTORS };

typedef int32_t panel_i __attribute__((ext_vector_type(PANEL_LANES)));
typedef float panel_f __attribute__((ext_vector_type(PANEL_LANES)));

// How codes of a format stand in a panel.
enum { CODES_UNSIGNED, CODES_WIDE };

typedef struct tk_panel {
  uint8_t codes[TK_SEGMENT / 4][PANEL_VECTORS][4 * PANEL_LANES] __attribute__((aligned(64)));
  float scale[TK_SEGMENT / 16][PANEL_VECTORS][PANEL_LANES] __attribute__((aligned(64)));
  float add[TK_SEGMENT / 16][PANEL_VECTORS][PANEL_LANES] __attribute__((aligned(64)));
} tk_panel;

// Whether codes are stored signed, without their offset.
TK_INLINE int panel_signed(int format) {
#if defined(TK_LINEAR_AVX512)
  (void)format;
  return 0;
#elif defined(TK_LINEAR_AVX2)
  return code_offset(format) == 128;
#else
  (void)format;
  return 1;
#endif
}

// Adds the products of four codes with four quants, lane by lane. `codes` are signed where panel_signed says so.
TK_INLINE panel_i dot4(panel_i sum, const uint8_t *codes, int32_t quants, const int is_signed) {
#if defined(TK_LINEAR_AVX512)
  (void)is_signed;
  return (panel_i)_mm512_dpbusd_epi32(
      (__m512i)sum, _mm512_load_si512((const void *)codes), _mm512_set1_epi32(quants));
#elif defined(TK_LINEAR_AVX2)
  // Pairs of products stay below 2^15: codes below 64 or signed bytes, quants at most 127.
  __m256i w = _mm256_load_si256((const void *)codes), q = _mm256_set1_epi32(quants);
  __m256i pairs = is_signed ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
                            : _mm256_maddubs_epi16(w, q);
  return sum + (panel_i)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(TK_LINEAR_DOTPROD)
  (void)is_signed;
  return (panel_i)vdotq_s32((int32x4_t)sum, vld1q_s8((const int8_t *)codes), vreinterpretq_s8_s32(vdupq_n_s32(quants)));
#endif
}

TK_INLINE panel_f panel_madd(panel_f a, panel_f b, panel_f sum) { return __builtin_elementwise_fma(a, b, sum); }

// Four rows of 16 bytes become four columns of four lanes.
TK_INLINE void interleave4(const uint8_t *rows, int64_t pitch, uint8_t *out, int64_t step) {
  u32x4 r[4];
  for (int k = 0; k < 4; ++k) memcpy(&r[k], rows + k * pitch, 16);
  u32x4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  u32x4 c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  u32x4 column[4] = {
      __builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
      __builtin_shufflevector(c, d, 0, 1, 4, 5), __builtin_shufflevector(c, d, 2, 3, 6, 7)};
  for (int k = 0; k < 4; ++k) memcpy(out + k * step, &column[k], 16);
}

// Unpacks up to PANEL_ROWS rows of `length` elements; missing rows become zeros.
TK_INLINE void panel_fill(
    tk_panel *panel, const int format, const uint8_t *weights, int64_t row_bytes, int rows, int length) {
  const int subs = length / sub_length(format);
  uint8_t codes[4][TK_SEGMENT] __attribute__((aligned(64)));
  float scale[TK_SEGMENT / 16], add[TK_SEGMENT / 16];
  for (int first = 0; first < PANEL_ROWS; first += 4) {
    for (int k = 0; k < 4; ++k) {
      const int row = first + k, vector = row / PANEL_LANES, lane = row % PANEL_LANES;
      if (row < rows) {
        unpack(format, weights + row * row_bytes, length, codes[k], scale, add);
        if (panel_signed(format) && code_offset(format)) {
          for (int i = 0; i < length; ++i) codes[k][i] -= (uint8_t)code_offset(format);
        }
        for (int s = 0; s < subs; ++s) panel->scale[s][vector][lane] = scale[s];
        if (has_addend(format)) {
          for (int s = 0; s < subs; ++s) panel->add[s][vector][lane] = add[s];
        }
      } else {
        memset(codes[k], 0, (size_t)length);
        for (int s = 0; s < subs; ++s) panel->scale[s][vector][lane] = panel->add[s][vector][lane] = 0;
      }
    }
    uint8_t *out = panel->codes[0][first / PANEL_LANES] + 4 * (first % PANEL_LANES);
    for (int i = 0; i < length; i += 16) {
      interleave4(codes[0] + i, TK_SEGMENT, out + i / 4 * PANEL_ROWS * 4, PANEL_ROWS * 4);
    }
  }
}

// What the tile has to know of a format; all constants.
typedef struct tk_shape {
  int sub;        // elements that share a scale
  int group;      // elements that share an entry of sums and offsets
  int per_scale;  // elements of a token that share a scale
  int add;        // whether there are addends
  int is_signed;
} tk_shape;

TK_INLINE tk_shape shape_of(int format) {
  return (tk_shape){
      sub_length(format), block_length(format) == 256 ? 16 : 32, block_length(format), has_addend(format),
      panel_signed(format)};
}

// `tokens` rows of output from one panel. Tokens at or beyond `valid` repeat the last valid one and are not stored.
TK_INLINE void panel_tile(
    const tk_panel *panel, const tk_shape shape, int32_t offset, const int tokens, const tk_inputs *in, int64_t token,
    int valid, int64_t at, int64_t length, int rows, float *out, int64_t stride) {
  const int8_t *quants[PANEL_TOKENS];
  const float *scales[PANEL_TOKENS], *offsets[PANEL_TOKENS];
  const int32_t *sums[PANEL_TOKENS];
  panel_f total[PANEL_VECTORS][PANEL_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    const int64_t base = (token + (t < valid ? t : valid - 1)) * in->width + at;
    quants[t] = in->quants + base;
    scales[t] = in->scales + base / shape.per_scale;
    sums[t] = in->sums + base / shape.group;
    offsets[t] = in->offsets + base / shape.group;
#pragma clang loop unroll(full)
    for (int v = 0; v < PANEL_VECTORS; ++v) total[v][t] = (panel_f)(0.0f);
  }
  for (int64_t i = 0; i < length; i += shape.sub) {
    const int64_t s = i / shape.sub, b = i / shape.per_scale, g = i / shape.group;
    panel_i dot[PANEL_VECTORS][PANEL_TOKENS];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      int32_t start = 0;
      if (!shape.is_signed) {
        start = sums[t][g];
        if (shape.sub > shape.group) start += sums[t][g + 1];
        start *= -offset;
      }
#pragma clang loop unroll(full)
      for (int v = 0; v < PANEL_VECTORS; ++v) dot[v][t] = (panel_i)(start);
    }
#pragma clang loop unroll(full)
    for (int k = 0; k < shape.sub / 4; ++k) {
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; ++t) {
        int32_t four;
        memcpy(&four, quants[t] + i + 4 * k, 4);
#pragma clang loop unroll(full)
        for (int v = 0; v < PANEL_VECTORS; ++v) {
          dot[v][t] = dot4(dot[v][t], panel->codes[i / 4 + k][v], four, shape.is_signed);
        }
      }
    }
#pragma clang loop unroll(full)
    for (int v = 0; v < PANEL_VECTORS; ++v) {
      panel_f scale, add;
      memcpy(&scale, panel->scale[s][v], sizeof scale);
      if (shape.add) memcpy(&add, panel->add[s][v], sizeof add);
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; ++t) {
        panel_f factor = scale * (panel_f)(scales[t][b]);
        total[v][t] = panel_madd(__builtin_convertvector(dot[v][t], panel_f), factor, total[v][t]);
        if (shape.add) {
          float x = offsets[t][g];
          if (shape.sub > shape.group) x += offsets[t][g + 1];
          total[v][t] = panel_madd(add, (panel_f)(x), total[v][t]);
        }
      }
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    if (t >= valid) continue;
    float *to = out + (token + t) * stride;
    if (rows == PANEL_ROWS) {
#pragma clang loop unroll(full)
      for (int v = 0; v < PANEL_VECTORS; ++v) {
        panel_f now = total[v][t];
        if (at > 0) {
          panel_f before;
          memcpy(&before, to + v * PANEL_LANES, sizeof before);
          now = before + now;
        }
        memcpy(to + v * PANEL_LANES, &now, sizeof now);
      }
    } else {
      float line[PANEL_ROWS];
#pragma clang loop unroll(full)
      for (int v = 0; v < PANEL_VECTORS; ++v) memcpy(line + v * PANEL_LANES, &total[v][t], sizeof total[v][t]);
      for (int r = 0; r < rows; ++r) to[r] = at > 0 ? to[r] + line[r] : line[r];
    }
  }
}

static __attribute__((noinline)) void panel_tokens(
    const tk_panel *panel, int format, const tk_inputs *in, int64_t at, int64_t length, int rows, float *out,
    int64_t stride) {
  const int32_t offset = code_offset(format);
#define TK_TILES(name) \
  for (int64_t t = 0; t < in->count; t += PANEL_TOKENS) { \
    int valid = in->count - t < PANEL_TOKENS ? (int)(in->count - t) : PANEL_TOKENS; \
    if (valid <= 2) { \
      panel_tile(panel, shape_of(name), offset, 2, in, t, valid, at, length, rows, out, stride); \
    } else { \
      panel_tile(panel, shape_of(name), offset, PANEL_TOKENS, in, t, valid, at, length, rows, out, stride); \
    } \
  }
  // One case for each shape: the offset is a variable.
  switch (format) {
    case TK_Q4_1: case TK_Q5_1: TK_TILES(TK_Q4_1) return;
    case TK_Q4_K: case TK_Q5_K: TK_TILES(TK_Q4_K) return;
    case TK_Q2_K: TK_TILES(TK_Q2_K) return;
    case TK_Q3_K: case TK_Q6_K: TK_TILES(TK_Q6_K) return;
    case TK_IQ4_XS: TK_TILES(TK_IQ4_XS) return;
    case TK_Q8_0: case TK_IQ4_NL: TK_TILES(TK_Q8_0) return;
    default: TK_TILES(TK_Q5_0) return;
  }
#undef TK_TILES
}

TK_INLINE void panel_blocks(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  tk_panel panel;
  for (int64_t r = 0; r < rows; r += PANEL_ROWS) {
    const int group = rows - r < PANEL_ROWS ? (int)(rows - r) : PANEL_ROWS;
    for (int64_t at = 0; at < in->width; at += TK_SEGMENT) {
      const int64_t length = in->width - at < TK_SEGMENT ? in->width - at : TK_SEGMENT;
      panel_fill(
          &panel, format, weights + r * row_bytes + stored_bytes(format, at), row_bytes, group, (int)length);
      panel_tokens(&panel, format, in, at, length, group, out + r, stride);
    }
  }
}
