import Glibc

/// The clock on the wall where the program runs: local date and time of day.
package enum LocalClock {
  package struct Reading: Sendable {
    package var year, month, day, hour, minute, second: Int
  }

  /// The present date and time; nil when the system does not know them.
  package static func now() -> Reading? {
    var seconds = time(nil)
    var parts = tm()
    guard seconds >= 0, localtime_r(&seconds, &parts) != nil else { return nil }
    return Reading(
      year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday),
      hour: Int(parts.tm_hour), minute: Int(parts.tm_min), second: min(59, Int(parts.tm_sec)))
  }
}
