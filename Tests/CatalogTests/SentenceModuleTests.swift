import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// modules.json of sentence-transformers: what llama.cpp does not compute is refused.
@Suite struct SentenceModuleTests {
  static let transformer =
    #"{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}"#

  static func module(_ kind: String, _ path: String) -> String {
    #"{"idx": 1, "name": "1", "path": "\#(path)", "type": "sentence_transformers.models.\#(kind)"}"#
  }

  private func bind(
    _ model: String, modules: String, files: [String: String] = [:]
  ) throws -> BoundModel {
    let checkpoint = try EditedCheckpoint(model)
    try checkpoint.write()
    try checkpoint.write(modules, to: "modules.json")
    for (name, text) in files { try checkpoint.write(text, to: name) }
    return try BoundModel.bind(
      source: SafetensorsCheckpoint.open(checkpoint.path), folder: checkpoint.path)
  }

  private func failure(
    _ model: String, modules: String, files: [String: String] = [:]
  ) throws -> TinctureError {
    try #require(throws: TinctureError.self) {
      _ = try bind(model, modules: modules, files: files)
    }
  }

  @Test(arguments: ["Dense", "LSTM", "CNN", "WeightedLayerPooling", "LayerNorm"])
  func modulesThatLlamaDoesNotCompute(_ kind: String) throws {
    let error = try failure(
      "bert-uncased", modules: "[\(Self.transformer), \(Self.module(kind, "2_Other"))]")
    #expect(error.code.name == "engine.module" && error.code.kind == .unsupported)
    #expect(error.place.key == "[1].type")
  }

  @Test(arguments: [
    (#"{"pooling_mode_max_tokens": true}"#, "engine.pooling"),
    (#"{"pooling_mode_mean_sqrt_len_tokens": true}"#, "engine.pooling"),
    (#"{"pooling_mode_weightedmean_tokens": true}"#, "engine.pooling"),
    (#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#, "engine.pooling"),
    (#"{"pooling_mode_mean_tokens": false}"#, "engine.pooling"), ("{}", "engine.pooling"),
    (#"{"pooling_mode": "max"}"#, "engine.pooling"),
    (#"{"pooling_mode_mean_tokens": 1}"#, "modules.type"), ("[]", "engine.pooling"),
    ("{", "modules.syntax"),
  ])
  func poolings(_ config: String, code: String) throws {
    let error = try failure(
      "bert-uncased", modules: "[\(Self.transformer), \(Self.module("Pooling", "1_Pooling"))]",
      files: ["1_Pooling/config.json": config])
    #expect(error.code.name == code, "\(error)")
    #expect(error.place.file?.hasSuffix("1_Pooling/config.json") == true, "\(error)")
  }

  @Test(arguments: [
    ("{}", "modules.type"), ("[7]", "modules.type"), ("[{}]", "modules.missing"),
    (#"[{"type": 7}]"#, "modules.type"),
  ])
  func lists(_ modules: String, code: String) throws {
    #expect(try failure("bert-uncased", modules: modules).code.name == code)
  }

  /// What sentence-transformers does before the model and llama.cpp does not; the context of both models is told.
  @Test(arguments: [
    (
      "bert-cased", "sentence_bert_config.json", #"{"do_lower_case": true, "max_seq_length": 64}"#,
      "do_lower_case true"
    ),
    (
      "bert-cased", "sentence_roberta_config.json", #"{"max_seq_length": 16}"#,
      "sentence_roberta_config.json has max_seq_length 16"
    ),
    // The tokenizer lowercases by itself.
    ("bert-uncased", "sentence_bert_config.json", #"{"do_lower_case": true}"#, nil),
    ("bert-uncased", "sentence_bert_config.json", #"{"max_seq_length": null}"#, nil),
    ("bert-uncased", "sentence_bert_config.json", #"{"max_seq_length": 512}"#, nil),
    (
      "bert-uncased", "sentence_bert_config.json", #"{"max_seq_length": 20}"#,
      "up to the context length of 64 tokens"
    ),
    (
      "bert-cased", "config_sentence_transformers.json",
      #"{"prompts": {"query": "query: ", "none": ""}, "default_prompt_name": "query"}"#,
      #"puts "query: " before every text"#
    ),
    (
      "bert-cased", "config_sentence_transformers.json",
      #"{"prompts": {"query": "query: ", "none": ""}, "default_prompt_name": "none"}"#, nil
    ),
    (
      "bert-cased", "config_sentence_transformers.json",
      #"{"prompts": {"query": "query: "}, "default_prompt_name": null}"#, nil
    ),
    (
      "bert-cased", "config_sentence_transformers.json", #"{"default_prompt_name": "query"}"#,
      "which its prompts do not have"
    ),
    (
      "bert-cased", "1_Pooling/config.json",
      #"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#,
      "1_Pooling/config.json has include_prompt false"
    ),
  ])
  func settingsOfTexts(_ model: String, _ name: String, _ text: String, _ note: String?) throws {
    let modules = "[\(Self.transformer), \(Self.module("Pooling", "1_Pooling"))]"
    let pooling = ["1_Pooling/config.json": #"{"pooling_mode_mean_tokens": true}"#]
    let plain = try bind(
      model, modules: modules,
      files: pooling.merging(["sentence_bert_config.json": "{}"]) { _, new in new }
    ).notes
    // Of several spellings of the first file the usual one counts.
    let other = name.hasPrefix("sentence_") ? [:] : ["sentence_bert_config.json": "{}"]
    let notes = try bind(
      model, modules: modules,
      files: pooling.merging(other) { _, new in new }.merging([name: text]) { _, new in new }
    ).notes
    #expect(notes.count == plain.count + (note == nil ? 0 : 1), "\(notes)")
    if let note { #expect(notes.contains { $0.contains(note) }, "\(notes)") }
  }

  @Test(arguments: [
    ("sentence_bert_config.json", "[]", "sentence_config.type"),
    ("sentence_bert_config.json", "{", "sentence_config.syntax"),
    ("sentence_bert_config.json", #"{"do_lower_case": 1}"#, "sentence_config.type"),
    ("sentence_bert_config.json", #"{"max_seq_length": 0}"#, "sentence_config.range"),
    ("config_sentence_transformers.json", "7", "config_sentence_transformers.type"),
    (
      "config_sentence_transformers.json", #"{"prompts": {"a": 1}}"#,
      "config_sentence_transformers.type"
    ),
    (
      "config_sentence_transformers.json", #"{"default_prompt_name": 1}"#,
      "config_sentence_transformers.type"
    ),
  ])
  func malformedSettings(_ name: String, _ text: String, code: String) throws {
    let error = try failure(
      "bert-uncased", modules: "[\(Self.transformer)]", files: [name: text])
    #expect(error.code.name == code, "\(error)")
    #expect(error.place.file?.hasSuffix(name) == true, "\(error)")
  }

  @Test(arguments: ["../1_Pooling", "/etc", "", "a//b", ".", "1_Pooling/.."])
  func foldersStayInside(_ path: String) throws {
    let error = try failure(
      "bert-uncased", modules: "[\(Self.transformer), \(Self.module("Pooling", path))]")
    #expect(error.code.name == "modules.path", "\(error)")
  }

  @Test(arguments: [
    (
      #"{"in_features": 40, "out_features": 96, "bias": true, "activation_function": "torch.nn.Identity"}"#,
      "engine.module"
    ),
    (
      #"{"in_features": 40, "out_features": 96, "bias": false, "activation_function": "torch.nn.Tanh"}"#,
      "engine.module"
    ),
    (
      #"{"in_features": 40, "out_features": 95, "bias": false, "activation_function": "torch.nn.Identity"}"#,
      "modules.width"
    ),
    (
      #"{"in_features": 1e300, "out_features": 96, "bias": false, "activation_function": "torch.nn.Identity"}"#,
      "modules.type"
    ),
    (
      #"{"in_features": 9223372036854775807, "out_features": 96, "bias": false, "activation_function": "torch.nn.Identity"}"#,
      "modules.range"
    ),
    (
      #"{"out_features": 96, "bias": false, "activation_function": "torch.nn.Identity"}"#,
      "modules.missing"
    ),
  ])
  func denseHeads(_ config: String, code: String) throws {
    let checkpoint = try EditedCheckpoint("embedding-gemma")
    try checkpoint.write()
    try checkpoint.write(config, to: "2_Dense/config.json")
    let error = try #require(throws: TinctureError.self) {
      _ = try BoundModel.bind(
        source: SafetensorsCheckpoint.open(checkpoint.path), folder: checkpoint.path)
    }
    #expect(error.code.name == code, "\(error)")
  }

  /// A GGUF with one of the two is refused as a source, so none is written.
  @Test func oneDenseHeadAloneIsRefused() throws {
    let error = try failure(
      "embedding-gemma",
      modules: "[\(Self.transformer), \(Self.module("Dense", "2_Dense"))]",
      files: [
        "2_Dense/config.json":
          #"{"in_features": 40, "out_features": 40, "bias": false, "activation_function": "torch.nn.Identity"}"#
      ])
    #expect(error.code.name == "engine.module" && error.expected == "two", "\(error)")
  }

  @Test func theWeightsOfADenseHeadAreChecked() throws {
    let checkpoint = try EditedCheckpoint("embedding-gemma")
    try checkpoint.write()
    try checkpoint.write(
      #"{"in_features": 96, "out_features": 40, "bias": false, "activation_function": "torch.nn.Identity"}"#,
      to: "2_Dense/config.json")
    try checkpoint.write(
      #"{"in_features": 40, "out_features": 96, "bias": false, "activation_function": "torch.nn.Identity"}"#,
      to: "3_Dense/config.json")
    let error = try #require(throws: TinctureError.self) {
      _ = try BoundModel.bind(
        source: SafetensorsCheckpoint.open(checkpoint.path), folder: checkpoint.path)
    }
    #expect(error.code.name == "modules.width" || error.code.name == "modules.dense", "\(error)")
  }
}
