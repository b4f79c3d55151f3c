import TinctureCore

/// Where a frame stands in a pack and what it must hold.
package struct PackFrame: Sendable, Hashable {
  /// Offset of the zstd frame from the start of the file.
  package let byteOffset: UInt64
  /// Bytes of the zstd frame.
  package let byteCount: Int
  /// Bytes it holds.
  package let contentByteCount: Int
  /// SHA-256 of these bytes.
  package let digest: [UInt8]

  package init(byteOffset: UInt64, byteCount: Int, contentByteCount: Int, digest: [UInt8]) {
    self.byteOffset = byteOffset
    self.byteCount = byteCount
    self.contentByteCount = contentByteCount
    self.digest = digest
  }
}

/// The bytes around a pack's frames: formats/spec/parity-pack.md.
///
/// A pack is a row of zstd frames: first a skippable one that names the format, last a skippable one that says
/// where the index stands.
package enum PackLayout {
  package static let version: UInt32 = 1
  /// Most bytes one frame may hold, and most bytes of the index.
  package static let largestContent = 1 << 26
  static let headMagic = Array("TINCPACK".utf8)
  static let tailMagic = Array("TINCPEND".utf8)
  static let skippable: UInt32 = 0x184D_2A50
  static let headByteCount = 24
  static let tailByteCount = 72

  static func append(_ value: UInt32, to bytes: inout [UInt8]) {
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    append(UInt32(truncatingIfNeeded: value), to: &bytes)
    append(UInt32(truncatingIfNeeded: value >> 32), to: &bytes)
  }

  static func uint32(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
  }

  static func uint64(_ bytes: [UInt8], _ at: Int) -> UInt64 {
    UInt64(uint32(bytes, at)) | UInt64(uint32(bytes, at + 4)) << 32
  }

  static var head: [UInt8] {
    var bytes: [UInt8] = []
    append(skippable, to: &bytes)
    append(UInt32(16), to: &bytes)
    bytes += headMagic
    append(version, to: &bytes)
    append(UInt32(0), to: &bytes)
    return bytes
  }

  static func tail(_ index: PackFrame) -> [UInt8] {
    var bytes: [UInt8] = []
    append(skippable, to: &bytes)
    append(UInt32(64), to: &bytes)
    append(index.byteOffset, to: &bytes)
    append(UInt64(index.byteCount), to: &bytes)
    append(UInt64(index.contentByteCount), to: &bytes)
    bytes += index.digest
    bytes += tailMagic
    return bytes
  }
}

/// A pack's bytes with another index, for those who test readers.
package enum PackBytes {
  /// `frames` (the head included), then a frame of `index` and the end that names it.
  package static func withIndex(_ index: [UInt8], after frames: [UInt8]) throws(TinctureError)
    -> [UInt8]
  {
    let frame = try Zstd.compress(index)
    let place = PackFrame(
      byteOffset: UInt64(frames.count), byteCount: frame.count, contentByteCount: index.count,
      digest: SHA256.of(index))
    return frames + frame + PackLayout.tail(place)
  }
}
