import TinctureCore

extension GGUFHeader {
  /// The key-value pairs, in file order.
  static func metadata(_ cursor: FileCursor, count: Int) throws(TinctureError) -> [(
    key: String, value: GGUFValue
  )] {
    var metadata: [(key: String, value: GGUFValue)] = []
    metadata.reserveCapacity(count)
    var seen: Set<String> = []
    for index in 0..<count {
      let start = cursor.offset
      let key = try readKey(cursor, index: index)
      guard seen.insert(key).inserted else {
        throw cursor.error("key.duplicate", "a key occurs twice", at: start).at(key: key)
      }
      let value = try located(key: key) { () throws(TinctureError) in
        try readValue(cursor)
      }
      metadata.append((key, value))
    }
    return metadata
  }

  private static func readKey(_ cursor: FileCursor, index: Int) throws(TinctureError) -> String {
    let start = cursor.offset
    let length = try cursor.integer(UInt64.self, "key \(index)")
    guard length > 0 else {
      throw cursor.error("key.empty", "key \(index) is empty", at: start)
    }
    guard length <= UInt64(GGUFLimit.keyByteCount) else {
      throw cursor.error(
        "key.tooLong", "key \(index) is too long", at: start,
        expected: "at most \(GGUFLimit.keyByteCount) bytes", found: "\(length)")
    }
    let bytes = try cursor.bytes(length, "key \(index)")
    guard let key = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
      throw cursor.error(
        "key.text", "key \(index) is not text", at: start, expected: "UTF-8 without zero bytes",
        found: hex(Array(bytes.prefix(16))))
    }
    return key
  }

  private static func readValue(_ cursor: FileCursor) throws(TinctureError) -> GGUFValue {
    let what = "a value"
    let start = cursor.offset
    let number = try cursor.integer(UInt32.self, what)
    guard let type = GGUFType(rawValue: number) else {
      throw unknownType(number, cursor, at: start)
    }
    switch type {
    case .uint8: return .uint8(try cursor.integer(UInt8.self, what))
    case .int8: return .int8(try cursor.integer(Int8.self, what))
    case .uint16: return .uint16(try cursor.integer(UInt16.self, what))
    case .int16: return .int16(try cursor.integer(Int16.self, what))
    case .uint32: return .uint32(try cursor.integer(UInt32.self, what))
    case .int32: return .int32(try cursor.integer(Int32.self, what))
    case .uint64: return .uint64(try cursor.integer(UInt64.self, what))
    case .int64: return .int64(try cursor.integer(Int64.self, what))
    case .float32: return .float32(Float(bitPattern: try cursor.integer(UInt32.self, what)))
    case .float64: return .float64(Double(bitPattern: try cursor.integer(UInt64.self, what)))
    case .bool: return .bool(try bool(try cursor.integer(UInt8.self, what), cursor))
    case .string: return .string(GGUFString(bytes: try cursor.string(what)))
    case .array: return .array(try array(cursor, depth: 1))
    }
  }

  private static func array(_ cursor: FileCursor, depth: Int) throws(TinctureError) -> GGUFArray {
    let what = "an array"
    let start = cursor.offset
    let number = try cursor.integer(UInt32.self, what)
    guard let type = GGUFType(rawValue: number) else {
      throw unknownType(number, cursor, at: start)
    }
    let declared = try cursor.integer(UInt64.self, what)
    guard declared <= cursor.remaining / type.leastByteCount else {
      throw cursor.error(
        "array.length", "an array is longer than the rest of the file", at: start + 4,
        expected: "at most \(cursor.remaining / type.leastByteCount) items of \(type)",
        found: "\(declared)", advice: "download or copy the file again")
    }
    let count = Int(declared)
    switch type {
    case .uint8: return .uint8(try cursor.integers(UInt8.self, count: count, what))
    case .int8: return .int8(try cursor.integers(Int8.self, count: count, what))
    case .uint16: return .uint16(try cursor.integers(UInt16.self, count: count, what))
    case .int16: return .int16(try cursor.integers(Int16.self, count: count, what))
    case .uint32: return .uint32(try cursor.integers(UInt32.self, count: count, what))
    case .int32: return .int32(try cursor.integers(Int32.self, count: count, what))
    case .uint64: return .uint64(try cursor.integers(UInt64.self, count: count, what))
    case .int64: return .int64(try cursor.integers(Int64.self, count: count, what))
    case .float32:
      return .float32(
        try cursor.integers(UInt32.self, count: count, what).map(Float.init(bitPattern:)))
    case .float64:
      return .float64(
        try cursor.integers(UInt64.self, count: count, what).map(Double.init(bitPattern:)))
    case .bool:
      var values: [Bool] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try bool(try cursor.integer(UInt8.self, what), cursor)) }
      return .bool(values)
    case .string: return .strings(try cursor.strings(count: count, what))
    case .array:
      guard depth < GGUFLimit.arrayDepth else {
        throw cursor.error(
          "array.depth", "arrays are nested too deeply", at: start,
          expected: "at most \(GGUFLimit.arrayDepth) levels")
      }
      var arrays: [GGUFArray] = []
      for _ in 0..<count { arrays.append(try array(cursor, depth: depth + 1)) }
      return .arrays(arrays)
    }
  }

  private static func bool(_ byte: UInt8, _ cursor: FileCursor) throws(TinctureError) -> Bool {
    guard byte <= 1 else {
      throw cursor.error(
        "bool", "a truth value is neither 0 nor 1", at: cursor.offset - 1, expected: "0 or 1",
        found: "\(byte)")
    }
    return byte == 1
  }

  private static func unknownType(_ number: UInt32, _ cursor: FileCursor, at offset: UInt64)
    -> TinctureError
  {
    cursor.error(
      "value.type", "unknown type of a value", at: offset, expected: "0 to 12",
      found: "\(number)", advice: "the file is damaged, or newer than this program")
  }
}
