// Chooses the table of kernels at run time.
#include "clinear.h"
#include "tables.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef TK_HAVE_AVX2
static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")
      && __builtin_cpu_supports("fma");
}
#endif

#ifdef TK_HAVE_AVX512
static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
      && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
      && __builtin_cpu_supports("avx512vnni");
}
#endif

const tk_kernels *tk_named(const char *isa) {
  if (strcmp(isa, "scalar") == 0) return &tk_kernels_scalar;
#ifdef TK_HAVE_AVX2
  if (strcmp(isa, "avx2") == 0 && has_avx2()) return &tk_kernels_avx2;
#endif
#ifdef TK_HAVE_AVX512
  if (strcmp(isa, "avx512") == 0 && has_avx512()) return &tk_kernels_avx512;
#endif
#ifdef __aarch64__
  // The compiler's baseline is NEON already.
  if (strcmp(isa, "neon") == 0 && tk_linear_named(isa) != NULL) return &tk_kernels_scalar;
#endif
  return NULL;
}

static const tk_kernels *choose(void) {
  const char *wanted = getenv("TINCTURE_ISA");
  if (wanted != NULL && wanted[0] != 0) return tk_named(wanted);
#ifdef TK_HAVE_AVX512
  if (has_avx512()) return &tk_kernels_avx512;
#endif
#ifdef TK_HAVE_AVX2
  if (has_avx2()) return &tk_kernels_avx2;
#endif
  return &tk_kernels_scalar;
}

const tk_kernels *tk_select(void) {
  // Any thread that gets here first computes the same answer; a second computation does no harm.
  static _Atomic(const tk_kernels *) chosen;
  static atomic_int done;
  if (!atomic_load_explicit(&done, memory_order_acquire)) {
    atomic_store_explicit(&chosen, choose(), memory_order_relaxed);
    atomic_store_explicit(&done, 1, memory_order_release);
  }
  return atomic_load_explicit(&chosen, memory_order_relaxed);
}
