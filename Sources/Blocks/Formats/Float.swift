extension BlockFormat {
  /// IEEE single precision.
  public static let f32 = BlockFormat(
    id: 0, "F32", elements: 1, bytes: 4, quantized: false, coding: .f32)
  /// IEEE half precision: 5 exponent and 10 fraction bits, rounded to nearest even.
  public static let f16 = BlockFormat(
    id: 1, "F16", elements: 1, bytes: 2, quantized: false, coding: .f16)
  /// The upper half of single precision, rounded to nearest even.
  public static let bf16 = BlockFormat(
    id: 30, "BF16", elements: 1, bytes: 2, quantized: false, coding: .bf16)
}
