import Foundation
import Testing
import TinctureBlocks
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Damage in a quantized file, judged by the tolerance that `verify` chooses itself: through the noise of quantization the
/// verdict must be red and the layer named, in the first layer, in the middle and in the last.
@Suite("Mutations of a quantized file")
struct QuantizedMutationTests {
  final class Model: Sendable {
    let folder: TemporaryFolder
    /// The BF16 model, and a pack of it with layers.
    let source: String
    let pack: String
    let prompts: String
    /// The same in q4_k_m.
    let file: String

    init() throws {
      folder = try TemporaryFolder()
      source = folder.path("source.gguf")
      file = folder.path("q4_k_m.gguf")
      pack = folder.path("ref.pack")
      prompts = folder.path("prompts.jsonl")
      try SyntheticGemma().write(to: source)
      var random = SeededRandom(seed: 5)
      let lines = (0..<3).map { _ in
        let ids = (0..<90).map { _ in
          "\(3 + random.next() % UInt64(SyntheticGemma.vocabulary - 3))"
        }
        return "{\"ids\": [2, \(ids.joined(separator: ", "))]}"
      }
      try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: prompts))
      for words in [
        ["quantize", source, "--recipe", "q4_k_m", "-o", file],
        ["record", source, "--prompts", prompts, "-o", pack, "--layers", "--top", "256"],
      ] {
        let result = try Tool.run(words)
        try #require(result.status == 0, "\(words): \(result.errors)")
      }
    }

    /// What `verify` says about a copy that `edit` has changed, against the pack or the model itself.
    func verdict(
      againstModel: Bool, _ edit: (inout [UInt8], GGUFFile) throws -> Void
    ) throws -> (status: Int32, json: JSON) {
      var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
      try edit(&bytes, try GGUFFile.open(file))
      let path = folder.path("copy-\(UInt64.random(in: 0 ... .max)).gguf")
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      defer { try? FileManager.default.removeItem(atPath: path) }
      let reference = againstModel ? [source, "--prompts", prompts] : [pack]
      let result = try Tool.run(["verify", path, "--json", "--against"] + reference)
      try #require(result.status <= 1, "\(result.output) \(result.errors)")
      return (result.status, try object(result))
    }
  }

  static let model = Result { try Model() }

  struct Mutation: Sendable, CustomTestStringConvertible {
    let name: String
    let departure: String
    let edit: @Sendable (inout [UInt8], GGUFFile) throws -> Void
    var testDescription: String { name }
  }

  /// Turns the sign of the scale of one block.
  static func flipScale(
    _ name: String, block: Int, _ bytes: inout [UInt8], _ file: GGUFFile
  ) throws {
    let tensor = try #require(file.tensors.first { $0.name == name }, "no \(name)")
    guard case .block(let format) = tensor.type else {
      Issue.record("\(name) is stored as \(tensor.type)")
      return
    }
    // The scale is a half at the block's start, of Q6_K at its end; its sign is the top bit of its second byte.
    let place = format == .q6_K ? format.bytesPerBlock - 1 : 1
    bytes[Int(tensor.byteOffset) + block * format.bytesPerBlock + place] ^= 0x80
  }

  static func swapRows(
    _ name: String, _ first: Int, _ second: Int, _ bytes: inout [UInt8], _ file: GGUFFile
  ) throws {
    let tensor = try #require(file.tensors.first { $0.name == name }, "no \(name)")
    let (start, row) = (Int(tensor.byteOffset), tensor.rowByteCount)
    MutationTests.swap(
      start + first * row..<start + (first + 1) * row,
      start + second * row..<start + (second + 1) * row, &bytes)
  }

  static let mutations: [Mutation] =
    [0, 6, 11].flatMap { layer in
      [
        Mutation(
          name: "norm + 1 dropped in layer \(layer)", departure: "layer \(layer)"
        ) { bytes, file in
          try MutationTests.add(-1, to: "blk.\(layer).attn_norm.weight", &bytes, file)
        },
        Mutation(
          name: "one norm weight 5 % off in layer \(layer)", departure: "layer \(layer)"
        ) { bytes, file in
          try MutationTests.scale("blk.\(layer).attn_norm.weight", 3, by: 1.05, &bytes, file)
        },
        Mutation(
          name: "one norm weight 1 % off in layer \(layer)", departure: "layer \(layer)"
        ) { bytes, file in
          try MutationTests.scale("blk.\(layer).ffn_norm.weight", 200, by: 0.99, &bytes, file)
        },
        Mutation(
          name: "rows of q swapped in layer \(layer)", departure: "layer \(layer)"
        ) { bytes, file in
          try swapRows("blk.\(layer).attn_q.weight", 3, 40, &bytes, file)
        },
        Mutation(
          name: "rows of k swapped in layer \(layer)", departure: "layer \(layer)"
        ) { bytes, file in
          try swapRows("blk.\(layer).attn_k.weight", 3, 40, &bytes, file)
        },
        Mutation(
          name: "a scale of attn_v in layer \(layer)", departure: "layer \(layer)"
        ) { bytes, file in
          try flipScale("blk.\(layer).attn_v.weight", block: 7, &bytes, file)
        },
        Mutation(
          name: "a scale of ffn_down in layer \(layer)", departure: "layer \(layer)"
        ) { bytes, file in
          try flipScale("blk.\(layer).ffn_down.weight", block: 100, &bytes, file)
        },
      ]
    } + [
      // Layer 5 is the first that attends to everything: its rotary base is this one.
      Mutation(name: "wrong rotary base", departure: "layer 5") { bytes, _ in
        try MutationTests.set("gemma3.rope.freq_base", to: Float(10_000).bitPattern, &bytes)
      },
      Mutation(name: "window off by one", departure: "layer 0") { bytes, _ in
        try MutationTests.set(
          "gemma3.attention.sliding_window", to: UInt32(SyntheticGemma.window + 1), &bytes)
      },
      Mutation(name: "token ids shifted", departure: "input embeddings") {
        bytes, file in
        let tensor = try #require(file.tensors.first { $0.name == "token_embd.weight" })
        let (start, row) = (Int(tensor.byteOffset), tensor.rowByteCount)
        let end = start + Int(tensor.byteCount)
        bytes.replaceSubrange(start + row..<end, with: Array(bytes[start..<end - row]))
      },
    ]

  @Test("the good file passes", arguments: [false, true])
  func good(againstModel: Bool) throws {
    let (status, json) = try Self.model.get().verdict(againstModel: againstModel) { _, _ in }
    let verdict = try json.member("verdict").string()
    #expect(status == 0, "\(verdict)")
    #expect(try json.member("tolerance").string() == "q4_k_m")
    #expect(try json.member("departure").kind == .null)
  }

  @Test(
    "a broken file is refused and the layer named, by a pack",
    arguments: mutations)
  func pack(mutation: Mutation) throws { try broken(mutation, againstModel: false) }

  @Test("a broken file is refused and the layer named, by the model", arguments: mutations)
  func model(mutation: Mutation) throws { try broken(mutation, againstModel: true) }

  private func broken(_ mutation: Mutation, againstModel: Bool) throws {
    let (status, json) = try Self.model.get().verdict(
      againstModel: againstModel, mutation.edit)
    #expect(status == 1)
    let departure = try json.member("departure")
    try #require(departure.kind == .string)
    #expect(try departure.string() == mutation.departure)
  }

  /// A claim that the stored types contradict, in both directions.
  @Test("a file that says it is stored otherwise is refused", arguments: [UInt32(32), 10, 7])
  func claims(fileType: UInt32) throws {
    let (status, json) = try Self.model.get().verdict(againstModel: false) { bytes, _ in
      try MutationTests.set("general.file_type", to: fileType, &bytes)
    }
    #expect(status == 1)
    // Judged by what it stores all the same.
    #expect(try json.member("tolerance").string() == "q4_k_m")
    var failed: [String] = []
    for check in try json.member("checks").array() where try !check.member("passed").bool() {
      failed.append(try check.member("key").string())
    }
    #expect(failed == ["storedOtherwise"])
  }
}
