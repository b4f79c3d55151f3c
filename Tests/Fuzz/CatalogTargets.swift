import TinctureCatalog
import TinctureCore

extension FuzzTarget {
  private static let architectures = (try? Architecture.all()) ?? []

  /// config.json: the architecture, every field it judges, and the metadata made of them.
  static let config = FuzzTarget(
    name: "config.json",
    seeds: warm([
      """
      {"architectures":["Gemma3ForCausalLM"],"num_hidden_layers":6,"hidden_size":64,
      "intermediate_size":128,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,
      "vocab_size":100,"max_position_embeddings":256,"rms_norm_eps":1e-6,"query_pre_attn_scalar":16,
      "sliding_window":32,"sliding_window_pattern":6,"rope_theta":1000000,
      "rope_local_base_freq":10000,"tie_word_embeddings":true,"torch_dtype":"bfloat16"}
      """,
      """
      {"architectures":["LlamaForCausalLM"],"num_hidden_layers":2,"hidden_size":64,
      "intermediate_size":128,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100,
      "max_position_embeddings":8192,"rms_norm_eps":1e-5,"rope_theta":500000,"rope_scaling":{
      "rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
      "original_max_position_embeddings":8192},"hidden_act":"silu","attention_bias":false}
      """,
      """
      {"architectures":["BertModel"],"num_hidden_layers":2,"hidden_size":48,"intermediate_size":96,
      "num_attention_heads":4,"vocab_size":100,"max_position_embeddings":64,"hidden_act":"gelu",
      "type_vocab_size":2,"layer_norm_eps":1e-12,"id2label":{"0":"a"}}
      """,
      """
      {"model_type":"gemma3","architectures":["Gemma3ForConditionalGeneration"],"text_config":{
      "num_hidden_layers":6,"hidden_size":64,"intermediate_size":128,"num_attention_heads":4,
      "num_key_value_heads":2,"head_dim":16,"vocab_size":100,"max_position_embeddings":256,
      "rms_norm_eps":1e-6,"query_pre_attn_scalar":16,"sliding_window":32,"layer_types":[
      "sliding_attention","sliding_attention","sliding_attention","sliding_attention",
      "sliding_attention","full_attention"],"rope_theta":1e6,"rope_local_base_freq":10000,
      "rope_scaling":{"rope_type":"linear","factor":8.0}}}
      """,
    ]),
    words: [
      "null", "true", "false", "0", "-1", "1e300", "1e-300", "9223372036854775807", "\"gelu\"",
      "\"linear\"", "\"yarn\"", "\"dynamic\"", "\"rope_type\"", "\"factor\"",
      "\"Qwen2ForCausalLM\"",
      "\"Qwen3ForCausalLM\"", "\"Gemma2ForCausalLM\"", "\"MistralForCausalLM\"", "[", "]", "{", "}",
      "\"quantization_config\"", "\"use_sliding_window\"", "\"max_window_layers\"", "16777217",
    ],
    repair: { bytes, base in oneValueChanged(&bytes, base) },
    // The list of harmless fields is read by every run; long layer_types become flags, notes and metadata.
    memoryFactor: 64, fixedMemory: 400_000,
    run: { bytes throws(TinctureError) in
      let root = try JSON.parse(bytes, file: "fuzz", code: "config")
      let config = try CheckpointConfig(root)
      let named = try config.root.present("architectures")?.array().first { _ in true }
      let name = try named?.string() ?? ""
      guard
        let architecture = architectures.first(where: { $0.match.architectures.contains(name) })
          ?? (architectures.isEmpty ? nil : architectures[bytes.count % architectures.count])
      else { return 0 }
      let ledger = try EngineLedger(architecture, config)
      return try min(ledger.metadata().count, 31)
    })

  /// modules.json and, behind a zero byte, the config.json that every module of it is given.
  static let modules = FuzzTarget(
    name: "modules.json",
    seeds: [
      #"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},"#
        + #"{"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},"#
        + #"{"idx":2,"name":"2","path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]"#
        + "\0" + #"{"word_embedding_dimension":8,"pooling_mode_mean_tokens":true,"#
        + #""pooling_mode_cls_token":false}"#,
      #"[{"path":"1_Pooling","type":"Pooling"}]"# + "\0" + #"{"pooling_mode":"lasttoken"}"#,
    ].map { Array($0.utf8) },
    words: [
      "\0", "\"path\"", "\"type\"", "\"Dense\"", "\"Pooling\"", "\"../x\"", "\"/\"", "true", "null",
      "\"pooling_mode_max_tokens\"", "\"in_features\":8", "\"out_features\":8", "\"bias\":false",
      "\"activation_function\":\"torch.nn.modules.linear.Identity\"", "{", "}", "[", "]", ",",
    ],
    memoryFactor: 32,
    run: { bytes throws(TinctureError) in
      let end = bytes.firstIndex(of: 0) ?? bytes.count
      let list = Array(bytes[..<end])
      let config = end < bytes.count ? Array(bytes[(end + 1)...]) : []
      let modules = try SentenceModules(
        folder: "fuzz", rule: bytes.count.isMultiple(of: 2) ? .pooling : .poolingAndDense, width: 8
      ) { (path) throws(TinctureError) -> [UInt8] in
        path == "fuzz/modules.json" ? list : config
      }
      return Int(modules.pooling ?? 7)
    })

  static let modelCard = FuzzTarget(
    name: "model-card",
    seeds: [
      "---\nlicense: apache-2.0\nlanguage:\n- en\n- \"kk\"\ntags: [a, 'b', text-generation]\n"
        + "base_model: google/gemma-3-270m # note\nmodel-index:\n- name: x\n  results:\n  - task:\n"
        + "      type: y\ntext: |\n  block\n---\n# Card\n",
      "---\r\nname: caf\u{E9}\r\nlicense_name: ~\r\ndatasets: [ ]\r\n---\r\n",
    ].map { Array($0.utf8) },
    words: [
      "---\n", "\n", ": ", "- ", "[", "]", "\"", "'", "#", " #", "|", ">", "~", "null", "\r\n",
    ],
    // Texts of Swift, decoded by characters, and a table of keys.
    memoryFactor: 64,
    run: { bytes throws(TinctureError) in
      let card = ModelCard(String(decoding: bytes, as: UTF8.self))
      for key in ["license", "language", "base_model"] { _ = (card.text(key), card.texts(key)) }
      return min(card.values.count, 15)
    })

  private static let values: [[UInt8]] = [
    "null", "true", "false", "0", "1", "-1", "2", "0.5", "1e300", "-1e300", "1e-300", "1e18",
    "9e18",
    "9223372036854775807", "18446744073709551615", "2147483648", "16777217", "\"\"", "\"x\"", "[]",
    "{}", "[1]", "[\"x\"]", "{\"a\":1}", "\"silu\"", "\"gelu\"", "\"yarn\"", "\"linear\"",
    "\"dynamic\"", "\"llama3\"", "\"absolute\"", "\"relative_key\"", "\"full_attention\"",
  ].map { Array($0.utf8) }

  /// The base with one value, or a key, in another's place: damage at random seldom leaves JSON. Which one, the damaged
  /// bytes decide.
  private static func oneValueChanged(_ bytes: inout [UInt8], _ base: [UInt8]) {
    var random = RandomSource(seed: bytes.reduce(0) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
    let colons = base.indices.filter { base[$0] == UInt8(ascii: ":") }
    guard !colons.isEmpty else { return }
    bytes = base
    let start = colons[random.below(colons.count)] + 1
    let end =
      base[start...].firstIndex { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "}") } ?? base.count
    bytes.replaceSubrange(start..<end, with: values[random.below(values.count)])
  }

  private static func warm(_ seeds: [String]) -> [[UInt8]] {
    _ = architectures.count
    return seeds.map { Array($0.utf8) }
  }
}
