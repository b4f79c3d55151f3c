// Chooses the table of products at run time, and says which form of activations a format wants.
#include "linear_tables.h"
#include "ckernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef TK_LINEAR_X86
static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("fma");
}

static int has_avx512(void) {
  __builtin_cpu_init();
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
      && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
      && __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef TK_LINEAR_NEON
#include <sys/auxv.h>

static int has_dot_product(void) { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
#endif

const tk_linear *tk_linear_named(const char *isa) {
  if (strcmp(isa, "scalar") == 0) return &tk_linear_scalar;
#ifdef TK_LINEAR_X86
  if (strcmp(isa, "avx2") == 0 && has_avx2()) return &tk_linear_avx2;
  if (strcmp(isa, "avx512") == 0 && has_avx512()) return &tk_linear_avx512;
#endif
#ifdef TK_LINEAR_NEON
  if (strcmp(isa, "neon") == 0 && has_dot_product()) return &tk_linear_neon;
#endif
  return NULL;
}

static const tk_linear *choose(void) {
  const char *wanted = getenv("TINCTURE_ISA");
  if (wanted != NULL && wanted[0] != 0) return tk_linear_named(wanted);
#ifdef TK_LINEAR_X86
  if (has_avx512()) return &tk_linear_avx512;
  if (has_avx2()) return &tk_linear_avx2;
#endif
#ifdef TK_LINEAR_NEON
  if (has_dot_product()) return &tk_linear_neon;
#endif
  return &tk_linear_scalar;
}

const tk_linear *tk_linear_select(void) {
  static _Atomic(const tk_linear *) chosen;
  static atomic_int done;
  if (!atomic_load_explicit(&done, memory_order_acquire)) {
    atomic_store_explicit(&chosen, choose(), memory_order_relaxed);
    atomic_store_explicit(&done, 1, memory_order_release);
  }
  return atomic_load_explicit(&chosen, memory_order_relaxed);
}

tk_form tk_engine_form(int32_t format) {
  switch (format) {
    case TK_F32: return TK_FORM_F32;
    case TK_F16: return TK_FORM_F16;
    case TK_BF16: return TK_FORM_BF16;
    case TK_Q4_0: case TK_Q5_0: case TK_Q8_0: case TK_IQ4_NL: return TK_FORM_Q8_0;
    case TK_Q4_1: case TK_Q5_1: return TK_FORM_Q8_1;
    case TK_Q2_K: case TK_Q3_K: case TK_Q4_K: case TK_Q5_K: case TK_Q6_K: case TK_IQ4_XS:
      return TK_FORM_Q8_K;
    default: return TK_FORM_NONE;
  }
}
