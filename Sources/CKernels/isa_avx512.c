// The kernels for processors with AVX-512 (F, BW, DQ, VL, VNNI). FMA is left out on purpose: it would change bytes.
#include "tables.h"

#ifdef TK_HAVE_AVX512
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#include <immintrin.h>

#define TK_AVX2 1
#define TK_AVX512 1
#define TK_TABLE tk_kernels_avx512
#define TK_ISA_NAME "avx512"
#pragma clang attribute push(                                                                        \
    __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#include "kernels.inc.h"
#pragma clang attribute pop
#endif
