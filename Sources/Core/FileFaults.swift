import Synchronization

/// Makes the k-th file operation fail, so that tests can walk every failure point of a job.
///
/// Idle unless armed; one relaxed load an operation. Arm it from one test at a time.
package enum FileFaults {
  package enum Operation: String, Sendable, CaseIterable {
    case open, read, write, sync, rename, allocate
  }

  private struct Plan {
    var operation: Operation
    var countdown: Int
    var errorNumber: Int32
    var seen: Int
  }

  private static let armed = Atomic<Bool>(false)
  private static let plan = Mutex<Plan?>(nil)

  /// Fails the operation number `index` (from 0) of kind `operation` with `errorNumber`.
  package static func arm(_ operation: Operation, index: Int, errorNumber: Int32) {
    plan.withLock {
      $0 = Plan(operation: operation, countdown: index, errorNumber: errorNumber, seen: 0)
    }
    armed.store(true, ordering: .sequentiallyConsistent)
  }

  /// Disarms and returns how many operations of the armed kind were seen.
  @discardableResult
  package static func disarm() -> Int {
    armed.store(false, ordering: .sequentiallyConsistent)
    return plan.withLock { current in
      let seen = current?.seen ?? 0
      current = nil
      return seen
    }
  }

  /// The error number the next operation must fail with, or nil to go on.
  static func injected(_ operation: Operation) -> Int32? {
    guard armed.load(ordering: .relaxed) else { return nil }
    return plan.withLock { current in
      guard current?.operation == operation else { return nil }
      current?.seen += 1
      guard current?.countdown == 0 else {
        current?.countdown -= 1
        return nil
      }
      current?.countdown = -1
      return current?.errorNumber
    }
  }
}
