// Products for AArch64, where NEON and fused multiply-add always are.
#include "linear_tables.h"

#ifdef TK_LINEAR_NEON
#include "tables.h"
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#include <arm_neon.h>

#define TK_LINEAR_FMA 1
#define TK_TABLE tk_linear_neon
#define TK_ISA_NAME "neon"
#define TK_CODECS tk_kernels_scalar
#include "linear.inc.h"
#endif
