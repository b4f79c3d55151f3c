// Attention in exact arithmetic: as ops_attention.inc.h, all in double. Queries and the weights of the softmax have 26
// bits, keys and values 27: products are exact, and a fused multiply-add rounds as two operations do.
//
// TO_WIDE_D is how many vectors of eight lanes a register tile is wide; four rows high.

enum { TO_D_LANES = 8 };

TO_INLINE d8 d_fma(d8 a, d8 b, d8 sum) {
#ifdef TO_FMA
  return __builtin_elementwise_fma(a, b, sum);
#else
  return a * b + sum;
#endif
}

// scores[r * TO_KEY_BLOCK + s] = q[r]·key[s]; each sum runs over the elements in order.
TO_INLINE void block_scores_wide(const double *const *q, int rows, const double *keys, int64_t head_size, double *scores) {
  for (int part = 0; part < TO_KEY_BLOCK / TO_D_LANES; part += TO_WIDE_D) {
    d8 sums[4][TO_WIDE_D];
    const double *base[TO_WIDE_D];
    for (int w = 0; w < TO_WIDE_D; ++w) {
      const int slot = (part + w) * TO_D_LANES;
      base[w] = keys + slot / TO_LANES * head_size * TO_LANES + slot % TO_LANES;
    }
    for (int r = 0; r < rows; ++r) {
      for (int w = 0; w < TO_WIDE_D; ++w) sums[r][w] = d_splat(0.0);
    }
    for (int64_t d = 0; d < head_size; ++d) {
      d8 k[TO_WIDE_D];
      for (int w = 0; w < TO_WIDE_D; ++w) k[w] = d_part(base[w] + d * TO_LANES, TO_D_LANES);
      for (int r = 0; r < rows; ++r) {
        const d8 x = d_splat(q[r][d]);
        for (int w = 0; w < TO_WIDE_D; ++w) sums[r][w] = d_fma(x, k[w], sums[r][w]);
      }
    }
    for (int r = 0; r < rows; ++r) {
      for (int w = 0; w < TO_WIDE_D; ++w) {
        memcpy(scores + r * TO_KEY_BLOCK + (part + w) * TO_D_LANES, &sums[r][w], sizeof(d8));
      }
    }
  }
}

// sums[r] = sums[r] * keep[r] + Σ p[r][s]·value[s] over slots from ..< to, `columns` vectors of columns.
TO_INLINE void value_columns_wide(
    const double *p, int rows, const double *values, int64_t stride, int64_t from, int64_t to, const double *keep,
    double *sums, const int columns) {
  d8 fresh[4][TO_WIDE_D];
  for (int r = 0; r < rows; ++r) {
    for (int w = 0; w < columns; ++w) fresh[r][w] = d_splat(0.0);
  }
  for (int64_t s = from; s < to; ++s) {
    d8 v[TO_WIDE_D];
    for (int w = 0; w < columns; ++w) v[w] = d_part(values + s * stride + w * TO_D_LANES, TO_D_LANES);
    for (int r = 0; r < rows; ++r) {
      const d8 x = d_splat(p[r * TO_KEY_BLOCK + s]);
      for (int w = 0; w < columns; ++w) fresh[r][w] = d_fma(x, v[w], fresh[r][w]);
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int w = 0; w < columns; ++w) {
      double *place = sums + r * stride + w * TO_D_LANES;
      d8 now;
      memcpy(&now, place, sizeof now);
      now = now * d_splat(keep[r]) + fresh[r][w];
      memcpy(place, &now, sizeof now);
    }
  }
}

TO_INLINE void block_values_wide(
    const double *p, int rows, const double *values, int64_t stride, int64_t from, int64_t to, const double *keep,
    double *sums) {
  int64_t column = 0;
  for (; column + TO_WIDE_D * TO_D_LANES <= stride; column += TO_WIDE_D * TO_D_LANES) {
    value_columns_wide(p, rows, values + column, stride, from, to, keep, sums + column, TO_WIDE_D);
  }
  for (; column < stride; column += TO_D_LANES) {
    value_columns_wide(p, rows, values + column, stride, from, to, keep, sums + column, 1);
  }
}

// Turns one row's scores of a block into weights; columns outside from ..< to become 0. Updates the running
// maximum and sum; returns what earlier sums are multiplied with.
TO_INLINE double block_weights_wide(
    double *scores, int64_t from, int64_t to, double scale, double cap, double *maximum, double *sum) {
  const double before = *maximum;
  double now = before;
  const i64x8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
  d8 line[TO_KEY_BLOCK / TO_D_LANES], top = d_splat(-__builtin_inf());
  for (int w = 0; w < TO_KEY_BLOCK / TO_D_LANES; ++w) {
    d8 x;
    memcpy(&x, scores + w * TO_D_LANES, sizeof x);
    x *= d_splat(scale);
    if (cap > 0) x = d_splat(cap) * d_tanh(x / d_splat(cap));
    const i64x8 index = lane + w * TO_D_LANES;
    line[w] = ((index >= from) & (index < to)) ? x : d_splat(-__builtin_inf());
    top = line[w] > top ? line[w] : top;
  }
  double lanes[TO_D_LANES];
  memcpy(lanes, &top, sizeof lanes);
  for (int i = 0; i < TO_D_LANES; ++i) now = lanes[i] > now ? lanes[i] : now;
  d8 added = d_splat(0.0);
  for (int w = 0; w < TO_KEY_BLOCK / TO_D_LANES; ++w) {
    d8 p = d_exp(line[w] - d_splat(now));
    p = d_round(p, 26);
    memcpy(scores + w * TO_D_LANES, &p, sizeof p);
    added += p;
  }
  const double keep = before == -__builtin_inf() ? 0.0 : d_exp(d_splat(before - now))[0];
  *sum = *sum * keep + d_total(added);
  *maximum = now;
  return keep;
}

// Up to four rows of a tile against one block.
TO_INLINE void rows_block_wide(
    const to_attention *a, int64_t row, int rows, int64_t start, const double *keys, const double *values,
    double *scores, double *sums, double *maxima, double *totals) {
  const double *q[4];
  int64_t from[4], to[4], lowest = TO_KEY_BLOCK, highest = 0;
  for (int r = 0; r < rows; ++r) {
    const int64_t token = (row + r) / a->group, head = (row + r) % a->group;
    q[r] = a->wide_q + token * a->q_stride + head * a->head_size;
    from[r] = clamp_to_block(a->first[token], start);
    to[r] = clamp_to_block(a->last[token], start);
    if (from[r] < to[r]) {
      lowest = from[r] < lowest ? from[r] : lowest;
      highest = to[r] > highest ? to[r] : highest;
    }
  }
  if (lowest >= highest) return;
  block_scores_wide(q, rows, keys, a->head_size, scores);
  double keep[4];
  for (int r = 0; r < rows; ++r) {
    if (from[r] < to[r]) {
      keep[r] = block_weights_wide(
          scores + r * TO_KEY_BLOCK, from[r], to[r], (double)a->scale, (double)a->soft_cap, &maxima[row + r],
          &totals[row + r]);
    } else {
      memset(scores + r * TO_KEY_BLOCK, 0, TO_KEY_BLOCK * sizeof *scores);
      keep[r] = 1.0;
    }
  }
  block_values_wide(scores, rows, values, a->value_stride, lowest, highest, keep, sums + row * a->value_stride);
}

static void attention_wide(const to_attention *a) {
  const int64_t rows = a->tokens * a->group;
  double *totals = (double *)a->scratch;
  double *maxima = totals + rows;
  double *scores = maxima + rows;
  double *sums = scores + 4 * TO_KEY_BLOCK;
  int64_t lowest = a->first[0], highest = a->last[0];
  for (int64_t t = 1; t < a->tokens; ++t) {
    lowest = a->first[t] < lowest ? a->first[t] : lowest;
    highest = a->last[t] > highest ? a->last[t] : highest;
  }
  for (int64_t r = 0; r < rows; ++r) {
    totals[r] = 0;
    maxima[r] = -__builtin_inf();
  }
  memset(sums, 0, (size_t)(rows * a->value_stride) * sizeof *sums);
  for (int64_t start = lowest / TO_KEY_BLOCK * TO_KEY_BLOCK; start < highest; start += TO_KEY_BLOCK) {
    const int64_t slot = start % a->capacity;
    const double *keys = a->wide_keys + slot * a->head_size;
    const double *values = a->wide_values + slot * a->value_stride;
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
      rows_block_wide(a, row, 4, start, keys, values, scores, sums, maxima, totals);
    }
    switch (rows - row) {
    case 3: rows_block_wide(a, row, 3, start, keys, values, scores, sums, maxima, totals); break;
    case 2: rows_block_wide(a, row, 2, start, keys, values, scores, sums, maxima, totals); break;
    case 1: rows_block_wide(a, row, 1, start, keys, values, scores, sums, maxima, totals); break;
    default: break;
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    double *out = a->wide_out + r / a->group * a->out_stride + r % a->group * a->head_size;
    const d8 inverse = d_splat(1.0 / totals[r]);
    for (int64_t d = 0; d < a->head_size; d += TO_D_LANES) {
      d_store(out + d, d_cut(d_part(sums + r * a->value_stride + d, TO_D_LANES) * inverse), a->head_size - d);
    }
  }
}
