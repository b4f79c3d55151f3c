// Sums of the tries of the plain search in 16-bit integers. Part of kquant.inc.h, which says how it works.
//
// A tile holds the elements of eight sub-blocks as integers Y of 15 bits (affine: Y = 32767 * y / range;
// symmetric: X = -32767 * x / largest, signed), two neighbours in each 32-bit lane. Codes come from one high
// multiplication, sums from multiply-adds of pairs: two to three times the speed of floats, and exact, so the
// bytes do not depend on the instruction set. A code may differ from the nearest one where an element lies
// within 1/256 of a code from the border of two; the sums are exact all the same, so what a try scores is
// what it would decode to. The codes that are written are always computed from the weights themselves.

// Two tries run side by side: wide vectors hold the first try's lanes in the lower half, the second's in the
// upper one. They are one register with AVX-512, two with AVX2.

typedef int16_t kq_h __attribute__((ext_vector_type(16)));
typedef int16_t kq_wide_h __attribute__((ext_vector_type(32)));
typedef uint16_t kq_wide_uh __attribute__((ext_vector_type(32)));
typedef float kq_wide_v __attribute__((ext_vector_type(16)));
typedef int32_t kq_wide_i __attribute__((ext_vector_type(16)));

enum { kq_pairs = kq_vectors / 2, kq_fixed_one = 32767 };

// Two tries, per sub-block: sum(q), sum(q q), sum(Y q).
typedef struct kq_sums {
  kq_wide_i q, qq, yq;
} kq_sums;

KQ_INLINE kq_wide_v kq_two(kq_v a, kq_v b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
KQ_INLINE kq_wide_i kq_two_i(kq_i a, kq_i b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
KQ_INLINE kq_wide_h kq_twice(kq_h a) { return (kq_wide_h)kq_two_i((kq_i)a, (kq_i)a); }
KQ_INLINE kq_wide_v kq_wide_all(float f) { return (kq_wide_v)(f); }
KQ_INLINE kq_wide_v kq_wide_min(kq_wide_v a, kq_wide_v b) { return a < b ? a : b; }
KQ_INLINE kq_wide_v kq_wide_max(kq_wide_v a, kq_wide_v b) { return a > b ? a : b; }
KQ_INLINE kq_wide_v kq_wide_round(kq_wide_v a) { return (a + kq_magic) - kq_magic; }

// Upper halves of unsigned products.
KQ_INLINE kq_wide_h kq_high_unsigned(kq_wide_h a, kq_wide_h b) {
#if defined(TK_AVX512)
  return (kq_wide_h)_mm512_mulhi_epu16((__m512i)a, (__m512i)b);
#elif defined(TK_AVX2)
  kq_wide_h r;
  r.lo = (kq_h)_mm256_mulhi_epu16((__m256i)a.lo, (__m256i)b.lo);
  r.hi = (kq_h)_mm256_mulhi_epu16((__m256i)a.hi, (__m256i)b.hi);
  return r;
#else
  typedef uint32_t product __attribute__((ext_vector_type(32)));
  product p = __builtin_convertvector((kq_wide_uh)a, product) * __builtin_convertvector((kq_wide_uh)b, product);
  return (kq_wide_h)__builtin_convertvector(p >> 16, kq_wide_uh);
#endif
}

// Upper halves of signed products.
KQ_INLINE kq_wide_h kq_high_signed(kq_wide_h a, kq_wide_h b) {
#if defined(TK_AVX512)
  return (kq_wide_h)_mm512_mulhi_epi16((__m512i)a, (__m512i)b);
#elif defined(TK_AVX2)
  kq_wide_h r;
  r.lo = (kq_h)_mm256_mulhi_epi16((__m256i)a.lo, (__m256i)b.lo);
  r.hi = (kq_h)_mm256_mulhi_epi16((__m256i)a.hi, (__m256i)b.hi);
  return r;
#else
  typedef int32_t product __attribute__((ext_vector_type(32)));
  product p = __builtin_convertvector(a, product) * __builtin_convertvector(b, product);
  return __builtin_convertvector(p >> 16, kq_wide_h);
#endif
}

// sum + the two products of each pair; the sums used here never overflow.
KQ_INLINE kq_wide_i kq_pair_sum(kq_wide_i sum, kq_wide_h a, kq_wide_h b) {
#if defined(TK_AVX512)
  return (kq_wide_i)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(TK_AVX2)
  kq_wide_i r;
  r.lo = (kq_i)_mm256_madd_epi16((__m256i)a.lo, (__m256i)b.lo);
  r.hi = (kq_i)_mm256_madd_epi16((__m256i)a.hi, (__m256i)b.hi);
  return sum + r;
#else
  kq_wide_i a0 = ((kq_wide_i)a << 16) >> 16, a1 = (kq_wide_i)a >> 16;
  kq_wide_i b0 = ((kq_wide_i)b << 16) >> 16, b1 = (kq_wide_i)b >> 16;
  return sum + (a0 * b0 + a1 * b1);
#endif
}

KQ_INLINE kq_wide_h kq_smaller(kq_wide_h a, kq_wide_h b) { return a < b ? a : b; }
KQ_INLINE kq_wide_h kq_larger(kq_wide_h a, kq_wide_h b) { return a > b ? a : b; }

// The nearest integers of |a| < 2^22, their low 16 bits for both elements of each lane's pair.
KQ_INLINE kq_wide_h kq_both(kq_wide_v a) {
  kq_wide_i v = (kq_wide_i)(a + kq_magic);
  return (kq_wide_h)((v & 0xffff) | (v << 16));
}

KQ_INLINE kq_wide_v kq_float(kq_wide_i a) { return __builtin_convertvector(a, kq_wide_v); }

// The integers x * unit of n elements a sub-block: lane 2j + e of vector i is element 2i + e of sub-block j.
KQ_INLINE void kq_fixed_fill(const kq_v *x, int n, kq_v unit, kq_h *out) {
  for (int i = 0; i < n; i += 2) {
    kq_i a = (kq_i)(x[i] * unit + kq_magic), b = (kq_i)(x[i + 1] * unit + kq_magic);
    out[i / 2] = (kq_h)((a & 0xffff) | (b << 16));
  }
}

// sum(Y), for both halves.
KQ_INLINE kq_wide_i kq_fixed_sum(const kq_h *y, int n) {
  kq_i sum = (kq_i)(0);
  for (int i = 0; i < n / 2; i++) sum = sum + ((((kq_i)y[i] << 16) >> 16) + ((kq_i)y[i] >> 16));
  return kq_two_i(sum, sum);
}
