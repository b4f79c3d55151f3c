// The operations for processors with AVX-512.
#if defined(__x86_64__)
#pragma clang diagnostic ignored "-Wpsabi"
#include <immintrin.h>
#define TO_WIDE 4
#define TO_WIDE_D 4
#define TO_FMA 1
#define TO_TABLE to_ops_avx512
#define TO_ISA_NAME "avx512"
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#include "ops.inc.h"
#pragma clang attribute pop
#endif
