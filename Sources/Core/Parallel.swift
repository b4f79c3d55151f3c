import CSystem
import Dispatch
import Synchronization

/// A value the compiler cannot prove safe to share; the user of it keeps the accesses disjoint.
package struct Unchecked<Value>: @unchecked Sendable {
  package let value: Value

  package init(_ value: Value) {
    self.value = value
  }
}

/// Parallel loops: the only file that touches threads.
package enum Parallel {
  /// Number of processors this process may run on.
  package static var processorCount: Int { Int(ts_processor_count()) }

  /// Runs `body` on the chunks `[0, chunk)`, `[chunk, 2·chunk)` … of `0..<count`.
  ///
  /// Chunks are handed out in order and never depend on `threads`. When several fail, the error of the lowest
  /// chunk is thrown, whatever the timing; chunks after a failed one may be skipped.
  package static func forEachChunk(
    of count: Int, chunk: Int, threads: Int,
    _ body: @Sendable (Range<Int>) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    precondition(chunk > 0 && threads > 0, "chunk \(chunk), threads \(threads)")
    let chunkCount = (count + chunk - 1) / chunk
    if threads == 1 || chunkCount <= 1 {
      for index in 0..<chunkCount {
        try body(index * chunk..<min(count, (index + 1) * chunk))
      }
      return
    }
    let next = Atomic<Int>(0)
    let failure = Mutex<(index: Int, error: TinctureError)?>(nil)
    let failedAt = Atomic<Int>(Int.max)
    DispatchQueue.concurrentPerform(iterations: min(threads, chunkCount)) { _ in
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < chunkCount, index < failedAt.load(ordering: .relaxed) else { return }
        do throws(TinctureError) {
          try body(index * chunk..<min(count, (index + 1) * chunk))
        } catch {
          failure.withLock { current in
            if index < (current?.index ?? Int.max) { current = (index, error) }
          }
          _ = failedAt.min(index, ordering: .relaxed)
        }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure.error }
  }
}

/// Threads that share the loops of one computation, made once and used many times.
package final class Team: Sendable {
  /// How many threads work, the caller included.
  package let threads: Int

  package init(threads: Int) {
    precondition(threads > 0, "\(threads) threads")
    self.threads = threads
  }

  /// Runs `body` on the chunks `[0, chunk)`, `[chunk, 2·chunk)` … of `0..<count`, which never depend on ``threads``.
  package func forEachChunk(of count: Int, chunk: Int, _ body: @Sendable (Range<Int>) -> Void) {
    precondition(chunk > 0, "chunk \(chunk)")
    let chunkCount = (count + chunk - 1) / chunk
    if threads == 1 || chunkCount <= 1 {
      for index in 0..<chunkCount { body(index * chunk..<min(count, (index + 1) * chunk)) }
      return
    }
    let next = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: min(threads, chunkCount)) { _ in
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < chunkCount else { return }
        body(index * chunk..<min(count, (index + 1) * chunk))
      }
    }
  }
}
