// What a transformer computes between its matrix products: norms, rotations, activations, attention.
//
// All numbers are F32 unless said otherwise. Functions are pure: no allocation, no I/O, no state. Results do
// not depend on how rows are shared out among calls, so not on threads; they may differ between instruction
// sets in the last bits (fused multiply-add, order of sums within a row).
#ifndef TINCTURE_COPS_H
#define TINCTURE_COPS_H

#include <stdint.h>

// Keys of one block of attention; caches hold a multiple of it.
#define TO_KEY_BLOCK 64
// Lanes that keys and value columns are laid out in.
#define TO_LANES 16

// Activations of a feed-forward.
enum to_activation { TO_SILU = 0, TO_GELU = 1, TO_GELU_TANH = 2 };

// One tile of attention: `tokens` queries of `group` heads that share one head of keys and values.
typedef struct to_attention {
  // Query of token t, head g of the group: q + t * q_stride + g * head_size.
  const float *q;
  int64_t q_stride;
  // Result, laid out like the queries.
  float *out;
  int64_t out_stride;
  // These in exact arithmetic (attention_wide): queries of 26 bits, results of 29.
  const double *wide_q;
  double *wide_out;
  // Keys of this head, transposed in groups of TO_LANES positions: element d of the key in slot s stands at
  // keys[(s / TO_LANES * head_size + d) * TO_LANES + s % TO_LANES].
  const float *keys;
  // Values: element d of slot s at values[s * value_stride + d]; columns from head_size to value_stride, a
  // multiple of TO_LANES, are zero.
  const float *values;
  int64_t value_stride;
  // The same in exact arithmetic, numbers of 27 bits.
  const double *wide_keys, *wide_values;
  // Positions p stand in slot p % capacity; capacity is a multiple of TO_KEY_BLOCK.
  int64_t capacity;
  int64_t head_size;
  int64_t tokens, group;
  // Token t attends to positions first[t] ..< last[t]; never none.
  const int64_t *first, *last;
  // Scores are q·k * scale, then, if soft_cap > 0, soft_cap * tanh(score / soft_cap).
  float scale, soft_cap;
  // to_attention_scratch(tokens * group, value_stride) floats, aligned to 64 bytes.
  float *scratch;
} to_attention;

typedef struct to_ops {
  const char *isa;
  // out[i] = x[i] / sqrt(mean(x²) + epsilon) * weight[i]; the sum in double. `out` may be `x`; weight may be NULL.
  void (*rms_norm)(const float *x, const float *weight, float epsilon, float *out, int64_t n);
  // out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i]; sums in double. `out` may be `x`.
  void (*layer_norm)(
      const float *x, const float *weight, const float *bias, float epsilon, float *out, int64_t n);
  // x[i] += y[i].
  void (*add)(float *x, const float *y, int64_t n);
  // x[i] *= factor.
  void (*scale)(float *x, float factor, int64_t n);
  // Turns (x[i], x[i + n/2]) for split, (x[2i], x[2i + 1]) for interleaved, by the angle of cosine[i], sine[i].
  void (*rotate_split)(float *x, const float *cosine, const float *sine, int64_t n);
  void (*rotate_interleaved)(float *x, const float *cosine, const float *sine, int64_t n);
  // gate[i] = f(gate[i]) * up[i], or f(gate[i]) when `up` is NULL. SiLU within 2 ulp; GELU within 4 ulp of positive
  // arguments, and of negative ones, where it is small, within 5e-9. With `half` the argument and the result of f are rounded to F16, as ggml's table of GELU has them
  // (GELU's tanh form only).
  void (*activate)(int activation, int half, float *gate, const float *up, int64_t n);
  // x[i] = cap * tanh(x[i] / cap), within 4 ulp.
  void (*soft_cap)(float *x, float cap, int64_t n);
  // x[i] = tanh(x[i]), within 2 ulp.
  void (*tanh)(float *x, int64_t n);
  // Rounds to F16 and back.
  void (*round_half)(float *x, int64_t n);
  // Index of the first of the greatest numbers, or -1 - index of the first NaN; n > 0.
  int64_t (*best)(const float *x, int64_t n);
  // One pass over keys and values with a running maximum (flash attention): memory linear in the tile. Each query's
  // sums are taken block by block of TO_KEY_BLOCK absolute positions, so they depend neither on the tile nor on what
  // other queries see. exp within 2 ulp; 0 below exp(-87).
  void (*attention)(const to_attention *tile);

  // Exact arithmetic: numbers in double, the same bits in every table. With `cut`, and where said, results are rounded
  // to 29 bits, so that products with floats are exact. exp, tanh, SiLU and GELU's tanh form are within 1e-13 of
  // themselves, GELU within 1e-9 of x.
  //
  // Norms as above; `out` may be `x`, `weight` is given.
  void (*rms_norm_wide)(const double *x, const float *weight, float epsilon, int cut, double *out, int64_t n);
  void (*layer_norm_wide)(
      const double *x, const float *weight, const float *bias, float epsilon, int cut, double *out, int64_t n);
  // x[i] += y[i].
  void (*add_wide)(double *x, const double *y, int64_t n);
  void (*add_float)(double *x, const float *y, int64_t n);
  // out[i] = x[i] * factor.
  void (*widen)(const float *x, double factor, double *out, int64_t n);
  // out[i] = x[i], rounded to F32.
  void (*narrow)(const double *x, float *out, int64_t n);
  // Rounds to `bits` bits.
  void (*cut_wide)(double *x, int bits, int64_t n);
  // As rotate_split, or rotate_interleaved.
  void (*rotate_wide)(double *x, const float *cosine, const float *sine, int interleaved, int64_t n);
  // gate[i] = f(gate[i]) * up[i], or f(gate[i]) when `up` is NULL, of 29 bits.
  void (*activate_wide)(int activation, double *gate, const double *up, int64_t n);
  void (*soft_cap_wide)(float *x, float cap, int64_t n);
  // exp is 0 below exp(-708); weights of the softmax have 26 bits.
  void (*attention_wide)(const to_attention *tile);
} to_ops;

// Floats of scratch memory for one tile of `rows` (tokens × group) queries.
int64_t to_attention_scratch(int64_t rows, int64_t value_stride);

// The table for the instruction set that tk_select() has chosen, or a better one of the same family when
// TINCTURE_ISA does not say; NULL only when tk_select() is NULL.
const to_ops *to_select(void);

// The table named `isa`, or NULL when this processor lacks it.
const to_ops *to_named(const char *isa);

#endif
