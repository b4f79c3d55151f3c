// Activations in the forms that engine arithmetic reads.
//
// Q8_0 and Q8_1 as llama.cpp's AVX2 code rounds them (ggml/src/ggml-cpu/arch/x86/quants.c: quantize_row_q8_0,
// quantize_row_q8_1): inverse = 127 / greatest, ties to even. Q8_K as ggml/src/ggml-quants.c
// (quantize_row_q8_K_ref): inverse = -127 / the first value of greatest magnitude, quants at most 127.
// Inputs that are not finite give unspecified quants.

static void quantize_q8_0(
    const float *x, int64_t count, int8_t *quants, float *scales, int32_t *sums, float *offsets) {
  for (int64_t b = 0; b < count / 32; ++b, x += 32, quants += 32) {
    f32x8 v[4];
    for (int k = 0; k < 4; ++k) v[k] = v_load(x + 8 * k);
    float top = v_hmax(v_max(v_max(v_abs(v[0]), v_abs(v[1])), v_max(v_abs(v[2]), v_abs(v[3]))));
    float d = top / 127.0f, inverse = top != 0 ? 127.0f / top : 0.0f;
    i32x8 total = v_isplat(0);
    for (int k = 0; k < 4; ++k) {
      i32x8 q = v_round_int(v[k] * v_splat(inverse));
      total += q;
      i8x8 bytes = __builtin_convertvector(q, i8x8);
      memcpy(quants + 8 * k, &bytes, sizeof bytes);
    }
    int32_t sum = __builtin_reduce_add(total);
    scales[b] = tk_f16_to_f32(tk_f32_to_f16(d));
    sums[b] = sum;
    if (offsets) offsets[b] = tk_f16_to_f32(tk_f32_to_f16(d * (float)sum));
  }
}

static void quantize_q8_k(
    const float *x, int64_t count, int8_t *quants, float *scales, int32_t *sums, float *offsets) {
  for (int64_t b = 0; b < count / 256; ++b, x += 256, quants += 256, sums += 16, offsets += 16) {
    f32x8 hi = v_load(x), lo = hi;
    for (int i = 8; i < 256; i += 8) {
      hi = v_max(hi, v_load(x + i));
      lo = v_min(lo, v_load(x + i));
    }
    float most = v_hmax(hi), least = v_hmin(lo), peak = most > -least ? most : least;
    if (most == -least) {
      // Both signs reach the greatest magnitude: the first one counts.
      for (int i = 0; i < 256; ++i) {
        if (x[i] == most || x[i] == least) {
          peak = x[i];
          break;
        }
      }
    }
    if (peak == 0) {
      scales[b] = 0;
      memset(quants, 0, 256);
      memset(sums, 0, 16 * sizeof *sums);
      memset(offsets, 0, 16 * sizeof *offsets);
      continue;
    }
    float inverse = -127.0f / peak, d = 1.0f / inverse;
    scales[b] = d;
    for (int j = 0; j < 16; ++j) {
      i32x8 total = v_isplat(0);
      for (int k = 0; k < 2; ++k) {
        i32x8 q = v_round_int(v_load(x + 16 * j + 8 * k) * v_splat(inverse));
        q = v_iselect(q > v_isplat(127), v_isplat(127), q);
        total += q;
        i8x8 bytes = __builtin_convertvector(q, i8x8);
        memcpy(quants + 16 * j + 8 * k, &bytes, sizeof bytes);
      }
      sums[j] = __builtin_reduce_add(total);
      offsets[j] = d * (float)sums[j];
    }
  }
}

static void round_f16(const float *x, int64_t count, float *out) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) v_store(out + i, v_round_f16(v_load(x + i)));
  for (; i < count; ++i) out[i] = tk_f16_to_f32(tk_f32_to_f16(x[i]));
}

static void round_bf16(const float *x, int64_t count, uint16_t *bits, float *out) {
  f32_to_bf16(x, bits, count);
  bf16_to_f32(bits, out, count);
}
