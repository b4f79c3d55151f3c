// The words in which one source is written for floats (vectors of sixteen lanes) and for doubles (eight lanes). With
// TO_DOUBLE defined names end in _wide and fields begin with wide_.
#undef TO_REAL
#undef TO_VECTOR
#undef TO_LANE
#undef TO_INDEX
#undef TO_COUNT
#undef TO_TILE
#undef TO_NAME
#undef TO_FIELD
#undef TO_SPLAT
#undef TO_LOAD
#undef TO_STORE
#undef TO_EXP
#undef TO_TANH
#undef TO_ABS
#undef TO_MULTIPLY_ADD

#ifdef TO_DOUBLE
#define TO_REAL double
#define TO_VECTOR d8
#define TO_INDEX i64x8
#define TO_LANE ((i64x8){0, 1, 2, 3, 4, 5, 6, 7})
#define TO_COUNT 8
#define TO_TILE TO_WIDE_D
#define TO_NAME(name) name##_wide
#define TO_FIELD(name) wide_##name
#define TO_SPLAT(x) d_splat(x)
#define TO_LOAD(p) d_part(p, 8)
#define TO_STORE(p, v) d_store(p, v, 8)
#define TO_EXP(x) d_exp(x)
#define TO_TANH(x) d_tanh(x)
#define TO_ABS(x) d_abs(x)
#define TO_MULTIPLY_ADD(a, b, sum) d_fma(a, b, sum)
#else
#define TO_REAL float
#define TO_VECTOR v16
#define TO_INDEX i16
#define TO_LANE ((i16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#define TO_COUNT 16
#define TO_TILE TO_WIDE
#define TO_NAME(name) name
#define TO_FIELD(name) name
#define TO_SPLAT(x) splat(x)
#define TO_LOAD(p) load16(p)
#define TO_STORE(p, v) store16(p, v)
#define TO_EXP(x) exp16(x)
#define TO_TANH(x) tanh16(x)
#define TO_ABS(x) abs16(x)
// Where the instruction set has a fused one, the compiler takes it.
#define TO_MULTIPLY_ADD(a, b, sum) ((sum) + (a) * (b))
#endif
