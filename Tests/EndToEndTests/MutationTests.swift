import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// One thing is broken at a time in a file that was right: `verify` must say no and name the layer.
@Suite("Mutations")
struct MutationTests {
  /// A file, the pack it is held against, and room for broken copies; made once.
  final class Model: Sendable {
    let folder: TemporaryFolder
    let file: String
    let pack: String
    let tolerance: String

    init(
      _ name: String, words: [String], packOf: Bool, tolerance: String, vocabulary: Int
    ) throws {
      folder = try TemporaryFolder()
      file = folder.path("good.gguf")
      pack = folder.path("ref.pack")
      self.tolerance = tolerance
      let checkpoint = TinyModels.path(name)
      try Self.run(words + [checkpoint, "-o", file])
      // Two prompts, each longer than several windows.
      var random = SeededRandom(seed: 3)
      let lines = (0..<2).map { _ in
        let ids = (0..<60).map { _ in "\(3 + random.next() % UInt64(vocabulary - 3))" }
        return "{\"ids\": [2, \(ids.joined(separator: ", "))]}"
      }
      let prompts = folder.path("prompts.jsonl")
      try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: prompts))
      try Self.run([
        "record", packOf ? file : checkpoint, "--prompts", prompts, "-o", pack, "--layers",
      ])
    }

    private static func run(_ words: [String]) throws {
      let result = try Tool.run(words)
      try #require(result.status == 0, "\(words): \(result.errors)")
    }

    /// What `verify` says about a copy of the file that `edit` has changed.
    func verdict(_ edit: (inout [UInt8], GGUFFile) throws -> Void) throws -> (
      status: Int32, json: JSON
    ) {
      var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
      let before = bytes
      try edit(&bytes, try GGUFFile.open(file))
      let path = folder.path("copy-\(UInt64.random(in: 0 ... .max)).gguf")
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      defer { try? FileManager.default.removeItem(atPath: path) }
      let result = try Tool.run([
        "verify", path, "--against", pack, "--tolerance", tolerance, "--json",
      ])
      #expect(result.status <= 1, "\(result.output)")
      #expect(before != bytes || result.status == 0)
      return (result.status, try object(result))
    }
  }

  static let gemma = Result {
    try Model(
      "gemma3", words: ["convert", "--type", "bf16"], packOf: false, tolerance: "f32",
      vocabulary: 480)
  }
  static let qwen = Result {
    try Model(
      "qwen3", words: ["quantize", "--recipe", "q8_0"], packOf: true, tolerance: "identical",
      vocabulary: 416)
  }

  /// Where a tensor's bytes stand.
  static func range(_ name: String, _ file: GGUFFile) throws -> Range<Int> {
    let tensor = try #require(file.tensors.first { $0.name == name }, "no \(name)")
    return Int(tensor.byteOffset)..<Int(tensor.byteOffset + tensor.byteCount)
  }

  /// Adds to every number of a tensor of F32.
  static func add(
    _ number: Float, to name: String, _ bytes: inout [UInt8], _ file: GGUFFile
  ) throws {
    for at in stride(
      from: try range(name, file).lowerBound, to: try range(name, file).upperBound, by: 4)
    {
      let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
      let changed = (Float(bitPattern: bits) + number).bitPattern
      for index in 0..<4 {
        bytes[at + index] = UInt8(truncatingIfNeeded: changed >> UInt32(8 * index))
      }
    }
  }

  /// Multiplies one number of a tensor of F32.
  static func scale(
    _ name: String, _ index: Int, by factor: Float, _ bytes: inout [UInt8], _ file: GGUFFile
  ) throws {
    let at = try range(name, file).lowerBound + 4 * index
    let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    let changed = (Float(bitPattern: bits) * factor).bitPattern
    for index in 0..<4 {
      bytes[at + index] = UInt8(truncatingIfNeeded: changed >> UInt32(8 * index))
    }
  }

  /// Overwrites the four bytes of a metadata value.
  static func set(_ key: String, to bits: UInt32, _ bytes: inout [UInt8]) throws {
    let name = Array(key.utf8)
    let place = try #require(
      bytes.indices.first { at in
        at + name.count + 8 <= bytes.count && bytes[at] == name[0]
          && Array(bytes[at..<at + name.count]) == name
          // The length stands before it: no longer key that starts alike.
          && at >= 8 && bytes[at - 8] == UInt8(name.count)
      }, "no \(key)")
    for index in 0..<4 {
      bytes[place + name.count + 4 + index] = UInt8(truncatingIfNeeded: bits >> UInt32(8 * index))
    }
  }

  /// Swaps two stretches of bytes.
  static func swap(_ a: Range<Int>, _ b: Range<Int>, _ bytes: inout [UInt8]) {
    let kept = Array(bytes[a])
    bytes.replaceSubrange(a, with: Array(bytes[b]))
    bytes.replaceSubrange(b, with: kept)
  }

  struct Mutation: Sendable, CustomTestStringConvertible {
    let name: String
    let departure: String
    let edit: @Sendable (inout [UInt8], GGUFFile) throws -> Void
    var testDescription: String { name }
  }

  static let mutations: [Mutation] = [
    Mutation(name: "norm + 1 dropped", departure: "layer 2") { bytes, file in
      try add(-1, to: "blk.2.attn_norm.weight", &bytes, file)
    },
    // Layer 5 is the only one that attends to everything: its rotary base is this one.
    Mutation(name: "wrong rotary base", departure: "layer 5") { bytes, _ in
      try set("gemma3.rope.freq_base", to: Float(10_000).bitPattern, &bytes)
    },
    Mutation(name: "window off by one", departure: "layer 0") { bytes, _ in
      try set("gemma3.attention.sliding_window", to: 17, &bytes)
    },
    Mutation(name: "rows of q swapped", departure: "layer 3") { bytes, file in
      let place = try range("blk.3.attn_q.weight", file)
      let row = 40 * 2
      swap(
        place.lowerBound..<place.lowerBound + row,
        place.lowerBound + row..<place.lowerBound + 2 * row, &bytes)
    },
    Mutation(name: "rows of k swapped", departure: "layer 4") { bytes, file in
      let place = try range("blk.4.attn_k.weight", file)
      let row = 40 * 2
      swap(
        place.lowerBound..<place.lowerBound + row,
        place.lowerBound + 3 * row..<place.lowerBound + 4 * row, &bytes)
    },
    Mutation(name: "token ids shifted", departure: "input embeddings") { bytes, file in
      let place = try range("token_embd.weight", file)
      let row = 40 * 2
      let shifted = Array(bytes[place.lowerBound..<place.upperBound - row])
      bytes.replaceSubrange(place.lowerBound + row..<place.upperBound, with: shifted)
    },
  ]

  @Test func theGoodFilePasses() throws {
    for model in [try Self.gemma.get(), try Self.qwen.get()] {
      let (status, json) = try model.verdict { _, _ in }
      #expect(status == 0)
      #expect(try json.member("passed").bool())
      #expect(try json.member("departure").kind == .null)
    }
  }

  @Test("a broken file is refused and the layer named", arguments: mutations)
  func broken(mutation: Mutation) throws {
    let (status, json) = try Self.gemma.get().verdict(mutation.edit)
    #expect(status == 1)
    #expect(try json.member("passed").bool() == false)
    #expect(try json.member("departure").string() == mutation.departure)
    let divergence = try json.member("divergence").member("mean").double()
    #expect(divergence > 1e-6)
  }

  @Test("one scale of one block", arguments: ["attn_v", "ffn_down"])
  func scale(stem: String) throws {
    let (status, json) = try Self.qwen.get().verdict { bytes, file in
      // A block of Q8_0 begins with its scale as a half: its sign bit is the top bit of the second byte.
      bytes[try Self.range("blk.1.\(stem).weight", file).lowerBound + 34 * 5 + 1] ^= 0x80
    }
    #expect(status == 1)
    #expect(try json.member("departure").string() == "layer 1")
  }
}
