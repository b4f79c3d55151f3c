import Foundation
import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// config.json: what is refused, what is folded, carried or told.
@Suite struct ConfigTests {
  static let gemma3 = """
    "architectures": ["Gemma3ForCausalLM"], "num_hidden_layers": 6, "hidden_size": 64,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "vocab_size": 100, "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
    "query_pre_attn_scalar": 16, "sliding_window": 32, "sliding_window_pattern": 6,
    "rope_theta": 1000000, "rope_local_base_freq": 10000, "tie_word_embeddings": true
    """
  static let llama = """
    "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 100, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000
    """
  static let gemma2 = """
    "architectures": ["Gemma2ForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "vocab_size": 100, "max_position_embeddings": 256, "query_pre_attn_scalar": 16,
    "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "sliding_window": 32
    """
  static let mistral = """
    "architectures": ["MistralForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 100, "max_position_embeddings": 8192
    """
  static let bert = """
    "architectures": ["BertModel"], "num_hidden_layers": 2, "hidden_size": 48,
    "intermediate_size": 96, "num_attention_heads": 4, "vocab_size": 100,
    "max_position_embeddings": 64, "hidden_act": "gelu"
    """

  /// `base` with the fields of `change` in the place of its own.
  static func ledger(_ base: String, _ change: String = "") throws -> EngineLedger {
    let replaced = try JSON.parse(Array("{\(change)}".utf8), file: nil)
    var kept: [String] = []
    let original = try JSON.parse(Array("{\(base)}".utf8), file: nil)
    for (key, _) in original.members where replaced[try key.string()] == nil {
      let name = try key.string()
      let all = Array("{\(base)}".utf8)
      let value = try original.member(name)
      var end = Int(value.byteOffset)
      while end < all.count, all[end] != UInt8(ascii: ","), all[end] != UInt8(ascii: "}") {
        if all[end] == UInt8(ascii: "[") {
          while all[end] != UInt8(ascii: "]") { end += 1 }
        }
        end += 1
      }
      // A string's offset is behind its quote.
      let start = Int(value.byteOffset) - (value.kind == .string ? 1 : 0)
      kept.append("\"\(name)\": " + String(decoding: all[start..<end], as: UTF8.self))
    }
    let text = "{" + (kept + (change.isEmpty ? [] : [change])).joined(separator: ",") + "}"
    let config = try CheckpointConfig(
      JSON.parse(Array(text.utf8), file: "config.json", code: "config"))
    var notes: [String] = []
    let architecture = try Architecture.matching(config, source: Nothing(), notes: &notes)
    return try EngineLedger(architecture, config)
  }

  struct Nothing: TensorSource {
    var tensors: [TensorInfo] { [] }
    var files: [InputFile] { [] }
  }

  struct Refusal: Sendable, CustomTestStringConvertible {
    var base: String
    var change: String
    var code: String
    var key: String
    var testDescription: String { change }

    init(_ base: String, _ change: String, _ code: String, _ key: String) {
      self.base = base
      self.change = change
      self.code = code
      self.key = key
    }
  }

  static let refusals: [Refusal] = [
    Refusal(gemma3, #""num_attention_heads": "34""#, "config.type", "num_attention_heads"),
    Refusal(gemma3, #""num_attention_heads": 4.0"#, "config.type", "num_attention_heads"),
    Refusal(gemma3, #""num_hidden_layers": 0"#, "config.range", "num_hidden_layers"),
    Refusal(gemma3, #""num_hidden_layers": -3"#, "config.range", "num_hidden_layers"),
    Refusal(gemma3, #""num_hidden_layers": 1000000000"#, "config.range", "num_hidden_layers"),
    Refusal(gemma3, #""hidden_size": null"#, "config.missing", "hidden_size"),
    Refusal(gemma3, #""num_key_value_heads": 3"#, "config.heads", "num_key_value_heads"),
    Refusal(gemma3, #""head_dim": 15"#, "config.headSize", "head_dim"),
    Refusal(
      gemma3, #""architectures": ["Gemma9ForCausalLM"]"#, "architecture.unknown", "architectures[0]"
    ),
    Refusal(gemma3, #""layer_types": ["full_attention"]"#, "config.layerTypes", "layer_types"),
    Refusal(
      gemma3,
      #""layer_types": ["full_attention","full_attention","full_attention","full_attention","full_attention","chunked"]"#,
      "engine.layerType", "layer_types[5]"),
    Refusal(gemma3, #""hidden_activation": "silu""#, "engine.field", "hidden_activation"),
    Refusal(gemma3, #""attn_logit_softcapping": 50.0"#, "engine.field", "attn_logit_softcapping"),
    Refusal(
      gemma3, #""use_bidirectional_attention": true"#, "engine.field", "use_bidirectional_attention"
    ),
    Refusal(gemma3, #""attention_bias": true"#, "engine.field", "attention_bias"),
    Refusal(gemma3, #""new_attention_trick": 2"#, "config.unknownField", "new_attention_trick"),
    Refusal(gemma3, #""query_pre_attn_scalar": 0"#, "config.range", "query_pre_attn_scalar"),
    Refusal(
      gemma3, #""rope_scaling": {"rope_type": "yarn", "factor": 4}"#, "engine.rotary",
      "rope_scaling.rope_type"),
    Refusal(gemma3, #""rope_scaling": {"rope_type": "linear"}"#, "config.missing", "rope_scaling"),
    Refusal(
      gemma3, #""rope_scaling": {"rope_type": "linear", "factor": 0}"#, "config.range",
      "rope_scaling.factor"),
    Refusal(
      gemma3, #""rope_scaling": {"rope_type": "linear", "factor": 8, "trick": 1}"#, "engine.rotary",
      "rope_scaling.trick"),
    Refusal(gemma3, #""partial_rotary_factor": 0.5"#, "engine.rotary", "partial_rotary_factor"),
    Refusal(
      gemma3, #""quantization_config": {"quant_method": "gptq"}"#, "engine.quantizedCheckpoint",
      "quantization_config"),
    Refusal(
      gemma2, #""final_logit_softcapping": null"#, "config.missing", "final_logit_softcapping"),
    Refusal(llama, #""hidden_act": "gelu""#, "engine.field", "hidden_act"),
    Refusal(
      llama, #""rope_scaling": {"type": "dynamic", "factor": 2}"#, "engine.rotary", "rope_scaling"),
    Refusal(
      llama, #""rope_scaling": {"rope_type": "yarn", "factor": 4, "attention_factor": 2}"#,
      "engine.rotary", "rope_scaling.attention_factor"),
    Refusal(llama, #""sliding_window": 16"#, "config.unknownField", "sliding_window"),
    Refusal(
      bert, #""position_embedding_type": "relative_key""#, "engine.field", "position_embedding_type"
    ),
    Refusal(gemma3, #""hidden_act": 1e300"#, "engine.field", "hidden_act"),
    Refusal(gemma3, #""hidden_activation": -1e300"#, "engine.field", "hidden_activation"),
    Refusal(gemma3, #""attention_bias": 9223372036854775808"#, "engine.field", "attention_bias"),
    Refusal(
      gemma3, #""attn_logit_softcapping": 1e19"#, "engine.field", "attn_logit_softcapping"),
    Refusal(
      bert, #""position_embedding_type": 1e300"#, "engine.field", "position_embedding_type"),
    Refusal(bert, #""is_decoder": true"#, "engine.field", "is_decoder"),
    Refusal(bert, #""num_attention_heads": 5"#, "config.heads", "num_attention_heads"),
    Refusal(bert, #""hidden_act": "relu""#, "engine.field", "hidden_act"),
    // The engine reads no key for these; only its own 32 and 1 are computed.
    Refusal(
      llama, #""rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": 16}"#,
      "engine.rotary", "rope_scaling.beta_fast"),
    Refusal(
      mistral, #""rope_parameters": {"rope_type": "yarn", "factor": 4, "beta_slow": 2}"#,
      "engine.rotary", "rope_parameters.beta_slow"),
    Refusal(
      llama, #""rope_scaling": {"rope_type": "yarn", "factor": 4, "mscale": 0.7}"#,
      "engine.rotary", "rope_scaling.mscale"),
    Refusal(
      llama,
      #""original_max_position_embeddings": 64, "rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32}"#,
      "config.rotary", "rope_scaling.original_max_position_embeddings"),
    // Gemma3TextConfig ignores parameters without kinds of layers.
    Refusal(
      gemma3, #""rope_parameters": {"rope_type": "default", "rope_theta": 7777}"#,
      "config.rotary", "rope_parameters.rope_theta"),
    Refusal(
      gemma3, #""rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 1000000}"#,
      "config.rotary", "rope_parameters.rope_type"),
    Refusal(
      gemma3, #""rope_scaling": {"type": "linear", "factor": 8}"#, "config.rotary",
      "rope_scaling.type"),
    Refusal(
      gemma3, #""rope_scaling": {"full_attention": {"rope_type": "default", "rope_theta": 7777}}"#,
      "config.rotary", "rope_scaling"),
    Refusal(
      gemma3,
      #""rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "linear", "factor": 2}"#,
      "config.rotary", "rope_parameters"),
    Refusal(
      gemma3,
      #""rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8}}, "rope_scaling": {"rope_type": "linear", "factor": 2}"#,
      "config.rotary", "rope_scaling"),
    // transformers reads the period from sliding_window_pattern alone, and Gemma 2's from nowhere.
    Refusal(
      gemma3, #""sliding_window_pattern": null, "_sliding_window_pattern": 3"#,
      "config.windowPattern", "_sliding_window_pattern"),
    Refusal(
      gemma2, #""sliding_window_pattern": 3"#, "config.windowPattern", "sliding_window_pattern"),
    // The Auto classes of transformers go by model_type.
    Refusal(llama, #""model_type": "granite""#, "config.modelType", "model_type"),
    Refusal(llama, #""model_type": "mistral""#, "config.modelType", "model_type"),
    Refusal(bert, #""model_type": "roberta""#, "config.modelType", "model_type"),
    Refusal(
      gemma3, #""model_type": "gemma3", "text_config": {"model_type": "gemma2"}"#,
      "config.modelType", "text_config.model_type"),
  ]

  @Test(arguments: [
    (llama, #""model_type": "llama""#), (bert, #""model_type": "bert""#),
    (gemma3, #""model_type": "gemma3_text""#),
    (
      gemma3,
      #""architectures": ["Gemma3TextModel"], "model_type": "gemma3_text", "use_bidirectional_attention": true"#
    ),
    (gemma3, #""model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}"#),
    (gemma3, #""sliding_window_pattern": null, "_sliding_window_pattern": 6"#),
    (gemma3, #""rope_parameters": {"rope_type": "default", "rope_theta": 1000000}"#),
    (
      llama, #""rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": 32, "beta_slow": 1}"#
    ),
  ]) func accepts(_ base: String, _ change: String) throws {
    _ = try Self.ledger(base, change).metadata()
  }

  /// What AutoConfig of transformers 5.14 makes of both fields.
  @Test func ropeScalingStandsBeforeRopeParameters() throws {
    let both =
      #""rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_scaling": {"rope_type": "linear", "factor": 4.0}"#
    let ledger = try Self.ledger(Self.llama, #""rope_theta": null, "# + both)
    let flat = try keys(ledger)
    #expect(flat["llama.rope.scaling.factor"] == .float32(4))
    #expect(flat["llama.rope.freq_base"] == .float32(10000))
    #expect(ledger.notes.contains { $0.contains("rope_scaling is used") })
    let empty = try keys(
      Self.ledger(
        Self.llama,
        #""rope_theta": 7000, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}, "rope_scaling": {}"#
      ))
    #expect(empty["llama.rope.scaling.factor"] == .float32(2))
    #expect(empty["llama.rope.freq_base"] == .float32(500000))
    let nested = try keys(
      Self.ledger(
        Self.gemma3,
        #""rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 7777.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 111.0}}, "rope_scaling": {"rope_type": "linear", "factor": 2.0}"#
      ))
    #expect(nested["gemma3.rope.scaling.factor"] == .float32(2))
    #expect(nested["gemma3.rope.freq_base"] == .float32(7777))
    #expect(nested["gemma3.rope.freq_base_swa"] == .float32(111))
  }

  @Test(arguments: refusals) func refuses(_ refusal: Refusal) throws {
    let error = try #require(throws: TinctureError.self) {
      _ = try Self.ledger(refusal.base, refusal.change)
    }
    #expect(error.code.name == refusal.code, "\(error)")
    #expect(error.place.key ?? "" == refusal.key, "\(error)")
  }

  /// Whatever stands in a field, it is read or refused, never a trap.
  @Test(arguments: [gemma3, gemma2, llama, mistral, bert]) func anyValueInAnyField(_ base: String)
    throws
  {
    let hostile = [
      "1e300", "-1e300", "1e19", "9223372036854775807", "-9223372036854775808",
      "18446744073709551616", "-1", "0", "1", "0.5", "1e-300", "4503599627370497.5", #""""#,
      #""gelu""#, "true", "[]", "[1e300]", "{}", #"{"rope_type": "yarn", "factor": 1e300}"#,
      #"{"rope_type": "llama3", "factor": 1e9, "low_freq_factor": 1e-300, "high_freq_factor": 1e9, "original_max_position_embeddings": 1}"#,
    ]
    let architecture = try Self.ledger(base).architecture
    var keys = Set(architecture.fields.map(\.key))
    keys.formUnion([
      "rope_theta", "rope_scaling", "rope_parameters", "rope_local_base_freq",
      "partial_rotary_factor", "original_max_position_embeddings", "sliding_window",
      "sliding_window_pattern", "layer_types", "use_sliding_window", "max_window_layers",
      "query_pre_attn_scalar", "text_config", "quantization_config", "architectures",
    ])
    var refused = 0
    for key in keys.sorted() {
      for value in hostile {
        do {
          _ = try Self.ledger(base, "\"\(key)\": \(value)").metadata()
        } catch let error as TinctureError {
          #expect(error.code.kind != .internalError, "\(key): \(value): \(error)")
          refused += 1
        }
      }
    }
    #expect(refused > keys.count * hostile.count / 3)
  }

  @Test func numbersBeyondJSONAreRefused() throws {
    for text in ["NaN", "Infinity", "1e999"] {
      #expect(throws: TinctureError.self) {
        _ = try CheckpointConfig(
          JSON.parse(Array("{\"rms_norm_eps\": \(text)}".utf8), file: nil, code: "config")
        )
        .present("rms_norm_eps")?.double()
      }
    }
  }

  @Test func nothingFoldedWhenTheScalesAgree() throws {
    let ledger = try Self.ledger(Self.gemma3)
    #expect(ledger.queryFactor == 1)
    #expect(ledger.notes.isEmpty, "\(ledger.notes)")
  }

  @Test func aDifferentScaleIsFolded() throws {
    #expect(try Self.ledger(Self.gemma3, #""query_pre_attn_scalar": 64"#).queryFactor == 0.5)
    // 46 layers are Gemma 2 27B to llama.cpp: width over heads, not the head size.
    let big = try Self.ledger(
      Self.gemma2, #""num_hidden_layers": 46, "hidden_size": 128, "query_pre_attn_scalar": 32"#)
    #expect(big.queryFactor == 1)
  }

  @Test func fallbacksAreTold() throws {
    let ledger = try Self.ledger(Self.gemma3, #""head_dim": null, "query_pre_attn_scalar": null"#)
    #expect(ledger.hyperparameters.integer(.headSize) == 256)
    #expect(ledger.notes.count == 2)
    #expect(ledger.notes.contains { $0.contains("head_dim") && $0.contains("Gemma3TextConfig") })
  }

  /// transformers (`activations.py`) has both names for one function.
  @Test func bothNamesOfSiLUAreTaken() throws {
    let usual = try Self.ledger(Self.llama, #""hidden_act": "silu""#).notes
    #expect(try Self.ledger(Self.llama, #""hidden_act": "swish""#).notes == usual)
  }

  private func keys(_ ledger: EngineLedger) throws -> [String: GGUFValue] {
    Dictionary(try ledger.metadata().map { ($0.key, $0.value) }) { first, _ in first }
  }

  /// A field that is there and null is not called absent.
  @Test func nullsAreTold() throws {
    let notes = try Self.ledger(
      Self.llama, #""head_dim": null, "hidden_act": null, "rope_theta": null"#
    ).notes
    for part in [
      "config.json says null for head_dim: 16, width over heads is used",
      "config.json says null for hidden_act: the file is as if it were absent, and llama.cpp computes with \"silu\"",
      "config.json says null for rope_theta: 10000.0 is used",
    ] {
      #expect(notes.contains { $0.hasPrefix(part) }, "\(part): \(notes)")
    }
    let error = #expect(throws: TinctureError.self) {
      _ = try Self.ledger(Self.llama, #""hidden_size": null"#)
    }
    #expect(
      error?.message == "config.json says null for \"hidden_size\", which llama needs")
    #expect(error?.place.key == "hidden_size")
    // Fields whose null is the usual value.
    let usual = #""attn_logit_softcapping": null, "final_logit_softcapping": null"#
    #expect(try Self.ledger(Self.gemma3, usual).notes == (try Self.ledger(Self.gemma3).notes))
  }

  /// A window of 0, null or none where layers are windowed: the field, what it says, and what to do.
  @Test(arguments: [
    (gemma3, #""sliding_window": 0"#, "config.range", "sliding_window", "0"),
    (gemma3, #""sliding_window": null"#, "config.missing", "sliding_window", "null"),
    (
      mistral, #""sliding_window": null, "layer_types": ["full_attention", "sliding_attention"]"#,
      "config.missing", "sliding_window", "null"
    ),
  ]) func windowedLayersNeedAWindow(
    _ base: String, _ change: String, _ code: String, _ key: String, _ found: String
  ) throws {
    let error = try #require(throws: TinctureError.self) { _ = try Self.ledger(base, change) }
    #expect(error.code.name == code, "\(error)")
    #expect(error.place.key == key, "\(error)")
    #expect(error.found == found, "\(error)")
    #expect((error.place.byteOffset ?? 0) > 0, "\(error)")
    #expect(error.advice?.contains("full_attention") == true, "\(error)")
    #expect(!error.message.contains("has no sliding_window"), "\(error)")
  }

  /// What is expected of a field that no value but null fits.
  @Test func fieldsWithoutAFittingValueSaySo() throws {
    let error = #expect(throws: TinctureError.self) {
      _ = try Self.ledger(Self.gemma3, #""attn_logit_softcapping": 2"#)
    }
    #expect(error?.expected == "null, or no such field")
  }

  /// A factor that no type gives a meaning; transformers 5.14 takes "default" (modeling_rope_utils.py).
  @Test(arguments: [
    (llama, #""rope_scaling": {"factor": 8.0}"#, "rope_scaling.factor is 8.0, but no rope_type"),
    (gemma3, #""rope_scaling": {"factor": 8.0}"#, "rope_scaling.factor is 8.0, but no rope_type"),
    (
      llama, #""rope_scaling": {"type": "default", "factor": 2}"#,
      "rope_scaling.factor is 2, but the rope_type is default"
    ),
  ]) func anIgnoredFactorIsTold(_ base: String, _ change: String, _ note: String) throws {
    let ledger = try Self.ledger(base, change)
    #expect(ledger.notes.filter { $0.hasPrefix(note) }.count == 1, "\(ledger.notes)")
    #expect(!(try keys(ledger)).keys.contains { $0.contains("rope.scaling") })
  }

  @Test func windowPatternsAreCarried() throws {
    let usual = try keys(Self.ledger(Self.gemma3))
    #expect(usual["gemma3.attention.sliding_window"] == .uint32(32))
    #expect(usual["gemma3.attention.sliding_window_pattern"] == nil)
    let other = try keys(Self.ledger(Self.gemma3, #""sliding_window_pattern": 3"#))
    #expect(
      other["gemma3.attention.sliding_window_pattern"]
        == .array(.bool([true, true, false, true, true, false])))
    // Pattern 1: no layer is windowed, and gemma3.cpp windows nothing without the key.
    let none = try keys(Self.ledger(Self.gemma3, #""sliding_window_pattern": 1"#))
    #expect(none["gemma3.attention.sliding_window"] == nil)
  }

  @Test func aWindowThatLlamaLacksLimitsTheContext() throws {
    // MistralConfig's own window when config.json says nothing.
    let old = try Self.ledger(Self.mistral)
    #expect(try keys(old)["llama.context_length"] == .uint32(4096))
    #expect(old.notes.contains { $0.contains("4096") })
    let new = try Self.ledger(Self.mistral, #""sliding_window": null"#)
    #expect(try keys(new)["llama.context_length"] == .uint32(8192))
  }

  @Test func bothSpellingsOfRotaryParametersAreRead() throws {
    let old = try keys(
      Self.ledger(Self.gemma3, #""rope_scaling": {"rope_type": "linear", "factor": 8.0}"#))
    let new = try keys(
      Self.ledger(
        Self.gemma3,
        #""rope_theta": null, "rope_local_base_freq": null, "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}"#
      ))
    #expect(old == new)
    #expect(old["gemma3.rope.scaling.factor"] == .float32(8))
    #expect(old["gemma3.rope.freq_base_swa"] == .float32(10000))
  }

  @Test func yarnIsCarried() throws {
    let keys = try keys(
      Self.ledger(
        Self.llama,
        #""rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}"#
      ))
    #expect(keys["llama.rope.scaling.type"] == .string("yarn"))
    #expect(keys["llama.rope.scaling.original_context_length"] == .uint32(2048))
  }
}
