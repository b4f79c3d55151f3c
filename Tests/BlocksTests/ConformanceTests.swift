import CKernels
import Testing
import TinctureBlocks

/// What every format promises, run over `BlockFormat.all`.
@Suite struct ConformanceTests {
  static let length = 512
  /// Most a normal row may lose: root mean square error over its deviation.
  static let bounds: [String: Double] = [
    "F32": 0, "F16": 0.0004, "BF16": 0.003, "Q8_0": 0.008, "Q6_K": 0.02, "Q5_0": 0.05,
    "Q5_1": 0.045,
    "Q5_K": 0.04, "Q4_0": 0.1, "Q4_1": 0.09, "Q4_K": 0.08, "IQ4_NL": 0.085, "IQ4_XS": 0.085,
    "Q3_K": 0.17, "Q2_K": 0.32,
  ]

  @Test(arguments: BlockFormat.all)
  func roundTripIsBounded(_ format: BlockFormat) throws {
    var random = Generator(state: 7)
    let bound = try #require(Self.bounds[format.name])
    for scale: Float in [0.02, 1, 300] {
      let values = random.normal(4 * Self.length, scale: scale)
      let decoded = format.decoded(
        try format.encoded(values, rowLength: Self.length), rowLength: Self.length)
      let energy = squaredError(
        values[...], [Float](repeating: 0, count: values.count)[...], nil)
      let error = (squaredError(values[...], decoded[...], nil) / energy).squareRoot()
      #expect(error <= bound, "scale \(scale): \(error)")
    }
  }

  @Test(arguments: BlockFormat.all)
  func zerosStayZeros(_ format: BlockFormat) throws {
    let values = [Float](repeating: 0, count: Self.length)
    let importance = [Float](repeating: 1, count: Self.length)
    for weights in [nil, importance] {
      let bytes = try format.encoded(values, rowLength: Self.length, importance: weights)
      #expect(format.decoded(bytes, rowLength: Self.length).allSatisfy { $0 == 0 })
    }
  }

  /// Rows whose values are lost because half-precision numbers end at 6e-8 are counted; others are not.
  @Test(arguments: BlockFormat.all) func faintRowsAreCounted(_ format: BlockFormat) throws {
    var random = Generator(state: 12)
    let tiny = random.normal(Self.length, scale: 1e-10)
    let rows =
      tiny + random.normal(Self.length, scale: 1e-2) + [Float](repeating: 0, count: 512) + tiny
    var bytes = [UInt8](repeating: 0, count: try #require(format.rowByteCount(4 * Self.length)))
    let count = try format.encodeCountingFaint(
      rows, rowCount: 4, rowLength: Self.length, importance: nil, into: &bytes)
    #expect(count == (["F32", "BF16"].contains(format.name) ? 0 : 2), "\(format.name)")
  }

  /// Three values evenly apart have exact codes, and uneven importance does not lead away from them.
  @Test(arguments: [BlockFormat.q2_K, .q4_K, .q5_K])
  func threeValuesStayExact(_ format: BlockFormat) throws {
    var random = Generator(state: 11)
    let values = random.normal(16 * Self.length, scale: 1).map { value -> Float in
      value < -0.5 ? -1 : value > 0.5 ? 1 : 0
    }
    let importance = random.normal(Self.length, scale: 8).map { $0 * $0 * $0 * $0 }
    let bytes = try format.encoded(values, rowLength: Self.length, importance: importance)
    #expect(format.decoded(bytes, rowLength: Self.length) == values)
  }

  @Test(arguments: BlockFormat.all)
  func subnormalsDecodeToFiniteValues(_ format: BlockFormat) throws {
    var random = Generator(state: 8)
    for scale: Float in [.leastNonzeroMagnitude, 1e-40, 1e-38, 1e-30, 1e-9] {
      let values = random.normal(Self.length, scale: scale)
      let bytes = try format.encoded(values, rowLength: Self.length)
      let decoded = format.decoded(bytes, rowLength: Self.length)
      // The smallest step of a half-precision scale, times the greatest quant.
      let bound: Float = format.isQuantized ? 1e-5 : 1e-7
      #expect(decoded.allSatisfy { $0.magnitude <= bound }, "scale \(scale)")
    }
  }

  @Test(arguments: BlockFormat.all, [Float.nan, .infinity, -.infinity])
  func nonFiniteValuesAreRefused(_ format: BlockFormat, _ bad: Float) throws {
    for column in [0, 31, 300, 511] {
      var values = [Float](repeating: 0.5, count: 3 * Self.length)
      values[Self.length + column] = bad
      values[2 * Self.length] = .nan
      let error = #expect(throws: EncodingError.self) {
        try format.encoded(values, rowLength: Self.length)
      }
      guard case .nonFinite(let row, let found, let value)? = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(row == 1 && found == column && value.bitPattern == bad.bitPattern)
    }
  }

  @Test(arguments: BlockFormat.all.filter { $0 != .f32 })
  func valuesOutOfRangeAreRefused(_ format: BlockFormat) throws {
    for bad: Float in [.greatestFiniteMagnitude, -.greatestFiniteMagnitude] {
      var values = [Float](repeating: 0.5, count: 2 * Self.length)
      values[Self.length + 77] = bad
      #expect(throws: EncodingError.overflow(row: 1, column: 77, value: bad)) {
        try format.encoded(values, rowLength: Self.length)
      }
      let importance = [Float](repeating: 1, count: Self.length)
      #expect(throws: EncodingError.overflow(row: 1, column: 77, value: bad)) {
        try format.encoded(values, rowLength: Self.length, importance: importance)
      }
    }
  }

  /// Just beyond and just within what F16 holds, and far beyond for every format: an error or a close value.
  @Test(arguments: BlockFormat.all)
  func greatMagnitudesAreStoredOrRefused(_ format: BlockFormat) throws {
    for magnitude: Float in [65504, 65519, 65520, 1e5, 6e5, 1e6, 5e6, 1e7, 1e9, 1e12, 1e20, 1e38] {
      for sign: Float in [1, -1] {
        var values = [Float](repeating: 0, count: Self.length)
        values[40] = sign * magnitude
        do {
          let bytes = try format.encoded(values, rowLength: Self.length)
          let decoded = format.decoded(bytes, rowLength: Self.length)
          let off = (decoded[40] - values[40]).magnitude
          #expect(off <= 0.15 * magnitude, "\(sign * magnitude) became \(decoded[40])")
        } catch {
          #expect(error == .overflow(row: 0, column: 40, value: sign * magnitude))
          #expect(magnitude >= 65520)
        }
      }
    }
  }

  @Test func halfPrecisionOverflowBeginsAt65520() throws {
    var values = [Float](repeating: 1, count: 40)
    values[33] = 65519.996
    _ = try BlockFormat.f16.encoded(values, rowLength: 40)
    values[33] = -65520
    #expect(throws: EncodingError.overflow(row: 0, column: 33, value: -65520)) {
      try BlockFormat.f16.encoded(values, rowLength: 40)
    }
  }

  @Test(arguments: BlockFormat.all.filter(\.isQuantized))
  func importanceLowersTheWeightedError(_ format: BlockFormat) throws {
    var random = Generator(state: 9)
    let values = random.normal(8 * Self.length, scale: 0.05)
    let importance = (0..<Self.length).map { _ in Float.random(in: 0...1, using: &random) }
      .map { $0 * $0 * $0 * $0 }
    let plain = format.decoded(
      try format.encoded(values, rowLength: Self.length), rowLength: Self.length)
    let weighted = format.decoded(
      try format.encoded(values, rowLength: Self.length, importance: importance),
      rowLength: Self.length)
    let before = squaredError(values[...], plain[...], importance)
    let after = squaredError(values[...], weighted[...], importance)
    #expect(after < before)
  }

  @Test(arguments: BlockFormat.all.filter(\.isQuantized))
  func oddImportanceIsHarmless(_ format: BlockFormat) throws {
    var random = Generator(state: 10)
    let values = random.normal(Self.length)
    let even = [Float](repeating: 1, count: Self.length)
    let reference = try format.encoded(values, rowLength: Self.length, importance: even)
    for constant: Float in [0, .leastNonzeroMagnitude, 1e-30, 8, 1e30] {
      let importance = [Float](repeating: constant, count: Self.length)
      let bytes = try format.encoded(values, rowLength: Self.length, importance: importance)
      let decoded = format.decoded(bytes, rowLength: Self.length)
      let error = squaredError(values[...], decoded[...], nil)
      let expected = squaredError(
        values[...], format.decoded(reference, rowLength: Self.length)[...], nil)
      #expect(error <= expected * 1.001, "importance \(constant)")
    }
  }

  /// Rows are encoded alone: the same bytes one by one as together.
  @Test(arguments: BlockFormat.all)
  func rowsAreIndependent(_ format: BlockFormat) throws {
    var random = Generator(state: 11)
    let length = 3 * 256
    let values = random.normal(5 * length)
    let importance = random.normal(length).map(\.magnitude)
    for weights in [nil, importance] {
      let together = try format.encoded(values, rowLength: length, importance: weights)
      var alone: [UInt8] = []
      for row in 0..<5 {
        alone += try format.encoded(
          Array(values[row * length..<(row + 1) * length]), rowLength: length, importance: weights)
      }
      #expect(together == alone)
    }
  }
}
