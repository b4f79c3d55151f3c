import CKernels
import Foundation
import Testing
import TinctureBlocks
import TinctureTestSupport

/// The tables of products, every instruction set this processor has, against ggml and each other.
@Suite struct LinearKernelTests {
  /// What `tools/golden/linear.py` recorded.
  struct Golden: Decodable {
    let rowLength: Int
    let rows: Int
    let tokens: Int

    static func load() throws -> Golden {
      try JSONDecoder().decode(Golden.self, from: Repository.contents("golden/linear/linear.json"))
    }

    static func bytes(_ name: String) throws -> [UInt8] {
      [UInt8](try Repository.contents("golden/linear/" + name))
    }

    static func floats(_ name: String) throws -> [Float] {
      try bytes(name).withUnsafeBytes { bytes in
        (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      }
    }
  }

  /// Activations in the form a kernel reads.
  final class Forms {
    var wide: [Double] = []
    var values: [Float]
    var bf16: [UInt16]
    var quants: [Int8]
    var scales: [Float]
    var sums: [Int32]
    var offsets: [Float]
    let width: Int

    init(_ form: tk_form, _ x: [Float], width: Int, _ table: tk_linear) {
      self.width = width
      values = x
      bf16 = [UInt16](repeating: 0, count: x.count)
      quants = [Int8](repeating: 99, count: x.count)
      scales = [Float](repeating: .nan, count: x.count / 32)
      sums = [Int32](repeating: -1, count: x.count / 16)
      offsets = [Float](repeating: .nan, count: x.count / 16)
      let count = Int64(x.count)
      switch form {
      case TK_FORM_F16: table.round_f16(x, count, &values)
      case TK_FORM_BF16: table.round_bf16(x, count, &bf16, &values)
      case TK_FORM_Q8_0: table.quantize_q8_0(x, count, &quants, &scales, &sums, nil)
      case TK_FORM_Q8_1: table.quantize_q8_0(x, count, &quants, &scales, &sums, &offsets)
      case TK_FORM_Q8_K: table.quantize_q8_k(x, count, &quants, &scales, &sums, &offsets)
      case TK_FORM_F64:
        let pitch = Int(tk_wide_pitch(Int64(width)))
        wide = [Double](repeating: .nan, count: x.count / width * pitch)
        table.widen(x, Int64(width), Int64(x.count / width), &wide)
      default: break
      }
    }

    /// Products of the tokens of `part`; output[token][row].
    func multiply(
      _ table: tk_linear, _ format: BlockFormat, engine: Bool, _ weights: [UInt8], rows: Int,
      part: Range<Int>
    ) -> [Float] {
      let (block, group) = tk_engine_form(Int32(format.id)) == TK_FORM_Q8_K ? (256, 16) : (32, 32)
      var output = [Float](repeating: .nan, count: part.count * rows)
      let first = part.lowerBound * width
      let firstWide = part.lowerBound * Int(tk_wide_pitch(Int64(width)))
      let wide = UnsafeMutableBufferPointer<Double>.allocate(capacity: max(1, self.wide.count))
      _ = wide.initialize(from: self.wide)
      defer { wide.deallocate() }
      values.withUnsafeBufferPointer { values in
        bf16.withUnsafeBufferPointer { bf16 in
          quants.withUnsafeBufferPointer { quants in
            scales.withUnsafeBufferPointer { scales in
              sums.withUnsafeBufferPointer { sums in
                offsets.withUnsafeBufferPointer { offsets in
                  var inputs = tk_inputs()
                  inputs.width = Int64(width)
                  inputs.count = Int64(part.count)
                  inputs.wide =
                    self.wide.isEmpty ? nil : wide.baseAddress.map { UnsafePointer($0 + firstWide) }
                  inputs.values = values.baseAddress.map { $0 + first }
                  inputs.bf16 = bf16.baseAddress.map { $0 + first }
                  inputs.quants = quants.baseAddress.map { $0 + first }
                  inputs.scales = scales.baseAddress.map { $0 + first / block }
                  inputs.sums = sums.baseAddress.map { $0 + first / group }
                  inputs.offsets = offsets.baseAddress.map { $0 + first / group }
                  table.multiply(
                    Int32(format.id), engine ? 1 : 0, weights, Int64(rows), &inputs, &output,
                    Int64(rows))
                }
              }
            }
          }
        }
      }
      return output
    }
  }

  static let instructionSets = InstructionSet.available

  static func table(_ name: String) throws -> tk_linear {
    try #require(tk_linear_named(name)).pointee
  }

  @Test func everyInstructionSetHasProducts() {
    for name in Self.instructionSets { #expect(tk_linear_named(name) != nil, "\(name)") }
    #expect(tk_linear_named("none such") == nil)
    #expect(BlockFormat.all.allSatisfy { tk_engine_form(Int32($0.id)) != TK_FORM_NONE })
    #expect(tk_engine_form(16) == TK_FORM_NONE)
  }

  /// Quants, scales and sums are those of ggml, byte for byte.
  @Test(arguments: instructionSets)
  func activationsAreRoundedAsGgmlDoes(_ name: String) throws {
    let table = try Self.table(name)
    let golden = try Golden.load()
    let x = try Golden.floats("activations.f32")
    func half(_ bytes: [UInt8], _ at: Int) -> Float {
      Float(Float16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
    }
    let ours = Forms(TK_FORM_Q8_1, x, width: golden.rowLength, table)
    let q8 = try Golden.bytes("Q8_0.forms")
    let q81 = try Golden.bytes("Q8_1.forms")
    #expect(q8.count == x.count / 32 * 34 && q81.count == x.count / 32 * 36)
    for block in 0..<x.count / 32 {
      let expected = q8[block * 34 + 2..<block * 34 + 34].map { Int8(bitPattern: $0) }
      #expect(Array(ours.quants[block * 32..<block * 32 + 32]) == expected, "block \(block)")
      #expect(ours.scales[block] == half(q8, block * 34))
      #expect(ours.sums[block] == expected.reduce(0) { $0 + Int32($1) })
      #expect(ours.offsets[block] == half(q81, block * 36 + 2))
    }
    let large = Forms(TK_FORM_Q8_K, x, width: golden.rowLength, table)
    let q8k = try Golden.bytes("Q8_K.forms")
    for block in 0..<x.count / 256 {
      let bytes = q8k[block * 292..<(block + 1) * 292]
      let scale = bytes.withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
      #expect(large.scales[block] == scale)
      let expected = bytes.dropFirst(4).prefix(256).map { Int8(bitPattern: $0) }
      #expect(Array(large.quants[block * 256..<block * 256 + 256]) == expected, "block \(block)")
      for group in 0..<16 {
        let sum = expected[group * 16..<group * 16 + 16].reduce(0) { $0 + Int32($1) }
        #expect(large.sums[block * 16 + group] == sum)
        #expect(large.offsets[block * 16 + group] == scale * Float(sum))
      }
    }
  }

  @Test(arguments: instructionSets, BlockFormat.all)
  func engineProductsAreThoseOfGgml(_ name: String, _ format: BlockFormat) throws {
    let table = try Self.table(name)
    let golden = try Golden.load()
    let x = try Golden.floats("activations.f32")
    let weights = try Golden.bytes(format.name + ".weights")
    let expected = try Golden.floats(format.name + ".products")
    var decoded = [Float](repeating: 0, count: golden.rows * golden.rowLength)
    format.decode(weights, rowCount: golden.rows, rowLength: golden.rowLength, into: &decoded)
    let forms = Forms(tk_engine_form(Int32(format.id)), x, width: golden.rowLength, table)
    let together = forms.multiply(
      table, format, engine: true, weights, rows: golden.rows, part: 0..<golden.tokens)
    for token in 0..<golden.tokens {
      let alone = forms.multiply(
        table, format, engine: true, weights, rows: golden.rows, part: token..<token + 1)
      for row in 0..<golden.rows {
        var size = 0.0
        for column in 0..<golden.rowLength {
          let w = Double(decoded[row * golden.rowLength + column])
          size += (w * Double(x[token * golden.rowLength + column])).magnitude
        }
        let index = token * golden.rows + row
        #expect(
          (Double(together[index]) - Double(expected[index])).magnitude <= size * 0x1p-20,
          "\(index)")
        #expect(
          (Double(alone[row]) - Double(expected[index])).magnitude <= size * 0x1p-20,
          "\(index) alone")
      }
    }
  }

  /// Every number of rows and tokens around the kernels' tiles, and lengths with and without a block left over.
  @Test(arguments: instructionSets, BlockFormat.all)
  func tablesAgree(_ name: String, _ format: BlockFormat) throws {
    let scalar = try Self.table("scalar")
    let table = try Self.table(name)
    let form = tk_engine_form(Int32(format.id))
    for length in [256, 288, 1056, 1280, 2560] where length % format.elementsPerBlock == 0 {
      let rows = 67
      let weights = try LinearTests.Weights(format, rows: rows, length: length, seed: 11)
      var random = SeededRandom(seed: 12)
      let tokens = 13
      let x = (0..<tokens * length).map { _ in random.normal() }
      for engine in [false, true] {
        let forms = Forms(engine ? form : TK_FORM_F64, x, width: length, table)
        let expected = forms.multiply(
          scalar, format, engine: engine, weights.bytes, rows: rows, part: 0..<tokens)
        let rowBytes = weights.bytes.count / rows
        for (rowCount, count) in [
          (1, 1), (3, 2), (4, 3), (5, 4), (31, 5), (32, 6), (33, 7), (35, 8), (63, 9), (66, 12),
          (67, 13),
        ] {
          let part = tokens - count..<tokens
          let bytes = Array(weights.bytes.suffix(rowCount * rowBytes))
          let found = forms.multiply(
            table, format, engine: engine, bytes, rows: rowCount, part: part)
          for token in 0..<count {
            for row in 0..<rowCount {
              let a = found[token * rowCount + row]
              let b = expected[(part.lowerBound + token) * rows + rows - rowCount + row]
              // Rows of ~N(0, 0.05²) times N(0, 1): the sum of magnitudes is 0.032 · length.
              #expect(
                (a - b).magnitude <= 0.032 * Float(length) * 0x1p-20,
                "\(rowCount) rows, \(count) tokens")
            }
          }
        }
      }
    }
  }

  /// All tables compute exact products alike, to the bit, for every number of rows and tokens, and for rows that are no
  /// whole number of vectors; activations use all their 29 bits.
  @Test(arguments: BlockFormat.all)
  func exactProductsAreTheSameInEveryTable(_ format: BlockFormat) throws {
    let tables = try Self.instructionSets.map { try Self.table($0) }
    for length in [37, 512, 2560] where length % format.elementsPerBlock == 0 {
      let (rows, tokens) = (9, 7)
      let weights = try LinearTests.Weights(format, rows: rows, length: length, seed: 13)
      var random = SeededRandom(seed: 14)
      let x = (0..<tokens * length).map { _ in random.normal() }
      let pitch = Int(tk_wide_pitch(Int64(length)))
      var wide = [Double](repeating: 0, count: tokens * pitch)
      for token in 0..<tokens {
        for column in 0..<length {
          let fine = Double(x[token * length + column]) * (1 + Double(column % 31) * 0x1p-28)
          wide[token * pitch + column] = Double(bitPattern: fine.bitPattern & ~0xff_ffff)
        }
      }
      var results: [[Double]] = []
      for table in tables {
        for count in [tokens, 1] {
          var found = [Double](repeating: .nan, count: tokens * rows)
          wide.withUnsafeBufferPointer { wide in
            found.withUnsafeMutableBufferPointer { found in
              guard let wide = wide.baseAddress, let found = found.baseAddress else { return }
              for first in stride(from: 0, to: tokens, by: count) {
                var inputs = tk_inputs()
                (inputs.width, inputs.count) = (Int64(length), Int64(count))
                inputs.wide = wide + first * pitch
                table.multiply_wide(
                  Int32(format.id), weights.bytes, Int64(rows), &inputs, found + first * rows,
                  Int64(rows))
              }
            }
          }
          results.append(found)
        }
      }
      for result in results {
        #expect(result.allSatisfy(\.isFinite) && result == results[0], "length \(length)")
      }
    }
  }

  /// A product with a unit vector is the weight the codecs decode, to the bit.
  @Test(arguments: instructionSets, BlockFormat.all)
  func weightsAreDecodedAsTheCodecsDo(_ name: String, _ format: BlockFormat) throws {
    let table = try Self.table(name)
    let (rows, length) = (5, 256)
    let weights = try LinearTests.Weights(format, rows: rows, length: length, seed: 15)
    var units = [Float](repeating: 0, count: length * length)
    for column in 0..<length { units[column * length + column] = 1 }
    let forms = Forms(TK_FORM_F64, units, width: length, table)
    let together = forms.multiply(
      table, format, engine: false, weights.bytes, rows: rows, part: 0..<length)
    for column in 0..<length {
      let alone = forms.multiply(
        table, format, engine: false, weights.bytes, rows: rows, part: column..<column + 1)
      for row in 0..<rows {
        let weight = weights.values[row * length + column]
        #expect(together[column * rows + row] == weight)
        #expect(alone[row] == weight)
      }
    }
  }
}
