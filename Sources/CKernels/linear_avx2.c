// Products for processors with AVX2, F16C and FMA.
#include "linear_tables.h"

#ifdef TK_LINEAR_X86
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#include <immintrin.h>

#define TK_AVX2 1
#define TK_LINEAR_AVX2 1
#define TK_LINEAR_FMA 1
#define TK_TABLE tk_linear_avx2
#define TK_ISA_NAME "avx2"
#pragma clang attribute push(__attribute__((target("avx2,f16c,fma"))), apply_to = function)
#include "linear.inc.h"
#pragma clang attribute pop
#endif
