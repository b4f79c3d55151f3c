// Products of stored weight rows with activations, instruction set chosen at run time.
//
// out[t * stride + r] = sum over i of weight[r][i] * activation[t][i], for every row r and token t. Each
// product stands alone: it depends on its row, its token and the instruction set, on nothing else, so results
// are the same for any number of threads and any split of the rows.
//
// Two arithmetics:
// - exact: weights decoded to F32, activations of at most 29 bits (floats are), their products (which double holds
//   exactly) and the sums in double. The row is cut into segments of 512 elements; within a segment the products are
//   added in the order of the elements, beginning with 0, and the segments one after the other, beginning with 0. The
//   same for one token as for many, and to the bit in every table. An output head (multiply_single) takes activations
//   rounded to F32 and adds in F32, always fused, in segments of 256; to the bit in every table too.
// - engine: what llama.cpp's CPU backend computes. Activations are rounded to the form the weight's format
//   asks for (tk_linear.quantize_*), blocks are multiplied as integers, exactly, and the blocks' sums, each
//   times its scales, are added as F32; weights that are plain floats are multiplied and added as F32. F32 sums are
//   ordered as suits the instruction set: tables agree within 2^-20 of the sum of the blocks' magnitudes.
//
// Nothing allocates. Weight bytes need no alignment; any bytes are accepted (bad scales give NaN or infinity).
#ifndef TINCTURE_CLINEAR_H
#define TINCTURE_CLINEAR_H

#include <stddef.h>
#include <stdint.h>

// Elements of a segment of the exact sum, of an output head's, and of those of engine arithmetic.
enum { TK_EXACT_SEGMENT = 512, TK_SINGLE_SEGMENT = 256, TK_SEGMENT = 1024 };

// Doubles from one token's row of `wide` to the next; what is beyond the width is zero.
static inline int64_t tk_wide_pitch(int64_t width) { return (width + 7) / 8 * 8; }

// Activations of `count` tokens, each `width` elements. Which arrays are read depends on format and
// arithmetic (tk_linear.form); the others may be NULL.
typedef struct tk_inputs {
  int64_t width, count;
  const double *wide;       // [count][tk_wide_pitch(width)]: doubles of at most 29 bits, for exact arithmetic
  const float *values;      // [count][width]: F32; for engine arithmetic of F16 weights rounded to F16
  const uint16_t *bf16;     // [count][width]: bits rounded to BF16
  const int8_t *quants;     // [count][width]
  const float *scales;      // Q8_0, Q8_1: [count][width / 32]; Q8_K: [count][width / 256]
  const int32_t *sums;      // sums of quants: Q8_0, Q8_1 of 32: [count][width / 32]; Q8_K of 16: [count][width / 16]
  const float *offsets;     // Q8_1: scale * sum, rounded to F16, [count][width / 32]; Q8_K: [count][width / 16]
} tk_inputs;

// How activations are given.
typedef enum tk_form {
  TK_FORM_NONE = 0,  // the format is unknown
  TK_FORM_F32,       // values
  TK_FORM_F16,        // values, each rounded to a half
  TK_FORM_BF16,       // bf16, and values rounded likewise
  TK_FORM_Q8_0,       // quants, scales, sums
  TK_FORM_Q8_1,       // and offsets
  TK_FORM_Q8_K,       // the same for blocks of 256
  TK_FORM_F64,        // wide
} tk_form;

typedef struct tk_linear {
  const char *isa;  // "scalar", "avx2", "avx512", "neon"
  // Blocks of 32: scale = greatest magnitude / 127 as a half, quants rounded to nearest even. `offsets` may be
  // NULL. `count` elements, a multiple of 32, of any number of tokens.
  void (*quantize_q8_0)(
      const float *x, int64_t count, int8_t *quants, float *scales, int32_t *sums, float *offsets);
  // Blocks of 256: scale of the first greatest magnitude, negated, / 127. `count` is a multiple of 256.
  void (*quantize_q8_k)(
      const float *x, int64_t count, int8_t *quants, float *scales, int32_t *sums, float *offsets);
  // Makes `wide` of the values of `count` tokens.
  void (*widen)(const float *x, int64_t width, int64_t count, double *out);
  // Rounds to halves, still as floats; beyond their range infinite.
  void (*round_f16)(const float *x, int64_t count, float *out);
  // Rounds to BF16: bits and the same as floats.
  void (*round_bf16)(const float *x, int64_t count, uint16_t *bits, float *out);
  // Multiplies `rows` rows of format `format` (ggml's number) that follow each other in `weights`.
  void (*multiply)(
      int32_t format, int engine, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out,
      int64_t stride);
  // The same in exact arithmetic, the sums as they are.
  void (*multiply_wide)(
      int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, double *out, int64_t stride);
  // The same, products and sums in F32: an output head in exact arithmetic.
  void (*multiply_single)(
      int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride);
} tk_linear;

// The form of activations that engine arithmetic of a format reads.
tk_form tk_engine_form(int32_t format);

// The table that belongs to tk_select(): the best there is, or the one TINCTURE_ISA names; NULL when that name
// is unknown or the processor lacks it.
const tk_linear *tk_linear_select(void);

// The table named `isa`, or NULL when unknown or not available on this processor.
const tk_linear *tk_linear_named(const char *isa);

#endif
