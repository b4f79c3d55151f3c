/// A scalar element type of a stored tensor.
public enum ElementType: String, Sendable, CaseIterable {
  case bool, u8, i8, u16, i16, u32, i32, u64, i64
  case f8e4m3, f8e5m2
  case f16, bf16, f32, f64

  /// Size of one element in bytes.
  public var byteCount: Int {
    switch self {
    case .bool, .u8, .i8, .f8e4m3, .f8e5m2: 1
    case .u16, .i16, .f16, .bf16: 2
    case .u32, .i32, .f32: 4
    case .u64, .i64, .f64: 8
    }
  }

  /// Whether values are floating point, hence usable as weights.
  public var isFloat: Bool {
    switch self {
    case .f8e4m3, .f8e5m2, .f16, .bf16, .f32, .f64: true
    default: false
    }
  }
}
