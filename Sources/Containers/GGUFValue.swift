/// A typed metadata value of GGUF. Arrays are homogeneous; strings are bytes (GGUF promises UTF-8 and files
/// break it).
///
/// Source: ggml `docs/gguf.md`.
public enum GGUFValue: Sendable, Hashable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case float32(Float)
  case bool(Bool)
  case string(GGUFString)
  case uint64(UInt64)
  case int64(Int64)
  case float64(Double)
  case array(GGUFArray)
}

/// A string as the file has it.
public struct GGUFString: Sendable, Hashable, ExpressibleByStringLiteral {
  public let bytes: [UInt8]

  public init(bytes: [UInt8]) { self.bytes = bytes }
  public init(_ text: String) { bytes = Array(text.utf8) }
  public init(stringLiteral text: String) { self.init(text) }

  /// The text, invalid bytes replaced for display.
  public var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// A homogeneous array; the cases hold native arrays so that a vocabulary costs no enum per item.
public enum GGUFArray: Sendable, Hashable {
  case uint8([UInt8])
  case int8([Int8])
  case uint16([UInt16])
  case int16([Int16])
  case uint32([UInt32])
  case int32([Int32])
  case float32([Float])
  case bool([Bool])
  case strings(ByteStrings)
  case uint64([UInt64])
  case int64([Int64])
  case float64([Double])
  /// Arrays of arrays.
  case arrays([GGUFArray])
}

/// Many byte strings in one buffer: token texts, merges.
public struct ByteStrings: Sendable, Hashable {
  /// All strings one after the other.
  public private(set) var storage: [UInt8] = []
  /// `ends[i]` is where string i ends in `storage`.
  public private(set) var ends: [Int] = []

  public init() {}

  public init(_ strings: [[UInt8]]) {
    for string in strings { append(string) }
  }

  public var count: Int { ends.count }

  public subscript(index: Int) -> ArraySlice<UInt8> {
    storage[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
  }

  public mutating func append(_ string: some Collection<UInt8>) {
    storage.append(contentsOf: string)
    ends.append(storage.count)
  }

  public mutating func reserve(count: Int, byteCount: Int) {
    storage.reserveCapacity(byteCount)
    ends.reserveCapacity(count)
  }
}
