// Activations of one vector, in the words of ops_real.inc.h; TO_FAR is where Φ(-t·√2) is nothing beside 1.

TO_INLINE TO_VECTOR TO_NAME(silu)(TO_VECTOR x) { return x / (TO_SPLAT((TO_REAL)1.0) + TO_EXP(-x)); }

// x·Φ(x): erfc(t) = e^(-t²)·s·P(s) with s = 1 / (1 + 0.4 t), P fitted to 1e-9.
TO_INLINE TO_VECTOR TO_NAME(gelu)(TO_VECTOR x) {
  static const double coefficients[] = {
      0.0668087006, -0.0483808257, -0.135836333, 0.206740677, -0.0718416497,
      0.182982609,  0.154420823,   0.210566670,  0.225389674, 0.225687817};
  const TO_VECTOR zero = TO_SPLAT((TO_REAL)0.0), one = TO_SPLAT((TO_REAL)1.0);
  const TO_VECTOR t = TO_ABS(x) * TO_SPLAT((TO_REAL)0.70710678118654752);
  const TO_VECTOR s = one / (one + TO_SPLAT((TO_REAL)0.4) * t);
  TO_VECTOR p = TO_SPLAT((TO_REAL)-0.0165381375);
#pragma clang loop unroll(full)
  for (int i = 0; i < 10; ++i) p = p * s + TO_SPLAT((TO_REAL)coefficients[i]);
  const TO_VECTOR tail = TO_SPLAT((TO_REAL)0.5) * TO_EXP(-(t * t)) * (s * p);
  const TO_VECTOR result = x * (x < zero ? tail : one - tail);
  return t > TO_SPLAT((TO_REAL)TO_FAR) ? (x < zero ? zero : x) : result;
}

// x / (1 + e^(-2u)), u = sqrt(2/π)(x + 0.044715 x³): equal to x/2·(1 + tanh u) without its cancellation.
TO_INLINE TO_VECTOR TO_NAME(gelu_tanh)(TO_VECTOR x) {
  const TO_VECTOR one = TO_SPLAT((TO_REAL)1.0);
  const TO_VECTOR u2 =
      TO_SPLAT((TO_REAL)-1.5957691216057308) * x * (one + TO_SPLAT((TO_REAL)0.044715) * x * x);
  return x / (one + TO_EXP(u2));
}
