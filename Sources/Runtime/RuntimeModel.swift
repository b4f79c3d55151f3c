import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

/// A model that can be run: a checkpoint or a GGUF file, both under GGUF's names with GGUF's metadata.
///
/// Holds no weights; ``LayerMajor`` and ``Session`` load them.
public final class RuntimeModel: Sendable {
  package let graph: Graph
  /// Every tensor by name, with the heads that only our runtime computes.
  package let tensors: [String: CanonicalTensor]
  let source: any TensorSource
  /// Decisions worth telling, in order.
  public let notes: [String]
  /// Factors that divide rotary frequencies.
  let rotaryFactors: [Float]?

  /// What the model gives for a sequence.
  public var isDecoder: Bool { graph.rule.output == .logits }
  /// Tokens the embedding has; ids are below.
  public var vocabularySize: Int { graph.vocabulary }
  /// Positions the model was made for.
  public var contextLength: Int { graph.contextLength }
  /// Elements of a hidden vector.
  public var width: Int { graph.width }
  public var layerCount: Int { graph.layerCount }
  /// llama.cpp's name of the family.
  public var architecture: String { graph.architecture }

  /// Reads how `model` computes and checks every tensor's shape against it. Reads no weights but rotary factors.
  ///
  /// - Throws: `runtime.metadata`, `runtime.shape`, `runtime.missing`; `runtime.instructionSet` never: call
  ///   `InstructionSet.check()` first.
  public init(_ model: BoundModel) throws(TinctureError) {
    let facts: RuntimeFacts
    if let own = model.runtime {
      facts = own
    } else {
      let file = model.source.files.first?.path ?? ""
      facts = RuntimeFacts(
        try Architecture.named(model.architecture, file: file), own: nil, heads: [])
    }
    var tensors: [String: CanonicalTensor] = [:]
    for tensor in model.tensors + facts.heads { tensors[tensor.name] = tensor }
    let file = model.source.files.first?.path
    guard let embedding = tensors["token_embd.weight"], embedding.shape.rank == 2 else {
      throw TinctureError(
        .init("runtime.missing", .invalidInput), "the model has no token embedding",
        place: .init(file: file, tensor: "token_embd.weight"))
    }
    graph = try Graph(model, facts: facts, vocabulary: embedding.shape.dimensions[0])
    self.tensors = tensors
    source = model.source
    try located(file: file) { [graph] () throws(TinctureError) in
      try ShapeCheck(graph: graph, tensors: tensors).run()
    }
    if let factors = tensors["rope_freqs.weight"] {
      rotaryFactors = try Self.vector(factors, model.source)
    } else {
      rotaryFactors = nil
    }
    var notes: [String] = []
    if facts.own != nil, graph.activation != facts.graph.activation {
      notes.append(
        "\(graph.activation.rawValue) is computed as the checkpoint has it; for a GGUF file llama.cpp "
          + "computes \(facts.graph.activation.rawValue)")
    }
    self.notes = notes
  }

  /// A small tensor's numbers.
  static func vector(_ tensor: CanonicalTensor, _ source: any TensorSource) throws(TinctureError)
    -> [Float]
  {
    var values = [Float](repeating: 0, count: tensor.shape.elementCount)
    let bytes = CanonicalView.scratchByteCount(tensor, rowCount: tensor.shape.rowCount)
    let scratch = try Allocation.aligned(bytes, for: "reading weights")
    defer { scratch.deallocate() }
    var failure: TinctureError?
    values.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      do throws(TinctureError) {
        try CanonicalView(source).rows(
          of: tensor, 0..<tensor.shape.rowCount, into: base, scratch: scratch)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return values
  }

  /// Names of a layer's tensors, those a model of any family may have.
  func layerNames(_ layer: Int) -> [String] {
    ShapeCheck.layerStems.flatMap { ["blk.\(layer).\($0).weight", "blk.\(layer).\($0).bias"] }
  }
}

/// Shapes of every tensor the runtime computes with, from the graph's sizes.
struct ShapeCheck {
  let graph: Graph
  let tensors: [String: CanonicalTensor]

  static let layerStems = [
    "attn_norm", "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "attn_q_norm",
    "attn_k_norm", "post_attention_norm", "attn_output_norm", "ffn_norm", "ffn_gate", "ffn_up",
    "ffn_down", "post_ffw_norm", "layer_output_norm",
  ]

  func run() throws(TinctureError) {
    let g = graph
    try matrix("token_embd", g.vocabulary, g.width)
    try matrix("output", g.vocabulary, g.width, isOptional: true)
    try vector("output.bias", g.vocabulary, isOptional: true)
    switch g.rule.block {
    case .pre, .sandwich: try norm("output_norm")
    case .post: try norm("token_embd_norm")
    }
    if g.rule.positions == .learned { try matrix("position_embd", g.contextLength, g.width) }
    if let types = tensors["token_types.weight"] {
      try matrix("token_types", types.shape.rowCount, g.width)
    }
    try vector("rope_freqs.weight", g.headSize / 2, isOptional: true)
    for layer in 0..<g.layerCount {
      try located(layer: layer) { () throws(TinctureError) in try self.layer("blk.\(layer).") }
    }
    if g.rule.output == .hidden {
      if let first = tensors["dense_2.weight"] {
        try matrix("dense_2", first.shape.rowCount, g.width)
        try matrix("dense_3", g.width, first.shape.rowCount)
      }
    }
  }

  private func layer(_ prefix: String) throws(TinctureError) {
    let g = graph
    if tensors[prefix + "attn_qkv.weight"] != nil {
      try linear(prefix + "attn_qkv", g.queryRows + 2 * g.keyValueRows, g.width)
    } else {
      try linear(prefix + "attn_q", g.queryRows, g.width)
      try linear(prefix + "attn_k", g.keyValueRows, g.width)
      try linear(prefix + "attn_v", g.keyValueRows, g.width)
    }
    try linear(prefix + "attn_output", g.width, g.queryRows)
    if g.rule.normalizesQueryAndKey {
      try norm(prefix + "attn_q_norm", g.headSize)
      try norm(prefix + "attn_k_norm", g.headSize)
    }
    if g.rule.feedForward == .gated { try linear(prefix + "ffn_gate", g.feedForward, g.width) }
    try linear(prefix + "ffn_up", g.feedForward, g.width)
    try linear(prefix + "ffn_down", g.width, g.feedForward)
    switch g.rule.block {
    case .pre:
      try norm(prefix + "attn_norm")
      try norm(prefix + "ffn_norm")
    case .sandwich:
      for name in ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"] {
        try norm(prefix + name)
      }
    case .post:
      try norm(prefix + "attn_output_norm")
      try norm(prefix + "layer_output_norm")
    }
  }

  private func norm(_ name: String, _ count: Int? = nil) throws(TinctureError) {
    try vector(name + ".weight", count ?? graph.width)
    // A layer norm has a bias; a bias that an RMS norm would not compute with is an error.
    if graph.rule.norm == .layer {
      try vector(name + ".bias", count ?? graph.width)
    } else if tensors[name + ".bias"] != nil {
      throw TinctureError(
        .init("runtime.shape", .unsupported), "a norm of this family has no bias",
        place: .init(tensor: name + ".bias"))
    }
  }

  private func linear(_ name: String, _ rows: Int, _ columns: Int) throws(TinctureError) {
    try matrix(name, rows, columns)
    try vector(name + ".bias", rows, isOptional: true)
  }

  private func matrix(
    _ name: String, _ rows: Int, _ columns: Int, isOptional: Bool = false
  ) throws(TinctureError) {
    try check(name + ".weight", [rows, columns], isOptional)
  }

  private func vector(_ name: String, _ count: Int, isOptional: Bool = false) throws(TinctureError)
  {
    try check(name, [count], isOptional)
  }

  private func check(_ name: String, _ expected: [Int], _ isOptional: Bool) throws(TinctureError) {
    guard let tensor = tensors[name] else {
      if isOptional { return }
      throw TinctureError(
        .init("runtime.missing", .invalidInput), "the model lacks a tensor that its family needs",
        place: .init(tensor: name), expected: "\(expected)",
        advice: "take the whole file, made for this architecture")
    }
    guard tensor.shape.dimensions == expected else {
      throw TinctureError(
        .init("runtime.shape", .invalidInput), "the tensor's shape is not what the metadata says",
        place: .init(tensor: name), expected: "\(expected)", found: tensor.shape.description,
        advice: "metadata and tensors belong to different models; make the file again")
    }
  }
}
