// Products with a row in each lane. Included once for doubles and once for floats, with
//
// TILE_(name)    the names of this inclusion
// TILE_REAL      double or float
// TILE_SEGMENT   elements that are added one after the other before their sum joins the total
// TILE_LANES     rows in a vector
// TILE_VECTORS   vectors side by side
// TILE_TOKENS    tokens that meet them
// TILE_OCTETS    most eights of rows that meet a single token
// TILE_MADD      a * b + sum
//
// A step of many tokens loads TILE_VECTORS vectors of a panel and one number of each token, and multiplies
// TILE_VECTORS x TILE_TOKENS vectors. Vectors along the row would need five loads for six multiplications, and half of
// the time would be spent waiting for the caches.

typedef TILE_REAL TILE_(vector) __attribute__((ext_vector_type(TILE_LANES)));
typedef TILE_REAL TILE_(eight) __attribute__((ext_vector_type(8)));

enum { TILE_(ROWS) = TILE_LANES * TILE_VECTORS };

// Adds the sums over `length` elements of a panel's TILE_ROWS rows with `valid` tokens to `out[t * stride + row]`.
// Tokens are `pitch` elements apart; those from `valid` on repeat the last valid one.
static __attribute__((noinline)) void TILE_(tile)(
    const int fused, const TILE_REAL *panel, const TILE_REAL *x, int64_t pitch, int valid, int64_t length,
    TILE_REAL *out, int64_t stride) {
  const TILE_REAL *value[TILE_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < TILE_TOKENS; ++t) value[t] = x + (t < valid ? t : valid - 1) * pitch;
  for (int64_t at = 0; at < length; at += TILE_SEGMENT) {
    const int64_t end = length - at < TILE_SEGMENT ? length : at + TILE_SEGMENT;
    TILE_(vector) sum[TILE_VECTORS][TILE_TOKENS];
#pragma clang loop unroll(full)
    for (int t = 0; t < TILE_TOKENS; ++t) {
#pragma clang loop unroll(full)
      for (int v = 0; v < TILE_VECTORS; ++v) sum[v][t] = (TILE_(vector))((TILE_REAL)0);
    }
#pragma clang loop unroll_count(4)
    for (int64_t k = at; k < end; ++k) {
      TILE_(vector) weight[TILE_VECTORS];
      memcpy(weight, panel + k * TILE_(ROWS), sizeof weight);
#pragma clang loop unroll(full)
      for (int t = 0; t < TILE_TOKENS; ++t) {
        const TILE_(vector) token = (TILE_(vector))(value[t][k]);
#pragma clang loop unroll(full)
        for (int v = 0; v < TILE_VECTORS; ++v) {
          sum[v][t] = fused ? __builtin_elementwise_fma(weight[v], token, sum[v][t]) : weight[v] * token + sum[v][t];
        }
      }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < TILE_TOKENS; ++t) {
      if (t >= valid) continue;
#pragma clang loop unroll(full)
      for (int v = 0; v < TILE_VECTORS; ++v) {
        TILE_(vector) now;
        TILE_REAL *to = out + t * stride + v * TILE_LANES;
        memcpy(&now, to, sizeof now);
        now += sum[v][t];
        memcpy(to, &now, sizeof now);
      }
    }
  }
}

// Decodes `length` elements of `rows` rows, at least one, to a panel of TILE_ROWS rows; those beyond repeat the last.
TK_INLINE void TILE_(fill_format)(
    const int format, const uint8_t *weights, int64_t row_bytes, int rows, int64_t length, TILE_REAL *panel) {
  tk_octet octet;
  // Both eights of a piece before the next piece: a line of the panel is in the first cache until it is whole.
  for (int64_t i = 0; i < length; i += octet_length(format)) {
    const int64_t left = length - i < octet_length(format) ? length - i : octet_length(format);
    for (int first = 0; first < TILE_(ROWS); first += 8) {
      const int valid = first < rows ? rows - first : 0;
      if (valid) {
        octet_open(
            format, weights + first * row_bytes + stored_bytes(format, i), row_bytes, valid, left, &octet);
      }
      for (int k = 0; k < left; ++k) {
        TILE_(eight) v = (TILE_(eight))((TILE_REAL)0);
        if (valid) v = __builtin_convertvector(octet_floats(format, &octet, k, k), TILE_(eight));
        memcpy(panel + (i + k) * TILE_(ROWS) + first, &v, sizeof v);
      }
    }
  }
}

static __attribute__((noinline)) void TILE_(fill)(
    int32_t format, const uint8_t *weights, int64_t row_bytes, int rows, int64_t length, TILE_REAL *panel) {
  switch (format) {
#define TK_CASE(format) \
  case format: TILE_(fill_format)(format, weights, row_bytes, rows, length, panel); return;
    TK_EACH_FORMAT(TK_CASE)
#undef TK_CASE
  }
}

// Adds the sums over `length` elements of 8 x `octets` rows with one token to `out`; of a single eight `valid` rows are
// there.
TK_INLINE void TILE_(few)(
    const int format, const int octets, const uint8_t *weights, int64_t row_bytes, int valid, const TILE_REAL *x,
    int64_t length, TILE_REAL *out) {
  tk_octet octet[TILE_OCTETS];
  for (int64_t at = 0; at < length; at += TILE_SEGMENT) {
    const int64_t end = length - at < TILE_SEGMENT ? length : at + TILE_SEGMENT;
    TILE_(eight) sum[TILE_OCTETS];
#pragma clang loop unroll(full)
    for (int o = 0; o < octets; ++o) sum[o] = (TILE_(eight))((TILE_REAL)0);
    for (int64_t i = at; i < end; i += octet_length(format)) {
      const int64_t left = end - i < octet_length(format) ? end - i : octet_length(format);
      const uint8_t *in = weights + stored_bytes(format, i);
      // Asks for the rows to come, a share with each piece of these: so the bytes are asked for in order.
      const uint8_t *ahead = weights + 8 * octets * (row_bytes + stored_bytes(format, i));
      for (int64_t b = 0; b < 8 * octets * stored_bytes(format, octet_length(format)); b += 64) {
        __builtin_prefetch(ahead + b);
      }
#pragma clang loop unroll(full)
      for (int o = 0; o < octets; ++o) {
        octet_open(format, in + 8 * o * row_bytes, row_bytes, octets > 1 ? 8 : valid, left, &octet[o]);
      }
      // Elements that share a scale.
      const int sub = is_plain(format) ? 32 : sub_length(format);
      for (int from = 0; from < left; from += sub) {
        const int to = left - from < sub ? (int)left : from + sub;
#pragma clang loop unroll_count(4)
        for (int k = from; k < to; ++k) {
          const TILE_(eight) token = (TILE_(eight))(x[i + k]);
#pragma clang loop unroll(full)
          for (int o = 0; o < octets; ++o) {
            const TILE_(eight) v = __builtin_convertvector(octet_floats(format, &octet[o], k, from), TILE_(eight));
            sum[o] = TILE_MADD(v, token, sum[o]);
          }
        }
      }
    }
#pragma clang loop unroll(full)
    for (int o = 0; o < octets; ++o) {
      TILE_(eight) now;
      memcpy(&now, out + 8 * o, sizeof now);
      now += sum[o];
      memcpy(out + 8 * o, &now, sizeof now);
    }
  }
}
#undef TILE_
#undef TILE_REAL
#undef TILE_SEGMENT
#undef TILE_LANES
#undef TILE_VECTORS
#undef TILE_TOKENS
#undef TILE_OCTETS
#undef TILE_MADD
