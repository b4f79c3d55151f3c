import CKernels
import TinctureCore

/// Keys and values of one layer's positions, laid out as attention reads them (`cops.h`).
///
/// Position p stands in slot p % capacity, so a windowed layer needs no more than its window and the positions of one
/// batch. Grows by doubling up to `limit` positions. Used by one thread at a time.
final class KeyValueCache {
  private let heads, headSize: Int
  /// Numbers from one value to the next: the head size, rounded up to whole vectors.
  let valueStride: Int
  /// Most positions that are needed at one time.
  private let limit: Int
  private let memory: MemoryBudget
  private(set) var capacity = 0
  private let arithmetic: Arithmetic
  private var keys: NumberBuffer?
  private var values: NumberBuffer?

  init(heads: Int, headSize: Int, limit: Int, arithmetic: Arithmetic, memory: MemoryBudget) {
    self.arithmetic = arithmetic
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
    let newKeys = try NumberBuffer(
      new * heads * headSize, arithmetic, memory, for: "the key cache", isZeroed: true)
    let newValues = try NumberBuffer(
      new * heads * valueStride, arithmetic, memory, for: "the value cache", isZeroed: true)
    // It grows before the first position is overwritten, so slots are positions.
    if let keys, let values {
      let size = Numbers.size(arithmetic)
      for head in 0..<heads {
        (newKeys.base + head * new * headSize).raw.copyMemory(
          from: (keys.base + head * capacity * headSize).raw, byteCount: capacity * headSize * size)
        (newValues.base + head * new * valueStride).raw.copyMemory(
          from: (values.base + head * capacity * valueStride).raw,
          byteCount: capacity * valueStride * size)
      }
    }
    (keys, values, capacity) = (newKeys, newValues, new)
  }

  /// Keys and values of a head.
  func head(_ head: Int) -> (keys: Numbers, values: Numbers) {
    guard let keys, let values else { preconditionFailure("nothing is reserved") }
    return (
      keys.base + head * capacity * headSize, values.base + head * capacity * valueStride
    )
  }

  /// Stores keys and values of positions from `first` on, `[count][heads * headSize]` each.
  func store(keys source: Numbers, values valueSource: Numbers, first: Int, count: Int, team: Team)
  {
    guard let keys, let values else { preconditionFailure("nothing is reserved") }
    let (key, value) = (keys.base, values.base)
    switch arithmetic {
    case .exact:
      store(
        source.doubles, valueSource.doubles, key.doubles, value.doubles, first, count, team)
    case .engine:
      store(source.floats, valueSource.floats, key.floats, value.floats, first, count, team)
    }
  }

  private func store<Number>(
    _ source: UnsafePointer<Number>, _ valueSource: UnsafePointer<Number>,
    _ keys: UnsafeMutablePointer<Number>, _ values: UnsafeMutablePointer<Number>, _ first: Int,
    _ count: Int, _ team: Team
  ) {
    let job = Unchecked(
      (
        keys: keys, values: values, source: source, valueSource: valueSource,
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
          let value = job.values + (head * job.capacity + slot) * job.stride
          for d in 0..<job.size {
            key[d * lanes] = job.source[at + d]
            value[d] = job.valueSource[at + d]
          }
        }
      }
    }
  }
}
