import TinctureCore

/// One layer's weights, ready for products.
struct LayerWeights {
  let query, key, value, output: Projection
  let queryNorm, keyNorm: NormWeights?
  let gate: Projection?
  let up, down: Projection
  /// Before attention and feed-forward (pre and sandwich).
  let attentionNorm, feedForwardNorm: NormWeights?
  /// After them (post and sandwich).
  let attentionPostNorm, feedForwardPostNorm: NormWeights?
  /// Keeps the bytes.
  private let set: WeightSet

  /// - Throws: `runtime.missing`; ``ShapeCheck`` has found everything already.
  init(_ set: WeightSet, layer: Int, graph: Graph) throws(TinctureError) {
    let prefix = "blk.\(layer)."
    func projection(_ name: String) throws(TinctureError) -> Projection {
      if let projection = set.projection(prefix + name) { return projection }
      throw TinctureError(
        .init("runtime.missing", .invalidInput), "the model lacks a tensor that its family needs",
        place: .init(tensor: prefix + name + ".weight", layer: layer))
    }
    if let fused = set.projection(prefix + "attn_qkv") {
      func part(_ first: Int, _ count: Int) -> Projection {
        Projection(
          weights: fused.weights.rows(first..<first + count), bias: fused.bias.map { $0 + first })
      }
      query = part(0, graph.queryRows)
      key = part(graph.queryRows, graph.keyValueRows)
      value = part(graph.queryRows + graph.keyValueRows, graph.keyValueRows)
    } else {
      query = try projection("attn_q")
      key = try projection("attn_k")
      value = try projection("attn_v")
    }
    output = try projection("attn_output")
    gate = graph.rule.feedForward == .gated ? try projection("ffn_gate") : nil
    up = try projection("ffn_up")
    down = try projection("ffn_down")
    let normalizes = graph.rule.normalizesQueryAndKey
    queryNorm = normalizes ? set.norm(prefix + "attn_q_norm") : nil
    keyNorm = normalizes ? set.norm(prefix + "attn_k_norm") : nil
    let isPost = graph.rule.block == .post
    attentionNorm = isPost ? nil : set.norm(prefix + "attn_norm")
    feedForwardNorm = isPost ? nil : set.norm(prefix + "ffn_norm")
    switch graph.rule.block {
    case .pre: (attentionPostNorm, feedForwardPostNorm) = (nil, nil)
    case .sandwich:
      attentionPostNorm = set.norm(prefix + "post_attention_norm")
      feedForwardPostNorm = set.norm(prefix + "post_ffw_norm")
    case .post:
      attentionPostNorm = set.norm(prefix + "attn_output_norm")
      feedForwardPostNorm = set.norm(prefix + "layer_output_norm")
    }
    self.set = set
  }
}
