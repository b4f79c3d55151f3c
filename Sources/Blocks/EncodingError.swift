import TinctureCore

/// Why values cannot be encoded: the place is counted from the first row and column handed to the encoder.
public enum EncodingError: Error, Sendable, Equatable {
  /// The value is NaN or infinite.
  case nonFinite(row: Int, column: Int, value: Float)
  /// The value is finite, but the format would store or decode it as infinity.
  case overflow(row: Int, column: Int, value: Float)

  /// The same as the toolchain's error, for a tensor of which the encoder was handed rows from `firstRow` on.
  public func located(
    tensor: String, format: BlockFormat, firstRow: Int = 0
  ) -> TinctureError {
    switch self {
    case .nonFinite(let row, let column, let value):
      TinctureError(
        TinctureError.Code("weights.nonFinite", .invalidInput),
        "row \(firstRow + row), column \(column) is not a finite number",
        place: TinctureError.Place(tensor: tensor), expected: "a finite weight", found: "\(value)",
        advice: "repair or re-download the checkpoint; a quantized model cannot hold such a weight")
    case .overflow(let row, let column, let value):
      TinctureError(
        TinctureError.Code("weights.overflow", .unsupported),
        "row \(firstRow + row), column \(column) becomes infinite in \(format.name)",
        place: TinctureError.Place(tensor: tensor),
        expected: "a weight within the range of \(format.name)",
        found: "\(value)",
        advice: format != .bf16 && Self.fitsBF16(value)
          ? "choose BF16 or F32 for this tensor" : "choose F32 for this tensor")
    }
  }

  /// Whether BF16 rounds the finite value to a finite one: below the middle between its largest and 2^128.
  private static func fitsBF16(_ value: Float) -> Bool {
    value.magnitude.bitPattern < 0x7F7F_8000
  }
}
