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
