// Products for processors with AVX-512 and VNNI (Ice Lake, Zen 4 and later).
#include "linear_tables.h"

#ifdef TK_LINEAR_X86
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#include <immintrin.h>

#define TK_AVX2 1
#define TK_LINEAR_AVX2 1
#define TK_LINEAR_AVX512 1
#define TK_LINEAR_FMA 1
#define TK_TABLE tk_linear_avx512
#define TK_ISA_NAME "avx512"
#pragma clang attribute push( \
    __attribute__((target("avx2,f16c,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,bmi2"))), \
    apply_to = function)
#include "linear.inc.h"
#pragma clang attribute pop
#endif
