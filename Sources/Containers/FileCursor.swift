import TinctureCore

/// Reads a file front to back through a window of at most 256 KiB.
///
/// Every length is checked against what is left of the file before anything is allocated for it. Integers are
/// little-endian. Not safe from several threads.
package final class FileCursor {
  package let file: InputFile
  /// Absolute offset of the next byte.
  package private(set) var offset: UInt64 = 0
  /// Where reading must stop: the end of the file, or a limit set by the format.
  package let end: UInt64
  private let code: String
  private let window: UnsafeMutableRawBufferPointer
  private var windowStart: UInt64 = 0
  private var windowCount = 0

  /// - Parameters:
  ///   - code: first part of the error codes thrown, `gguf` for `gguf.truncated`.
  ///   - limit: no byte beyond this one is read.
  package init(_ file: InputFile, code: String, limit: UInt64 = .max) {
    self.file = file
    self.code = code
    end = min(file.byteCount, limit)
    window = .allocate(byteCount: Int(min(max(end, 64), 1 << 18)), alignment: 16)
  }

  deinit { window.deallocate() }

  package var remaining: UInt64 { end - offset }

  /// - Throws: `CODE.truncated` when fewer than `count` bytes are left.
  package func require(_ count: UInt64, _ what: String) throws(TinctureError) {
    guard count <= remaining else {
      throw error(
        "truncated", "the file ends within \(what)", expected: "\(count) bytes",
        found: "\(remaining)", advice: "download or copy the file again")
    }
  }

  /// An error placed at `at`, or at the next byte.
  package func error(
    _ name: String, _ message: String, at: UInt64? = nil, kind: TinctureError.Kind = .invalidInput,
    expected: String? = nil, found: String? = nil, advice: String? = nil
  ) -> TinctureError {
    TinctureError(
      .init(code + "." + name, kind), message,
      place: .init(file: file.path, byteOffset: at ?? offset), expected: expected, found: found,
      advice: advice)
  }

  /// The next `count` bytes (at most the window's size), consumed; valid until the next call.
  private func take(_ count: Int, _ what: String) throws(TinctureError) -> UnsafeRawPointer {
    if offset < windowStart || offset + UInt64(count) > windowStart + UInt64(windowCount) {
      try require(UInt64(count), what)
      let size = Int(min(UInt64(window.count), remaining))
      windowCount = 0
      try file.read(at: offset, into: .init(rebasing: window[..<size]))
      windowStart = offset
      windowCount = size
    }
    guard let base = window.baseAddress else { preconditionFailure("the window is never empty") }
    let pointer = UnsafeRawPointer(base + Int(offset - windowStart))
    offset += UInt64(count)
    return pointer
  }

  /// The next little-endian integer.
  package func integer<T: FixedWidthInteger>(_ type: T.Type, _ what: String)
    throws(TinctureError) -> T
  {
    T(littleEndian: try take(MemoryLayout<T>.size, what).loadUnaligned(as: T.self))
  }

  /// The next `count` bytes; `count` is checked against what is left.
  package func bytes(_ count: UInt64, _ what: String) throws(TinctureError) -> [UInt8] {
    try require(count, what)
    var bytes: [UInt8] = []
    try append(Int(count), to: &bytes, what)
    return bytes
  }

  /// Asks the system for the room of what was found to fit into the file.
  private func checkMemory(_ byteCount: Int, _ what: String) throws(TinctureError) {
    try located(file: file.path) { () throws(TinctureError) in
      try Allocation.check(byteCount, for: what)
    }
  }

  /// Appends the next `count` bytes to `bytes`.
  private func append(_ count: Int, to bytes: inout [UInt8], _ what: String) throws(TinctureError) {
    if count <= window.count {
      bytes.append(
        contentsOf: UnsafeRawBufferPointer(start: try take(count, what), count: count))
    } else {
      try require(UInt64(count), what)
      let start = offset
      let chunk = try file.bytes(at: start, count: count)
      if bytes.isEmpty { bytes = chunk } else { bytes.append(contentsOf: chunk) }
      offset = start + UInt64(count)
    }
  }

  /// The next `count` integers, one after the other.
  package func integers<T: FixedWidthInteger>(_ type: T.Type, count: Int, _ what: String)
    throws(TinctureError) -> [T]
  {
    let (byteCount, overflow) = UInt64(count).multipliedReportingOverflow(
      by: UInt64(MemoryLayout<T>.size))
    try require(overflow ? .max : byteCount, what)
    try checkMemory(Int(byteCount), what)
    var values: [T] = []
    values.reserveCapacity(count)
    let perWindow = window.count / MemoryLayout<T>.size
    while values.count < count {
      let step = min(perWindow, count - values.count)
      let pointer = try take(step * MemoryLayout<T>.size, what)
      for index in 0..<step {
        values.append(
          T(
            littleEndian: pointer.loadUnaligned(
              fromByteOffset: index * MemoryLayout<T>.size, as: T.self)))
      }
    }
    return values
  }

  /// The next `count` strings, each an u64 length and its bytes.
  package func strings(count: Int, _ what: String) throws(TinctureError) -> ByteStrings {
    var strings = ByteStrings()
    try checkMemory(count * MemoryLayout<Int>.size, what)
    strings.reserve(count: count, byteCount: 0)
    while true {
      // Growing doubles the room, and the old one is there until then.
      let used = strings.storage.count
      if strings.storage.capacity - used < window.count {
        try checkMemory(used * 2 + window.count, what)
      }
      appendWhole(count, to: &strings)
      guard strings.count < count else { break }
      // The next one goes beyond the window.
      let length = try integer(UInt64.self, what)
      guard length <= remaining else { throw tooLong(length, what) }
      if length <= UInt64(window.count) {
        strings.append(
          UnsafeRawBufferPointer(start: try take(Int(length), what), count: Int(length)))
      } else {
        strings.append(try bytes(length, what))
      }
    }
    return strings
  }

  /// Appends the strings that lie in the window as a whole, until there are `count`.
  private func appendWhole(_ count: Int, to strings: inout ByteStrings) {
    guard offset >= windowStart, offset <= windowStart + UInt64(windowCount) else { return }
    let filled = UnsafeRawBufferPointer(rebasing: window[..<windowCount])
    var at = Int(offset - windowStart)
    while strings.count < count, filled.count - at >= 8 {
      let length = UInt64(littleEndian: filled.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      guard length <= UInt64(filled.count - at - 8) else { break }
      let end = at + 8 + Int(length)
      strings.append(UnsafeRawBufferPointer(rebasing: filled[at + 8..<end]))
      at = end
    }
    offset = windowStart + UInt64(at)
  }

  /// The next string: an u64 length and its bytes.
  package func string(_ what: String) throws(TinctureError) -> [UInt8] {
    let length = try integer(UInt64.self, what)
    guard length <= remaining else { throw tooLong(length, what) }
    return try bytes(length, what)
  }

  private func tooLong(_ length: UInt64, _ what: String) -> TinctureError {
    error(
      "string.length", "a string is longer than the rest of the file (\(what))", at: offset - 8,
      expected: "at most \(remaining) bytes", found: "\(length)",
      advice: "download or copy the file again")
  }
}
