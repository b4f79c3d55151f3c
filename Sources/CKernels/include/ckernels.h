// Numeric kernels with run-time instruction-set dispatch.
//
// Every function is pure: no allocation, no I/O, no global state, no knowledge of tensor names. Buffers need
// only their element's natural alignment (block bytes need none) and must not overlap. Encoders and
// converters give the same bytes on every instruction set; `isa_scalar.c` is the specification.
#ifndef TINCTURE_CKERNELS_H
#define TINCTURE_CKERNELS_H

#include <stddef.h>
#include <stdint.h>

// Encodes one row of `row_length` finite floats (a multiple of the block length) into blocks at `out`.
// `importance` is NULL for a plain encode, else `row_length` non-negative finite weights: the encoder then
// minimises sum(importance[i] * (x[i] - decoded[i])^2).
typedef void (*tk_encode_fn)(const float *x, const float *importance, uint8_t *out, int64_t row_length);

// Decodes one row of blocks into `row_length` floats.
typedef void (*tk_decode_fn)(const uint8_t *in, float *out, int64_t row_length);

typedef struct tk_codec {
  tk_encode_fn encode;
  tk_decode_fn decode;
} tk_codec;

// What one pass over a row of logits gives. With t the row's maximum, e[i] = exp(row[i] - t):
typedef struct tk_logit_sums {
  double kept;         // sum of e over the kept entries (all when there is no mask)
  double rest;         // sum of e over the others
  double rest_moment;  // sum of e[i] * (row[i] - t) over the others
  double first;        // sum of row
  double second;       // sum of row squared
  float least;         // least entry
} tk_logit_sums;

// How far row b is from row a. With t the maximum of the whole row a was taken from, e[i] = exp(a[i] - t):
typedef struct tk_logit_distance {
  double mass;     // sum of e
  double moment;   // sum of e[i] * (a[i] - b[i])
  double sum;      // sum of a[i] - b[i]
  double square;   // sum of (a[i] - b[i])^2
  float largest;   // greatest |a[i] - b[i]|
} tk_logit_distance;

typedef struct tk_kernels {
  const char *isa;  // "scalar", "avx2", "avx512"; the scalar table is NEON on AArch64
  tk_codec q4_0, q4_1, q5_0, q5_1, q8_0;
  tk_codec q2_k, q3_k, q4_k, q5_k, q6_k;
  tk_codec iq4_nl, iq4_xs;
  // 16-bit floats, round to nearest even; the 16-bit side is little-endian and needs no alignment. NaN
  // stays NaN (made quiet, upper payload bits kept). Subnormals are kept both ways.
  void (*f16_to_f32)(const void *in, float *out, int64_t count);
  void (*bf16_to_f32)(const void *in, float *out, int64_t count);
  // Returns the index of the first finite input that became infinite (F16 overflow), or -1.
  int64_t (*f32_to_f16)(const float *in, void *out, int64_t count);
  // Finite inputs of magnitude above 0x1.fep127 become infinite.
  void (*f32_to_bf16)(const float *in, void *out, int64_t count);
  // Index of the first NaN or infinity in `in`, or -1.
  int64_t (*find_nonfinite)(const float *in, int64_t count);
  // Greatest of the inputs' bits without sign, read as integers: the bits of the greatest magnitude when
  // that is below 0x7f800000; else there are infinities or NaN. 0 when `count` is 0.
  uint32_t (*max_magnitude)(const float *in, int64_t count);
  // out[i] = in[i] * scale + addend, each operation rounded once (no fused multiply-add).
  void (*affine)(float *values, float scale, float addend, int64_t count);
  // Sum of weight[i] * (a[i] - b[i])^2 in double, fixed order; weight may be NULL (all one).
  double (*squared_error)(const float *a, const float *b, const float *weight, int64_t count);
  // Index of the greatest of `count` > 0 finite entries, the first of equal ones.
  int64_t (*row_maximum)(const float *row, int64_t count);
  // `kept` holds a bit for each entry (bit i % 8 of byte i / 8), or is NULL: all are kept. `top` is the maximum. Each e
  // has a relative error below 2^-21 and an error of |row[i] - top| * 2^-24 from the difference; below e^-87 it is 0.
  void (*logit_sums)(const float *row, const uint8_t *kept, int64_t count, float top, tk_logit_sums *out);
  // All entries finite and at most `top` in a.
  void (*logit_distance)(const float *a, const float *b, int64_t count, float top, tk_logit_distance *out);
  // Sketches the entries that `kept` does not mark (formats/spec/parity-pack.md): with s[i] the sign of entry i, minus
  // where bit i % 8 of byte i / 8 of `signs` is set, and r[k] that of the block of `buckets` entries from k * buckets on,
  // the highest bit of the SplitMix64 number `turn` + k + 1 after `seed`, adds s[i] r[i / buckets] exp((row[i] - top) / 2)
  // to roots[i % buckets] and s[i] r[i / buckets] (row[i] + shift) to values[i % buckets]. `buckets` is a multiple of 8;
  // `top` is the maximum.
  void (*logit_tail)(
      const float *row, const uint8_t *kept, const uint8_t *signs, int64_t count, float top, double shift,
      uint64_t seed, uint64_t turn, int64_t buckets, double *roots, double *values);
  // The indices, ascending, of the `wanted` greatest of `count` finite entries (1 <= wanted <= count < 2^32); of equal
  // ones the lower index comes first. `scratch` has room for 2 * count + 4096 words.
  void (*greatest)(const float *row, int64_t count, int64_t wanted, uint32_t *ids, uint64_t *scratch);
  // out[j] = sum over i < count of signs[j * count + i] * x[i], for j < projections; products in float, sums in double.
  void (*project)(const float *signs, const float *x, int64_t projections, int64_t count, double *out);
  // Of each run of `run` elements of x, the last one shorter where `count` ends it, `width` sums: sums[j] of a run is the sum
  // over its elements i of signs[i * width + j] * x[i], in float. `width` is a multiple of 8.
  void (*run_sums)(
      const float *signs, const float *x, int64_t count, int64_t run, int64_t width, float *sums);
  // The sum of squares of each 32 elements of x, the last ones fewer where `count` ends them; products and sums in double.
  void (*block_squares)(const float *x, int64_t count, float *squares);
} tk_kernels;

// The table of the best instruction set this processor has, or the one TINCTURE_ISA names; NULL when that
// name is unknown or the processor lacks it. Reads the environment once; safe from any thread.
const tk_kernels *tk_select(void);

// The table named `isa`, or NULL when unknown or not available on this processor.
const tk_kernels *tk_named(const char *isa);

#endif
