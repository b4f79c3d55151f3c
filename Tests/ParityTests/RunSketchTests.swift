import Testing
import TinctureCore
import TinctureParity
import TinctureTestSupport

/// What packs keep of the blocks and runs of a row.
@Suite("Sketches of runs")
struct RunSketchTests {
  static let about = RunSketchDescription(length: 64, signCount: 16)

  static func weights(_ count: Int, seed: UInt64 = 4) -> [Float] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { _ in random.normal() }
  }

  static func row(_ weights: [Float], seed: UInt64 = 3) throws -> RunSketch.Row {
    let sketch = try RunSketch(about, seed: seed)
    var row = sketch.row(columns: weights.count)
    weights.withUnsafeBufferPointer { sketch.measure($0, into: &row) }
    return row
  }

  /// The sign of the specification.
  static func sign(_ sum: Int, _ element: Int, seed: UInt64) -> Double {
    let number = UInt64(1 << 32 + sum * about.length + element + 1)
    var z = seed &+ number &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return (z ^ (z >> 31)) >> 63 == 1 ? -1 : 1
  }

  /// Rows that end a block or a run early too.
  @Test("lengths and sums are those of plain loops", arguments: [1, 31, 32, 64, 100, 131, 640])
  func plain(columns: Int) throws {
    let weights = Self.weights(columns)
    let row = try Self.row(weights)
    #expect(row.squares.count == (columns + 31) / 32)
    for (block, square) in row.squares.enumerated() {
      let part = weights[block * 32..<min(columns, block * 32 + 32)]
      let expected = part.reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(abs(Double(square) - expected) < 1e-5 * expected)
    }
    #expect(row.sums.count == (columns + 63) / 64 * 16)
    for (index, sum) in row.sums.enumerated() {
      let start = index / 16 * 64
      let expected = (start..<min(columns, start + 64)).reduce(0.0) {
        $0 + Self.sign(index % 16, $1 - start, seed: 3) * Double(weights[$1])
      }
      #expect(abs(Double(sum) - expected) < 1e-4)
    }
  }

  @Test("a block's code names an interval its mean square lies in")
  func codes() throws {
    let weights = Self.weights(640)
    let square = weights.reduce(Float(0)) { $0 + $1 * $1 }
    let scale = BlockScale(square: square, columns: 640)
    let row = try Self.row(weights)
    for block in row.squares {
      let code = scale.code(block, count: 32)
      let mean = Double(block) / 32
      #expect(scale.least(code) <= mean * (1 + 1e-6) && mean * (1 - 1e-6) < scale.end(code))
      // Eight steps to a doubling.
      #expect(scale.end(code) <= scale.least(code) * 1.1251)
      // 888 less than the bits of a Float of 1.0.
      #expect(abs(Int(code) - 128) < 16)
    }
    #expect(scale.code(0, count: 32) == 0)
    #expect(scale.code(square, count: 1) == 128 + 72 + 2)
    #expect(scale.code(square * 1e-8, count: 32) == 0 && scale.least(0) == 0)
    #expect(scale.end(0) < scale.mean * 0x1p-15)
    // One weight that is the whole of a very long row.
    let long = BlockScale(square: 1, columns: 1 << 24)
    #expect(long.code(1, count: 1) == 255 && long.end(255) == .infinity)
    #expect(BlockScale(square: 0, columns: 640).code(0, count: 32) == 0)
  }

  @Test("signs are bits, low ones first")
  func bits() throws {
    let weights = Self.weights(100)
    let row = try Self.row(weights)
    var (codes, signs): ([UInt8], [UInt8]) = ([], [])
    try RunSketch(Self.about, seed: 3).append(
      row, columns: 100, square: 100, codes: &codes, signs: &signs)
    #expect(codes.count == 4 && signs.count == 4)
    for (index, sum) in row.sums.enumerated() {
      #expect((signs[index / 8] >> UInt8(index % 8)) & 1 == (sum < 0 ? 1 : 0))
    }
  }

  /// Frames of long rows stay within 64 MiB.
  @Test func longRowsMakeShortFrames() throws {
    let about = WeightSketchDescription()
    #expect(about.rowLimit(columns: 64) == 1 << 18)
    #expect(about.rowLimit(columns: 1 << 24) > 1)
    let runs = try #require(about.runs)
    for columns in [640, 5376, 21_504, 1 << 24] {
      let bytes = 4 + 2 * about.projectionCount + runs.byteCount(columns: columns)
      #expect(about.rowLimit(columns: columns) * bytes <= 1 << 26)
    }
  }
}
