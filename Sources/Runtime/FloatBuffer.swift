import TinctureCore

/// Room for floats, counted by a memory budget and given back with the object.
final class FloatBuffer {
  let base: UnsafeMutablePointer<Float>
  let count: Int
  private let memory: MemoryBudget
  private let byteCount: Int

  /// - Parameter isZeroed: whether the floats start as 0; otherwise their content is undefined.
  /// - Throws: `memory.budget`, `memory.exhausted`.
  init(
    _ count: Int, _ memory: MemoryBudget, for purpose: String, isZeroed: Bool = false
  ) throws(TinctureError) {
    byteCount = max(count, 1) * MemoryLayout<Float>.stride
    try memory.lease(byteCount, for: purpose)
    self.memory = memory
    self.count = count
    do throws(TinctureError) {
      base = try Allocation.raw(byteCount, for: purpose).bindMemory(
        to: Float.self, capacity: max(count, 1))
    } catch {
      memory.giveBack(byteCount)
      throw error
    }
    if isZeroed { base.update(repeating: 0, count: max(count, 1)) }
  }

  deinit {
    UnsafeMutableRawPointer(base).deallocate()
    memory.giveBack(byteCount)
  }
}
