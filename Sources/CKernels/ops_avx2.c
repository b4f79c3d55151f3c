// The operations for processors with AVX2 and FMA.
#if defined(__x86_64__)
#pragma clang diagnostic ignored "-Wpsabi"
#include <immintrin.h>
#define TO_WIDE 1
#define TO_WIDE_D 1
#define TO_FMA 1
#define TO_TABLE to_ops_avx2
#define TO_ISA_NAME "avx2"
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "ops.inc.h"
#pragma clang attribute pop
#endif
