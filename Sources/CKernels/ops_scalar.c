// The operations for the instruction set the compiler assumes: SSE2 on x86-64, NEON on AArch64.
#pragma clang diagnostic ignored "-Wpsabi"
#define TO_WIDE 1
#define TO_WIDE_D 1
#define TO_TABLE to_ops_scalar
#define TO_ISA_NAME "scalar"
#include "ops.inc.h"
