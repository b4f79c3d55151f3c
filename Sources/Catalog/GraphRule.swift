import TinctureCore

/// What metadata does not say about a family's computation: the `graph` section of an architecture file.
///
/// All families are parameter sets of one transformer block; a word here chooses a part of it. Sources: the
/// graphs of llama.cpp (`src/models/NAME.cpp`) and transformers' modeling files, which agree on these points
/// unless a word says otherwise.
package struct GraphRule: Sendable, Equatable {
  /// Where the norms of a block stand.
  package enum Block: String, Sendable, CaseIterable {
    /// x + f(norm(x)): Llama, Qwen, Gemma 1.
    case pre
    /// norm(x + f(x)): BERT.
    case post
    /// x + norm(f(norm(x))): Gemma 2 and 3.
    case sandwich
  }

  package enum Norm: String, Sendable, CaseIterable {
    /// x / sqrt(mean(x²) + ε) · weight.
    case rms
    /// (x - mean) / sqrt(variance + ε) · weight + bias.
    case layer
  }

  package enum Positions: String, Sendable, CaseIterable {
    /// Rotation of element i with element i + half (ggml's NEOX).
    case rotarySplit
    /// Rotation of neighbours (ggml's NORM).
    case rotaryInterleaved
    /// A table of vectors added to the embedding.
    case learned
  }

  package enum FeedForward: String, Sendable, CaseIterable {
    /// down(activation(gate(x)) · up(x)).
    case gated
    /// down(activation(up(x))).
    case plain
  }

  package enum Activation: String, Sendable, CaseIterable {
    /// x / (1 + exp(-x)).
    case silu
    /// x · Φ(x), with the error function.
    case gelu
    /// The tanh form of GELU.
    case geluTanh
  }

  package enum Mask: String, Sendable, CaseIterable { case causal, bidirectional }

  /// What the model gives for each position.
  package enum Output: String, Sendable, CaseIterable { case logits, hidden }

  /// What stands on top of an encoder.
  package enum Task: String, Sendable, CaseIterable {
    /// A score of every token of the vocabulary for each position.
    case maskedWords
    /// Scores of the whole sequence.
    case sequenceClass
    /// Scores of each position.
    case tokenClass
  }

  /// The activation a checkpoint names in config.json where the engine computes another one.
  package struct OwnActivation: Sendable, Equatable {
    package var field: String
    package var fallback: String
    package var because: String
  }

  package var block: Block
  package var norm: Norm
  package var positions: Positions
  package var feedForward: FeedForward
  package var activation: Activation
  package var ownActivation: OwnActivation?
  package var mask: Mask
  package var output: Output
  /// Whether embeddings are multiplied by the square root of the width.
  package var scalesEmbedding: Bool
  /// Whether each query and key head is normalised before the rotation.
  package var normalizesQueryAndKey: Bool
  /// Caps of attention scores and logits that the engine uses when no key gives one.
  package var attentionSoftCap, finalSoftCap: Double?
  /// Window that the engine uses when no key gives one.
  package var windowSize: Int?
  /// Whether a windowed layer sees half of the window on each side.
  package var hasSymmetricWindow: Bool
  /// Architecture names of config.json that say what the checkpoint's head is for.
  package var tasks: [String: Task]
}

/// Facts about one model's computation that its metadata does not carry.
package struct RuntimeFacts: Sendable {
  package var graph: GraphRule
  package var window: WindowRule?
  package var queryScale: QueryScaleRule?
  /// Base of windowed layers' rotation when no key gives one; nil when all layers share one.
  package var localRotaryBase: Double?
  /// What a checkpoint's own config.json says beyond the metadata; nil for GGUF files.
  package var own: OwnFacts?
  /// Heads that are not part of a GGUF file (pooler, masked-word head, classifier).
  package var heads: [CanonicalTensor]

  package init(_ architecture: Architecture, own: OwnFacts?, heads: [CanonicalTensor]) {
    graph = architecture.graph
    window = architecture.window
    queryScale = architecture.queryScale
    localRotaryBase = architecture.rotary?.localBase
    self.own = own
    self.heads = heads
  }
}

/// What a checkpoint's config.json says about its computation and no metadata key carries.
package struct OwnFacts: Sendable, Equatable {
  /// The checkpoint's activation.
  package var activation: GraphRule.Activation
  /// Windows as transformers computes them, also where llama.cpp computes none.
  package var window: WindowSettings?
  /// Positions the checkpoint was made for, not limited to what llama.cpp computes alike.
  package var contextLength: Int
  /// What the checkpoint's head is for.
  package var task: GraphRule.Task?
  /// Whether a masked-word head without a decoder of its own multiplies by the word embedding.
  package var tiesHead: Bool
  /// Whether the pooled vector gets length 1 before the dense heads, and at the end (sentence-transformers' Normalize).
  package var normalizesPooled = false, normalizesResult = true
}

extension GraphRule.Activation {
  /// The activation that transformers calls `name` (activations.py, ACT2FN).
  init?(transformersName name: String) {
    switch name {
    case "gelu": self = .gelu
    case "gelu_new", "gelu_pytorch_tanh": self = .geluTanh
    case "silu", "swish": self = .silu
    default: return nil
    }
  }
}

extension ArchitectureFile {
  func graph(_ node: JSON) throws(TinctureError) -> GraphRule {
    var object = try FormatObject(node)
    var caps: (attention: Double?, final: Double?) = (nil, nil)
    if let node = object.optional("softCaps") {
      var inner = try FormatObject(node)
      caps = (
        try inner.optional("attention")?.double(), try inner.optional("final")?.double()
      )
      try inner.finish()
    }
    let rule = GraphRule(
      block: try FormatObject.word(object.required("block"), GraphRule.Block.self),
      norm: try FormatObject.word(object.required("norm"), GraphRule.Norm.self),
      positions: try FormatObject.word(object.required("positions"), GraphRule.Positions.self),
      feedForward: try FormatObject.word(
        object.required("feedForward"), GraphRule.FeedForward.self),
      activation: try FormatObject.word(object.required("activation"), GraphRule.Activation.self),
      ownActivation: try object.optional("ownActivation").map(ownActivation),
      mask: try FormatObject.word(object.required("mask"), GraphRule.Mask.self),
      output: try FormatObject.word(object.required("output"), GraphRule.Output.self),
      scalesEmbedding: try object.flag("scalesEmbedding"),
      normalizesQueryAndKey: try object.flag("normalizesQueryAndKey"),
      attentionSoftCap: caps.attention, finalSoftCap: caps.final,
      windowSize: try object.optional("windowSize")?.int(),
      hasSymmetricWindow: try object.flag("symmetricWindow"),
      tasks: try tasks(object.optional("tasks")))
    try object.finish()
    return rule
  }

  private func tasks(_ node: JSON?) throws(TinctureError) -> [String: GraphRule.Task] {
    guard let node else { return [:] }
    var tasks: [String: GraphRule.Task] = [:]
    for (key, value) in try node.object() {
      tasks[try key.string()] = try FormatObject.word(value, GraphRule.Task.self)
    }
    return tasks
  }

  private func ownActivation(_ node: JSON) throws(TinctureError) -> GraphRule.OwnActivation {
    var object = try FormatObject(node)
    let rule = GraphRule.OwnActivation(
      field: try object.required("field").string(),
      fallback: try object.required("ifMissing").string(),
      because: try object.required("because").string())
    try object.finish()
    return rule
  }
}
