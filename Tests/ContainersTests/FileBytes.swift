import Testing
import TinctureCore

/// Bytes of a file made by hand, one field after the other, little-endian.
struct FileBytes {
  var bytes: [UInt8] = []

  @discardableResult
  mutating func add<T: FixedWidthInteger>(_ value: T) -> FileBytes {
    withUnsafeBytes(of: value.littleEndian) { bytes += Array($0) }
    return self
  }

  mutating func add(raw text: String) { bytes += Array(text.utf8) }

  /// An u64 length and the text.
  mutating func add(string text: String) {
    add(UInt64(text.utf8.count))
    add(raw: text)
  }

  mutating func pad(to alignment: Int) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  func file(_ name: String = "model") -> InputFile { InputFile(memory: bytes, name: name) }

  /// Bytes with `value` written over what stands at `offset`.
  func patched<T: FixedWidthInteger>(_ value: T, at offset: Int) -> FileBytes {
    var copy = self
    withUnsafeBytes(of: value.littleEndian) { raw in
      for (index, byte) in raw.enumerated() { copy.bytes[offset + index] = byte }
    }
    return copy
  }

  /// A safetensors file: length, header, data.
  static func safetensors(_ header: String, data: Int = 0) -> FileBytes {
    var file = FileBytes()
    file.add(UInt64(header.utf8.count))
    file.add(raw: header)
    file.bytes += [UInt8](repeating: 7, count: data)
    return file
  }

  /// A GGUF file of version 3.
  static func gguf(
    pairs: [(inout FileBytes) -> Void] = [], tensors: [(inout FileBytes) -> Void] = [],
    data: Int = 0
  ) -> FileBytes {
    var file = FileBytes()
    file.add(raw: "GGUF")
    file.add(UInt32(3))
    file.add(UInt64(tensors.count))
    file.add(UInt64(pairs.count))
    for pair in pairs { pair(&file) }
    for tensor in tensors { tensor(&file) }
    file.pad(to: 32)
    file.bytes += [UInt8](repeating: 7, count: data)
    return file
  }

  /// A key with a value of type `type`, whose bytes `value` adds.
  static func pair(_ key: String, _ type: UInt32, _ value: @escaping (inout FileBytes) -> Void)
    -> (inout FileBytes) -> Void
  {
    { file in
      file.add(string: key)
      file.add(type)
      value(&file)
    }
  }

  /// A tensor's entry; dimensions in ggml's order.
  static func tensor(
    _ name: String, _ dimensions: [Int64], type: UInt32 = 0, offset: UInt64 = 0
  ) -> (inout FileBytes) -> Void {
    { file in
      file.add(string: name)
      file.add(UInt32(dimensions.count))
      for dimension in dimensions { file.add(dimension) }
      file.add(type)
      file.add(offset)
    }
  }
}

/// A damaged file and what must be said of it.
struct HostileCase: Sendable, CustomTestStringConvertible {
  let id: String
  let bytes: [UInt8]
  /// Code and place: `gguf.key.empty byte 24`.
  let expected: String

  init(_ id: String, _ file: FileBytes, _ expected: String) {
    self.id = id
    bytes = file.bytes
    self.expected = expected
  }

  var testDescription: String { id }
}

/// Code and place of an error in one line.
func snapshot(_ error: TinctureError?) -> String {
  guard let error else { return "no error" }
  var text = error.code.name
  if let offset = error.place.byteOffset { text += " byte \(offset)" }
  if let tensor = error.place.tensor { text += " tensor \(tensor)" }
  if let key = error.place.key { text += " key \(key)" }
  return text
}
