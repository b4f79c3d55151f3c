// Chooses the table of operations at run time.
#include "ckernels.h"
#include "cops.h"

#include <stdlib.h>
#include <string.h>

// The table that runs on every processor of this architecture.
#if defined(__aarch64__)
extern const to_ops to_ops_neon;
static const to_ops *const base = &to_ops_neon;
#else
extern const to_ops to_ops_scalar;
static const to_ops *const base = &to_ops_scalar;
#endif
#if defined(__x86_64__)
extern const to_ops to_ops_avx2, to_ops_avx512;
#endif

int64_t to_attention_scratch(int64_t rows, int64_t value_stride) {
  // What attention_wide needs, in doubles; the other needs less.
  return 2 * (rows + (rows + 15) / 16 * 16 + 4 * TO_KEY_BLOCK + rows * value_stride);
}

const to_ops *to_named(const char *isa) {
  // "scalar" is the slowest table that there is, whatever its name.
  if (strcmp(isa, "scalar") == 0 || strcmp(isa, base->isa) == 0) return base;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (strcmp(isa, "avx2") == 0) return avx2 ? &to_ops_avx2 : NULL;
  if (strcmp(isa, "avx512") == 0) {
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx512 ? &to_ops_avx512 : NULL;
  }
#endif
  return NULL;
}

const to_ops *to_select(void) {
  const tk_kernels *kernels = tk_select();
  if (kernels == NULL) return NULL;
  const char *wanted = getenv("TINCTURE_ISA");
  if (wanted == NULL || wanted[0] == 0) {
    const char *best[] = {"avx512", "avx2", "neon"};
    for (int i = 0; i < 3; ++i) {
      const to_ops *ops = to_named(best[i]);
      if (ops != NULL) return ops;
    }
  }
  const to_ops *ops = to_named(kernels->isa);
  return ops != NULL ? ops : base;
}
