import Foundation
import Testing
import TinctureCatalog
import TinctureCore
import TinctureTestSupport

@Suite struct ArchitectureTests {
  @Test func everyFileIsValid() throws {
    let names = Set(try Architecture.all().map(\.name))
    #expect(
      names == [
        "gemma", "gemma2", "gemma3", "gemma-embedding", "bert", "llama", "qwen2", "qwen3",
      ])
  }

  @Test(arguments: [
    ("layers.{i}.norm.weight", "layers.12.norm.weight", 12), ("layers.{i}.a", "layers.0.a", 0),
  ]) func patternsGiveTheLayer(_ pattern: String, _ name: String, _ layer: Int) throws {
    let pattern = try #require(NamePattern(pattern))
    #expect(pattern.match(name.utf8)?.layer == layer)
    #expect(pattern.name(layer: layer) == name)
  }

  @Test(arguments: [
    ("layers.{i}.a", "layers.01.a"), ("layers.{i}.a", "layers..a"), ("layers.{i}.a", "layers.1.ab"),
    ("layers.{i}.a", "layers.99999999999999999999.a"), ("x.{rest}", "x."), ("x", "xy"), ("x", ""),
  ]) func patternsRefuse(_ pattern: String, _ name: String) throws {
    #expect(try #require(NamePattern(pattern)).match(name.utf8) == nil)
  }

  @Test(arguments: ["{i}.{i}", "{j}", "{rest}.a"]) func badPatterns(_ text: String) {
    #expect(NamePattern(text) == nil)
  }

  /// The gemma3 file with `old` replaced by `new`, read and validated.
  private func changed(_ old: String, _ new: String) throws {
    let file = try #require(
      try BundledFile.all(in: "architectures").first { $0.name.hasSuffix("/gemma3.json5") })
    let text = String(decoding: file.bytes, as: UTF8.self)
    #expect(text.contains(old), "the file has no \(old)")
    let other = text.replacingOccurrences(of: old, with: new)
    let architecture = try Architecture.decode(Array(other.utf8), name: file.name)
    try ArchitectureValidator.check(architecture, keys: EngineKeys.load())
  }

  @Test(arguments: [
    ("name: \"gemma3\",", "name: \"gemma3\", colour: 1,", "formats.unknownKey"),
    ("role: \"attnQ\"", "role: \"attnX\"", "formats.word"),
    ("\"blk.{i}.attn_q.weight\"", "\"blk.{j}.attn_q.weight\"", "formats.pattern"),
    (
      "ifMissing: 8, because: \"transformers Gemma3TextConfig\"", "ifMissing: 8", "formats.citation"
    ),
    ("\"{arch}.context_length\"", "\"{arch}.context_size\"", "architecture.engineKey"),
    // Gemma 2's, which gemma3.cpp does not read.
    (
      "\"{arch}.final_logit_softcapping\"", "\"{arch}.attn_logit_softcapping\"",
      "architecture.engineKey"
    ),
    (
      "from: \"layers.{i}.mlp.up_proj.weight\"", "from: \"layers.{i}.mlp.gate_proj.weight\"",
      "architecture.twoRules"
    ),
    ("to: \"blk.{i}.ffn_up.weight\"", "to: \"blk.{i}.ffn_gate.weight\"", "architecture.twoTargets"),
    (
      "num_hidden_layers: { is: \"layers\"", "num_hidden_layers: { is: \"tokenTypes\"",
      "architecture.unread"
    ),
  ]) func brokenFilesAreRefused(_ old: String, _ new: String, _ code: String) throws {
    let error = try #require(throws: TinctureError.self) { try changed(old, new) }
    #expect(error.code.name == code, "\(error)")
    #expect(error.place.file == "formats/architectures/gemma3.json5")
  }
}

@Suite struct ModelNameTests {
  @Test func partsOfNames() {
    let name = ModelName("google/gemma-3-270m-it", parameterCount: 268_098_176)
    #expect(name.organization == "google")
    #expect(name.baseName == "gemma-3")
    #expect(name.sizeLabel == "270M")
    #expect(name.fineTune == "it")
    let mistral = ModelName("Mistral-7B-Instruct-v0.2", parameterCount: 7_241_732_096)
    #expect(mistral.baseName == "Mistral")
    #expect(mistral.sizeLabel == "7B")
    #expect(mistral.version == "v0.2")
    #expect(mistral.fineTune == "Instruct")
    // A number that is far from the model's size is a context length.
    #expect(ModelName("phi-4b-128k", parameterCount: 4_000_000_000).fineTune == "128k")
  }

  @Test(arguments: [
    ("gemma3-270m", "Gemma3 270m"), ("Meta-LLaMA", "Meta LLaMA"), ("v1.5-model", "v1.5 Model"),
  ]) func titles(_ id: String, _ title: String) { #expect(ModelName.title(id) == title) }

  @Test(arguments: [
    (268_098_176, "268M"), (1_543_714_304, "1.5B"), (434, "0.43K"), (70_553_706_496, "71B"),
    (22_713_216, "23M"),
  ]) func sizes(_ count: Int, _ label: String) {
    #expect(ModelName.sizeLabel(parameterCount: count) == label)
  }
}

@Suite struct ModelCardTests {
  @Test func frontMatter() {
    let card = ModelCard(
      """
      ---
      license: apache-2.0 # a comment
      language:
      - en
      - "no"
      tags: [a, 'b c']
      base_model:
        - google/gemma-3-270m
      extra_gated_prompt: >-
        To see this, agree.
        key: no key
      widget:
      - text: Hello
        example: x
      ---
      license: mit
      """)
    #expect(card.text("license") == "apache-2.0")
    #expect(card.texts("language") == ["en", "no"])
    #expect(card.texts("tags") == ["a", "b c"])
    #expect(card.texts("base_model") == ["google/gemma-3-270m"])
    #expect(card.texts("extra_gated_prompt") == nil)
    #expect(card.texts("widget") == nil)
  }

  @Test(arguments: ["", "# A model", "---\nlicense: mit", "---\n- a\n---"])
  func noFrontMatter(_ text: String) { #expect(ModelCard(text).values.isEmpty) }
}
