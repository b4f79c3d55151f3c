// 16-bit floats and row passes: f16 and bf16 from and to f32, finiteness, scale and add, squared error.
//
// f16: round to nearest even including subnormals; NaN becomes quiet and keeps sign and upper payload bits
// (what x86's F16C instructions do, and what the portable code below does with integers).

// Eight halves to floats. Subnormals are scaled by 2^-24 exactly.
TK_INLINE f32x8 v_f16_to_f32(u16x8 h) {
#ifdef TK_AVX2
  typedef _Float16 f16x8 __attribute__((ext_vector_type(8)));
  return __builtin_convertvector((f16x8)h, f32x8);
#else
  u32x8 w = __builtin_convertvector(h, u32x8);
  u32x8 sign = (w & (u32x8)(0x8000u)) << 16;
  u32x8 magnitude = w & (u32x8)(0x7fffu);
  u32x8 normal = (magnitude << 13) + (u32x8)((127u - 15u) << 23);
  u32x8 special = (magnitude << 13) | (u32x8)(0x7f800000u);
  special = special | (u32x8)((magnitude > (u32x8)(0x7c00u)) & (i32x8)(0x00400000));
  u32x8 tiny = (u32x8)(__builtin_convertvector((i32x8)magnitude, f32x8) * v_splat(0x1p-24f));
  i32x8 is_special = (i32x8)magnitude >= v_isplat(0x7c00);
  i32x8 is_tiny = (i32x8)magnitude < v_isplat(0x0400);
  u32x8 bits = is_tiny ? tiny : (is_special ? special : normal);
  return (f32x8)(bits | sign);
#endif
}

// Eight floats to halves.
TK_INLINE u16x8 v_f32_to_f16(f32x8 x) {
#ifdef TK_AVX2
  typedef _Float16 f16x8 __attribute__((ext_vector_type(8)));
  return (u16x8)__builtin_convertvector(x, f16x8);
#else
  u32x8 w = (u32x8)x;
  u32x8 magnitude = w & (u32x8)(0x7fffffffu);
  u32x8 sign = (w ^ magnitude) >> 16;
  // Normal halves: round the 13 dropped bits to nearest even; a carry walks into the exponent, up to
  // infinity.
  u32x8 even = (magnitude >> 13) & (u32x8)(1u);
  u32x8 normal = ((magnitude + (u32x8)(0xfffu) + even) >> 13) - (u32x8)((127u - 15u) << 10);
  i32x8 too_big = (i32x8)normal > v_isplat(0x7c00);
  normal = too_big ? (u32x8)(0x7c00u) : normal;
  // Subnormal halves: the sum with 0.5 has exactly their last bit as its own.
  u32x8 tiny = (u32x8)((f32x8)magnitude + v_splat(0.5f)) - (u32x8)(0x3f000000u);
  u32x8 nan = (u32x8)(0x7e00u) | ((magnitude >> 13) & (u32x8)(0x3ffu));
  i32x8 is_tiny = (i32x8)magnitude < v_isplat(0x38800000);
  i32x8 is_nan = (i32x8)magnitude > v_isplat(0x7f800000);
  u32x8 bits = is_nan ? nan : (is_tiny ? tiny : normal);
  return __builtin_convertvector(bits | sign, u16x8);
#endif
}

TK_INLINE float tk_f16_to_f32(uint16_t h) { return v_f16_to_f32((u16x8)(h))[0]; }

TK_INLINE uint16_t tk_f32_to_f16(float x) { return v_f32_to_f16(v_splat(x))[0]; }

// Rounds each lane to a value a half can hold, ties to even; magnitudes from 65520 on become infinite.
TK_INLINE f32x8 v_round_f16(f32x8 x) { return v_f16_to_f32(v_f32_to_f16(x)); }

static void f16_to_f32(const void *in, float *out, int64_t count) {
  const uint8_t *p = in;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    u16x8 h;
    memcpy(&h, p + 2 * i, sizeof h);
    v_store(out + i, v_f16_to_f32(h));
  }
  for (; i < count; ++i) out[i] = tk_f16_to_f32(tk_load16(p + 2 * i));
}

static void bf16_to_f32(const void *in, float *out, int64_t count) {
  const uint8_t *p = in;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    u16x8 h;
    memcpy(&h, p + 2 * i, sizeof h);
    v_store(out + i, (f32x8)(__builtin_convertvector(h, u32x8) << 16));
  }
  for (; i < count; ++i) out[i] = tk_from_bits((uint32_t)tk_load16(p + 2 * i) << 16);
}

static int64_t f32_to_f16(const float *in, void *out, int64_t count) {
  uint8_t *p = out;
  i32x8 overflow = v_isplat(0);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    f32x8 x = v_load(in + i);
    u16x8 h = v_f32_to_f16(x);
    memcpy(p + 2 * i, &h, sizeof h);
    i32x8 magnitude = (i32x8)v_abs(x);
    // 65520 is the first float that rounds to infinity.
    overflow |= (magnitude >= v_isplat(0x477ff000)) & (magnitude < v_isplat(0x7f800000));
  }
  int any = __builtin_reduce_or(overflow) != 0;
  for (; i < count; ++i) {
    uint32_t magnitude = tk_bits(in[i]) & 0x7fffffffu;
    tk_store16(p + 2 * i, tk_f32_to_f16(in[i]));
    any |= magnitude >= 0x477ff000u && magnitude < 0x7f800000u;
  }
  if (!any) return -1;
  for (i = 0; i < count; ++i) {
    uint32_t magnitude = tk_bits(in[i]) & 0x7fffffffu;
    if (magnitude >= 0x477ff000u && magnitude < 0x7f800000u) return i;
  }
  return -1;
}

TK_INLINE uint32_t tk_bf16_bits(uint32_t w) {
  if ((w & 0x7fffffffu) > 0x7f800000u) return (w >> 16) | 0x40u;
  return (w + 0x7fffu + ((w >> 16) & 1u)) >> 16;
}

static void f32_to_bf16(const float *in, void *out, int64_t count) {
  uint8_t *p = out;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    u32x8 w = (u32x8)v_load(in + i);
    u32x8 rounded = (w + (u32x8)(0x7fffu) + ((w >> 16) & (u32x8)(1u))) >> 16;
    i32x8 is_nan = (i32x8)(w & (u32x8)(0x7fffffffu)) > v_isplat(0x7f800000);
    u16x8 h = __builtin_convertvector(is_nan ? ((w >> 16) | (u32x8)(0x40u)) : rounded, u16x8);
    memcpy(p + 2 * i, &h, sizeof h);
  }
  for (; i < count; ++i) tk_store16(p + 2 * i, (uint16_t)tk_bf16_bits(tk_bits(in[i])));
}

static uint32_t max_magnitude(const float *in, int64_t count) {
  // Without their sign, floats compare as integers do; NaN is above infinity.
  i32x8 a = v_isplat(0), b = v_isplat(0);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    i32x8 x = (i32x8)v_abs(v_load(in + i)), y = (i32x8)v_abs(v_load(in + i + 8));
    a = x > a ? x : a;
    b = y > b ? y : b;
  }
  uint32_t best = (uint32_t)__builtin_reduce_max(a > b ? a : b);
  for (; i < count; ++i) {
    uint32_t magnitude = tk_bits(in[i]) & 0x7fffffffu;
    if (magnitude > best) best = magnitude;
  }
  return best;
}

static int64_t find_nonfinite(const float *in, int64_t count) {
  enum { STEP = 1024 };
  for (int64_t i = 0; i < count; i += STEP) {
    int64_t end = i + STEP < count ? i + STEP : count;
    if (max_magnitude(in + i, end - i) < 0x7f800000u) continue;
    for (int64_t j = i; j < end; ++j) {
      if ((tk_bits(in[j]) & 0x7fffffffu) >= 0x7f800000u) return j;
    }
  }
  return -1;
}

static void affine(float *values, float scale, float addend, int64_t count) {
  f32x8 s = v_splat(scale), a = v_splat(addend);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) v_store(values + i, v_load(values + i) * s + a);
  for (; i < count; ++i) {
    float product = values[i] * scale;
    values[i] = product + addend;
  }
}

// Eight running sums in double over lanes i % 8, then the tail one by one, then the lanes in order.
static double squared_error(const float *a, const float *b, const float *weight, int64_t count) {
  typedef double f64x8 __attribute__((ext_vector_type(8)));
  f64x8 sums = (f64x8)(0.0);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    f64x8 d = __builtin_convertvector(v_load(a + i), f64x8)
        - __builtin_convertvector(v_load(b + i), f64x8);
    d = d * d;
    if (weight) d = d * __builtin_convertvector(v_load(weight + i), f64x8);
    sums += d;
  }
  double total = 0;
  for (int lane = 0; lane < 8; ++lane) total += sums[lane];
  for (; i < count; ++i) {
    double d = (double)a[i] - (double)b[i];
    d = d * d;
    if (weight) d = d * (double)weight[i];
    total += d;
  }
  return total;
}
