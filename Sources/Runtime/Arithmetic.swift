/// How products of weights and activations are computed; named in every report.
public enum Arithmetic: String, Sendable, CaseIterable {
  /// Weights decoded to F32, F32 activations: the truth about the weights.
  case exact
  /// Activations rounded as llama.cpp's CPU backend rounds them for the weight's format, blocks multiplied as
  /// integers: what that engine computes, and fast.
  case engine
}
