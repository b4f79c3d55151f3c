// The operations for AArch64 processors, all of which have NEON with fused multiply-add.
#if defined(__aarch64__)
#pragma clang diagnostic ignored "-Wpsabi"
#define TO_WIDE 1
#define TO_WIDE_D 1
#define TO_FMA 1
#define TO_TABLE to_ops_neon
#define TO_ISA_NAME "neon"
#include "ops.inc.h"
#endif
