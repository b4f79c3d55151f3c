// The operations for the instruction set the compiler assumes, without fused multiply-add: SSE2 on x86-64. AArch64 has
// its own (ops_neon.c), which every such processor runs.
#if !defined(__aarch64__)
#pragma clang diagnostic ignored "-Wpsabi"
#define TO_WIDE 1
#define TO_WIDE_D 1
#define TO_TABLE to_ops_scalar
#define TO_ISA_NAME "scalar"
#include "ops.inc.h"
#endif
