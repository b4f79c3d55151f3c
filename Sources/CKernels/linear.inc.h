// The products of one instruction set: included by each linear_*.c.
//
// TK_LINEAR_FMA is set where fused multiply-add is one instruction.

#include <string.h>

#include "vec.inc.h"
#include "convert.inc.h"
#include "linear_unpack.inc.h"
#include "linear_quantize.inc.h"
#include "linear_decode.inc.h"
#include "linear_octet.inc.h"
#include "linear_exact.inc.h"
#include "linear_single.inc.h"
#include "linear_float.inc.h"
#include "linear_engine.inc.h"

static void multiply(
    int32_t format, int engine, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out,
    int64_t stride) {
  if (engine) {
    multiply_engine(format, weights, rows, in, out, stride);
  } else {
    const tk_target target = {.narrow = out, .stride = stride};
    multiply_exact(format, weights, rows, in, &target);
  }
}

const tk_linear TK_TABLE = {
    .isa = TK_ISA_NAME,
    .quantize_q8_0 = quantize_q8_0,
    .quantize_q8_k = quantize_q8_k,
    .widen = widen,
    .round_f16 = round_f16,
    .round_bf16 = round_bf16,
    .multiply = multiply,
    .multiply_wide = multiply_wide,
    .multiply_single = multiply_single,
};
