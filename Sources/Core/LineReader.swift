import Glibc

/// Lines of standard input, given up when work is cancelled: a reader that waits for the next line hears of it within
/// a tenth of a second.
package final class LineReader {
  private let cancellation: Cancellation
  private var buffer: [UInt8] = []
  private var hasEnded = false
  /// Longest line in bytes.
  private static let limit = 1 << 24

  package init(cancellation: Cancellation) { self.cancellation = cancellation }

  /// The next line without its end, invalid UTF-8 replaced; nil after the last.
  ///
  /// - Throws: `run.interrupted`; `console.read` when standard input cannot be read or a line is longer than 16 MiB.
  package func next() throws(TinctureError) -> String? {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        var line = buffer[..<end]
        if line.last == 0x0D { line.removeLast() }
        buffer.removeSubrange(...end)
        return String(decoding: line, as: UTF8.self)
      }
      if hasEnded {
        guard !buffer.isEmpty else { return nil }
        defer { buffer = [] }
        return String(decoding: buffer, as: UTF8.self)
      }
      guard buffer.count <= Self.limit else {
        throw TinctureError(
          .init("console.read", .invalidInput), "a line of standard input is too long",
          expected: "at most \(Self.limit) bytes")
      }
      try fill()
    }
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
