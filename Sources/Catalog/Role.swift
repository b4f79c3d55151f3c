/// What a tensor is for. Architecture files name it, recipes choose formats by it.
///
/// The names in `formats/` are the raw values.
public enum Role: String, Sendable, Hashable, CaseIterable {
  /// Token embedding table, `token_embd.weight`: [vocabulary, width].
  case tokenEmbedding
  /// Learned position embedding of BERT, `position_embd.weight`.
  case positionEmbedding
  /// Segment embedding of BERT, `token_types.weight`.
  case tokenTypeEmbedding
  /// Output head that is no copy of the token embedding, `output.weight`.
  case output
  /// Weight or bias of a normalisation.
  case norm
  /// Bias of a linear layer.
  case bias
  /// Query projection.
  case attnQ
  /// Key projection.
  case attnK
  /// Value projection.
  case attnV
  /// Query, key and value projections in one tensor.
  case attnQKV
  /// Projection of the attention's result.
  case attnOutput
  /// Gate of a gated feed-forward.
  case ffnGate
  /// First projection of the feed-forward, gated or not.
  case ffnUp
  /// Second projection of the feed-forward.
  case ffnDown
  /// Rotary frequency factors, `rope_freqs.weight`.
  case ropeFactors
  /// Dense head of an embedding model, `dense_2.weight`, `dense_3.weight`.
  case denseHead
  /// A matrix that no recipe treats in its own way (a classifier head).
  case other

  /// Whether the tensor is never quantized, whatever its shape.
  ///
  /// Source: llama.cpp `src/llama-quant.cpp`, `tensor_allows_quantization`.
  public var isAlwaysFloat: Bool {
    switch self {
    case .positionEmbedding, .tokenTypeEmbedding, .norm, .bias, .ropeFactors: true
    case .tokenEmbedding, .output, .attnQ, .attnK, .attnV, .attnQKV, .attnOutput, .ffnGate, .ffnUp,
      .ffnDown, .denseHead, .other:
      false
    }
  }

  /// What people call the tensor: its name in GGUF without layer and suffix.
  public var label: String {
    switch self {
    case .tokenEmbedding: "token embedding"
    case .positionEmbedding: "position embedding"
    case .tokenTypeEmbedding: "token type embedding"
    case .output: "output head"
    case .norm: "norm"
    case .bias: "bias"
    case .attnQ: "attn_q"
    case .attnK: "attn_k"
    case .attnV: "attn_v"
    case .attnQKV: "attn_qkv"
    case .attnOutput: "attn_output"
    case .ffnGate: "ffn_gate"
    case .ffnUp: "ffn_up"
    case .ffnDown: "ffn_down"
    case .ropeFactors: "rotary factors"
    case .denseHead: "dense head"
    case .other: "matrix"
    }
  }
}
