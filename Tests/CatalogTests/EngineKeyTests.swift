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

  /// An architecture that the list does not know is told with the script that adds it; the keys are not judged.
  @Test func anUnlistedArchitectureIsTold() throws {
    let file = try #require(
      try BundledFile.all(in: "architectures").first { $0.name.hasSuffix("/qwen2.json5") })
    let text = String(decoding: file.bytes, as: UTF8.self)
      .replacingOccurrences(of: "name: \"qwen2\"", with: "name: \"ernie4_5\"")
    let architecture = try Architecture.decode(Array(text.utf8), name: "architectures/ernie.json5")
    let error = try #require(throws: TinctureError.self) {
      try ArchitectureValidator.check(architecture, keys: EngineKeys.load())
    }
    #expect(error.code.name == "architecture.engineUnlisted")
    #expect(error.message.contains("formats/config/engine-keys.json5"), "\(error)")
    #expect(error.message.contains("ernie4_5"), "\(error)")
    #expect(error.advice?.contains("tools/golden/engine_keys.sh") == true, "\(error)")
  }

  /// A small llama.cpp tree and a folder of formats, for the script that makes the list.
  static func script(architecture: String, file: String) throws -> (
    result: Tool.Result, list: String, files: [String]
  ) {
    let folder = try TemporaryFolder()
    func write(_ text: String, _ name: String) throws {
      try FileManager.default.createDirectory(
        atPath: (folder.path(name) as NSString).deletingLastPathComponent,
        withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder.path(name)))
    }
    try write(
      """
          { LLM_KV_GENERAL_NAME,   "general.name"      },
          { LLM_KV_CONTEXT_LENGTH, "%s.context_length" },
          { LLM_KV_OWN,            "%s.own"            },

      """, "llama/src/llama-arch.cpp")
    try write(
      "void llama_model_base::load_hparams(x) {\n  LLM_KV_CONTEXT_LENGTH\n}\n",
      "llama/src/llama-model.cpp")
    try write("LLM_KV_OWN\n", "llama/src/models/" + file)
    try write("{\n  name: \"\(architecture)\",\n}\n", "formats/architectures/new.json5")
    try write("the old list\n", "formats/config/engine-keys.json5")
    let result = try Tool.run(
      ["bash", Repository.path("tools/golden/engine_keys.sh"), folder.path("llama")],
      program: "/usr/bin/env", environment: ["TINCTURE_FORMATS": folder.path("formats")])
    return (
      result,
      try String(contentsOfFile: folder.path("formats/config/engine-keys.json5"), encoding: .utf8),
      try FileManager.default.contentsOfDirectory(atPath: folder.path("formats/config"))
    )
  }

  /// llama.cpp spells the names of its files otherwise than those of architectures.
  @Test(arguments: [
    ("ernie4_5", "ernie4-5.cpp"), ("deepseek2-ocr", "deepseek2ocr.cpp"), ("llama", "llama.cpp"),
    ("nomic-bert", "nomic-bert.cpp"),
  ]) func theScriptFindsTheFile(_ architecture: String, _ file: String) throws {
    let (result, list, _) = try Self.script(architecture: architecture, file: file)
    #expect(result.status == 0, "\(result.errors)")
    let root = try JSON.parse(Array(list.utf8), file: "list", mode: .lenient)
    for (name, key) in [
      ("general", "general.name"), ("every", "{arch}.context_length"), (architecture, "{arch}.own"),
    ] {
      let keys = try root.member(name).array()
      #expect(try keys.map { try $0.string() } == [key], "\(name)")
    }
  }

  /// A list that cannot be made whole leaves the old one.
  @Test func theScriptLeavesTheOldListWhenItFails() throws {
    let (result, list, files) = try Self.script(architecture: "ernie4_5", file: "other.cpp")
    #expect(result.status != 0)
    #expect(result.errors.contains("no file for the architecture ernie4_5"), "\(result.errors)")
    #expect(list == "the old list\n")
    #expect(files == ["engine-keys.json5"])
  }
}
