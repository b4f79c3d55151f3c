// Attention of one tile of queries in one pass over keys and values (Dao et al., FlashAttention, 2022):
// memory linear in the tile, whatever the context. Included by ops.inc.h.
//
// TO_WIDE is how many vectors of sixteen lanes a register tile is wide; four rows high.

// scores[r * TO_KEY_BLOCK + s] = q[r]·key[s] for `rows` rows and one block of keys. Each sum runs over the
// elements in order.
TO_INLINE void block_scores(
    const float *const *q, int rows, const float *keys, int64_t head_size, float *scores) {
  for (int part = 0; part < TO_KEY_BLOCK / TO_LANES; part += TO_WIDE) {
    const float *base = keys + part * head_size * TO_LANES;
    v16 sums[4][TO_WIDE];
    for (int r = 0; r < rows; ++r) {
      for (int w = 0; w < TO_WIDE; ++w) sums[r][w] = splat(0.0f);
    }
    for (int64_t d = 0; d < head_size; ++d) {
      v16 k[TO_WIDE];
      for (int w = 0; w < TO_WIDE; ++w) k[w] = load16(base + (w * head_size + d) * TO_LANES);
      for (int r = 0; r < rows; ++r) {
        const v16 x = splat(q[r][d]);
        for (int w = 0; w < TO_WIDE; ++w) sums[r][w] += x * k[w];
      }
    }
    for (int r = 0; r < rows; ++r) {
      for (int w = 0; w < TO_WIDE; ++w) {
        store16(scores + r * TO_KEY_BLOCK + (part + w) * TO_LANES, sums[r][w]);
      }
    }
  }
}

// sums[r] = sums[r] * keep[r] + Σ p[r][s]·value[s] over slots from ..< to, `columns` wide vectors of columns.
TO_INLINE void value_columns(
    const float *p, int rows, const float *values, int64_t stride, int64_t from, int64_t to,
    const float *keep, float *sums, int columns) {
  v16 fresh[4][TO_WIDE];
  for (int r = 0; r < rows; ++r) {
    for (int w = 0; w < columns; ++w) fresh[r][w] = splat(0.0f);
  }
  for (int64_t s = from; s < to; ++s) {
    v16 v[TO_WIDE];
    for (int w = 0; w < columns; ++w) v[w] = load16(values + s * stride + w * TO_LANES);
    for (int r = 0; r < rows; ++r) {
      const v16 x = splat(p[r * TO_KEY_BLOCK + s]);
      for (int w = 0; w < columns; ++w) fresh[r][w] += x * v[w];
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int w = 0; w < columns; ++w) {
      float *place = sums + r * stride + w * TO_LANES;
      store16(place, load16(place) * splat(keep[r]) + fresh[r][w]);
    }
  }
}

TO_INLINE void block_values(
    const float *p, int rows, const float *values, int64_t stride, int64_t from, int64_t to,
    const float *keep, float *sums) {
  int64_t column = 0;
  for (; column + TO_WIDE * TO_LANES <= stride; column += TO_WIDE * TO_LANES) {
    value_columns(p, rows, values + column, stride, from, to, keep, sums + column, TO_WIDE);
  }
  for (; column < stride; column += TO_LANES) {
    value_columns(p, rows, values + column, stride, from, to, keep, sums + column, 1);
  }
}

// Turns one row's scores of a block into weights; columns outside from ..< to become 0. Updates the running
// maximum and sum; returns what earlier sums are multiplied with.
TO_INLINE float block_weights(
    float *scores, int64_t from, int64_t to, float scale, float cap, float *maximum, double *sum) {
  v16 s[TO_KEY_BLOCK / TO_LANES];
  v16 top = splat(-__builtin_inff());
  const i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (int w = 0; w < TO_KEY_BLOCK / TO_LANES; ++w) {
    v16 x = load16(scores + w * TO_LANES) * splat(scale);
    if (cap > 0) x = splat(cap) * tanh16(x / splat(cap));
    const i16 index = lane + w * TO_LANES;
    s[w] = select16((index >= (int)from) & (index < (int)to), x, splat(-__builtin_inff()));
    top = max16(s[w], top);
  }
  const float before = *maximum;
  const float now = before > largest(top) ? before : largest(top);
  v16 added = splat(0.0f);
  for (int w = 0; w < TO_KEY_BLOCK / TO_LANES; ++w) {
    const v16 p = exp16(s[w] - splat(now));
    store16(scores + w * TO_LANES, p);
    added += p;
  }
  const float keep = before == -__builtin_inff() ? 0.0f : exp16(splat(before - now))[0];
  *sum = *sum * (double)keep + total(__builtin_convertvector(added, d16));
  *maximum = now;
  return keep;
}

TO_INLINE int64_t clamp_to_block(int64_t position, int64_t start) {
  const int64_t inside = position - start;
  return inside < 0 ? 0 : inside > TO_KEY_BLOCK ? TO_KEY_BLOCK : inside;
}

// Up to four rows of a tile against one block.
TO_INLINE void rows_block(
    const to_attention *a, int64_t row, int rows, int64_t start, const float *keys, const float *values,
    float *scores, float *sums, float *maxima, double *totals) {
  const float *q[4];
  int64_t from[4], to[4], lowest = TO_KEY_BLOCK, highest = 0;
  for (int r = 0; r < rows; ++r) {
    const int64_t token = (row + r) / a->group, head = (row + r) % a->group;
    q[r] = a->q + token * a->q_stride + head * a->head_size;
    from[r] = clamp_to_block(a->first[token], start);
    to[r] = clamp_to_block(a->last[token], start);
    if (from[r] < to[r]) {
      lowest = from[r] < lowest ? from[r] : lowest;
      highest = to[r] > highest ? to[r] : highest;
    }
  }
  if (lowest >= highest) return;
  block_scores(q, rows, keys, a->head_size, scores);
  float keep[4];
  for (int r = 0; r < rows; ++r) {
    if (from[r] < to[r]) {
      keep[r] = block_weights(
          scores + r * TO_KEY_BLOCK, from[r], to[r], a->scale, a->soft_cap, &maxima[row + r],
          &totals[row + r]);
    } else {
      memset(scores + r * TO_KEY_BLOCK, 0, TO_KEY_BLOCK * sizeof(float));
      keep[r] = 1.0f;
    }
  }
  block_values(scores, rows, values, a->value_stride, lowest, highest, keep, sums + row * a->value_stride);
}

static void attention(const to_attention *a) {
  const int64_t rows = a->tokens * a->group;
  double *totals = (double *)a->scratch;
  float *maxima = a->scratch + rows * 2;
  float *scores = maxima + (rows + 15) / 16 * 16;
  float *sums = scores + 4 * TO_KEY_BLOCK;
  int64_t lowest = a->first[0], highest = a->last[0];
  for (int64_t t = 1; t < a->tokens; ++t) {
    lowest = a->first[t] < lowest ? a->first[t] : lowest;
    highest = a->last[t] > highest ? a->last[t] : highest;
  }
  for (int64_t r = 0; r < rows; ++r) {
    totals[r] = 0;
    maxima[r] = -__builtin_inff();
  }
  memset(sums, 0, (size_t)(rows * a->value_stride) * sizeof(float));
  for (int64_t start = lowest / TO_KEY_BLOCK * TO_KEY_BLOCK; start < highest; start += TO_KEY_BLOCK) {
    const int64_t slot = start % a->capacity;
    const float *keys = a->keys + slot * a->head_size;
    const float *values = a->values + slot * a->value_stride;
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
      rows_block(a, row, 4, start, keys, values, scores, sums, maxima, totals);
    }
    switch (rows - row) {
    case 3: rows_block(a, row, 3, start, keys, values, scores, sums, maxima, totals); break;
    case 2: rows_block(a, row, 2, start, keys, values, scores, sums, maxima, totals); break;
    case 1: rows_block(a, row, 1, start, keys, values, scores, sums, maxima, totals); break;
    default: break;
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float inverse = (float)(1.0 / totals[r]);
    float *out = a->out + r / a->group * a->out_stride + r % a->group * a->head_size;
    for (int64_t d = 0; d < a->head_size; ++d) out[d] = sums[r * a->value_stride + d] * inverse;
  }
}
