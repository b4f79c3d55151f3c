import CKernels
import TinctureCore

/// Keys and values of one layer's positions, laid out as attention reads them (`cops.h`).
///
/// Position p stands in slot p % capacity, so a windowed layer needs no more than its window and the positions of one
/// batch. Grows by doubling up to `limit` positions. Used by one thread at a time.
final class KeyValueCache {
  private let heads, headSize: Int
  /// Floats from one value to the next: the head size, rounded up to whole vectors.
  let valueStride: Int
  /// Most positions that are needed at one time.
  private let limit: Int
  private let memory: MemoryBudget
  private(set) var capacity = 0
  private var keys: FloatBuffer?
  private var values: FloatBuffer?

  init(heads: Int, headSize: Int, limit: Int, memory: MemoryBudget) {
    self.heads = heads
    self.headSize = headSize
    self.memory = memory
    valueStride = Self.rounded(headSize, Int(TO_LANES))
    self.limit = Self.rounded(limit, Int(TO_KEY_BLOCK))
  }

  private static func rounded(_ n: Int, _ step: Int) -> Int { (n + step - 1) / step * step }

  /// Makes room for positions below `end`, of which those before `end - limit` may be lost.
  ///
  /// - Throws: `memory.budget`.
  func reserve(below end: Int) throws(TinctureError) {
    let wanted = min(limit, Self.rounded(end, Int(TO_KEY_BLOCK)))
    if wanted <= capacity { return }
    let new = min(limit, max(wanted, capacity * 2))
    let newKeys = try FloatBuffer(
      new * heads * headSize, memory, for: "the key cache", isZeroed: true)
    let newValues = try FloatBuffer(
      new * heads * valueStride, memory, for: "the value cache", isZeroed: true)
    // It grows before the first position is overwritten, so slots are positions.
    if let keys, let values {
      for head in 0..<heads {
        (newKeys.base + head * new * headSize).update(
          from: keys.base + head * capacity * headSize, count: capacity * headSize)
        (newValues.base + head * new * valueStride).update(
          from: values.base + head * capacity * valueStride, count: capacity * valueStride)
      }
    }
    (keys, values, capacity) = (newKeys, newValues, new)
  }

  /// Keys and values of a head.
  func head(_ head: Int) -> (keys: UnsafePointer<Float>, values: UnsafePointer<Float>) {
    guard let keys, let values else { preconditionFailure("nothing is reserved") }
    return (
      UnsafePointer(keys.base + head * capacity * headSize),
      UnsafePointer(values.base + head * capacity * valueStride)
    )
  }

  /// Stores keys and values of positions from `first` on, `[count][heads * headSize]` each.
  func store(
    keys source: UnsafePointer<Float>, values valueSource: UnsafePointer<Float>, first: Int,
    count: Int, team: Team
  ) {
    guard let keys, let values else { preconditionFailure("nothing is reserved") }
    let job = Unchecked(
      (
        keys: keys.base, values: values.base, source: source, valueSource: valueSource,
        heads: heads, size: headSize, stride: valueStride, capacity: capacity
      ))
    team.forEachChunk(of: count, chunk: 32) { rows in
      let job = job.value
      let lanes = Int(TO_LANES)
      for row in rows {
        let slot = (first + row) % job.capacity
        for head in 0..<job.heads {
          let at = (row * job.heads + head) * job.size
          let key =
            job.keys + head * job.capacity * job.size + slot / lanes * job.size * lanes
            + slot % lanes
          for d in 0..<job.size { key[d * lanes] = job.source[at + d] }
          (job.values + (head * job.capacity + slot) * job.stride).update(
            from: job.valueSource + at, count: job.size)
        }
      }
    }
  }
}
