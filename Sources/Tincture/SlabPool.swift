import Synchronization
import TinctureCore

/// The buffers one worker needs for a chunk: source bytes, their values, the encoded bytes.
///
/// One worker has it at a time: ``SlabPool`` hands it out.
final class Slab: Sendable {
  /// Sizes in bytes of the three buffers.
  struct Sizes: Sendable {
    var source = 0
    var values = 0
    var encoded = 0

    var total: Int { source + values + encoded }

    /// Each at a multiple of 64 bytes.
    var rounded: Sizes {
      func up(_ count: Int) -> Int { (count + 63) / 64 * 64 }
      return Sizes(source: up(source), values: up(values), encoded: up(encoded))
    }

    mutating func cover(_ other: Sizes) {
      source = max(source, other.source)
      values = max(values, other.values)
      encoded = max(encoded, other.encoded)
    }
  }

  private let whole: Unchecked<UnsafeMutableRawBufferPointer>
  private let buffers:
    Unchecked<
      (
        source: UnsafeMutableRawBufferPointer, values: UnsafeMutableBufferPointer<Float>,
        encoded: UnsafeMutableRawBufferPointer
      )
    >

  /// - Throws: `memory.exhausted` when the system has no room.
  init(_ sizes: Sizes) throws(TinctureError) {
    let whole = try Allocation.aligned(sizes.rounded.total, for: "a worker's buffers")
    let firstEnd = sizes.rounded.source
    let secondEnd = firstEnd + sizes.rounded.values
    self.whole = Unchecked(whole)
    buffers = Unchecked(
      (
        UnsafeMutableRawBufferPointer(rebasing: whole[0..<sizes.source]),
        UnsafeMutableRawBufferPointer(rebasing: whole[firstEnd..<firstEnd + sizes.values])
          .bindMemory(to: Float.self),
        UnsafeMutableRawBufferPointer(rebasing: whole[secondEnd..<secondEnd + sizes.encoded])
      ))
  }

  /// Stored bytes as they are read.
  var source: UnsafeMutableRawBufferPointer { buffers.value.source }
  /// The same widened.
  var values: UnsafeMutableBufferPointer<Float> { buffers.value.values }
  /// Bytes as they are written.
  var encoded: UnsafeMutableRawBufferPointer { buffers.value.encoded }

  deinit { whole.value.deallocate() }
}

/// As many slabs as workers, leased from the memory budget once and used again for every chunk.
///
/// When the budget holds fewer, there are fewer workers; the chunks stay the same.
final class SlabPool: Sendable {
  /// How many workers can run at one time.
  let count: Int
  private let budget: MemoryBudget
  private let leasedBytes: Int
  private let idle: Mutex<[Slab]>

  /// - Throws: `memory.budget` when not even one slab fits.
  init(_ sizes: Slab.Sizes, threads: Int, budget: MemoryBudget) throws(TinctureError) {
    try budget.lease(sizes.total, for: "one worker's buffers")
    let room = max(0, budget.limit - budget.held)
    let extra = sizes.total == 0 ? threads - 1 : min(threads - 1, room / sizes.total)
    do throws(TinctureError) {
      try budget.lease(sizes.total * extra, for: "the workers' buffers")
    } catch {
      budget.giveBack(sizes.total)
      throw error
    }
    var slabs: [Slab] = []
    do throws(TinctureError) {
      for _ in 0...extra { slabs.append(try Slab(sizes)) }
    } catch {
      // One worker is enough; fewer than asked for is no error.
      guard !slabs.isEmpty else {
        budget.giveBack(sizes.total * (1 + extra))
        throw error
      }
      budget.giveBack(sizes.total * (1 + extra - slabs.count))
    }
    count = slabs.count
    leasedBytes = sizes.total * slabs.count
    self.budget = budget
    idle = Mutex(slabs)
  }

  deinit { budget.giveBack(leasedBytes) }

  /// Runs `body` with a slab that nobody else has meanwhile.
  func withSlab<R>(_ body: (Slab) throws(TinctureError) -> R) throws(TinctureError) -> R {
    guard let slab = idle.withLock({ $0.popLast() }) else {
      preconditionFailure("more workers than slabs")
    }
    defer { idle.withLock { $0.append(slab) } }
    return try body(slab)
  }
}
