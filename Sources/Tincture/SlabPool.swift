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

    mutating func cover(_ other: Sizes) {
      source = max(source, other.source)
      values = max(values, other.values)
      encoded = max(encoded, other.encoded)
    }
  }

  private let buffers:
    Unchecked<
      (
        source: UnsafeMutableRawBufferPointer, values: UnsafeMutableBufferPointer<Float>,
        encoded: UnsafeMutableRawBufferPointer
      )
    >

  init(_ sizes: Sizes) {
    func allocate(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
      .allocate(byteCount: byteCount, alignment: 64)
    }
    buffers = Unchecked(
      (
        allocate(sizes.source), allocate(sizes.values).bindMemory(to: Float.self),
        allocate(sizes.encoded)
      ))
  }

  /// Stored bytes as they are read.
  var source: UnsafeMutableRawBufferPointer { buffers.value.source }
  /// The same widened.
  var values: UnsafeMutableBufferPointer<Float> { buffers.value.values }
  /// Bytes as they are written.
  var encoded: UnsafeMutableRawBufferPointer { buffers.value.encoded }

  deinit {
    source.deallocate()
    UnsafeMutableRawBufferPointer(values).deallocate()
    encoded.deallocate()
  }
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
    count = 1 + extra
    leasedBytes = sizes.total * (1 + extra)
    self.budget = budget
    idle = Mutex((0...extra).map { _ in Slab(sizes) })
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
