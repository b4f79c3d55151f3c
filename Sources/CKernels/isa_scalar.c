// The kernels for the instruction set the compiler assumes: SSE2 on x86-64, NEON on aarch64.
//
// Also the specification of all bytes: the other tables are the same source with faster instructions.
#include "tables.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"

#define TK_TABLE tk_kernels_scalar
#define TK_ISA_NAME "scalar"
#include "kernels.inc.h"
