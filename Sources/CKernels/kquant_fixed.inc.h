// Sums of the tries of the plain search in 16-bit integers. Part of kquant.inc.h, which says how it works.
//
// A tile holds the elements of eight sub-blocks as integers Y of 15 bits (affine: Y = 32767 * y / range;
// symmetric: X = -32767 * x / largest, signed), two neighbours in each 32-bit lane. Codes come from one high
// multiplication, sums from multiply-adds of pairs: two to three times the speed of floats, and exact, so the
// bytes do not depend on the instruction set. A code may differ from the nearest one where an element lies
// within 1/256 of a code from the border of two; the sums are exact all the same, so what a try scores is
// what it would decode to. The codes that are written are always computed from the weights themselves.

typedef int16_t kq_h __attribute__((ext_vector_type(16)));
typedef uint16_t kq_uh __attribute__((ext_vector_type(16)));

enum { kq_pairs = kq_vectors / 2, kq_fixed_one = 32767 };

typedef struct kq_fixed_tile {
  kq_h y[kq_pairs];  // lane 2j + e of vector i: element 2i + e of sub-block j
} kq_fixed_tile;

// Per sub-block: sum(q), sum(q q), sum(Y q).
typedef struct kq_sums {
  kq_i q, qq, yq;
} kq_sums;

// Upper halves of unsigned products.
KQ_INLINE kq_h kq_high_unsigned(kq_h a, kq_h b) {
#ifdef TK_AVX2
  return (kq_h)_mm256_mulhi_epu16((__m256i)a, (__m256i)b);
#else
  typedef uint32_t wide __attribute__((ext_vector_type(16)));
  wide p = __builtin_convertvector((kq_uh)a, wide) * __builtin_convertvector((kq_uh)b, wide);
  return (kq_h)__builtin_convertvector(p >> 16, kq_uh);
#endif
}

// Upper halves of signed products.
KQ_INLINE kq_h kq_high_signed(kq_h a, kq_h b) {
#ifdef TK_AVX2
  return (kq_h)_mm256_mulhi_epi16((__m256i)a, (__m256i)b);
#else
  typedef int32_t wide __attribute__((ext_vector_type(16)));
  wide p = __builtin_convertvector(a, wide) * __builtin_convertvector(b, wide);
  return __builtin_convertvector(p >> 16, kq_h);
#endif
}

// sum + the two products of each pair; wraps never for the sums used here.
KQ_INLINE kq_i kq_pair_sum(kq_i sum, kq_h a, kq_h b) {
#if defined(TK_VNNI)
  return (kq_i)_mm256_dpwssd_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#elif defined(TK_AVX2)
  return sum + (kq_i)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
  kq_i a0 = ((kq_i)a << 16) >> 16, a1 = (kq_i)a >> 16, b0 = ((kq_i)b << 16) >> 16, b1 = (kq_i)b >> 16;
  return sum + (a0 * b0 + a1 * b1);
#endif
}

KQ_INLINE kq_h kq_smaller(kq_h a, kq_h b) { return a < b ? a : b; }
KQ_INLINE kq_h kq_larger(kq_h a, kq_h b) { return a > b ? a : b; }

// One 16-bit value for both elements of each lane's pair.
KQ_INLINE kq_h kq_both(kq_i v) { return (kq_h)((v & 0xffff) | (v << 16)); }

// Nearest integers of |a| < 2^22, the low 16 bits of each.
KQ_INLINE kq_i kq_low_bits(kq_v a) { return (kq_i)(a + kq_magic) & 0xffff; }

// As integers, |a| < 2^22.
KQ_INLINE kq_i kq_int(kq_v a) { return (kq_i)(a + kq_magic) - 0x4b400000; }

KQ_INLINE kq_v kq_float(kq_i a) { return __builtin_convertvector(a, kq_v); }

// The tile of n elements a sub-block.
KQ_INLINE void kq_fixed_fill(const kq_v *x, int n, kq_v unit, kq_h *out) {
  for (int i = 0; i < n; i += 2) {
    out[i / 2] = (kq_h)(kq_low_bits(x[i] * unit) | (kq_low_bits(x[i + 1] * unit) << 16));
  }
}

// Codes to multiply with and to add, from codes per full range (below 64) and the shift of the codes: q =
// clamp(round(Y * codes / 32767 + shift), low, high), with nine bits of fraction.
typedef struct kq_code {
  kq_h factor, bias;
} kq_code;

KQ_INLINE kq_code kq_unsigned_code(kq_v codes, kq_v shift) {
  kq_v factor = kq_min(codes * (0x1p25f / 32767.0f), kq_all(65535.0f));
  kq_v bias = kq_clamp(shift * 512.0f + 256.0f, -32768.0f, 32767.0f);
  return (kq_code){kq_both(kq_int(factor)), kq_both(kq_int(bias))};
}

KQ_INLINE void kq_affine_sums2(
    const kq_h *y, int n, float top, kq_code c0, kq_code c1, kq_sums *r0, kq_sums *r1) {
  const kq_h z = (kq_h)(0), highest = (kq_h)((short)top);
  kq_h q0 = z, q1 = z;
  kq_i i0 = (kq_i)z, qq0 = i0, yq0 = i0, qq1 = i0, yq1 = i0;
  for (int i = 0; i < n / 2; i++) {
    kq_h a = __builtin_elementwise_add_sat(kq_high_unsigned(y[i], c0.factor), c0.bias) >> 9;
    kq_h b = __builtin_elementwise_add_sat(kq_high_unsigned(y[i], c1.factor), c1.bias) >> 9;
    a = kq_smaller(kq_larger(a, z), highest);
    b = kq_smaller(kq_larger(b, z), highest);
    q0 += a;
    qq0 = kq_pair_sum(qq0, a, a);
    yq0 = kq_pair_sum(yq0, a, y[i]);
    q1 += b;
    qq1 = kq_pair_sum(qq1, b, b);
    yq1 = kq_pair_sum(yq1, b, y[i]);
  }
  const kq_h one = (kq_h)(1);
  *r0 = (kq_sums){kq_pair_sum(i0, q0, one), qq0, yq0};
  *r1 = (kq_sums){kq_pair_sum(i0, q1, one), qq1, yq1};
}
