import TinctureCore

/// A short summary of hidden states from which their distance to others can be estimated.
///
/// For each state x the pack keeps its squared length and m sums of its elements with random signs, s_j · x. For two
/// states x and y and independent signs, the mean of (s_j · x − s_j · y)² is exactly |x − y|²; the mean over m signs and
/// n positions has a relative deviation of at most √(2 / (m n)): 2.2 % for m = 16 and 256 positions.
/// Source: Johnson and Lindenstrauss 1984 in the form of Achlioptas, "Database-friendly random projections", 2003.
package struct StageSketch: Sendable {
  package let about: StageDescription
  /// `projectionCount` rows of `width` signs.
  private let signs: [Float]
  private let kernels: LogitKernels

  package init(_ about: StageDescription) throws(TinctureError) {
    self.about = about
    kernels = try LogitKernels()
    var signs: [Float] = []
    signs.reserveCapacity(about.projectionCount * about.width)
    for index in 0..<about.projectionCount * about.width {
      signs.append(StageSketch.isNegative(index, seed: about.seed) ? -1 : 1)
    }
    self.signs = signs
  }

  /// The sign of element `index`: the highest bit of the SplitMix64 number `index` + 1 after `seed`.
  static func isNegative(_ index: Int, seed: UInt64) -> Bool {
    var z = seed &+ 0x9E37_79B9_7F4A_7C15 &* (UInt64(index) &+ 1)
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return (z ^ (z >> 31)) >> 63 == 1
  }

  /// Numbers kept of one state: the squared length, then the sums.
  package static func numbers(_ about: StageDescription) -> Int { about.projectionCount + 1 }

  /// Bytes of a stage's frame.
  static func byteCount(positions: Int, _ about: StageDescription) -> Int {
    positions * numbers(about) * 4
  }

  /// The sketches of `states`, rows of `width` elements: `numbers` Floats a row.
  package func sketch(_ states: UnsafeBufferPointer<Float>, threads: Int) throws(TinctureError)
    -> [Float]
  {
    let width = about.width
    let rows = states.count / width
    let stride = StageSketch.numbers(about)
    var result = [Float](repeating: 0, count: rows * stride)
    let input = Unchecked(states)
    try withOutput(&result) { (output) throws(TinctureError) in
      try Parallel.forEachChunk(of: rows, chunk: 16, threads: threads) {
        (range) throws(TinctureError) in
        var sums = [Double](repeating: 0, count: about.projectionCount)
        for row in range {
          let state = UnsafeBufferPointer(rebasing: input.value[row * width..<(row + 1) * width])
          kernels.project(signs, state, into: &sums)
          var square = 0.0
          for element in state { square += Double(element) * Double(element) }
          output.value[row * stride] = Float(square)
          for (index, sum) in sums.enumerated() {
            output.value[row * stride + 1 + index] = Float(sum)
          }
        }
      }
    }
    return result
  }
}
