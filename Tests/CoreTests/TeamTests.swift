import Dispatch
import Synchronization
import Testing
import TinctureCore

@Suite("Team")
struct TeamTests {
  @Test("each chunk once, whatever the threads", arguments: [1, 2, 3, 7, 33])
  func covers(threads: Int) {
    let team = Team(threads: threads)
    for round in 0..<300 {
      for count in [0, 1, 9, 10, 11, 100 + round] {
        let seen = Mutex([Int](repeating: 0, count: count))
        team.forEachChunk(of: count, chunk: 10) { range in
          seen.withLock { counts in for index in range { counts[index] += 1 } }
        }
        #expect(seen.withLock { $0 } == [Int](repeating: 1, count: count))
      }
    }
  }

  /// Thousands of short loops, some after the threads went to sleep; every result is complete when a loop returns.
  @Test func manyShortLoops() {
    let team = Team(threads: 4)
    let total = Atomic<Int>(0)
    for round in 0..<20_000 {
      team.forEachChunk(of: 8, chunk: 1) { range in
        total.wrappingAdd(range.lowerBound + 1, ordering: .relaxed)
      }
      if total.load(ordering: .relaxed) != 36 * (round + 1) {
        Issue.record("loop \(round) returned before its chunks")
        return
      }
      if round % 5000 == 0 { Thread.pause(microseconds: 20_000) }
    }
  }

  @Test func loopsWithinLoopsAndFromManyThreads() {
    let team = Team(threads: 3)
    let total = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 8) { _ in
      for _ in 0..<200 {
        team.forEachChunk(of: 6, chunk: 1) { _ in
          team.forEachChunk(of: 5, chunk: 2) { inner in
            total.wrappingAdd(inner.count, ordering: .relaxed)
          }
        }
      }
    }
    #expect(total.load(ordering: .relaxed) == 8 * 200 * 6 * 5)
  }

  /// What a loop captured is released when it returns, and teams end their threads.
  @Test func nothingIsKept() {
    final class Token: Sendable {}
    weak var kept: Token?
    for _ in 0..<200 {
      let team = Team(threads: 3)
      let token = Token()
      kept = token
      team.forEachChunk(of: 4, chunk: 1) { _ in withExtendedLifetime(token) {} }
    }
    #expect(kept == nil)
  }

  enum Thread {
    static func pause(microseconds: Int) {
      let semaphore = DispatchSemaphore(value: 0)
      _ = semaphore.wait(timeout: .now() + .microseconds(microseconds))
    }
  }
}
