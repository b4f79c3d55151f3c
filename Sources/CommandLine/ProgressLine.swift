import Synchronization
import Tincture

/// The one line on a terminal that says how far the work is: item, bytes, rate, time left.
///
/// Redrawn at most ten times a second; nothing is ever drawn when standard error is no terminal. Safe from
/// several threads.
final class ProgressLine: Sendable {
  private struct State {
    var last: ContinuousClock.Instant
    var drawn = false
  }

  private let start = ContinuousClock.now
  private let state: Mutex<State>

  init() {
    state = Mutex(State(last: start))
  }

  func show(_ progress: Progress) {
    let now = ContinuousClock.now
    let due = state.withLock { state in
      guard now - state.last >= .milliseconds(100) else { return false }
      state.last = now
      state.drawn = true
      return true
    }
    if due { draw(Self.text(progress, seconds: Text.seconds(now - start), columns: columns)) }
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

  /// The line's text, cut to the terminal's width.
  static func text(_ progress: Progress, seconds: Double, columns: Int) -> String {
    let rate = seconds > 0 ? Double(progress.completedBytes) / seconds : 0
    var text = "\(Text.bytes(progress.completedBytes)) of \(Text.bytes(progress.totalBytes))"
    if rate > 0 {
      text += "  \(Text.bytes(UInt64(rate)))/s"
      text += "  \(left(Double(progress.totalBytes - progress.completedBytes) / rate)) left"
    }
    text += "  " + progress.item
    return String(text.prefix(max(10, columns - 1)))
  }

  private static func left(_ seconds: Double) -> String {
    let total = Int(seconds.rounded(.up))
    if total < 60 { return "\(total) s" }
    if total < 3600 { return "\(total / 60) min \(total % 60) s" }
    return "\(total / 3600) h \(total % 3600 / 60) min"
  }
}
