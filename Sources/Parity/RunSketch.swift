import TinctureCore

/// How blocks of a row's weights are sketched, beside the row itself.
package struct RunSketchDescription: Sendable, Equatable {
  /// Weights that share sums; a multiple of ``blockLength``.
  package var length: Int
  /// Sums of each run of which the sign is kept; a multiple of 8.
  package var signCount: Int

  package init(length: Int = 32, signCount: Int = 16) {
    self.length = length
    self.signCount = signCount
  }

  /// Weights whose length is kept.
  package static let blockLength = 32

  package static func blockCount(columns: Int) -> Int {
    (columns + blockLength - 1) / blockLength
  }

  package func runCount(columns: Int) -> Int { (columns + length - 1) / length }

  /// Bytes kept of a row: one a block, then the signs of its runs.
  package func byteCount(columns: Int) -> Int {
    Self.blockCount(columns: columns) + signByteCount(columns: columns)
  }

  package func signByteCount(columns: Int) -> Int { runCount(columns: columns) * signCount / 8 }
}

/// What tells the blocks of a row from others in a byte or two each.
///
/// A change of one block drowns in the quantization noise of its row, but not in that of the block. Of every 32 weights
/// the length is kept on a coarse scale, and of every run of some more the signs of a few sums with random signs. Both
/// bound the squared error e² of a candidate from below, whatever the reference's weights are:
///
/// - The lengths of x and y differ by |x − y| at most.
/// - Where s·x and s·y have different signs, |s·x − s·y| ≥ |s·y|; the mean of (s·x − s·y)² over the signs is |x − y|². So
///   the mean of (s·y)², 0 where the signs agree, is no more than that. Turned weights have all signs against them: it
///   is |y|² then. Noise changes only the signs of small sums: of a share ε of the energy it shows about ε^1.5 / 5.
package struct RunSketch: Sendable {
  package let about: RunSketchDescription
  /// `length` rows of `signCount` signs.
  private let signs: [Float]
  private let kernels: LogitKernels

  package init(_ about: RunSketchDescription, seed: UInt64) throws(TinctureError) {
    self.about = about
    kernels = try LogitKernels()
    var signs: [Float] = []
    signs.reserveCapacity(about.length * about.signCount)
    for element in 0..<about.length {
      for sum in 0..<about.signCount {
        let number = 1 << 32 + sum * about.length + element
        signs.append(StageSketch.isNegative(number, seed: seed) ? -1 : 1)
      }
    }
    self.signs = signs
  }

  /// What a row's blocks and runs come to.
  package struct Row {
    /// Squared lengths of the blocks.
    package var squares: [Float]
    /// Sums of the runs, `signCount` each.
    package var sums: [Float]

    package init(squares: [Float], sums: [Float]) {
      self.squares = squares
      self.sums = sums
    }
  }

  package func row(columns: Int) -> Row {
    Row(
      squares: [Float](
        repeating: 0, count: RunSketchDescription.blockCount(columns: columns)),
      sums: [Float](repeating: 0, count: about.runCount(columns: columns) * about.signCount))
  }

  /// Computes `row`, made for as many columns.
  package func measure(_ weights: UnsafeBufferPointer<Float>, into row: inout Row) {
    kernels.blockSquares(weights, into: &row.squares)
    kernels.runSums(
      signs, weights, run: about.length, width: about.signCount, into: &row.sums)
  }

  /// The codes of a row's blocks, then the signs of its runs: bit j of a run where sum j is negative, low bits first.
  ///
  /// - Parameter square: the row's squared length.
  package func append(
    _ row: Row, columns: Int, square: Float, codes: inout [UInt8], signs: inout [UInt8]
  ) {
    let scale = BlockScale(square: square, columns: columns)
    for (block, square) in row.squares.enumerated() {
      codes.append(scale.code(square, count: BlockScale.count(block, columns: columns)))
    }
    for first in stride(from: 0, to: row.sums.count, by: 8) {
      signs.append(Self.byte(row.sums, first))
    }
  }

  /// The signs of eight sums.
  package static func byte(_ sums: [Float], _ first: Int) -> UInt8 {
    var byte: UInt8 = 0
    for bit in 0..<8 where sums[first + bit] < 0 { byte |= 1 << UInt8(bit) }
    return byte
  }
}

/// The scale on which a block's length is kept, given its row.
///
/// A code is the mean square of the block's weights over that of the row's as a Float without its sign and its last
/// twenty bits, less 888: eight steps to each doubling from 2^-16 to 2^16. 0 is what is fainter, 255 what is more.
package struct BlockScale {
  /// Mean square of the row's weights.
  package let mean: Double

  package init(square: Float, columns: Int) { mean = Double(square) / Double(max(1, columns)) }

  /// Weights in a row's block.
  package static func count(_ block: Int, columns: Int) -> Int {
    min(RunSketchDescription.blockLength, columns - block * RunSketchDescription.blockLength)
  }

  private static let bias = 888

  package func code(_ square: Float, count: Int) -> UInt8 {
    guard square > 0, mean > 0 else { return 0 }
    let share = Float(Double(square) / Double(count) / mean)
    let code = Int(share.bitPattern >> 20) - Self.bias
    return UInt8(min(255, max(0, code)))
  }

  /// The least mean square of a weight that gives `code`.
  package func least(_ code: UInt8) -> Double {
    code == 0 ? 0 : Double(Float(bitPattern: UInt32(Int(code) + Self.bias) << 20)) * mean
  }

  /// What no longer does.
  package func end(_ code: UInt8) -> Double {
    code == 255
      ? .infinity : Double(Float(bitPattern: UInt32(Int(code) + 1 + Self.bias) << 20)) * mean
  }

  /// A mean square in between.
  package func middle(_ code: UInt8) -> Double {
    let least = least(code)
    return code == 255 ? least : (least + end(code)) / 2
  }
}
