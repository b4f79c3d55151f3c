import TinctureCore

/// The header of a safetensors file: parsed and checked, nothing of the tensor data read.
///
/// The order of the checks is fixed, and nothing is allocated for a number before that number is checked:
/// file size, header length (against the file, then against the format's limit), first byte, UTF-8 and JSON,
/// `__metadata__`, each entry in file order (members, type, shape, offsets, size), then the offsets of all
/// together (overlap, hole, end of the file). Source: the format's description in huggingface/safetensors
/// `README.md`.
package struct SafetensorsHeader: Sendable {
  /// The format's limit for the header's length.
  package static let limit: UInt64 = 100_000_000

  /// `__metadata__` in file order.
  package let metadata: [(key: String, value: String)]
  /// Tensors by offset, file index 0.
  package let tensors: [TensorInfo]

  /// Parses the header of `file`.
  ///
  /// - Complexity: linear in the header's size (times a logarithm for the order of the offsets).
  /// - Throws: `safetensors.*`, `safetensors.header.*`, `file.read`, `file.truncated`.
  package init(_ file: InputFile) throws(TinctureError) {
    let length = try SafetensorsHeader.length(file)
    let bytes = try file.bytes(at: 8, count: length)
    guard bytes.first == UInt8(ascii: "{") else {
      throw SafetensorsHeader.failure(
        file, "header.start", "the header does not start with {", at: 8, expected: "{",
        found: bytes.isEmpty ? "an empty header" : hex(Array(bytes.prefix(4))))
    }
    let dataOffset = UInt64(8 + length)
    do throws(TinctureError) {
      let root = try JSON.parse(bytes, file: file.path, code: "safetensors.header")
      let parsed = try SafetensorsHeader.entries(root, dataCount: file.byteCount - dataOffset)
      metadata = parsed.metadata
      tensors = try SafetensorsHeader.place(parsed.entries, dataOffset: dataOffset, file: file)
    } catch {
      // The JSON's offsets count from the header's start, which is byte 8 of the file.
      guard let offset = error.place.byteOffset else { throw error }
      var moved = error
      moved.place.byteOffset = offset + 8
      throw moved
    }
  }

  private static func length(_ file: InputFile) throws(TinctureError) -> Int {
    guard file.byteCount >= 8 else {
      throw failure(
        file, "tooShort", "the file is too short for a safetensors file", at: 0,
        expected: "at least 8 bytes", found: "\(file.byteCount)",
        advice: "download the file again")
    }
    let field = try file.bytes(at: 0, count: 8)
    let length = field.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= file.byteCount - 8 else {
      throw failure(
        file, "header.overrun", "the header's length goes beyond the end of the file", at: 0,
        expected: "at most \(file.byteCount - 8)", found: "\(length)",
        advice: "not a safetensors file, or cut short: download it again")
    }
    guard length <= limit else {
      throw failure(
        file, "header.tooLarge", "the header is longer than the format allows", at: 0,
        expected: "at most \(limit) bytes", found: "\(length)",
        advice: "not a safetensors file, or damaged: download it again")
    }
    return Int(length)
  }

  static func failure(
    _ file: InputFile, _ name: String, _ message: String, at offset: UInt64,
    expected: String? = nil, found: String? = nil, advice: String? = nil
  ) -> TinctureError {
    TinctureError(
      .init("safetensors." + name, .invalidInput), message,
      place: .init(file: file.path, byteOffset: offset), expected: expected, found: found,
      advice: advice)
  }
}
