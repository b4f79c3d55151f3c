import Glibc

/// Large buffers whose failure is an error and no trap.
///
/// The Swift runtime ends the process when it gets no memory; so whatever grows with an input is asked of the system
/// first. Small allocations of the runtime itself cannot be caught: under an address-space limit that is used up to
/// the last kilobytes a run may still end with a trap.
package enum Allocation {
  static let advice =
    "close other programs, or raise the limit on this process (ulimit -v, the container's memory)"

  /// Buffers below this size are not asked for first.
  package static let smallByteCount = 256 << 10

  /// `byteCount` bytes on a 64-byte boundary; `deallocate()` gives them back.
  ///
  /// - Throws: `memory.exhausted` (exit 6) when the system has no such room.
  package static func aligned(
    _ byteCount: Int, for purpose: String
  ) throws(TinctureError) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: try raw(byteCount, for: purpose), count: byteCount)
  }

  /// The same by its first byte.
  package static func raw(
    _ byteCount: Int, for purpose: String
  ) throws(TinctureError) -> UnsafeMutableRawPointer {
    var pointer: UnsafeMutableRawPointer?
    guard byteCount >= 0, posix_memalign(&pointer, 64, max(64, byteCount)) == 0, let pointer else {
      throw exhausted(byteCount, purpose)
    }
    return pointer
  }

  /// Asks whether an array of `byteCount` bytes can be made now.
  ///
  /// - Throws: `memory.exhausted` (exit 6) when not.
  /// - Complexity: O(1); nothing below ``smallByteCount``, else the room is taken and given back untouched.
  package static func check(_ byteCount: Int, for purpose: String) throws(TinctureError) {
    guard byteCount >= smallByteCount else { return }
    guard isAvailable(byteCount) else { throw exhausted(byteCount, purpose) }
  }

  /// Whether the system would give `byteCount` bytes now, and some for the small allocations that go with them.
  package static func isAvailable(_ byteCount: Int) -> Bool {
    let (whole, overflow) = byteCount.addingReportingOverflow(smallByteCount)
    guard !overflow else { return false }
    let pointer = mmap(
      nil, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let pointer, pointer != MAP_FAILED else { return false }
    munmap(pointer, whole)
    return true
  }

  private static func exhausted(_ byteCount: Int, _ purpose: String) -> TinctureError {
    TinctureError(
      .init("memory.exhausted", .limit), "the system gives no memory for \(purpose)",
      expected: "\(byteCount) bytes",
      advice: advice)
  }
}
