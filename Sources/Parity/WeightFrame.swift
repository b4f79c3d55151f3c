import TinctureContainers
import TinctureCore

/// What sketches of weights are made of.
package struct WeightSketchDescription: Sendable, Equatable {
  /// Sums with signs kept of each row, beside its squared length.
  package var projectionCount: Int
  /// Seed of the signs.
  package var seed: UInt64
  /// What is kept of the parts of a row; nil in packs of version 2.
  package var runs: RunSketchDescription?

  package init(
    projectionCount: Int = 8, seed: UInt64 = 3, runs: RunSketchDescription? = .init()
  ) {
    self.projectionCount = projectionCount
    self.seed = seed
    self.runs = runs
  }

  /// Sums that limits are made for: packs of version 2 have so many.
  package static let usualCount = 32

  /// `limit`, which is for 32 sums, as it is for those that the pack has: fewer leave more to chance.
  ///
  /// The mean of k squares is above q(k) by chance once in 10^14 rows: the chi-square distribution's quantile, by Wilson
  /// and Hilferty (1931).
  package func limit(_ limit: Double) -> Double {
    func quantile(_ count: Int) -> Double {
      let spread = 2.0 / (9 * Double(count))
      let root = 1 - spread + 7.65 * spread.squareRoot()
      return root * root * root
    }
    return limit * max(1, quantile(projectionCount) / quantile(Self.usualCount))
  }

  /// The sketch of rows of `width` weights.
  package func sketch(width: Int) throws(TinctureError) -> StageSketch {
    try StageSketch(
      StageDescription(layerCount: 0, width: width, projectionCount: projectionCount, seed: seed))
  }

  /// `sketches` as a frame gives them back, sums rounded to eleven bits: equal rows are equal.
  package func rounded(_ sketches: [Float]) throws(TinctureError) -> [Float] {
    let kernels = try LogitKernels()
    return WeightFrame.decoded(
      WeightFrame.encoded(sketches, self, kernels), rows: sketches.count / (projectionCount + 1),
      self, kernels)
  }

  /// The sketch of the parts of rows, where the pack has them.
  package func runSketch() throws(TinctureError) -> RunSketch? {
    guard let runs else { return nil }
    return try RunSketch(runs, seed: seed)
  }

  /// Bytes that are kept of a row of `columns` weights.
  func rowByteCount(columns: Int) -> Int {
    4 + 2 * projectionCount + (runs?.byteCount(columns: columns) ?? 0)
  }

  /// Rows of one frame.
  package func rowLimit(columns: Int) -> Int {
    max(
      1, min(WeightFrame.rowLimit, PackLayout.largestContent / 4 / rowByteCount(columns: columns)))
  }
}

/// What is kept of some rows of a tensor.
package struct WeightRows: Sendable {
  /// For each row its squared length, then its sums with signs.
  package var sketches: [Float]
  /// A byte for each block of each row (``BlockScale``), then the signs of the sums of each run of each row.
  package var parts: ArraySlice<UInt8>

  package init(sketches: [Float], parts: ArraySlice<UInt8> = []) {
    self.sketches = sketches
    self.parts = parts
  }
}

/// The sketches of some rows of a tensor in one frame.
package struct WeightFrameEntry: Sendable {
  /// GGUF name.
  package let tensor: String
  package let first: Int
  package let rowCount: Int
  package let columnCount: Int
  /// Whether the frame holds the weights themselves: those of a tensor of one row, such as a norm.
  package let isWhole: Bool
  package let frame: PackFrame

  /// Bytes that the frame must hold.
  func contentByteCount(_ about: WeightSketchDescription) -> Int {
    isWhole ? 4 * columnCount : rowCount * about.rowByteCount(columns: columnCount)
  }
}

/// Rows' squared lengths (F32), then their sums with signs over the length (F16), as planes of bytes; then the codes of
/// their blocks and the signs of their runs, where they are kept.
enum WeightFrame {
  /// Rows of one frame; fewer where they are long (``WeightSketchDescription/rowLimit(columns:)``).
  static let rowLimit = 1 << 18

  /// - Parameter sketches: as ``StageSketch/sketch(_:threads:)`` gives them.
  static func encoded(
    _ sketches: [Float], _ about: WeightSketchDescription, _ kernels: LogitKernels
  ) -> [UInt8] {
    let count = about.projectionCount
    let rows = sketches.count / (count + 1)
    var squares: [UInt32] = []
    squares.reserveCapacity(rows)
    var shares = [Float](repeating: 0, count: rows * count)
    for row in 0..<rows {
      let square = sketches[row * (count + 1)]
      squares.append(square.bitPattern)
      let length = square.squareRoot()
      guard length > 0, length.isFinite else { continue }
      for index in 0..<count {
        // A sum is at most √width times the length; F16 ends at 65,504.
        let share = sketches[row * (count + 1) + 1 + index] / length
        shares[row * count + index] = share.isFinite ? min(60_000, max(-60_000, share)) : 0
      }
    }
    var bytes: [UInt8] = []
    BytePlanes.append(squares, to: &bytes)
    let halves = kernels.halves(shares)
    for plane in 0..<2 {
      for index in stride(from: plane, to: halves.count, by: 2) { bytes.append(halves[index]) }
    }
    return bytes
  }

  /// The sketches again, sums rounded to 11 bits.
  static func decoded(
    _ bytes: [UInt8], rows: Int, _ about: WeightSketchDescription, _ kernels: LogitKernels
  ) -> [Float] {
    let count = about.projectionCount
    let squares = BytePlanes.read(bytes, at: 0, count: rows).map { Float(bitPattern: $0) }
    var halves = [UInt8](repeating: 0, count: 2 * rows * count)
    for index in 0..<rows * count {
      halves[2 * index] = bytes[4 * rows + index]
      halves[2 * index + 1] = bytes[4 * rows + rows * count + index]
    }
    let shares = kernels.numbers(halves: halves)
    var result: [Float] = []
    result.reserveCapacity(rows * (count + 1))
    for row in 0..<rows {
      result.append(squares[row])
      let length = squares[row].squareRoot()
      for index in 0..<count { result.append(shares[row * count + index] * length) }
    }
    return result
  }
}
