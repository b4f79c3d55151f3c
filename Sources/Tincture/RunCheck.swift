import TinctureContainers
import TinctureParity

/// Holds the parts of a row of weights against what a pack keeps of them (``RunSketch``).
struct RunCheck: Sendable {
  let sketch: RunSketch
  private let columns: Int
  /// Blocks that share a scale.
  private let span: Int
  private let cost: RowCost

  /// What is kept of a reference's row.
  struct Kept {
    let square: Float
    let codes: ArraySlice<UInt8>
    let signs: ArraySlice<UInt8>
  }

  /// Room for one row.
  struct Scratch {
    fileprivate var row: RunSketch.Row
    /// Squared error that each block may have.
    fileprivate var budgets: [Double]

    /// For rows without parts.
    init() {
      row = RunSketch.Row(squares: [], sums: [])
      budgets = []
    }

    fileprivate init(_ row: RunSketch.Row) {
      self.row = row
      budgets = [Double](repeating: 0, count: row.squares.count)
    }
  }

  init(_ sketch: RunSketch, _ type: StoredType?, columns: Int, _ cost: RowCost) {
    self.sketch = sketch
    self.columns = columns
    self.cost = cost
    span =
      if case .block(let format)? = type {
        max(1, format.elementsPerBlock / RunSketchDescription.blockLength)
      } else { 1 }
  }

  func scratch() -> Scratch {
    Scratch(sketch.row(columns: columns))
  }

  /// Calls `length` with what each block's length and `sign` with what each run's signs show of its squared error, in
  /// multiples of what the format costs; and which one it is. What shows nothing is passed over.
  ///
  /// As in ``WeightCheck`` a block costs its format's share of its energy and, as the blocks of a super-block share a
  /// scale, of that of as many weights of average size of these.
  func compare(
    _ weights: UnsafeBufferPointer<Float>, with kept: Kept, _ scratch: inout Scratch,
    length: (Double, Int) -> Void, sign: (Double, Int) -> Void
  ) {
    sketch.measure(weights, into: &scratch.row)
    let scale = BlockScale(square: kept.square, columns: columns)
    let codes = kept.codes
    let blockCount = codes.count
    for first in stride(from: 0, to: blockCount, by: span) {
      let blocks = first..<min(blockCount, first + span)
      var mean = 0.0
      for block in blocks { mean += scale.middle(codes[codes.startIndex + block]) }
      mean /= Double(blocks.count)
      for block in blocks {
        let code = codes[codes.startIndex + block]
        let count = BlockScale.count(block, columns: columns)
        let budget = cost.budget(energy: scale.middle(code) + mean, columns: columns)
        scratch.budgets[block] = budget * Double(count)
        let square = scratch.row.squares[block]
        guard scale.code(square, count: count) != code else { continue }
        let own = Double(square) / Double(count)
        let nearest = own < scale.least(code) ? scale.least(code) : scale.end(code)
        let distance = own.squareRoot() - nearest.squareRoot()
        length(distance * distance / budget, block)
      }
    }
    let signCount = sketch.about.signCount
    let blocksPerRun = sketch.about.length / RunSketchDescription.blockLength
    for run in 0..<sketch.about.runCount(columns: columns) {
      var square = 0.0
      for first in stride(from: run * signCount, to: (run + 1) * signCount, by: 8) {
        var turned =
          RunSketch.byte(scratch.row.sums, first) ^ kept.signs[kept.signs.startIndex + first / 8]
        while turned != 0 {
          let sum = Double(scratch.row.sums[first + turned.trailingZeroBitCount])
          square += sum * sum
          turned &= turned - 1
        }
      }
      // A sum that is no number is not passed over.
      guard square != 0 else { continue }
      let first = run * blocksPerRun
      let end = min(blockCount, first + blocksPerRun)
      let budget = scratch.budgets[first..<end].reduce(0, +)
      sign(square / (Double(signCount) * budget), run)
    }
  }
}
