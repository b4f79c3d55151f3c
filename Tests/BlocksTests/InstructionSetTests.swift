import CKernels
import Testing
import TinctureBlocks

/// Every instruction set writes and reads the same bytes as the scalar kernels.
@Suite struct InstructionSetTests {
  static let others = InstructionSet.available.filter { $0 != "scalar" }
  static let codecs: [(String, @Sendable (tk_kernels) -> tk_codec)] = [
    ("Q4_0", { $0.q4_0 }), ("Q4_1", { $0.q4_1 }), ("Q5_0", { $0.q5_0 }), ("Q5_1", { $0.q5_1 }),
    ("Q8_0", { $0.q8_0 }), ("Q2_K", { $0.q2_k }), ("Q3_K", { $0.q3_k }), ("Q4_K", { $0.q4_k }),
    ("Q5_K", { $0.q5_k }), ("Q6_K", { $0.q6_k }), ("IQ4_NL", { $0.iq4_nl }),
    ("IQ4_XS", { $0.iq4_xs }),
  ]

  @Test func theTableNamesAllFormats() {
    #expect(Set(Self.codecs.map(\.0)) == Set(BlockFormat.all.filter(\.isQuantized).map(\.name)))
    #expect(InstructionSet.available.contains("scalar"))
    #expect(tk_named("none such") == nil)
  }

  @Test(arguments: others)
  func blocksAreTheSame(_ name: String) throws {
    let scalar = try #require(tk_named("scalar")).pointee
    let other = try #require(tk_named(name)).pointee
    let goldens = try BlockGoldens.load()
    let rows = try BlockGoldens.floats("rows.f32")
    for (format, codec) in Self.codecs {
      let size = try #require(BlockFormat.named(format)?.rowByteCount(goldens.rowLength))
      for label in ["plain"] + goldens.importance {
        let weights = label == "plain" ? nil : try goldens.importance(label)
        for first in stride(from: 0, to: rows.count, by: goldens.rowLength) {
          let row = Array(rows[first..<first + goldens.rowLength])
          let a = Self.encode(codec(scalar), row, weights, size)
          let b = Self.encode(codec(other), row, weights, size)
          #expect(a == b, "\(format), \(label), row \(first / goldens.rowLength)")
          #expect(
            Self.decode(codec(scalar), a, row.count) == Self.decode(codec(other), a, row.count))
        }
      }
    }
  }

  /// What packs keep of a row's blocks and runs.
  @Test(arguments: others)
  func runsOfWeightsAreTheSame(_ name: String) throws {
    let scalar = try #require(tk_named("scalar")).pointee
    let other = try #require(tk_named(name)).pointee
    let rows = try BlockGoldens.floats("rows.f32")
    let signs = (0..<64 * 16).map { ($0 * 7919) % 13 < 6 ? Float(-1) : 1 }
    for count in [1, 33, 100, 640] {
      func made(_ kernels: tk_kernels) -> [Float] {
        var squares = [Float](repeating: 0, count: (count + 31) / 32)
        kernels.block_squares(rows, Int64(count), &squares)
        var sums = [Float](repeating: 0, count: (count + 63) / 64 * 16)
        kernels.run_sums(signs, rows, Int64(count), 64, 16, &sums)
        return squares + sums
      }
      #expect(made(scalar).map(\.bitPattern) == made(other).map(\.bitPattern), "\(count)")
    }
  }

  /// All halves, many floats of any bits: conversions agree with each other and with the compiler's `Float16`.
  @Test(arguments: InstructionSet.available)
  func halfPrecisionIsIEEE(_ name: String) throws {
    let kernels = try #require(tk_named(name)).pointee
    let halves = (0...UInt16.max).map { $0 }
    var floats = [Float](repeating: 0, count: halves.count)
    kernels.f16_to_f32(halves, &floats, Int64(halves.count))
    for (half, float) in zip(halves, floats) {
      let expected = Float(Float16(bitPattern: half))
      #expect(float.bitPattern == expected.bitPattern || (float.isNaN && expected.isNaN))
    }
    var back = [UInt16](repeating: 0, count: halves.count)
    #expect(kernels.f32_to_f16(floats, &back, Int64(floats.count)) == -1)
    for (half, again) in zip(halves, back) where !Float16(bitPattern: half).isNaN {
      #expect(half == again)
    }
    var random = Generator(state: 12)
    let values =
      (0..<100_003).map { _ in
        Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random))
      } + halves.map { Float(bitPattern: floats[Int($0)].bitPattern &+ 0x1000) }
    back = [UInt16](repeating: 0, count: values.count)
    let overflow = kernels.f32_to_f16(values, &back, Int64(values.count))
    #expect(
      overflow == values.firstIndex { $0.isFinite && $0.magnitude >= 65520 }.map(Int64.init) ?? -1)
    for (value, half) in zip(values, back) {
      let expected = Float16(value)
      if expected.isNaN {
        #expect(Float16(bitPattern: half).isNaN)
      } else {
        #expect(half == expected.bitPattern, "\(value)")
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func brainFloatsRoundToNearestEven(_ name: String) throws {
    let kernels = try #require(tk_named(name)).pointee
    let halves = (0...UInt16.max).map { $0 }
    var floats = [Float](repeating: 0, count: halves.count)
    kernels.bf16_to_f32(halves, &floats, Int64(halves.count))
    #expect(floats.map(\.bitPattern) == halves.map { UInt32($0) << 16 })
    // Below half, half, above half of the dropped bits; an odd count for the tail.
    for (dropped, up) in [(0x7FFF, false), (0x8000, nil), (0x8001, true)] as [(UInt32, Bool?)] {
      let values = halves.dropLast().map { Float(bitPattern: UInt32($0) << 16 | dropped) }
      var back = [UInt16](repeating: 0, count: values.count)
      kernels.f32_to_bf16(values, &back, Int64(values.count))
      for (value, bits) in zip(values, back) {
        let high = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
        if value.isNaN {
          #expect(bits == high | 0x40)
        } else {
          #expect(bits == high &+ (up ?? (high & 1 == 1) ? 1 : 0))
        }
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func passesOverRows(_ name: String) throws {
    let kernels = try #require(tk_named(name)).pointee
    var random = Generator(state: 13)
    for count in [0, 1, 7, 8, 15, 16, 17, 1023, 1024, 1025, 2500] {
      var values = random.normal(count)
      let greatest = values.map { $0.magnitude.bitPattern }.max() ?? 0
      #expect(kernels.max_magnitude(values, Int64(count)) == greatest)
      #expect(kernels.find_nonfinite(values, Int64(count)) == -1)
      let other = random.normal(count)
      let weights = random.normal(count).map(\.magnitude)
      let plain = kernels.squared_error(values, other, nil, Int64(count))
      let weighted = kernels.squared_error(values, other, weights, Int64(count))
      #expect(abs(plain - squaredError(values[...], other[...], nil)) <= plain * 1e-12)
      if count > 0 {
        #expect(
          abs(weighted - squaredError(values[...], other[...], weights)) <= weighted * 1e-12)
      }
      var scaled = values
      kernels.affine(&scaled, 1.1, 0.3, Int64(count))
      #expect(
        scaled
          == values.map { value in
            let product = value * 1.1
            return product + 0.3
          })
      if count > 0 {
        values[count - 1] = .nan
        values[count / 2] = -.infinity
        #expect(kernels.find_nonfinite(values, Int64(count)) == Int64(count / 2))
        #expect(kernels.max_magnitude(values, Int64(count)) >= 0x7F80_0000)
      }
    }
  }

  private static func encode(
    _ codec: tk_codec, _ row: [Float], _ weights: [Float]?, _ size: Int
  ) -> [UInt8] {
    var bytes = [UInt8](repeating: 0x55, count: size)
    if let weights {
      codec.encode(row, weights, &bytes, Int64(row.count))
    } else {
      codec.encode(row, nil, &bytes, Int64(row.count))
    }
    return bytes
  }

  private static func decode(_ codec: tk_codec, _ bytes: [UInt8], _ count: Int) -> [UInt32] {
    var values = [Float](repeating: .nan, count: count)
    codec.decode(bytes, &values, Int64(count))
    return values.map(\.bitPattern)
  }
}
