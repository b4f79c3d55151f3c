// Passes over a row of logits: the sums behind softmax, the greatest entries, the distance of two rows.
//
// Written in the operations of vec.inc.h without fused multiply-add and summed in one fixed order (lane i % 8, lanes in
// order, then the tail), so the results do not depend on the instruction set.

typedef double f64x8 __attribute__((ext_vector_type(8)));

TK_INLINE f64x8 v_wide(f32x8 a) { return __builtin_convertvector(a, f64x8); }

TK_INLINE double v_total(f64x8 a) {
  double total = 0;
  for (int lane = 0; lane < 8; ++lane) total += a[lane];
  return total;
}

// e^x for x <= 0; 0 below -87. Relative error below 2^-22: x = n ln 2 + r with |r| <= 0.35, the first eight terms of the
// series of e^r (the ninth is below 2^-28), then 2^n.
TK_INLINE f32x8 v_exp_negative(f32x8 x) {
  i32x8 small = x < v_splat(-87.0f);
  x = v_select(small, v_splat(-87.0f), x);
  f32x8 n = v_round(x * v_splat(0x1.715476p+0f));
  // ln 2 in two parts; the first has few enough bits for n times it to be exact.
  f32x8 r = (x - n * v_splat(0x1.62ep-1f)) - n * v_splat(0x1.0bfbe8p-15f);
  f32x8 p = v_splat(1.0f / 5040);
  p = p * r + v_splat(1.0f / 720);
  p = p * r + v_splat(1.0f / 120);
  p = p * r + v_splat(1.0f / 24);
  p = p * r + v_splat(1.0f / 6);
  p = p * r + v_splat(0.5f);
  p = p * r + v_splat(1.0f);
  p = p * r + v_splat(1.0f);
  i32x8 power = __builtin_convertvector(n, i32x8) << 23;
  f32x8 scaled = (f32x8)((i32x8)p + power);
  return (f32x8)((i32x8)scaled & ~small);
}

// Lanes past the end of a row read as -inf would: the largest finite negative, whose e^ is 0.
TK_INLINE f32x8 v_load_part(const float *p, int64_t count, float fill) {
  f32x8 v = v_splat(fill);
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}

static int64_t row_maximum(const float *row, int64_t count) {
  f32x8 best = v_splat(row[0]);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) best = v_max(v_load(row + i), best);
  float top = v_hmax(best);
  for (; i < count; ++i) top = row[i] > top ? row[i] : top;
  for (i = 0; i + 8 <= count; i += 8) {
    i32x8 equal = v_load(row + i) == v_splat(top);
    if (__builtin_reduce_or(equal)) break;
  }
  for (; i < count; ++i) {
    if (row[i] == top) return i;
  }
  return 0;
}

static void logit_sums(
    const float *row, const uint8_t *kept, int64_t count, float top, tk_logit_sums *out) {
  f64x8 kept_sum = (f64x8)(0.0), rest_sum = (f64x8)(0.0), rest_moment = (f64x8)(0.0);
  f64x8 first = (f64x8)(0.0), second = (f64x8)(0.0);
  f32x8 least = v_splat(row[0]);
  const i32x8 bits = {1, 2, 4, 8, 16, 32, 64, 128};
  for (int64_t i = 0; i < count; i += 8) {
    int64_t left = count - i;
    f32x8 raw = left >= 8 ? v_load(row + i) : v_load_part(row + i, left, 0.0f);
    f32x8 x = left >= 8 ? raw - v_splat(top) : v_load_part(row + i, left, -1e30f) - v_splat(top);
    f32x8 e = v_exp_negative(x);
    i32x8 is_kept = kept ? (v_isplat(kept[i >> 3]) & bits) != v_isplat(0) : v_isplat(-1);
    f32x8 in = (f32x8)((i32x8)e & is_kept);
    f32x8 rest = (f32x8)((i32x8)e & ~is_kept);
    kept_sum += v_wide(in);
    rest_sum += v_wide(rest);
    rest_moment += v_wide(rest * v_select(x < v_splat(-87.0f), v_splat(0.0f), x));
    least = v_min(left >= 8 ? raw : v_load_part(row + i, left, row[0]), least);
    f64x8 wide = v_wide(raw);
    first += wide;
    second += wide * wide;
  }
  out->kept = v_total(kept_sum);
  out->rest = v_total(rest_sum);
  out->rest_moment = v_total(rest_moment);
  out->first = v_total(first);
  out->second = v_total(second);
  out->least = v_hmin(least);
}

static void logit_distance(
    const float *a, const float *b, int64_t count, float top, tk_logit_distance *out) {
  f64x8 mass = (f64x8)(0.0), moment = (f64x8)(0.0), sum = (f64x8)(0.0), square = (f64x8)(0.0);
  f32x8 largest = v_splat(0.0f);
  for (int64_t i = 0; i < count; i += 8) {
    int64_t left = count - i;
    f32x8 x = left >= 8 ? v_load(a + i) : v_load_part(a + i, left, 0.0f);
    f32x8 y = left >= 8 ? v_load(b + i) : v_load_part(b + i, left, 0.0f);
    f32x8 e = v_exp_negative(
        left >= 8 ? x - v_splat(top) : v_load_part(a + i, left, -1e30f) - v_splat(top));
    f64x8 wide = v_wide(e);
    f64x8 d = v_wide(x) - v_wide(y);
    mass += wide;
    moment += wide * d;
    sum += d;
    square += d * d;
    f32x8 size = v_abs(x - y);
    largest = v_max(size, largest);
  }
  out->mass = v_total(mass);
  out->moment = v_total(moment);
  out->sum = v_total(sum);
  out->square = v_total(square);
  out->largest = v_hmax(largest);
}

TK_INLINE uint32_t split_mix_sign(uint64_t seed, uint64_t number) {
  uint64_t z = seed + 0x9E3779B97F4A7C15u * number;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ (z >> 31)) >> 63);
}

static void logit_tail(
    const float *row, const uint8_t *kept, const uint8_t *signs, int64_t count, float top, double shift,
    uint64_t seed, uint64_t turn, int64_t buckets, double *roots, double *values) {
  const i32x8 bits = {1, 2, 4, 8, 16, 32, 64, 128};
  const i32x8 lanes = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int64_t start = 0, block = 0; start < count; start += buckets, ++block) {
    uint32_t turned = split_mix_sign(seed, turn + (uint64_t)block + 1) ? 0xffu : 0u;
    int64_t end = count - start < buckets ? count - start : buckets;
    for (int64_t j = 0; j < end; j += 8) {
      int64_t i = start + j, left = end - j;
      f32x8 raw = left >= 8 ? v_load(row + i) : v_load_part(row + i, left, 0.0f);
      f32x8 x = left >= 8 ? raw : v_load_part(row + i, left, -1e30f);
      f32x8 root = v_exp_negative((x - v_splat(top)) * v_splat(0.5f));
      i32x8 out = (v_isplat(kept[i >> 3]) & bits) != v_isplat(0);
      if (left < 8) out |= lanes >= v_isplat((int32_t)left);
      i32x8 minus = (v_isplat((int32_t)(signs[i >> 3] ^ turned)) & bits) != v_isplat(0);
      i32x8 flip = minus & v_isplat(INT32_MIN);
      f64x8 sums, others;
      memcpy(&sums, roots + j, sizeof sums);
      memcpy(&others, values + j, sizeof others);
      sums += v_wide((f32x8)(((i32x8)root & ~out) ^ flip));
      others += v_wide((f32x8)(((i32x8)raw & ~out) ^ flip));
      if (shift != 0) others += v_wide((f32x8)(((i32x8)v_splat(1.0f) & ~out) ^ flip)) * shift;
      memcpy(roots + j, &sums, sizeof sums);
      memcpy(values + j, &others, sizeof others);
    }
  }
}

// Greater floats have greater keys; of equal ones the lower index is the greater. Zeros of both signs are one value.
TK_INLINE uint64_t logit_key(float value, int64_t index) {
  uint32_t bits = tk_bits(value + 0.0f);
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return (uint64_t)bits << 32 | (uint32_t)~(uint32_t)index;
}

TK_INLINE float logit_of_key(uint64_t key) {
  uint32_t bits = (uint32_t)(key >> 32);
  return tk_from_bits(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

// The key of rank `rank` (0 the greatest); reorders `keys`, which are all different.
static uint64_t key_of_rank(uint64_t *keys, int64_t count, int64_t rank) {
  int64_t low = 0, high = count - 1;
  while (low < high) {
    uint64_t a = keys[low], b = keys[low + (high - low) / 2], c = keys[high];
    uint64_t pivot = a > b ? (b > c ? b : (a > c ? c : a)) : (a > c ? a : (b > c ? c : b));
    int64_t i = low, j = high;
    while (i <= j) {
      while (keys[i] > pivot) ++i;
      while (keys[j] < pivot) --j;
      if (i <= j) {
        uint64_t key = keys[i];
        keys[i++] = keys[j];
        keys[j--] = key;
      }
    }
    if (rank <= j) {
      high = j;
    } else if (rank >= i) {
      low = i;
    } else {
      return keys[rank];
    }
  }
  return keys[rank];
}

// Appends the keys of entries of at least `threshold`, by index; returns how many.
static int64_t keys_from(const float *row, int64_t count, float threshold, uint64_t *keys) {
  int64_t found = 0, i = 0;
  f32x8 limit = v_splat(threshold);
  for (; i + 32 <= count; i += 32) {
    i32x8 any = (v_load(row + i) >= limit) | (v_load(row + i + 8) >= limit)
        | (v_load(row + i + 16) >= limit) | (v_load(row + i + 24) >= limit);
    if (!__builtin_reduce_or(any)) continue;
    for (int64_t j = i; j < i + 32; ++j) {
      if (row[j] >= threshold) keys[found++] = logit_key(row[j], j);
    }
  }
  for (; i < count; ++i) {
    if (row[i] >= threshold) keys[found++] = logit_key(row[i], i);
  }
  return found;
}

static void greatest(
    const float *row, int64_t count, int64_t wanted, uint32_t *ids, uint64_t *scratch) {
  enum { SAMPLE = 4096 };
  int64_t found = 0;
  uint64_t *keys = scratch + count;
  if (count > 4 * SAMPLE) {
    // Every stride-th entry tells where about the limit lies; too high a guess is lowered until enough are found.
    int64_t stride = count / SAMPLE;
    for (int64_t i = 0; i < SAMPLE; ++i) keys[i] = logit_key(row[i * stride], i * stride);
    int64_t expected = wanted * SAMPLE / count;
    int64_t rank = expected + expected / 4 + 24;
    for (; rank < SAMPLE && found < wanted; rank *= 2) {
      found = keys_from(row, count, logit_of_key(key_of_rank(keys, SAMPLE, rank)), scratch);
    }
  }
  if (found < wanted) {
    for (found = 0; found < count; ++found) scratch[found] = logit_key(row[found], found);
  }
  memcpy(keys, scratch, (size_t)found * sizeof *keys);
  uint64_t least = key_of_rank(keys, found, wanted - 1);
  int64_t out = 0;
  for (int64_t i = 0; i < found; ++i) {
    if (scratch[i] >= least) ids[out++] = ~(uint32_t)scratch[i];
  }
}

static void project(
    const float *signs, const float *x, int64_t projections, int64_t count, double *out) {
  for (int64_t j = 0; j < projections; ++j) {
    const float *s = signs + j * count;
    f64x8 sum = (f64x8)(0.0);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) sum += v_wide(v_load(s + i) * v_load(x + i));
    double total = v_total(sum);
    for (; i < count; ++i) total += (double)(s[i] * x[i]);
    out[j] = total;
  }
}

static void run_sums(
    const float *signs, const float *x, int64_t count, int64_t run, int64_t width, float *sums) {
  for (int64_t start = 0; start < count; start += run, sums += width) {
    int64_t end = count - start < run ? count - start : run;
    for (int64_t j = 0; j < width; j += 8) {
      const float *s = signs + j;
      // Two chains, as additions wait for each other.
      f32x8 even = v_splat(0.0f), odd = v_splat(0.0f);
      int64_t i = 0;
      for (; i + 2 <= end; i += 2) {
        even += v_splat(x[start + i]) * v_load(s + i * width);
        odd += v_splat(x[start + i + 1]) * v_load(s + (i + 1) * width);
      }
      if (i < end) even += v_splat(x[start + i]) * v_load(s + i * width);
      v_store(sums + j, even + odd);
    }
  }
}

static void block_squares(const float *x, int64_t count, float *squares) {
  for (int64_t start = 0; start < count; start += 32) {
    int64_t end = count - start < 32 ? count - start : 32;
    f64x8 sum = (f64x8)(0.0);
    int64_t i = 0;
    for (; i + 8 <= end; i += 8) {
      f64x8 wide = v_wide(v_load(x + start + i));
      sum += wide * wide;
    }
    double total = v_total(sum);
    for (; i < end; ++i) total += (double)x[start + i] * x[start + i];
    *squares++ = (float)total;
  }
}
