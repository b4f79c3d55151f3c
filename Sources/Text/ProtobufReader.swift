import TinctureCore

/// Walks the fields of one protocol-buffer message; nothing is allocated, every length is checked.
struct ProtobufReader {
  /// A field's value: where its bytes stand, or the number itself.
  enum Payload {
    case varint(UInt64)
    case fixed32(UInt32)
    case fixed64
    case bytes(Range<Int>)
  }

  struct Field {
    let number: UInt64
    let payload: Payload
    /// Byte offset of the field's tag.
    let offset: Int

    func varint(_ reader: ProtobufReader) throws(TinctureError) -> UInt64 {
      guard case .varint(let value) = payload else { throw wrong("a varint", reader) }
      return value
    }

    func fixed32(_ reader: ProtobufReader) throws(TinctureError) -> UInt32 {
      guard case .fixed32(let value) = payload else { throw wrong("a 32-bit value", reader) }
      return value
    }

    func message(_ reader: ProtobufReader) throws(TinctureError) -> Range<Int> {
      guard case .bytes(let range) = payload else {
        throw wrong("a length-delimited value", reader)
      }
      return range
    }

    private func wrong(_ expected: String, _ reader: ProtobufReader) -> TinctureError {
      let found =
        switch payload {
        case .varint: "a varint"
        case .fixed32: "a 32-bit value"
        case .fixed64: "a 64-bit value"
        case .bytes: "a length-delimited value"
        }
      return SentencePieceModel.error(
        "wireType", "field \(number) has the wrong wire type", at: offset, file: reader.file,
        expected: expected, found: found)
    }
  }

  let bytes: [UInt8]
  let file: String
  private var position: Int
  private let end: Int

  init(_ bytes: [UInt8], _ range: Range<Int>, file: String) {
    self.bytes = bytes
    self.file = file
    position = range.lowerBound
    end = range.upperBound
  }

  /// The next field, nil at the end of the message.
  mutating func next() throws(TinctureError) -> Field? {
    guard position < end else { return nil }
    let offset = position
    let tag = try varint()
    let number = tag >> 3
    guard number > 0 else {
      throw SentencePieceModel.error(
        "wireType", "field number 0", at: offset, file: file, expected: "a SentencePiece model")
    }
    switch tag & 7 {
    case 0:
      return Field(number: number, payload: .varint(try varint()), offset: offset)
    case 1:
      try step(8, from: offset)
      return Field(number: number, payload: .fixed64, offset: offset)
    case 2:
      let length = try varint()
      guard length <= UInt64(end - position) else { throw truncated(offset, "\(length) bytes") }
      let start = position
      position += Int(length)
      return Field(number: number, payload: .bytes(start..<position), offset: offset)
    case 5:
      let start = position
      try step(4, from: offset)
      var value: UInt32 = 0
      for index in 0..<4 { value |= UInt32(bytes[start + index]) << UInt32(8 * index) }
      return Field(number: number, payload: .fixed32(value), offset: offset)
    default:
      throw SentencePieceModel.error(
        "wireType", "unknown wire type \(tag & 7)", at: offset, file: file,
        expected: "a SentencePiece model")
    }
  }

  private mutating func step(_ count: Int, from offset: Int) throws(TinctureError) {
    guard count <= end - position else { throw truncated(offset, "\(count) bytes") }
    position += count
  }

  private mutating func varint() throws(TinctureError) -> UInt64 {
    let offset = position
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let byte = bytes[position]
      position += 1
      if shift == 63, byte > 1 { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
      if shift > 63 { break }
    }
    throw truncated(offset, "a varint of at most 10 bytes")
  }

  private func truncated(_ offset: Int, _ expected: String) -> TinctureError {
    SentencePieceModel.error(
      "truncated", "a value runs over the end of its message", at: offset, file: file,
      expected: expected, found: "\(max(0, end - offset)) bytes up to the message's end")
  }
}
