import Synchronization
import Tincture

/// The one line on a terminal that says how far the work is: item, bytes, rate, time left.
///
/// Redrawn at most ten times a second; nothing is ever drawn when standard error is no terminal. Safe from
/// several threads.
final class ProgressLine: Sendable {
  private struct State {
    var last: ContinuousClock.Instant
    /// When the first bytes were done, and how many: rates count from there, planning left out.
    var first: (moment: ContinuousClock.Instant, bytes: UInt64)?
    var drawn = false
  }

  private let state = Mutex(State(last: ContinuousClock.now))

  func show(_ progress: Progress) {
    let now = ContinuousClock.now
    let first = state.withLock { state -> (moment: ContinuousClock.Instant, bytes: UInt64)? in
      let first = state.first ?? (now, progress.completedBytes)
      state.first = first
      guard now - state.last >= .milliseconds(100) else { return nil }
      state.last = now
      state.drawn = true
      return first
    }
    guard let first else { return }
    let done = progress.completedBytes - min(first.bytes, progress.completedBytes)
    let seconds = Text.seconds(now - first.moment)
    draw(Self.text(progress, rate: seconds < 0.3 ? nil : Double(done) / seconds, columns: columns))
  }

  /// Clears the line.
  func finish() {
    if state.withLock({ $0.drawn }) { draw("") }
  }

  private var columns: Int { Console.columns(of: .error) ?? 80 }

  private func draw(_ text: String) {
    // A progress line that cannot be written is no reason to stop the work.
    _ = try? Console.write(Array(("\r" + text + "\u{1B}[K").utf8), to: .error)
  }

  /// The line's text, cut to the terminal's width; `rate` in bytes a second, nil while it is not known.
  static func text(_ progress: Progress, rate: Double?, columns: Int) -> String {
    var text = "\(Text.bytes(progress.completedBytes)) of \(Text.bytes(progress.totalBytes))"
    if let rate, rate > 0 {
      text += "  \(Text.bytes(rate))/s"
      text += "  \(left(Double(progress.totalBytes - progress.completedBytes) / rate)) left"
    }
    text += "  " + progress.item
    return String(text.prefix(max(10, columns - 1)))
  }

  private static func left(_ seconds: Double) -> String {
    guard seconds < 1e9 else { return "a long time" }
    let total = Int(seconds.rounded(.up))
    if total < 60 { return "\(total) s" }
    if total < 3600 { return "\(total / 60) min \(total % 60) s" }
    return "\(total / 3600) h \(total % 3600 / 60) min"
  }
}
