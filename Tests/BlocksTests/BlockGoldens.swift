import Foundation
import Testing
import TinctureBlocks
import TinctureTestSupport

/// What `tools/golden/blocks.py` recorded of ggml.
struct BlockGoldens: Decodable {
  struct Kind: Decodable {
    let kind: String
    let first: Int
    let count: Int
  }

  let rowLength: Int
  let kinds: [Kind]
  let importance: [String]
  /// Format, importance ("plain" or a name), kind of rows: ggml's squared error; nil where ggml's
  /// blocks decode to infinity or NaN.
  let ggmlErrors: [String: [String: [String: Double?]]]

  static func load() throws -> BlockGoldens {
    try JSONDecoder().decode(
      BlockGoldens.self, from: Repository.contents("golden/blocks/blocks.json"))
  }

  static func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Repository.contents("golden/blocks/" + name))
  }

  static func floats(_ name: String) throws -> [Float] {
    let bytes = try bytes(name)
    return stride(from: 0, to: bytes.count, by: 4).map { at in
      Float(
        bitPattern: UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16
          | UInt32(bytes[at + 3]) << 24)
    }
  }

  /// The importance row of that name.
  func importance(_ name: String) throws -> [Float] {
    let all = try Self.floats("importance.f32")
    let index = try #require(importance.firstIndex(of: name))
    return Array(all[index * rowLength..<(index + 1) * rowLength])
  }
}

extension BlockFormat {
  /// The bytes of `values` as rows of `rowLength`.
  func encoded(
    _ values: [Float], rowLength: Int, importance: [Float]? = nil
  ) throws(EncodingError) -> [UInt8] {
    let rows = values.count / rowLength
    guard let size = rowByteCount(rowLength) else { return [] }
    var bytes = [UInt8](repeating: 0xAA, count: rows * size)
    if let importance {
      try encode(values, rowCount: rows, rowLength: rowLength, importance: importance, into: &bytes)
    } else {
      try encode(values, rowCount: rows, rowLength: rowLength, importance: nil, into: &bytes)
    }
    return bytes
  }

  /// The values of `bytes`, which are rows of `rowLength`.
  func decoded(_ bytes: [UInt8], rowLength: Int) -> [Float] {
    guard let size = rowByteCount(rowLength) else { return [] }
    let rows = bytes.count / size
    var values = [Float](repeating: .nan, count: rows * rowLength)
    decode(bytes, rowCount: rows, rowLength: rowLength, into: &values)
    return values
  }
}

/// sum(weight * (a - b)^2) in double; the weights repeat row by row.
func squaredError(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>, _ weights: [Float]?) -> Double {
  var sum = 0.0
  for (i, (x, y)) in zip(a, b).enumerated() {
    let off = Double(x) - Double(y)
    sum += off * off * Double(weights.map { $0[i % $0.count] } ?? 1)
  }
  return sum
}

/// A small repeatable generator (splitmix64).
struct Generator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Roughly normal values.
  mutating func normal(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in
      (0..<6).reduce(Float(0)) { sum, _ in sum + Float.random(in: -1...1, using: &self) } * 0.707
        * scale
    }
  }
}
