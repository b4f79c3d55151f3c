import CSystem
import Glibc
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

  /// Whether there is address space for the stacks of so many further threads.
  ///
  /// Where there is not, one thread does the work, and the memory is left to it.
  fileprivate static func canStart(_ count: Int) -> Bool {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
      limit.rlim_cur != rlim_t.max
    else { return true }
    return Allocation.isAvailable(count * (16 << 20))
  }

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
    if threads == 1 || chunkCount <= 1 || !canStart(threads - 1) {
      for index in 0..<chunkCount {
        try body(index * chunk..<min(count, (index + 1) * chunk))
      }
      return
    }
    let next = Atomic<Int>(0)
    let failure = Mutex<(index: Int, error: TinctureError)?>(nil)
    let failedAt = Atomic<Int>(Int.max)
    onThreads(min(threads, chunkCount)) {
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

  /// Runs `body` on the caller and on `count - 1` threads of its own, and waits for all; where the system refuses a
  /// thread, fewer run.
  ///
  /// No pool of Dispatch's: its first thread ends the process when no file descriptor is left.
  private static func onThreads(_ count: Int, _ body: @Sendable () -> Void) {
    withoutActuallyEscaping(body) { body in
      let work = ThreadWork(body)
      let threads = (1..<count).compactMap { _ in work.start() }
      body()
      withExtendedLifetime(work) { for thread in threads { pthread_join(thread, nil) } }
    }
  }
}

/// What a thread of one loop runs.
private final class ThreadWork: Sendable {
  private let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  /// Starts a thread; nil when the system refuses it.
  ///
  /// The thread borrows `self`: whoever starts it keeps `self` until it is joined.
  func start() -> pthread_t? {
    var thread = pthread_t()
    let failed = pthread_create(
      &thread, nil,
      { argument in
        if let argument {
          Unmanaged<ThreadWork>.fromOpaque(argument).takeUnretainedValue().body()
        }
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
    return failed == 0 ? thread : nil
  }
}

/// Threads that share the loops of one computation, made once and used for thousands of short loops.
///
/// Between loops the threads spin for some microseconds, then sleep: an idle team costs nothing. The caller never waits
/// for a thread that has not begun, so a busy machine slows a loop down but does not stall it. Chunks never depend on
/// the number of threads. One loop runs at a time; a loop begun inside another, or from a second thread, runs on its
/// caller alone.
package final class Team: Sendable {
  /// How many threads work, the caller included.
  package let threads: Int
  private let shared: TeamState?

  /// Starts `threads - 1` threads; where the system refuses some, fewer work.
  package init(threads: Int) {
    precondition(threads > 0, "\(threads) threads")
    self.threads = threads
    shared = threads == 1 ? nil : TeamState()
    if let shared { for _ in 1..<threads { shared.startThread() } }
  }

  deinit {
    shared?.stop()
  }

  /// Runs `body` on the chunks `[0, chunk)`, `[chunk, 2·chunk)` … of `0..<count`, which never depend on ``threads``.
  package func forEachChunk(of count: Int, chunk: Int, _ body: @Sendable (Range<Int>) -> Void) {
    precondition(chunk > 0, "chunk \(chunk)")
    let chunkCount = (count + chunk - 1) / chunk
    if let shared, chunkCount > 1, chunkCount <= TeamState.mostChunks, shared.begin() {
      withoutActuallyEscaping(body) { body in
        shared.run(TeamState.Job(count: count, chunk: chunk, body: body), chunkCount: chunkCount)
      }
      shared.end()
    } else {
      for index in 0..<max(0, chunkCount) {
        body(index * chunk..<min(count, (index + 1) * chunk))
      }
    }
  }
}

/// What the threads of a ``Team`` share.
///
/// `state` holds the loop's number, how many chunks it has and the next one, in one word: a thread takes a chunk by
/// exchanging the whole word, so it can never take one of a loop it has not seen. Taking a chunk keeps the loop, and so
/// `job`, alive until the chunk is counted in `finished`.
private final class TeamState: @unchecked Sendable {
  struct Job {
    var count: Int
    var chunk: Int
    var body: (@Sendable (Range<Int>) -> Void)?
  }

  static let mostChunks = 1 << 20 - 1
  /// Rounds of waiting before a thread sleeps: some 50 microseconds.
  static let spins = 2_000

  private let state = Atomic<UInt64>(0)
  private let finished = Atomic<Int>(0)
  private let busy = Atomic<Bool>(false)
  private let stopping = Atomic<Bool>(false)
  private let sleepers = Atomic<Int>(0)
  /// Counts loops; sleeping threads wait on it.
  private let epoch = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
  private let job = UnsafeMutablePointer<Job>.allocate(capacity: 1)
  private let handles = Mutex<[pthread_t]>([])

  init() {
    epoch.initialize(to: 0)
    job.initialize(to: Job(count: 0, chunk: 1, body: nil))
  }

  deinit {
    job.deinitialize(count: 1)
    job.deallocate()
    epoch.deallocate()
  }

  func startThread() {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(self)
    let failed = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<TeamState>.fromOpaque(argument).takeRetainedValue().work()
        return nil
      }, box.toOpaque())
    if failed == 0 {
      handles.withLock { $0.append(thread) }
    } else {
      box.release()
    }
  }

  func stop() {
    stopping.store(true, ordering: .sequentiallyConsistent)
    _ = ts_word_add(epoch)
    ts_word_wake(epoch)
    for thread in handles.withLock({ $0 }) { pthread_join(thread, nil) }
  }

  /// Whether the caller may run a loop; false while another runs.
  func begin() -> Bool {
    busy.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
  }

  func end() { busy.store(false, ordering: .releasing) }

  func run(_ work: Job, chunkCount: Int) {
    job.pointee = work
    finished.store(0, ordering: .relaxed)
    let number = (state.load(ordering: .relaxed) >> 40) &+ 1
    state.store(number << 40 | UInt64(chunkCount) << 20, ordering: .sequentiallyConsistent)
    _ = ts_word_add(epoch)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 { ts_word_wake(epoch) }
    takeChunks()
    // Others may still be at their last chunks.
    var rounds = 0
    while finished.load(ordering: .acquiring) < chunkCount {
      rounds += 1
      if rounds < Self.spins { ts_pause() } else { sched_yield() }
    }
    job.pointee.body = nil
  }

  /// Takes chunks of the loop in `state` until none is left.
  private func takeChunks() {
    while true {
      let now = state.load(ordering: .acquiring)
      let chunkCount = Int(now >> 20 & 0xFFFFF)
      let index = Int(now & 0xFFFFF)
      if index >= chunkCount { return }
      if state.weakCompareExchange(
        expected: now, desired: now + 1, ordering: .acquiringAndReleasing
      ).exchanged {
        call(index)
        finished.wrappingAdd(1, ordering: .acquiringAndReleasing)
      }
    }
  }

  /// In a function of its own, so that no reference to the body is left when the chunk is counted.
  @inline(never)
  private func call(_ index: Int) {
    let first = index * job.pointee.chunk
    job.pointee.body?(first..<min(job.pointee.count, first + job.pointee.chunk))
  }

  private func work() {
    var seen: UInt32 = 0
    while true {
      var rounds = 0
      while ts_word_load(epoch) == seen {
        rounds += 1
        if rounds < Self.spins {
          ts_pause()
        } else {
          sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
          ts_word_wait(epoch, seen, 0)
          sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        }
      }
      seen = ts_word_load(epoch)
      if stopping.load(ordering: .sequentiallyConsistent) { return }
      takeChunks()
    }
  }
}
