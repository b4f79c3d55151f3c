import TinctureBlocks
import TinctureCore

/// Limits of the GGUF reader. Sources: ggml `docs/gguf.md` (keys), llama.cpp `ggml/include/ggml.h` (names,
/// dimensions).
package enum GGUFLimit {
  /// Longest key in bytes.
  package static let keyByteCount = 65_535
  /// Longest tensor name in bytes that llama.cpp keeps whole (`GGML_MAX_NAME` - 1).
  package static let nameByteCount = 63
  /// Most dimensions of a tensor.
  package static let rank = 4
  /// Arrays within arrays; llama.cpp reads none at all.
  package static let arrayDepth = 4
  /// Metadata and tensor list together; the largest vocabularies need some 20 MB.
  package static let headerByteCount: UInt64 = 1 << 29
  /// Alignment of tensor data unless `general.alignment` says otherwise.
  package static let defaultAlignment: UInt32 = 32
  /// Largest alignment taken.
  package static let alignment: UInt32 = 1 << 20
}

/// What a GGUF file says before its tensor data: parsed and checked, nothing of the data read.
///
/// The order of the checks is fixed: magic, byte order, version, counts, each key (length, text, duplicate,
/// type, value), alignment, each tensor (name, rank, dimensions, type, row, size), then the offsets.
package struct GGUFHeader: Sendable {
  package let version: UInt32
  package let metadata: [(key: String, value: GGUFValue)]
  package let alignment: UInt32
  /// Tensors with file index 0.
  package let tensors: [TensorInfo]
  /// Where the tensor data starts.
  package let dataOffset: UInt64
  /// Bytes after the last tensor and its padding (after the header when there is no tensor).
  package let unclaimedByteCount: UInt64

  /// Smallest key-value pair: a key of one byte and a value of one byte.
  private static let leastPairByteCount: UInt64 = 8 + 1 + 4 + 1
  /// Smallest tensor entry: a name of one byte, no dimension.
  private static let leastTensorByteCount: UInt64 = 8 + 1 + 4 + 4 + 8

  /// Parses the header of `file`.
  ///
  /// - Complexity: linear in the header's size, which also bounds the memory (times a small constant).
  /// - Throws: `gguf.*`, `file.read`, `file.truncated`.
  package init(_ file: InputFile) throws(TinctureError) {
    let cursor = FileCursor(file, code: "gguf", limit: GGUFLimit.headerByteCount)
    do throws(TinctureError) {
      version = try GGUFHeader.version(cursor)
      let counts = try GGUFHeader.counts(cursor)
      metadata = try GGUFHeader.metadata(cursor, count: counts.pairs)
      alignment = try GGUFHeader.alignment(metadata, cursor)
      let entries = try GGUFHeader.entries(cursor, count: counts.tensors)
      let mask = UInt64(alignment - 1)
      dataOffset = (cursor.offset + mask) & ~mask
      tensors = try GGUFHeader.place(
        entries, dataOffset: dataOffset, alignment: UInt64(alignment), file: file)
      let end = tensors.last.map { ($0.byteOffset + $0.byteCount + mask) & ~mask } ?? cursor.offset
      unclaimedByteCount = file.byteCount - min(end, file.byteCount)
    } catch {
      guard error.code.name == "gguf.truncated" || error.code.name == "gguf.string.length",
        file.byteCount > GGUFLimit.headerByteCount
      else { throw error }
      throw TinctureError(
        .init("gguf.header.tooLarge", .limit), "the header is larger than any model's",
        place: error.place, expected: "at most \(GGUFLimit.headerByteCount) bytes",
        advice: "the file is damaged or not a model; download or copy it again")
    }
  }

  private static func version(_ cursor: FileCursor) throws(TinctureError) -> UInt32 {
    let magic = try cursor.integer(UInt32.self, "the magic number")
    guard magic == 0x4655_4747 else {
      throw cursor.error(
        "magic", "not a GGUF file", at: 0, expected: "GGUF",
        found: hex((0..<4).map { UInt8(truncatingIfNeeded: magic >> (8 * $0)) }),
        advice: magic == 0x4747_5546
          ? "the file is byte-swapped; convert it to little-endian"
          : "name a .gguf file; a checkpoint is named by its folder")
    }
    let version = try cursor.integer(UInt32.self, "the version")
    guard version & 0xffff != 0 || version == 0 else {
      throw cursor.error(
        "byteOrder", "the file is big-endian (its version reads \(version))", at: 4,
        kind: .unsupported, expected: "a little-endian file", found: "version \(version)",
        advice: "convert it with gguf-py's gguf_convert_endian.py, or download the usual build")
    }
    guard version == 2 || version == 3 else {
      throw cursor.error(
        "version", "this version of GGUF is not read", at: 4,
        kind: version == 0 ? .invalidInput : .unsupported, expected: "version 2 or 3",
        found: "\(version)",
        advice: version == 1 ? "convert the model again with a newer program" : nil)
    }
    return version
  }

  private static func counts(_ cursor: FileCursor) throws(TinctureError) -> (
    tensors: Int, pairs: Int
  ) {
    let tensors = try cursor.integer(UInt64.self, "the number of tensors")
    let pairs = try cursor.integer(UInt64.self, "the number of keys")
    let room = cursor.remaining
    guard tensors <= room / leastTensorByteCount else {
      throw cursor.error(
        "count", "more tensors than the file has room for", at: 8,
        expected: "at most \(room / leastTensorByteCount)", found: "\(tensors)",
        advice: "the file is damaged or cut short; download or copy it again")
    }
    guard pairs <= (room - tensors * leastTensorByteCount) / leastPairByteCount else {
      throw cursor.error(
        "count", "more keys than the file has room for", at: 16,
        expected: "at most \((room - tensors * leastTensorByteCount) / leastPairByteCount)",
        found: "\(pairs)", advice: "the file is damaged or cut short; download or copy it again")
    }
    return (Int(tensors), Int(pairs))
  }

  private static func alignment(
    _ metadata: [(key: String, value: GGUFValue)], _ cursor: FileCursor
  ) throws(TinctureError) -> UInt32 {
    guard let (_, value) = metadata.first(where: { $0.key == "general.alignment" }) else {
      return GGUFLimit.defaultAlignment
    }
    guard case .uint32(let alignment) = value, alignment > 0, alignment & (alignment - 1) == 0,
      alignment <= GGUFLimit.alignment
    else {
      throw TinctureError(
        .init("gguf.alignment", .invalidInput), "impossible alignment",
        place: .init(file: cursor.file.path, key: "general.alignment"),
        expected: "an uint32 power of two up to \(GGUFLimit.alignment)", found: value.summary,
        advice: "the file is damaged or badly made; download or convert it again")
    }
    return alignment
  }
}

/// Bytes as hexadecimal, for error texts.
package func hex(_ bytes: [UInt8]) -> String {
  bytes.map { byte in
    let text = String(byte, radix: 16)
    return text.count == 1 ? "0" + text : text
  }.joined(separator: " ")
}
