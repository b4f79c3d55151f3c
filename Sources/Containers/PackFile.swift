import TinctureCore

/// A pack opened for reading: its ends are checked, its index is read; frames are read one by one.
package struct PackFile: Sendable {
  package let file: InputFile
  /// The index as it stands in the file: JSON.
  package let index: [UInt8]
  /// Where the frames end and the index starts.
  package let framesEnd: UInt64

  /// Opens `path`.
  ///
  /// - Throws: `file.*`; `pack.magic`, `pack.version`, `pack.end`, `pack.index`, `pack.digest`.
  package init(path: String) throws(TinctureError) {
    try self.init(try InputFile(path: path))
  }

  package init(_ file: InputFile) throws(TinctureError) {
    self.file = file
    let least = UInt64(PackLayout.headByteCount + PackLayout.tailByteCount)
    guard file.byteCount >= least else {
      throw PackFile.failure(
        file, "end", "the file is too short for a pack", expected: "\(least) bytes or more",
        found: "\(file.byteCount)", advice: PackFile.cutShort)
    }
    let head = try file.bytes(at: 0, count: PackLayout.headByteCount)
    guard Array(head[8..<16]) == PackLayout.headMagic,
      PackLayout.uint32(head, 0) == PackLayout.skippable, PackLayout.uint32(head, 4) == 16
    else {
      throw PackFile.failure(
        file, "magic", "the file is no parity pack", at: 0, expected: "TINCPACK at byte 8")
    }
    let version = PackLayout.uint32(head, 16)
    guard version == PackLayout.version, PackLayout.uint32(head, 20) == 0 else {
      throw TinctureError(
        .init("pack.version", .unsupported), "this build does not read that version of a pack",
        place: .init(file: file.path, byteOffset: 16), expected: "\(PackLayout.version)",
        found: "\(version)", advice: "record the pack again, or take a newer tincture")
    }
    let frame = try PackFile.indexFrame(file)
    framesEnd = frame.byteOffset
    index = try PackFile.read(frame, from: file, name: "index")
  }

  private static func indexFrame(_ file: InputFile) throws(TinctureError) -> PackFrame {
    let start = file.byteCount - UInt64(PackLayout.tailByteCount)
    let tail = try file.bytes(at: start, count: PackLayout.tailByteCount)
    guard Array(tail[64...]) == PackLayout.tailMagic,
      PackLayout.uint32(tail, 0) == PackLayout.skippable, PackLayout.uint32(tail, 4) == 64
    else {
      throw failure(
        file, "end", "the pack has no end: it was cut short or never finished", at: start,
        expected: "TINCPEND in the last 8 bytes", advice: PackFile.cutShort)
    }
    let offset = PackLayout.uint64(tail, 8)
    let count = PackLayout.uint64(tail, 16)
    let content = PackLayout.uint64(tail, 24)
    guard offset >= UInt64(PackLayout.headByteCount), offset <= start, count == start - offset,
      count <= UInt64(PackLayout.largestContent), content <= UInt64(PackLayout.largestContent)
    else {
      throw failure(
        file, "index", "the index does not stand where the end says", at: start + 8,
        expected: "an index that ends at byte \(start)",
        found: "\(count) bytes from byte \(offset), holding \(content)", advice: PackFile.cutShort)
    }
    return PackFrame(
      byteOffset: offset, byteCount: Int(count), contentByteCount: Int(content),
      digest: Array(tail[32..<64]))
  }

  /// The content of `frame`, whose numbers come from the index.
  ///
  /// - Parameter name: what the frame is, for errors.
  /// - Throws: `pack.frame` when it does not lie between head and index or holds too much, `pack.digest` when
  ///   its bytes are not those that were written, and what zstd finds.
  package func read(_ frame: PackFrame, name: String) throws(TinctureError) -> [UInt8] {
    let (end, overflow) = frame.byteOffset.addingReportingOverflow(
      UInt64(clamping: frame.byteCount))
    guard frame.byteCount > 0, frame.contentByteCount >= 0,
      frame.contentByteCount <= PackLayout.largestContent, !overflow,
      frame.byteOffset >= UInt64(PackLayout.headByteCount), end <= framesEnd
    else {
      throw PackFile.failure(
        file, "frame", "the frame does not lie in the pack", at: frame.byteOffset,
        expected: "bytes \(PackLayout.headByteCount) to \(framesEnd)",
        found: "\(frame.byteCount) bytes for \(name)")
    }
    return try PackFile.read(frame, from: file, name: name)
  }

  private static func read(_ frame: PackFrame, from file: InputFile, name: String)
    throws(TinctureError) -> [UInt8]
  {
    let stored = try file.bytes(at: frame.byteOffset, count: frame.byteCount)
    let bytes: [UInt8]
    do throws(TinctureError) {
      bytes = try Zstd.decompress(stored, byteCount: frame.contentByteCount)
    } catch {
      throw error.at(file: file.path, byteOffset: frame.byteOffset, key: name)
    }
    guard SHA256.of(bytes) == frame.digest else {
      throw failure(
        file, "digest", "the bytes of the frame are not those that were written",
        at: frame.byteOffset, key: name, advice: "copy or record the pack again")
    }
    return bytes
  }

  private static let cutShort = "copy the pack again, or record it anew"

  private static func failure(
    _ file: InputFile, _ code: String, _ message: String, at offset: UInt64? = nil,
    key: String? = nil, expected: String? = nil, found: String? = nil, advice: String? = nil
  ) -> TinctureError {
    TinctureError(
      .init("pack." + code, .invalidInput), message,
      place: .init(file: file.path, byteOffset: offset, key: key), expected: expected,
      found: found, advice: advice)
  }
}

extension PackFile {
  /// Whether the file at `path` starts as a pack does.
  ///
  /// - Throws: `file.read`, `file.notRegular`.
  package static func isPack(_ path: String) throws(TinctureError) -> Bool {
    let file = try InputFile(path: path)
    guard file.byteCount >= 16 else { return false }
    return Array(try file.bytes(at: 0, count: 16)[8...]) == PackLayout.headMagic
  }
}
