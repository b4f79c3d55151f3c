import Glibc

/// Lines of standard input, given up when work is cancelled: a reader that waits for the next line hears of it within
/// a tenth of a second.
package final class LineReader {
  private let cancellation: Cancellation
  private var buffer: [UInt8] = []
  private var hasEnded = false
  /// Lines given so far, and the bytes they took.
  private var lineCount = 0
  private var byteCount = 0
  /// Longest line in bytes.
  private static let limit = 1 << 24

  package init(cancellation: Cancellation) { self.cancellation = cancellation }

  /// The next line without its end; nil after the last.
  ///
  /// - Throws: `run.interrupted`; `console.read` when standard input cannot be read or a line is longer than 16 MiB;
  ///   `console.encoding` for a line that is not UTF-8.
  package func next() throws(TinctureError) -> String? {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = buffer[..<end]
        buffer.removeSubrange(...end)
        return try text(line.last == 0x0D ? line.dropLast() : line, taking: line.count + 1)
      }
      if hasEnded {
        guard !buffer.isEmpty else { return nil }
        let line = buffer[...]
        buffer = []
        return try text(line, taking: line.count)
      }
      guard buffer.count <= Self.limit else {
        throw TinctureError(
          .init("console.read", .invalidInput), "a line of standard input is too long",
          expected: "at most \(Self.limit) bytes")
      }
      try fill()
    }
  }

  private func text(
    _ line: ArraySlice<UInt8>, taking count: Int
  ) throws(TinctureError) -> String {
    lineCount += 1
    defer { byteCount += count }
    if let text = String(validating: line, as: UTF8.self) { return text }
    let fault = JSONText.firstFault(line) ?? 0
    throw TinctureError(
      .init("console.encoding", .invalidInput), "a line of standard input is not UTF-8",
      place: .init(
        file: "standard input", byteOffset: UInt64(byteCount + fault), key: "line \(lineCount)"),
      expected: "UTF-8", found: "byte 0x" + String(line[line.startIndex + fault], radix: 16),
      advice: "convert it to UTF-8, or set the terminal to UTF-8")
  }

  private func fill() throws(TinctureError) {
    try cancellation.check()
    var waiting = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    let ready = poll(&waiting, 1, 100)
    if ready == 0 || (ready < 0 && errno == EINTR) { return }
    var chunk = [UInt8](repeating: 0, count: 65536)
    let count = ready < 0 ? -1 : read(STDIN_FILENO, &chunk, chunk.count)
    if count < 0 {
      if errno == EINTR || errno == EAGAIN { return }
      throw TinctureError(
        .init("console.read", .invalidInput),
        "cannot read standard input: \(SystemError.text(errno))")
    }
    if count == 0 { hasEnded = true }
    buffer += chunk[..<count]
  }
}
