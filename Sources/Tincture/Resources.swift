import TinctureCore

/// What a job may use, and how it tells how far it is. No output byte depends on any of it.
public struct Resources: Sendable {
  /// Worker threads, at least 1.
  public var threads: Int
  /// Counts every large buffer; its limit is the most a job holds at one time.
  public var memory: MemoryBudget
  /// Asks the job to stop at its next chunk.
  public var cancellation: Cancellation
  /// Called from worker threads, possibly from several at one time.
  public var progress: (@Sendable (Progress) -> Void)?

  /// - Parameters:
  ///   - threads: worker threads; nil takes the processors this process may use.
  ///   - memory: by default a budget of 1 GiB.
  public init(
    threads: Int? = nil, memory: MemoryBudget = MemoryBudget(limit: 1 << 30),
    cancellation: Cancellation = Cancellation(),
    progress: (@Sendable (Progress) -> Void)? = nil
  ) {
    self.threads = max(1, threads ?? Parallel.processorCount)
    self.memory = memory
    self.cancellation = cancellation
    self.progress = progress
  }
}
