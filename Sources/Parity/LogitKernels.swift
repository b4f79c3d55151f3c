import CKernels
import TinctureCore

/// The row passes of `CKernels`, for the instruction set chosen at run time; safe from several threads.
struct LogitKernels: Sendable {
  private let table: Unchecked<tk_kernels>

  /// - Throws: `kernels.instructionSet` when TINCTURE_ISA names none that this processor has.
  init() throws(TinctureError) {
    guard let table = tk_select() else {
      throw TinctureError(
        .init("kernels.instructionSet", .usage),
        "TINCTURE_ISA names an instruction set that is unknown or that this processor lacks")
    }
    self.table = Unchecked(table.pointee)
  }

  /// Room the passes need for rows of one length; one for each chunk of rows.
  final class Scratch {
    let keys: UnsafeMutablePointer<UInt64>
    let kept: UnsafeMutablePointer<UInt8>
    private let keptByteCount: Int

    init(rowLength: Int) {
      keys = .allocate(capacity: Scratch.keyCount(rowLength))
      keptByteCount = rowLength / 8 + 1
      kept = .allocate(capacity: keptByteCount)
      kept.initialize(repeating: 0, count: keptByteCount)
    }

    deinit {
      keys.deallocate()
      kept.deallocate()
    }

    static func keyCount(_ rowLength: Int) -> Int { 2 * rowLength + 4096 }

    static func byteCount(rowLength: Int) -> Int { 8 * keyCount(rowLength) + rowLength / 8 + 1 }

    /// Marks `ids` as kept, or takes the marks away.
    func mark(_ ids: UnsafeBufferPointer<UInt32>, _ isKept: Bool) {
      for id in ids {
        let bit = UInt8(1) << UInt8(id & 7)
        if isKept { kept[Int(id >> 3)] |= bit } else { kept[Int(id >> 3)] &= ~bit }
      }
    }
  }

  func firstNonFinite(_ row: UnsafeBufferPointer<Float>) -> Int? {
    let index = table.value.find_nonfinite(row.baseAddress, Int64(row.count))
    return index < 0 ? nil : Int(index)
  }

  func maximumIndex(_ row: UnsafeBufferPointer<Float>) -> Int {
    Int(table.value.row_maximum(row.baseAddress, Int64(row.count)))
  }

  func sums(_ row: UnsafeBufferPointer<Float>, kept: UnsafePointer<UInt8>?, top: Float)
    -> tk_logit_sums
  {
    var sums = tk_logit_sums()
    table.value.logit_sums(row.baseAddress, kept, Int64(row.count), top, &sums)
    return sums
  }

  func distance(
    _ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>, top: Float
  ) -> tk_logit_distance {
    precondition(a.count == b.count, "\(a.count) and \(b.count) logits")
    var distance = tk_logit_distance()
    table.value.logit_distance(a.baseAddress, b.baseAddress, Int64(a.count), top, &distance)
    return distance
  }

  /// Adds the sketch of the entries that are not kept to `sums`: the buckets of the roots, then those of the logits, each
  /// logit with `shift` added.
  func tail(
    _ row: UnsafeBufferPointer<Float>, kept: UnsafePointer<UInt8>, signs: [UInt8], top: Float,
    shift: Double, seed: UInt64, turn: UInt64, into sums: inout [Double]
  ) {
    precondition(signs.count * 8 >= row.count, "\(signs.count * 8) signs")
    let buckets = sums.count / 2
    sums.withUnsafeMutableBufferPointer { sums in
      guard let roots = sums.baseAddress else { return }
      table.value.logit_tail(
        row.baseAddress, kept, signs, Int64(row.count), top, shift, seed, turn, Int64(buckets),
        roots, roots + buckets)
    }
  }

  /// The indices of the `wanted` greatest entries, ascending.
  func greatest(
    _ row: UnsafeBufferPointer<Float>, into ids: UnsafeMutableBufferPointer<UInt32>,
    scratch: Scratch
  ) {
    table.value.greatest(
      row.baseAddress, Int64(row.count), Int64(ids.count), ids.baseAddress, scratch.keys)
  }

  /// Finite numbers within the range of halves as little-endian IEEE halves.
  func halves(_ values: [Float]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 2 * values.count)
    _ = table.value.f32_to_f16(values, &bytes, Int64(values.count))
    return bytes
  }

  func numbers(halves bytes: [UInt8]) -> [Float] {
    var values = [Float](repeating: 0, count: bytes.count / 2)
    table.value.f16_to_f32(bytes, &values, Int64(values.count))
    return values
  }

  /// Sums of `state` with each row of `signs`.
  func project(_ signs: [Float], _ state: UnsafeBufferPointer<Float>, into sums: inout [Double]) {
    precondition(signs.count == sums.count * state.count, "\(signs.count) signs")
    table.value.project(
      signs, state.baseAddress, Int64(sums.count), Int64(state.count), &sums)
  }

  /// `width` sums with signs of each run of a row.
  func runSums(
    _ signs: [Float], _ row: UnsafeBufferPointer<Float>, run: Int, width: Int,
    into sums: inout [Float]
  ) {
    precondition(
      signs.count == run * width && sums.count == (row.count + run - 1) / run * width,
      "\(sums.count) sums of \(row.count) weights")
    table.value.run_sums(
      signs, row.baseAddress, Int64(row.count), Int64(run), Int64(width), &sums)
  }

  /// The squared length of each block of 32 of a row.
  func blockSquares(_ row: UnsafeBufferPointer<Float>, into squares: inout [Float]) {
    precondition(squares.count == (row.count + 31) / 32, "\(squares.count) blocks")
    table.value.block_squares(row.baseAddress, Int64(row.count), &squares)
  }
}

/// Runs `body` with a value that a closure may fill from several threads, each its own part.
func withOutput<Element, R>(
  _ array: inout [Element],
  _ body: (Unchecked<UnsafeMutableBufferPointer<Element>>) throws(TinctureError) -> R
) throws(TinctureError) -> R {
  let result = array.withUnsafeMutableBufferPointer { buffer in
    Result { () throws(TinctureError) in try body(Unchecked(buffer)) }
  }
  return try result.get()
}
