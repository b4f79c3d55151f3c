import CKernels
import Testing
import TinctureBlocks
import TinctureContainers
import TinctureCore
import TinctureRuntime
import TinctureTestSupport

/// Products of every format in both arithmetics.
@Suite struct LinearTests {
  static let instructionSets = InstructionSet.available

  /// Random weights of a format: their bytes and the numbers they mean.
  struct Weights {
    var bytes: [UInt8]
    var values: [Float]

    init(_ format: BlockFormat, rows: Int, length: Int, seed: UInt64) throws {
      var random = SeededRandom(seed: seed)
      let source = (0..<rows * length).map { _ in random.normal() * 0.05 }
      bytes = [UInt8](repeating: 0, count: rows * (try #require(format.rowByteCount(length))))
      try format.encode(source, rowCount: rows, rowLength: length, importance: nil, into: &bytes)
      values = [Float](repeating: 0, count: rows * length)
      format.decode(bytes, rowCount: rows, rowLength: length, into: &values)
    }
  }

  /// Products through the public face; output[token][row].
  static func products(
    _ format: BlockFormat, _ weights: Weights, rows: Int, length: Int, activations: [Float],
    tokens: Int,
    _ arithmetic: Arithmetic, threads: Int, part: Range<Int>? = nil
  ) throws -> [Float] {
    let batch = try Activations(width: length, capacity: tokens)
    for index in 0..<tokens * length { batch.values[index] = activations[index] }
    batch.changed(count: tokens)
    let part = part ?? 0..<tokens
    let stride = rows + 3
    var output = [Float](repeating: -7, count: part.count * stride)
    try weights.bytes.withUnsafeBytes { bytes in
      let matrix = try WeightMatrix(
        bytes: try #require(bytes.baseAddress), type: .block(format), rowCount: rows,
        rowLength: length,
        name: "test")
      try Linear.multiply(
        matrix, batch, tokens: part, arithmetic: arithmetic, team: Team(threads: threads),
        into: &output,
        stride: stride)
    }
    for token in 0..<part.count {
      // Nothing is written between the rows of two tokens.
      #expect(output[token * stride + rows..<(token + 1) * stride].allSatisfy { $0 == -7 })
    }
    return (0..<part.count).flatMap { output[$0 * stride..<$0 * stride + rows] }
  }

  /// The sum in double, and the sum of magnitudes that bounds its rounding errors.
  static func oracle(_ w: ArraySlice<Float>, _ x: ArraySlice<Float>) -> (sum: Double, size: Double)
  {
    var sum = 0.0
    var size = 0.0
    for (a, b) in zip(w, x) {
      let product = Double(a) * Double(b)
      sum += product
      size += product.magnitude
    }
    return (sum, size)
  }

  @Test(arguments: BlockFormat.all)
  func exactIsTheProductOfDecodedWeights(_ format: BlockFormat) throws {
    for (rows, length, tokens) in [(1, 256, 1), (5, 512, 9), (37, 1280, 3), (3, 2304, 7)] {
      let weights = try Weights(format, rows: rows, length: length, seed: 3)
      var random = SeededRandom(seed: 4)
      let x = (0..<tokens * length).map { _ in random.normal() }
      let found = try Self.products(
        format, weights, rows: rows, length: length, activations: x, tokens: tokens, .exact,
        threads: 1)
      for token in 0..<tokens {
        for row in 0..<rows {
          let (sum, size) = Self.oracle(
            weights.values[row * length..<(row + 1) * length],
            x[token * length..<(token + 1) * length])
          let off = (Double(found[token * rows + row]) - sum).magnitude
          #expect(off <= size * 0x1p-21, "row \(row), token \(token): \(off)")
        }
      }
    }
  }

  @Test(arguments: BlockFormat.all, Arithmetic.allCases)
  func threadsAndPartsDoNotMatter(_ format: BlockFormat, _ arithmetic: Arithmetic) throws {
    let (rows, length, tokens) = (331, 768, 9)
    let weights = try Weights(format, rows: rows, length: length, seed: 5)
    var random = SeededRandom(seed: 6)
    let x = (0..<tokens * length).map { _ in random.normal() }
    func run(_ threads: Int, _ part: Range<Int>? = nil) throws -> [Float] {
      try Self.products(
        format, weights, rows: rows, length: length, activations: x, tokens: tokens, arithmetic,
        threads: threads, part: part)
    }
    let one = try run(1)
    #expect(try run(2) == one)
    #expect(try run(7) == one)
    #expect(
      try run(2, 3..<7)
        == (arithmetic == .exact ? Array(one[3 * rows..<7 * rows]) : try run(1, 3..<7)))
    if arithmetic == .exact {
      for token in 0..<tokens {
        #expect(try run(1, token..<token + 1) == Array(one[token * rows..<(token + 1) * rows]))
      }
    }
  }

  /// Lengths that no block divides: plain floats only.
  @Test(arguments: [BlockFormat.f32, .f16, .bf16], [1, 7, 15, 17, 100, 1031])
  func oddLengths(_ format: BlockFormat, _ length: Int) throws {
    let (rows, tokens) = (6, 5)
    let weights = try Weights(format, rows: rows, length: length, seed: 7)
    var random = SeededRandom(seed: 8)
    let x = (0..<tokens * length).map { _ in random.normal() }
    for arithmetic in Arithmetic.allCases {
      let found = try Self.products(
        format, weights, rows: rows, length: length, activations: x, tokens: tokens, arithmetic,
        threads: 1)
      let rounded = x.map { value in
        arithmetic == .exact || format == .f32
          ? value
          : format == .f16
            ? Float(Float16(value))
            : Float(
              bitPattern: (value.bitPattern + 0x7FFF + (value.bitPattern >> 16 & 1)) & 0xFFFF_0000)
      }
      for token in 0..<tokens {
        for row in 0..<rows {
          let (sum, size) = Self.oracle(
            weights.values[row * length..<(row + 1) * length],
            rounded[token * length..<(token + 1) * length])
          #expect((Double(found[token * rows + row]) - sum).magnitude <= size * 0x1p-20 + 1e-30)
        }
      }
    }
  }

  @Test func wrongWeightsAreRefused() throws {
    let bytes = [UInt8](repeating: 0, count: 1024)
    try bytes.withUnsafeBytes { bytes in
      let base = try #require(bytes.baseAddress)
      let integers = #expect(throws: TinctureError.self) {
        try WeightMatrix(bytes: base, type: .element(.i32), rowCount: 1, rowLength: 4, name: "ids")
      }
      #expect(integers?.code.name == "runtime.weights.format" && integers?.place.tensor == "ids")
      let known = try #require(BlockFormat.named("IQ2_XS"))
      let unknown = #expect(throws: TinctureError.self) {
        try WeightMatrix(bytes: base, type: .block(known), rowCount: 1, rowLength: 256, name: "w")
      }
      #expect(unknown?.code.kind == .unsupported)
      let odd = #expect(throws: TinctureError.self) {
        try WeightMatrix(bytes: base, type: .block(.q8_0), rowCount: 1, rowLength: 33, name: "w")
      }
      #expect(odd?.code.name == "runtime.weights.shape")
    }
  }

  @Test func roundedFormsCountAgainstTheBudget() throws {
    let budget = MemoryBudget(limit: 100_000)
    let batch = try Activations(width: 256, capacity: 64, budget: budget)
    #expect(budget.held == 256 * 64 * 4)
    batch.changed(count: 1)
    let bytes = [UInt8](repeating: 0, count: 512)
    try bytes.withUnsafeBytes { bytes in
      let matrix = try WeightMatrix(
        bytes: try #require(bytes.baseAddress), type: .block(.bf16), rowCount: 1, rowLength: 256,
        name: "w")
      var output: [Float] = [0]
      let error = #expect(throws: TinctureError.self) {
        try Linear.multiply(
          matrix, batch, tokens: 0..<1, arithmetic: .engine, team: Team(threads: 1), into: &output,
          stride: 1)
      }
      #expect(error?.code.name == "memory.budget")
    }
  }
}
