import Glibc

/// The process's standard streams, arguments and end; the command line uses nothing else of the C library.
package enum Console {
  package enum Stream: Int32, Sendable {
    case input = 0
    case output = 1
    case error = 2
  }

  /// Opens the null device in the place of standard streams that the caller has closed.
  ///
  /// Otherwise the next file opened would get such a stream's number, and a message could be written into a model. What
  /// is printed to a closed stream is lost without an error, as it is behind a closed pipe.
  package static func completeStreams() {
    for number in Int32(0)...2 where fcntl(number, F_GETFD) == -1 {
      // The lowest free number is taken, which is this one.
      _ = open("/dev/null", O_RDWR)
    }
  }

  /// Writes all of `bytes`.
  ///
  /// - Returns: false when the reader has gone (a closed pipe); then nothing more is worth writing.
  /// - Throws: `console.write` (exit 5) for any other failure, a full disk behind a redirection for example.
  @discardableResult
  package static func write(_ bytes: [UInt8], to stream: Stream) throws(TinctureError) -> Bool {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { buffer -> Int in
        guard let base = buffer.baseAddress else { return 0 }
        return Glibc.write(stream.rawValue, base + done, buffer.count - done)
      }
      if count >= 0 {
        done += count
        continue
      }
      switch errno {
      case EINTR, EAGAIN: continue
      case EPIPE: return false
      default:
        throw TinctureError(
          .init("console.write", .cannotWrite),
          "cannot write standard \(stream): \(SystemError.text(errno))")
      }
    }
    return true
  }

  /// Whether the stream is a terminal.
  package static func isTerminal(_ stream: Stream) -> Bool { isatty(stream.rawValue) == 1 }

  /// Columns of the terminal behind the stream, or nil when it has none.
  package static func columns(of stream: Stream) -> Int? {
    var size = winsize()
    guard ioctl(stream.rawValue, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  /// The value of an environment variable, nil when unset or empty.
  package static func environment(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }

  /// A word of the command line.
  package struct Argument: Sendable {
    /// What is not UTF-8 is U+FFFD.
    package let text: String
    package let isUTF8: Bool
  }

  /// The arguments after the program's name.
  package static func arguments() -> [Argument] {
    (1..<max(1, Int(CommandLine.argc))).compactMap { index in
      guard let word = CommandLine.unsafeArgv[index] else { return nil }
      if let text = String(validatingCString: word) { return Argument(text: text, isUTF8: true) }
      return Argument(text: String(cString: word), isUTF8: false)
    }
  }

  /// Makes writing to a closed pipe, or past a limit on file sizes, an error in place of a deadly signal.
  package static func ignoreWriteSignals() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
  }

  /// Ends the process at once.
  package static func end(_ status: ExitStatus) -> Never {
    exit(status.rawValue)
  }

  /// Largest resident memory of this process so far, in bytes.
  package static var peakResidentBytes: Int {
    var usage = rusage()
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    return usage.ru_maxrss * 1024
  }
}
