import Synchronization

/// Counts the bytes of large buffers against a limit and remembers the high-water mark.
///
/// Every buffer of 1 MiB or more is a lease; the budget does not allocate, it only counts.
public final class MemoryBudget: Sendable {
  private struct State {
    var held = 0
    var peak = 0
  }

  public let limit: Int
  private let state = Mutex(State())

  public init(limit: Int) {
    self.limit = limit
  }

  /// Largest number of bytes held at one time so far.
  public var highWaterMark: Int { state.withLock { $0.peak } }
  public var held: Int { state.withLock { $0.held } }

  /// Counts `byteCount` bytes for `purpose`.
  ///
  /// - Throws: `memory.budget` (exit 6) when the limit would be passed.
  package func lease(_ byteCount: Int, for purpose: String) throws(TinctureError) {
    let held = state.withLock { state -> Int? in
      let (sum, overflow) = state.held.addingReportingOverflow(byteCount)
      guard !overflow, sum <= limit else { return state.held }
      state.held = sum
      state.peak = max(state.peak, sum)
      return nil
    }
    if let held {
      throw TinctureError(
        .init("memory.budget", .limit),
        "the memory budget has no room for \(purpose): \(byteCount) bytes beside the \(held) already held",
        expected: "at most \(limit) bytes in all", advice: "raise --memory")
    }
  }

  package func giveBack(_ byteCount: Int) {
    state.withLock { $0.held -= byteCount }
  }
}
