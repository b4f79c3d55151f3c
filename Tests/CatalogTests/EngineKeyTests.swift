import Foundation
import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Every metadata key that is written is one that llama.cpp reads for that architecture, or a general one that other
/// tools read.
@Suite struct EngineKeyTests {
  static let models = try? FileManager.default.contentsOfDirectory(
    atPath: Repository.path("golden/models")
  ).sorted()

  /// Keys of `model` that nobody reads.
  static func unread(_ model: BoundModel) throws -> [String] {
    let engine = try EngineKeys.load()
    let general = try MetadataTypes.load()
    return model.metadata.map(\.key).filter { key in
      guard !engine.contains(key, for: model.architecture) else { return false }
      return key.hasPrefix(model.architecture + ".") || general.kind(of: key) == nil
    }
  }

  static func bind(_ folder: String) throws -> BoundModel {
    try BoundModel.bind(source: SafetensorsCheckpoint.open(folder), folder: folder)
  }

  @Test func modelsAreThere() { #expect((Self.models?.count ?? 0) >= 21) }

  @Test(arguments: models ?? []) func everyKeyIsRead(_ name: String) throws {
    let model = try Self.bind(Repository.path("golden/models/" + name))
    #expect(model.metadata.contains { $0.key == "\(model.architecture).block_count" })
    #expect(try Self.unread(model) == [])
  }

  /// Scalings of the rotation, of every architecture that may have them.
  @Test(arguments: [
    ("llama", #"{"rope_type": "linear", "factor": 4.0}"#),
    ("llama", #"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}"#),
    ("qwen2", #"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}"#),
    ("qwen3", #"{"rope_type": "yarn", "factor": 2.0}"#),
    ("gemma", #"{"rope_type": "linear", "factor": 4.0}"#),
    ("gemma2", #"{"rope_type": "linear", "factor": 4.0}"#),
    ("gemma3", #"{"rope_type": "linear", "factor": 4.0}"#),
  ]) func everyScalingIsRead(_ name: String, _ scaling: String) throws {
    let checkpoint = try EditedCheckpoint(name)
    try checkpoint.write()
    try checkpoint.set(["rope_scaling": scaling, "rope_parameters": nil])
    let model = try Self.bind(checkpoint.path)
    #expect(model.metadata.contains { $0.key.hasSuffix("rope.scaling.factor") })
    #expect(try Self.unread(model) == [])
  }

  /// A window that llama.cpp's pattern does not give is written as a list.
  @Test func everyWindowKeyIsRead() throws {
    let checkpoint = try EditedCheckpoint("gemma3")
    try checkpoint.write()
    let layers = try Self.bind(checkpoint.path).layerCount
    let types =
      [String](repeating: "\"full_attention\"", count: layers - 1) + [
        "\"sliding_attention\""
      ]
    try checkpoint.set(["layer_types": "[\(types.joined(separator: ","))]"])
    let model = try Self.bind(checkpoint.path)
    #expect(model.metadata.contains { $0.key.hasSuffix("sliding_window_pattern") })
    #expect(try Self.unread(model) == [])
  }

  /// The list tells architectures apart, and knows no key by half.
  @Test(arguments: [
    ("gemma2.attn_logit_softcapping", "gemma2", true),
    ("gemma3.attn_logit_softcapping", "gemma3", false),
    ("llama.vocab_size", "llama", true), ("qwen2.vocab_size", "qwen2", false),
    ("bert.rope.freq_base", "bert", true), ("bert.attention.sliding_window", "bert", false),
    ("gemma2.context_length", "gemma3", false), ("general.name", "gemma3", true),
    ("general.colour", "gemma3", false), ("tokenizer.ggml.tokens", "bert", true),
    ("gemma.context_length", "gemma", true), ("gemma.context", "gemma", false),
  ]) func whatIsRead(_ key: String, _ architecture: String, _ isRead: Bool) throws {
    #expect(try EngineKeys.load().contains(key, for: architecture) == isRead)
  }
}
