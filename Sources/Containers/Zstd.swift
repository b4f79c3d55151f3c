import CZstd
import TinctureCore

/// zstd frames (RFC 8878), one buffer at a time; libzstd does the work.
package enum Zstd {
  private static let advice = "copy the file again, or make it anew"

  /// The level frames are written with: planes of numbers gain nothing from more.
  package static let level: Int32 = 1

  /// One whole frame that holds `bytes`, its length in its header and no checksum of its own.
  ///
  /// - Throws: `zstd.compress` (an error of libzstd: memory).
  package static func compress(_ bytes: UnsafeRawBufferPointer) throws(TinctureError) -> [UInt8] {
    let bound = ZSTD_compressBound(bytes.count)
    var count = 0
    let frame = [UInt8](unsafeUninitializedCapacity: bound) { buffer, initialized in
      count = ZSTD_compress(buffer.baseAddress, bound, bytes.baseAddress, bytes.count, level)
      initialized = ZSTD_isError(count) == 0 ? count : 0
    }
    guard ZSTD_isError(count) == 0 else {
      throw TinctureError(
        .init("zstd.compress", .internalError), "zstd cannot compress \(bytes.count) bytes",
        found: String(cString: ZSTD_getErrorName(count)))
    }
    return frame
  }

  package static func compress(_ bytes: [UInt8]) throws(TinctureError) -> [UInt8] {
    let result = bytes.withUnsafeBytes { raw in
      Result { () throws(TinctureError) in try compress(raw) }
    }
    return try result.get()
  }

  /// What the one frame in `frame` holds, which must be exactly `byteCount` bytes.
  ///
  /// Nothing is allocated by what the frame claims: the caller has bounded `byteCount`.
  /// - Throws: `zstd.length` when the frame holds another number of bytes or something follows it,
  ///   `zstd.damaged` when it is no frame.
  package static func decompress(_ frame: [UInt8], byteCount: Int) throws(TinctureError) -> [UInt8]
  {
    let length = frame.withUnsafeBytes { ZSTD_findFrameCompressedSize($0.baseAddress, $0.count) }
    guard ZSTD_isError(length) == 0 else {
      throw TinctureError(
        .init("zstd.damaged", .invalidInput), "the zstd frame is damaged",
        found: String(cString: ZSTD_getErrorName(length)), advice: Self.advice)
    }
    let declared = frame.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
    guard length == frame.count, declared == UInt64(byteCount) else {
      throw TinctureError(
        .init("zstd.length", .invalidInput), "the zstd frame has another length than is written",
        expected: "\(byteCount) bytes in a frame of \(frame.count)",
        found: "\(Int64(bitPattern: declared)) bytes in a frame of \(length)")
    }
    var count = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, initialized in
      count = frame.withUnsafeBytes {
        ZSTD_decompress(buffer.baseAddress, byteCount, $0.baseAddress, $0.count)
      }
      initialized = ZSTD_isError(count) == 0 ? count : 0
    }
    guard ZSTD_isError(count) == 0 else {
      throw TinctureError(
        .init("zstd.damaged", .invalidInput), "the zstd frame is damaged",
        found: String(cString: ZSTD_getErrorName(count)), advice: Self.advice)
    }
    guard count == byteCount else {
      throw TinctureError(
        .init("zstd.length", .invalidInput), "the zstd frame has another length than is written",
        expected: "\(byteCount) bytes", found: "\(count)")
    }
    return bytes
  }
}
