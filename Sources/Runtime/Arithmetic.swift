/// How products of weights and activations are computed; named in every report.
public enum Arithmetic: String, Sendable, CaseIterable {
  /// Weights decoded to F32, everything computed in double, activations of at least 26 bits where they are multiplied, so
  /// that products are exact; logits, from which nothing is computed, as single-precision sums of activations rounded to
  /// it: the truth about the weights, the same bits on every instruction set.
  case exact
  /// Activations rounded as llama.cpp's CPU backend rounds them for the weight's format, blocks multiplied as
  /// integers: what that engine computes, and fast.
  case engine
}
