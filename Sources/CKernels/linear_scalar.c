// Products for the instruction set the compiler assumes on this architecture, without fused multiply-add.
#include "linear_tables.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#ifdef __aarch64__
#include <arm_neon.h>
#endif

#define TK_TABLE tk_linear_scalar
#define TK_ISA_NAME "scalar"
#include "linear.inc.h"
