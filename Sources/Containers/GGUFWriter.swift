import TinctureBlocks
import TinctureCore

/// Makes the bytes of a GGUF header. Source: ggml `docs/gguf.md`.
struct GGUFWriter {
  static let version: UInt32 = 3

  private(set) var bytes: [UInt8] = []

  /// Header of `tensors` (offset relative to the data) and `metadata`, padded to `alignment`.
  static func header(
    metadata: [(key: String, value: GGUFValue)], alignment: Int,
    tensors: [(tensor: GGUFLayout.Request, id: UInt32, offset: UInt64)]
  ) throws(TinctureError) -> [UInt8] {
    var writer = GGUFWriter()
    var size = 64 + alignment
    for (key, value) in metadata { size += 12 + key.utf8.count + byteCount(value) }
    for entry in tensors { size += 64 + entry.tensor.name.utf8.count }
    try Allocation.check(size, for: "the header")
    writer.bytes.reserveCapacity(size)
    writer.bytes += "GGUF".utf8
    writer.append(version)
    writer.append(UInt64(tensors.count))
    writer.append(UInt64(metadata.count))
    for (key, value) in metadata {
      writer.append(Array(key.utf8))
      writer.append(value.type.rawValue)
      writer.append(value)
    }
    for (tensor, id, offset) in tensors {
      writer.append(Array(tensor.name.utf8))
      let dimensions = tensor.shapeAsWritten.ggmlOrder
      writer.append(UInt32(dimensions.count))
      for dimension in dimensions { writer.append(Int64(dimension)) }
      writer.append(id)
      writer.append(offset)
    }
    let padding = (alignment - writer.bytes.count % alignment) % alignment
    if !tensors.isEmpty { writer.bytes += [UInt8](repeating: 0, count: padding) }
    return writer.bytes
  }

  /// At least the bytes that `value` takes.
  private static func byteCount(_ value: GGUFValue) -> Int {
    switch value {
    case .string(let text): 8 + text.bytes.count
    case .array(let array): byteCount(array)
    default: 8
    }
  }

  private static func byteCount(_ array: GGUFArray) -> Int {
    switch array {
    case .uint8(let items): 12 + items.count
    case .int8(let items): 12 + items.count
    case .bool(let items): 12 + items.count
    case .strings(let items): 12 + items.storage.count + 8 * items.count
    case .arrays(let items): items.reduce(12) { $0 + 4 + byteCount($1) }
    default: 12 + 8 * array.count
    }
  }

  private mutating func append<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  private mutating func append(_ text: [UInt8]) {
    append(UInt64(text.count))
    bytes += text
  }

  private mutating func append(_ value: GGUFValue) {
    switch value {
    case .uint8(let value): append(value)
    case .int8(let value): append(value)
    case .uint16(let value): append(value)
    case .int16(let value): append(value)
    case .uint32(let value): append(value)
    case .int32(let value): append(value)
    case .uint64(let value): append(value)
    case .int64(let value): append(value)
    case .float32(let value): append(value.bitPattern)
    case .float64(let value): append(value.bitPattern)
    case .bool(let value): append(UInt8(value ? 1 : 0))
    case .string(let value): append(value.bytes)
    case .array(let array): append(array)
    }
  }

  private mutating func append(_ array: GGUFArray) {
    append(array.type.rawValue)
    append(UInt64(array.count))
    switch array {
    case .uint8(let items): bytes += items
    case .int8(let items): for item in items { append(item) }
    case .uint16(let items): for item in items { append(item) }
    case .int16(let items): for item in items { append(item) }
    case .uint32(let items): for item in items { append(item) }
    case .int32(let items): for item in items { append(item) }
    case .uint64(let items): for item in items { append(item) }
    case .int64(let items): for item in items { append(item) }
    case .float32(let items): for item in items { append(item.bitPattern) }
    case .float64(let items): for item in items { append(item.bitPattern) }
    case .bool(let items): for item in items { append(UInt8(item ? 1 : 0)) }
    case .strings(let items):
      bytes.reserveCapacity(bytes.count + items.storage.count + 8 * items.count)
      for index in 0..<items.count {
        let item = items[index]
        append(UInt64(item.count))
        bytes.append(contentsOf: item)
      }
    case .arrays(let items): for item in items { append(item) }
    }
  }
}
