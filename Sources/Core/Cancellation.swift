import Synchronization

/// A flag that asks running work to stop; set from any thread or a signal handler.
public final class Cancellation: Sendable {
  private let flag = Atomic<Bool>(false)

  public init() {}

  public var isCancelled: Bool { flag.load(ordering: .relaxed) }

  public func cancel() { flag.store(true, ordering: .relaxed) }

  /// - Throws: `run.interrupted` once ``cancel()`` has been called.
  public func check() throws(TinctureError) {
    if isCancelled {
      throw TinctureError(.init("run.interrupted", .interrupted), "interrupted")
    }
  }
}
