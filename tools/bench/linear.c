// Speed of the products of weights with activations, format by format, on one thread; tools/bench/linear.sh builds it.
//
//     linear ISA ROWS WIDTH TOKENS [FORMAT]
//
// Prints billions of multiplications and additions a second, bytes of weights a second, the time activations take to be
// rounded, and the normalised squared distance to the scalar table. Status 1 when that is above 1e-11, or no format
// was run. Times are processor time of the thread, the best of several runs.
// clock_gettime is POSIX, which strict C hides.
#define _POSIX_C_SOURCE 200809L
#include "ckernels.h"
#include "clinear.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
  int id;
  const char *name;
  int length, bytes;
} formats[] = {
    {0, "F32", 1, 4},      {1, "F16", 1, 2},      {30, "BF16", 1, 2},     {8, "Q8_0", 32, 34},    {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},   {6, "Q5_0", 32, 22},   {7, "Q5_1", 32, 24},    {10, "Q2_K", 256, 84},  {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144}, {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210}, {20, "IQ4_NL", 32, 18}, {23, "IQ4_XS", 256, 136},
};
enum { FORMATS = sizeof formats / sizeof *formats, ENCODED_ROWS = 64 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float noise(void) {
  static uint64_t state = 1;
  float sum = 0;
  for (int k = 0; k < 4; ++k) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    sum += (float)(state >> 40) * 0x1p-24f - 0.5f;
  }
  return sum;
}

static void encode(const tk_kernels *k, int id, const float *x, uint8_t *out, int64_t n) {
  switch (id) {
    case 0: memcpy(out, x, 4 * (size_t)n); return;
    case 1: k->f32_to_f16(x, out, n); return;
    case 30: k->f32_to_bf16(x, out, n); return;
    case 8: k->q8_0.encode(x, NULL, out, n); return;
    case 2: k->q4_0.encode(x, NULL, out, n); return;
    case 3: k->q4_1.encode(x, NULL, out, n); return;
    case 6: k->q5_0.encode(x, NULL, out, n); return;
    case 7: k->q5_1.encode(x, NULL, out, n); return;
    case 10: k->q2_k.encode(x, NULL, out, n); return;
    case 11: k->q3_k.encode(x, NULL, out, n); return;
    case 12: k->q4_k.encode(x, NULL, out, n); return;
    case 13: k->q5_k.encode(x, NULL, out, n); return;
    case 14: k->q6_k.encode(x, NULL, out, n); return;
    case 20: k->iq4_nl.encode(x, NULL, out, n); return;
    default: k->iq4_xs.encode(x, NULL, out, n); return;
  }
}

static void *room(size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (!p) {
    fprintf(stderr, "linear: no memory\n");
    exit(1);
  }
  return memset(p, 0, bytes);
}

// The products of one kind: exact, engine or head (exact arithmetic of an output head).
static void multiply(
    const tk_linear *table, int kind, int id, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out,
    int64_t stride) {
  if (kind == 2) {
    table->multiply_single(id, weights, rows, in, out, stride);
  } else {
    table->multiply(id, kind == 1, weights, rows, in, out, stride);
  }
}

int main(int count, char **words) {
  if (count < 5) {
    fprintf(stderr, "usage: linear ISA ROWS WIDTH TOKENS [FORMAT]\n");
    return 2;
  }
  const tk_linear *table = tk_linear_named(words[1]), *scalar = tk_linear_named("scalar");
  const tk_kernels *kernels = tk_named("scalar");
  const int64_t rows = atoll(words[2]), width = atoll(words[3]), tokens = atoll(words[4]);
  if (!table || rows < 1 || width < 1 || tokens < 1) {
    fprintf(stderr, "linear: no table %s on this processor, or no such size\n", words[1]);
    return 2;
  }
  const size_t size = (size_t)(width * tokens);
  float *x = room(4 * size), *rounded = room(4 * size), *w = room(4 * (size_t)(width * ENCODED_ROWS));
  float *out = room(4 * (size_t)(rows * tokens)), *expected = room(4 * (size_t)(ENCODED_ROWS * tokens));
  int8_t *quants = room(size);
  float *scales = room(size / 8 + 64), *offsets = room(size / 4 + 64);
  int32_t *sums = room(size / 4 + 64);
  uint16_t *bf16 = room(2 * size);
  double *wide = room(8 * (size_t)(tk_wide_pitch(width) * tokens));
  for (size_t i = 0; i < size; ++i) x[i] = noise();
  for (int64_t i = 0; i < width * ENCODED_ROWS; ++i) w[i] = 0.05f * noise();
  int bad = 0, run = 0;
  for (int f = 0; f < FORMATS; ++f) {
    if ((count > 5 && strcmp(words[5], formats[f].name) != 0) || width % formats[f].length != 0) continue;
    const int64_t row_bytes = width / formats[f].length * formats[f].bytes;
    uint8_t *weights = room((size_t)(row_bytes * rows));
    for (int64_t r = 0; r < rows; ++r) {
      if (r < ENCODED_ROWS) {
        encode(kernels, formats[f].id, w + r * width, weights + r * row_bytes, width);
      } else {
        memcpy(weights + r * row_bytes, weights + r * 31 % ENCODED_ROWS * row_bytes, (size_t)row_bytes);
      }
    }
    static const char *const names[] = {"exact", "engine", "head"};
    for (int kind = 0; kind < 3; ++kind) {
      const int engine = kind == 1;
      const tk_form form = engine ? tk_engine_form(formats[f].id) : TK_FORM_F64;
      tk_inputs in = {
          .width = width, .count = tokens, .wide = wide, .values = x, .bf16 = bf16, .quants = quants, .scales = scales, .sums = sums,
          .offsets = offsets};
      double forming = 1e9, best = 1e9;
      for (int k = 0; k < 3; ++k) {
        double start = now();
        switch (form) {
          case TK_FORM_Q8_0: case TK_FORM_Q8_1:
            table->quantize_q8_0(x, (int64_t)size, quants, scales, sums, offsets);
            break;
          case TK_FORM_Q8_K: table->quantize_q8_k(x, (int64_t)size, quants, scales, sums, offsets); break;
          case TK_FORM_F16: table->round_f16(x, (int64_t)size, rounded); break;
          case TK_FORM_BF16: table->round_bf16(x, (int64_t)size, bf16, rounded); break;
          case TK_FORM_F64: table->widen(x, width, tokens, wide); break;
          default: break;
        }
        forming = fmin(forming, now() - start);
      }
      if (form == TK_FORM_F16 || form == TK_FORM_BF16) in.values = rounded;
      for (int k = 0; k < 7; ++k) {
        const int64_t step = tokens > 8 ? (kind == 2 ? 1024 : 64) : 256;
        double start = now();
        for (int64_t r = 0; r < rows; r += step) {
          multiply(
              table, kind, formats[f].id, weights + r * row_bytes, rows - r < step ? rows - r : step, &in, out + r, rows);
        }
        best = fmin(best, now() - start);
      }
      const int64_t compared = rows < ENCODED_ROWS ? rows : ENCODED_ROWS;
      multiply(scalar, kind, formats[f].id, weights, compared, &in, expected, compared);
      double error = 0, energy = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t r = 0; r < compared; ++r) {
          const double b = expected[t * compared + r], off = out[t * rows + r] - b;
          error += off * off;
          energy += b * b;
        }
      }
      const double distance = error / energy;
      printf(
          "%-7s %-6s %7.1f GFLOP/s %6.1f GB/s, rounding %7.1f us, product %9.1f us, distance %.0e\n", formats[f].name,
          names[kind], 2e-9 * (double)(rows * width * tokens) / best,
          1e-9 * (double)(row_bytes * rows) / best, 1e6 * forming, 1e6 * best, distance);
      bad |= !(distance <= 1e-11);
      ++run;
    }
    free(weights);
  }
  return bad || run == 0;
}
