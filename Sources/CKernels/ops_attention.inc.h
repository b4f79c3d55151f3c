// Attention of one tile of queries in one pass over keys and values (Dao et al., FlashAttention, 2022):
// memory linear in the tile, whatever the context. Included by ops.inc.h once for floats and once for doubles, in the
// words of ops_real.inc.h.
//
// In double, queries and the weights of the softmax have 26 bits, keys and values 27: products are exact, and a fused
// multiply-add rounds as two operations do.
//
// TO_TILE is how many vectors a register tile is wide; four rows high.

// scores[r * TO_KEY_BLOCK + s] = q[r]·key[s] for `rows` rows and one block of keys. Each sum runs over the
// elements in order.
TO_INLINE void TO_NAME(block_scores)(
    const TO_REAL *const *q, int rows, const TO_REAL *keys, int64_t head_size, TO_REAL *scores) {
  for (int part = 0; part < TO_KEY_BLOCK / TO_COUNT; part += TO_TILE) {
    const TO_REAL *base[TO_TILE];
    TO_VECTOR sums[4][TO_TILE];
    for (int w = 0; w < TO_TILE; ++w) {
      const int slot = (part + w) * TO_COUNT;
      base[w] = keys + slot / TO_LANES * head_size * TO_LANES + slot % TO_LANES;
    }
    for (int r = 0; r < rows; ++r) {
      for (int w = 0; w < TO_TILE; ++w) sums[r][w] = TO_SPLAT(0);
    }
    for (int64_t d = 0; d < head_size; ++d) {
      TO_VECTOR k[TO_TILE];
      for (int w = 0; w < TO_TILE; ++w) k[w] = TO_LOAD(base[w] + d * TO_LANES);
      for (int r = 0; r < rows; ++r) {
        const TO_VECTOR x = TO_SPLAT(q[r][d]);
        for (int w = 0; w < TO_TILE; ++w) sums[r][w] = TO_MULTIPLY_ADD(x, k[w], sums[r][w]);
      }
    }
    for (int r = 0; r < rows; ++r) {
      for (int w = 0; w < TO_TILE; ++w) {
        TO_STORE(scores + r * TO_KEY_BLOCK + (part + w) * TO_COUNT, sums[r][w]);
      }
    }
  }
}

// sums[r] = sums[r] * keep[r] + Σ p[r][s]·value[s] over slots from ..< to, `columns` wide vectors of columns.
TO_INLINE void TO_NAME(value_columns)(
    const TO_REAL *p, int rows, const TO_REAL *values, int64_t stride, int64_t from, int64_t to,
    const TO_REAL *keep, TO_REAL *sums, const int columns) {
  TO_VECTOR fresh[4][TO_TILE];
  for (int r = 0; r < rows; ++r) {
    for (int w = 0; w < columns; ++w) fresh[r][w] = TO_SPLAT(0);
  }
  for (int64_t s = from; s < to; ++s) {
    TO_VECTOR v[TO_TILE];
    for (int w = 0; w < columns; ++w) v[w] = TO_LOAD(values + s * stride + w * TO_COUNT);
    for (int r = 0; r < rows; ++r) {
      const TO_VECTOR x = TO_SPLAT(p[r * TO_KEY_BLOCK + s]);
      for (int w = 0; w < columns; ++w) fresh[r][w] = TO_MULTIPLY_ADD(x, v[w], fresh[r][w]);
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int w = 0; w < columns; ++w) {
      TO_REAL *place = sums + r * stride + w * TO_COUNT;
      TO_STORE(place, TO_LOAD(place) * TO_SPLAT(keep[r]) + fresh[r][w]);
    }
  }
}

TO_INLINE void TO_NAME(block_values)(
    const TO_REAL *p, int rows, const TO_REAL *values, int64_t stride, int64_t from, int64_t to,
    const TO_REAL *keep, TO_REAL *sums) {
  int64_t column = 0;
  for (; column + TO_TILE * TO_COUNT <= stride; column += TO_TILE * TO_COUNT) {
    TO_NAME(value_columns)(p, rows, values + column, stride, from, to, keep, sums + column, TO_TILE);
  }
  for (; column < stride; column += TO_COUNT) {
    TO_NAME(value_columns)(p, rows, values + column, stride, from, to, keep, sums + column, 1);
  }
}

// Turns one row's scores of a block into weights; columns outside from ..< to become 0. Updates the running
// maximum and sum; returns what earlier sums are multiplied with.
TO_INLINE TO_REAL TO_NAME(block_weights)(
    TO_REAL *scores, int64_t from, int64_t to, TO_REAL scale, TO_REAL cap, TO_REAL *maximum, double *sum) {
  const TO_REAL least = -(TO_REAL)__builtin_inf();
  TO_VECTOR s[TO_KEY_BLOCK / TO_COUNT], top = TO_SPLAT(least);
  for (int w = 0; w < TO_KEY_BLOCK / TO_COUNT; ++w) {
    TO_VECTOR x = TO_LOAD(scores + w * TO_COUNT) * TO_SPLAT(scale);
    if (cap > 0) x = TO_SPLAT(cap) * TO_TANH(x / TO_SPLAT(cap));
    const TO_INDEX index = TO_LANE + w * TO_COUNT;
    s[w] = ((index >= (int)from) & (index < (int)to)) ? x : TO_SPLAT(least);
    top = s[w] > top ? s[w] : top;
  }
  const TO_REAL before = *maximum, greatest = TO_NAME(largest)(top);
  const TO_REAL now = before > greatest ? before : greatest;
  TO_VECTOR added = TO_SPLAT(0);
  for (int w = 0; w < TO_KEY_BLOCK / TO_COUNT; ++w) {
    const TO_VECTOR p = TO_NAME(rounded_weight)(TO_EXP(s[w] - TO_SPLAT(now)));
    TO_STORE(scores + w * TO_COUNT, p);
    added += p;
  }
  const TO_REAL keep = before == least ? 0 : TO_EXP(TO_SPLAT(before - now))[0];
  *sum = *sum * (double)keep + TO_NAME(total)(added);
  *maximum = now;
  return keep;
}

// Up to four rows of a tile against one block.
TO_INLINE void TO_NAME(rows_block)(
    const to_attention *a, int64_t row, int rows, int64_t start, const TO_REAL *keys, const TO_REAL *values,
    TO_REAL *scores, TO_REAL *sums, TO_REAL *maxima, double *totals) {
  const TO_REAL *q[4];
  int64_t from[4], to[4], lowest = TO_KEY_BLOCK, highest = 0;
  for (int r = 0; r < rows; ++r) {
    const int64_t token = (row + r) / a->group, head = (row + r) % a->group;
    q[r] = a->TO_FIELD(q) + token * a->q_stride + head * a->head_size;
    from[r] = clamp_to_block(a->first[token], start);
    to[r] = clamp_to_block(a->last[token], start);
    if (from[r] < to[r]) {
      lowest = from[r] < lowest ? from[r] : lowest;
      highest = to[r] > highest ? to[r] : highest;
    }
  }
  if (lowest >= highest) return;
  TO_NAME(block_scores)(q, rows, keys, a->head_size, scores);
  TO_REAL keep[4];
  for (int r = 0; r < rows; ++r) {
    if (from[r] < to[r]) {
      keep[r] = TO_NAME(block_weights)(
          scores + r * TO_KEY_BLOCK, from[r], to[r], (TO_REAL)a->scale, (TO_REAL)a->soft_cap, &maxima[row + r],
          &totals[row + r]);
    } else {
      memset(scores + r * TO_KEY_BLOCK, 0, TO_KEY_BLOCK * sizeof *scores);
      keep[r] = 1;
    }
  }
  TO_NAME(block_values)(scores, rows, values, a->value_stride, lowest, highest, keep, sums + row * a->value_stride);
}

static void TO_NAME(attention)(const to_attention *a) {
  const int64_t rows = a->tokens * a->group;
  double *totals = (double *)a->scratch;
  TO_REAL *maxima = (TO_REAL *)(totals + rows);
  TO_REAL *scores = maxima + (rows + 15) / 16 * 16;
  TO_REAL *sums = scores + 4 * TO_KEY_BLOCK;
  int64_t lowest = a->first[0], highest = a->last[0];
  for (int64_t t = 1; t < a->tokens; ++t) {
    lowest = a->first[t] < lowest ? a->first[t] : lowest;
    highest = a->last[t] > highest ? a->last[t] : highest;
  }
  for (int64_t r = 0; r < rows; ++r) {
    totals[r] = 0;
    maxima[r] = -(TO_REAL)__builtin_inf();
  }
  memset(sums, 0, (size_t)(rows * a->value_stride) * sizeof *sums);
  for (int64_t start = lowest / TO_KEY_BLOCK * TO_KEY_BLOCK; start < highest; start += TO_KEY_BLOCK) {
    const int64_t slot = start % a->capacity;
    const TO_REAL *keys = a->TO_FIELD(keys) + slot * a->head_size;
    const TO_REAL *values = a->TO_FIELD(values) + slot * a->value_stride;
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
      TO_NAME(rows_block)(a, row, 4, start, keys, values, scores, sums, maxima, totals);
    }
    switch (rows - row) {
    case 3: TO_NAME(rows_block)(a, row, 3, start, keys, values, scores, sums, maxima, totals); break;
    case 2: TO_NAME(rows_block)(a, row, 2, start, keys, values, scores, sums, maxima, totals); break;
    case 1: TO_NAME(rows_block)(a, row, 1, start, keys, values, scores, sums, maxima, totals); break;
    default: break;
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    TO_REAL *out = a->TO_FIELD(out) + r / a->group * a->out_stride + r % a->group * a->head_size;
    TO_NAME(scaled)(sums + r * a->value_stride, (TO_REAL)(1.0 / totals[r]), out, a->head_size);
  }
}
