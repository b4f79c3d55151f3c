import CKernels
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

/// Generation token by token, with keys and values of all layers kept.
///
/// Weights are used where they are mapped from the file; only what is not stored as it is computed with (norms of a
/// checkpoint, rows in another order) is read into memory. If another program cuts the file short while a session
/// works, the next ``append(_:)`` is an error; see `MappedFile` for what no check can catch. Used by one thread at a
/// time.
public final class Session {
  /// Tokens that go through the model together.
  static let batchLength = 512

  private let model: RuntimeModel
  private let memory: MemoryBudget
  private let cancellation: Cancellation
  private let store: WeightStore
  private let layers: [LayerWeights]
  private let caches: [KeyValueCache]
  private let rotation: RotaryTables
  private let embedding: Embedding
  private let head: OutputHead
  private let outputs: Outputs
  private let team: Team
  private var block: TransformerBlock
  private var hidden: NumberBuffer
  private let check: SequenceCheck

  public let arithmetic: Arithmetic
  /// Most tokens the session takes.
  public let contextLength: Int
  /// Tokens taken so far.
  public private(set) var count = 0

  /// - Parameters:
  ///   - contextLength: most tokens, prompt and generation together; nil: as many as the model was made for.
  ///   - threads: worker threads, at least 1; results do not depend on it.
  /// - Throws: `runtime.encoder` for a model without logits, `runtime.context`, `memory.budget`, `file.*`.
  public init(
    _ model: RuntimeModel, arithmetic: Arithmetic, contextLength: Int? = nil, threads: Int,
    memory: MemoryBudget, cancellation: Cancellation = Cancellation()
  ) throws(TinctureError) {
    let graph = model.graph
    guard model.isDecoder else {
      throw TinctureError(
        .init("runtime.encoder", .unsupported), "an encoder generates no text",
        found: graph.architecture, advice: "take a model that predicts the next token")
    }
    let context = contextLength ?? graph.contextLength
    guard (1...graph.contextLength).contains(context) else {
      throw TinctureError(
        .init("runtime.context", .usage), "the context is longer than the model was made for",
        expected: "1 to \(graph.contextLength) tokens", found: "\(context)",
        advice: "give a smaller --context")
    }
    self.model = model
    self.arithmetic = arithmetic
    self.contextLength = context
    self.memory = memory
    self.cancellation = cancellation
    let team = Team(threads: threads)
    self.team = team
    store = try WeightStore(model, place: .mapped, memory: memory, team: team)
    var layers: [LayerWeights] = []
    var caches: [KeyValueCache] = []
    for layer in 0..<graph.layerCount {
      layers.append(
        try LayerWeights(store.load(model.layerNames(layer)), layer: layer, graph: graph))
      let limit = graph.isWindowed[layer] ? graph.window + Self.batchLength : context
      caches.append(
        KeyValueCache(
          heads: graph.keyValueHeads, headSize: graph.headSize, limit: min(limit, context),
          arithmetic: arithmetic, memory: memory))
    }
    self.layers = layers
    self.caches = caches
    rotation = RotaryTables(model, arithmetic: arithmetic, memory: memory)
    head = try OutputHead(
      model, arithmetic: arithmetic, store: store, team: team, memory: memory, rowLimit: 1)
    let isTied = model.tensors["output.weight"] == nil
    embedding = try Embedding(model, store: store, team: team, table: isTied ? head.table : nil)
    outputs = try Outputs(
      model, arithmetic: arithmetic, store: store, team: team, memory: memory, rowLimit: 1)
    block = try TransformerBlock(
      graph, arithmetic: arithmetic, capacity: 1, team: team, memory: memory)
    hidden = try NumberBuffer(graph.width, arithmetic, memory, for: "hidden vectors")
    check = SequenceCheck(model)
  }

  /// Takes `ids` and gives the scores of the token after them: `vocabularySize` numbers, valid until the next call.
  ///
  /// - Throws: `runtime.context` when the context is full, `runtime.token`, `memory.budget`, `file.truncated`,
  ///   `run.interrupted`.
  /// - Complexity: O(tokens × weights), and attention to all positions before.
  public func append(_ ids: [Int32]) throws(TinctureError) -> UnsafeBufferPointer<Float> {
    let graph = model.graph
    guard !ids.isEmpty else {
      throw TinctureError(.init("runtime.sequence", .invalidInput), "there are no tokens")
    }
    guard count + ids.count <= contextLength else {
      throw TinctureError(
        .init("runtime.context", .usage), "the context is full",
        expected: "at most \(contextLength) tokens", found: "\(count + ids.count)",
        advice: contextLength < graph.contextLength
          ? "give a larger --context (the model's is \(graph.contextLength)), or a shorter prompt"
          : "give a shorter prompt, or begin a new conversation: the model was made for no longer context"
      )
    }
    try check.tokens(ids, "the text")
    try store.check()
    try makeRoom(min(ids.count, Self.batchLength))
    var last = hidden.base
    for start in stride(from: 0, to: ids.count, by: Self.batchLength) {
      try cancellation.check()
      let part = Array(ids[start..<min(ids.count, start + Self.batchLength)])
      try forward(part)
      last = hidden.base + (part.count - 1) * graph.width
    }
    outputs.normalize(last, count: 1)
    let logits = try head.logits(last, count: 1)
    // What was read of a file that was cut meanwhile is zeros.
    try store.check()
    return UnsafeBufferPointer(start: logits, count: graph.vocabulary)
  }

  /// Forgets all tokens.
  public func reset() { count = 0 }

  private func makeRoom(_ tokens: Int) throws(TinctureError) {
    if tokens <= block.capacity { return }
    block = try TransformerBlock(
      model.graph, arithmetic: arithmetic, capacity: tokens, team: team, memory: memory)
    hidden = try NumberBuffer(
      tokens * model.graph.width, arithmetic, memory, for: "hidden vectors")
  }

  private func forward(_ ids: [Int32]) throws(TinctureError) {
    try embedding.vectors(ids, types: nil, first: count, into: hidden.base)
    for layer in 0..<model.graph.layerCount {
      try block.project(
        hidden.base, count: ids.count, first: count, layer: layer, weights: layers[layer],
        rotation: rotation.table(layer: layer), cache: caches[layer],
        queries: block.queries.base)
      // Of the last layer's vectors only that of the last token is read, by the output head.
      let skipped = layer == model.graph.layerCount - 1 ? ids.count - 1 : 0
      try block.finish(
        hidden.base + skipped * model.graph.width, count: ids.count - skipped,
        first: count + skipped, sequenceCount: count + ids.count, layer: layer,
        weights: layers[layer], cache: caches[layer],
        queries: block.queries.base + skipped * model.graph.queryRows)
    }
    count += ids.count
  }
}
