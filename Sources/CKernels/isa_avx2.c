// The kernels for processors with AVX2 and F16C. FMA is left out on purpose: it would change bytes.
#include "tables.h"

#ifdef TK_HAVE_AVX2
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#include <immintrin.h>

#define TK_AVX2 1
#define TK_TABLE tk_kernels_avx2
#define TK_ISA_NAME "avx2"
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#include "kernels.inc.h"
#pragma clang attribute pop
#endif
