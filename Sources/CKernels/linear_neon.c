// Products for AArch64 processors with the dot product instructions (ARMv8.2 and later).
#include "linear_tables.h"

#ifdef TK_LINEAR_NEON
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#include <arm_neon.h>

#define TK_LINEAR_FMA 1
#define TK_LINEAR_DOTPROD 1
#define TK_TABLE tk_linear_neon
#define TK_ISA_NAME "neon"
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#include "linear.inc.h"
#pragma clang attribute pop
#endif
