import Synchronization

/// Remembers whether something was finished already.
final class OnceFlag: Sendable {
  private let finished = Atomic<Bool>(false)

  /// Marks it finished; true for the first caller only.
  @discardableResult
  func finish() -> Bool { !finished.exchange(true, ordering: .sequentiallyConsistent) }
}
