/// The type tags of metadata values. Source: ggml `docs/gguf.md`.
package enum GGUFType: UInt32, Sendable {
  case uint8 = 0
  case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// Bytes of a value; of a string or array, the fewest possible.
  package var leastByteCount: UInt64 {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64, .string: 8
    case .array: 12
    }
  }
}

extension GGUFValue {
  package var type: GGUFType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .string: .string
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    case .array: .array
    }
  }

  /// The value of any integer type when it is not negative, else nil.
  public var unsigned: UInt64? {
    switch self {
    case .uint8(let value): UInt64(value)
    case .uint16(let value): UInt64(value)
    case .uint32(let value): UInt64(value)
    case .uint64(let value): value
    case .int8(let value): UInt64(exactly: value)
    case .int16(let value): UInt64(exactly: value)
    case .int32(let value): UInt64(exactly: value)
    case .int64(let value): UInt64(exactly: value)
    default: nil
    }
  }

  /// The value of either float type, else nil.
  public var real: Double? {
    switch self {
    case .float32(let value): Double(value)
    case .float64(let value): value
    default: nil
    }
  }

  /// The string, else nil.
  public var string: GGUFString? {
    if case .string(let string) = self { string } else { nil }
  }

  /// The truth value, else nil.
  public var boolean: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The array, else nil.
  public var array: GGUFArray? {
    if case .array(let array) = self { array } else { nil }
  }

  /// Type and value in a few words, for error texts and listings; arrays by their length.
  public var summary: String {
    switch self {
    case .uint8(let value): "uint8 \(value)"
    case .int8(let value): "int8 \(value)"
    case .uint16(let value): "uint16 \(value)"
    case .int16(let value): "int16 \(value)"
    case .uint32(let value): "uint32 \(value)"
    case .int32(let value): "int32 \(value)"
    case .uint64(let value): "uint64 \(value)"
    case .int64(let value): "int64 \(value)"
    case .float32(let value): "float32 \(value)"
    case .float64(let value): "float64 \(value)"
    case .bool(let value): "bool \(value)"
    case .string(let value):
      value.bytes.count <= 80
        ? "string \"\(value.text)\"" : "string of \(value.bytes.count) bytes"
    case .array(let array): "array of \(array.count) \(array.type)"
    }
  }
}

extension GGUFArray {
  /// The type of the items.
  package var type: GGUFType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .strings: .string
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    case .arrays: .array
    }
  }

  /// Number of items.
  public var count: Int {
    switch self {
    case .uint8(let items): items.count
    case .int8(let items): items.count
    case .uint16(let items): items.count
    case .int16(let items): items.count
    case .uint32(let items): items.count
    case .int32(let items): items.count
    case .float32(let items): items.count
    case .bool(let items): items.count
    case .strings(let items): items.count
    case .uint64(let items): items.count
    case .int64(let items): items.count
    case .float64(let items): items.count
    case .arrays(let items): items.count
    }
  }
}
