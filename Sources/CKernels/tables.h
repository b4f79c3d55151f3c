// The tables of kernels that the isa_*.c files define.
#ifndef TINCTURE_TABLES_H
#define TINCTURE_TABLES_H

#include "ckernels.h"

// What every processor of this architecture runs; also the specification of all bytes.
extern const tk_kernels tk_kernels_scalar;

#if defined(__x86_64__)
#define TK_HAVE_AVX2 1
extern const tk_kernels tk_kernels_avx2;
#define TK_HAVE_AVX512 1
extern const tk_kernels tk_kernels_avx512;
#endif

#endif
