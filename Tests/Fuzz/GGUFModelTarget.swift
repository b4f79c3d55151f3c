import TinctureCatalog
import TinctureContainers
import TinctureCore

extension FuzzTarget {
  private static let architectures = (try? Architecture.all()) ?? []

  /// A GGUF file as a source: its metadata against its tensors.
  static let ggufModel = FuzzTarget(
    name: "gguf-model",
    seeds: [
      seed("llama", norms: ["attn_norm", "ffn_norm"]),
      seed(
        "gemma2", norms: ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"],
        more: [("attention.sliding_window", .uint32(8)), ("attn_logit_softcapping", .float32(50))]),
    ].compactMap { $0 },
    words: [
      "llama.", "gemma2.", "rope.dimension_count", "attention.value_length", "expert_count",
      "pooling_type", "\u{1}\0\0\0", "\0\0\0\0", "tokenizer.ggml.eos_token_id", "yarn",
    ],
    // The types of metadata keys are read by every run.
    fixedMemory: 400_000,
    run: { bytes throws(TinctureError) in
      let file = try GGUFFile(path: "fuzz", files: [InputFile(memory: bytes, name: "fuzz")])
      guard case .string(let name)? = file.value("general.architecture"),
        let architecture = architectures.first(where: { $0.name == name.text })
      else { return 0 }
      let model = try BoundModel.bind(gguf: file, as: architecture)
      return 1 + min(model.headCount, 7) + 8 * min(model.keyValueHeadCount, 7)
    })

  /// A model of one layer with eight tokens.
  private static func seed(
    _ name: String, norms: [String], more: [(String, GGUFValue)] = []
  ) -> [UInt8]? {
    let tokens = ByteStrings((0..<8).map { [UInt8(ascii: "a") + UInt8($0)] })
    var metadata: [(key: String, value: GGUFValue)] = [
      ("general.architecture", .string(.init(name)))
    ]
    let sizes: [(String, GGUFValue)] = [
      ("block_count", .uint32(1)), ("context_length", .uint32(32)),
      ("embedding_length", .uint32(8)), ("feed_forward_length", .uint32(16)),
      ("attention.head_count", .uint32(4)), ("attention.head_count_kv", .uint32(2)),
      ("attention.key_length", .uint32(2)), ("attention.value_length", .uint32(2)),
      ("attention.layer_norm_rms_epsilon", .float32(1e-6)),
    ]
    for (key, value) in sizes + more { metadata.append((name + "." + key, value)) }
    metadata += [
      ("tokenizer.ggml.model", .string("llama")),
      ("tokenizer.ggml.tokens", .array(.strings(tokens))),
      ("tokenizer.ggml.scores", .array(.float32([Float](repeating: 0, count: 8)))),
      ("tokenizer.ggml.token_type", .array(.int32([Int32](repeating: 1, count: 8)))),
      ("tokenizer.ggml.bos_token_id", .uint32(1)),
    ]
    func tensor(_ name: String, _ sizes: Int...) -> GGUFLayout.Request? {
      Shape(checking: sizes).map {
        GGUFLayout.Request(name: name + ".weight", type: .element(.f32), shape: $0)
      }
    }
    var tensors = [tensor("token_embd", 8, 8), tensor("output_norm", 8)]
    for norm in norms { tensors.append(tensor("blk.0." + norm, 8)) }
    for (part, rows, columns) in [
      ("attn_q", 8, 8), ("attn_k", 4, 8), ("attn_v", 4, 8), ("attn_output", 8, 8),
      ("ffn_gate", 16, 8), ("ffn_up", 16, 8), ("ffn_down", 8, 16),
    ] {
      tensors.append(tensor("blk.0." + part, rows, columns))
    }
    guard let layout = try? GGUFLayout(metadata: metadata, tensors: tensors.compactMap { $0 })
    else { return nil }
    let data = Int(layout.byteCount) - layout.header.count
    return layout.header + [UInt8](repeating: 0, count: data)
  }
}
