// The tables of products that the linear_*.c files define, and ggml's numbers of the formats.
#ifndef TINCTURE_LINEAR_TABLES_H
#define TINCTURE_LINEAR_TABLES_H

#include "clinear.h"

// Numbers of llama.cpp ggml/include/ggml.h.
enum {
  TK_F32 = 0, TK_F16 = 1, TK_Q4_0 = 2, TK_Q4_1 = 3, TK_Q5_0 = 6, TK_Q5_1 = 7, TK_Q8_0 = 8, TK_Q2_K = 10,
  TK_Q3_K = 11, TK_Q4_K = 12, TK_Q5_K = 13, TK_Q6_K = 14, TK_IQ4_NL = 20, TK_IQ4_XS = 23, TK_BF16 = 30,
};

extern const tk_linear tk_linear_scalar;

#if defined(__x86_64__)
#define TK_LINEAR_X86 1
extern const tk_linear tk_linear_avx2, tk_linear_avx512;
#elif defined(__aarch64__)
#define TK_LINEAR_NEON 1
extern const tk_linear tk_linear_neon;
#endif

#endif
