import CKernels
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

/// What a model gives for a sequence.
public enum OutputKind: String, Sendable, CaseIterable {
  /// Scores of the next token, a row for each position: `[rows][vocabulary]`.
  case logits
  /// Vectors after the last layer, a row for each position: `[rows][width]`.
  case hidden
  /// One vector for the sequence, pooled as the model says, through its dense heads; of length 1 where the model says so, and always of a GGUF file.
  case pooled
  /// BERT's pooler: tanh of a projection of the first position's vector.
  case pooler
  /// Scores of a head: a row for each position (masked words, token classes) or one (sequence classes).
  case scores
}

/// Some rows of an output; valid during the call that gets them.
public struct OutputRows {
  public let kind: OutputKind
  /// Index of the sequence.
  public let sequence: Int
  /// Position of the first row; 0 where there is one row for the sequence.
  public let firstPosition: Int
  public let rowCount: Int
  /// Numbers of a row.
  public let width: Int
  /// `rowCount * width` numbers, row after row.
  public let values: UnsafeBufferPointer<Float>
}

/// Hidden vectors of one sequence at one stage; valid during the call that gets them.
public struct StageRows {
  /// 0: what enters layer 0; i + 1: what leaves layer i; one more, where the model has a final norm: what leaves that.
  public let stage: Int
  public let sequence: Int
  public let rowCount: Int
  public let width: Int
  public let values: UnsafeBufferPointer<Float>
}

/// Runs sequences through a model layer by layer: all of them through layer i, then i + 1, so that one layer's weights
/// are in memory at a time, whatever the model's size.
///
/// Memory: hidden vectors of all sequences, one layer's weights, keys and values of one sequence and layer, a tile of
/// 512 tokens; then the output head or tiles of it, and a chunk of output rows. All counted by the budget.
public struct LayerMajor {
  /// Tokens that go through a layer together.
  static let tileLength = 512
  /// Most bytes of logits at one time, where memory is short and where there is enough. A head's rows are decoded once
  /// for each such chunk.
  static let outputLimits = 64 << 20...128 << 20

  private let model: RuntimeModel
  private let arithmetic: Arithmetic
  private let team: Team
  private let memory: MemoryBudget
  private let cancellation: Cancellation

  /// - Parameters:
  ///   - threads: worker threads, at least 1; results do not depend on it.
  ///   - memory: what large buffers are counted by.
  public init(
    _ model: RuntimeModel, arithmetic: Arithmetic, threads: Int, memory: MemoryBudget,
    cancellation: Cancellation = Cancellation()
  ) {
    self.model = model
    self.arithmetic = arithmetic
    team = Team(threads: threads)
    self.memory = memory
    self.cancellation = cancellation
  }

  /// Runs `sequences`, each from position 0.
  ///
  /// - Parameters:
  ///   - tokenTypes: for BERT, the segment of each token; nil: all 0.
  ///   - stage: gets hidden vectors, stage by stage, within a stage sequence by sequence.
  ///   - output: gets outputs, sequence by sequence; logits in chunks of ascending positions.
  /// - Throws: `runtime.sequence` for an empty sequence, `runtime.context` for one that is too long, `runtime.token`,
  ///   `memory.budget`, `file.*`, `run.interrupted`, and what the callbacks throw.
  public func run(
    sequences: [[Int32]], tokenTypes: [[Int32]]? = nil,
    stage: ((StageRows) throws(TinctureError) -> Void)? = nil,
    output: (OutputRows) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    let graph = model.graph
    try SequenceCheck(model).check(sequences, tokenTypes)
    let starts = sequences.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count) }
    let total = starts[sequences.count]
    if total == 0 { return }
    let store = try WeightStore(model, place: .read, memory: memory, team: team)
    let hidden = try NumberBuffer(
      total * graph.width, arithmetic, memory, for: "hidden vectors")
    let view = FloatView(memory, team)

    func show(_ number: Int) throws(TinctureError) {
      guard let stage else { return }
      for (index, ids) in sequences.enumerated() {
        let rows = try view.floats(
          of: hidden.base + starts[index] * graph.width, count: ids.count * graph.width)
        try stage(
          StageRows(
            stage: number, sequence: index, rowCount: ids.count, width: graph.width,
            values: UnsafeBufferPointer(start: rows, count: ids.count * graph.width)))
      }
    }

    let embedding = try Embedding(model, store: store, team: team)
    for (index, ids) in sequences.enumerated() {
      try cancellation.check()
      try embedding.vectors(
        ids, types: tokenTypes?[index], first: 0, into: hidden.base + starts[index] * graph.width)
    }
    try show(0)
    let longest = sequences.reduce(0) { max($0, $1.count) }
    try layers(sequences, starts, longest, hidden, store, show)
    let (least, most) = (Self.outputLimits.lowerBound, Self.outputLimits.upperBound)
    let outputLimit = min(most, max(least, (memory.limit - memory.held) / 8))
    let outputs = try Outputs(
      model, arithmetic: arithmetic, store: store, team: team, memory: memory,
      rowLimit: min(longest, max(1, outputLimit / (4 * graph.vocabulary))))
    if outputs.hasFinalNorm {
      for (index, ids) in sequences.enumerated() {
        outputs.normalize(hidden.base + starts[index] * graph.width, count: ids.count)
      }
      try show(graph.layerCount + 1)
    }
    for (index, ids) in sequences.enumerated() {
      try outputs.emit(
        hidden.base + starts[index] * graph.width, count: ids.count,
        sequence: index, cancellation, output)
    }
  }

  private func layers(
    _ sequences: [[Int32]], _ starts: [Int], _ longest: Int, _ hidden: NumberBuffer,
    _ store: WeightStore, _ show: (Int) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    let graph = model.graph
    let tile = min(longest, Self.tileLength)
    let block = try TransformerBlock(
      graph, arithmetic: arithmetic, capacity: tile, team: team, memory: memory)
    let rotation = RotaryTables(model, arithmetic: arithmetic, memory: memory)
    // A sequence that attends both ways is projected whole before anything attends.
    let allQueries =
      graph.isCausal
      ? nil : try NumberBuffer(longest * graph.queryRows, arithmetic, memory, for: "queries")
    for layer in 0..<graph.layerCount {
      let weights = try LayerWeights(
        store.load(model.layerNames(layer)), layer: layer, graph: graph)
      let cache = KeyValueCache(
        heads: graph.keyValueHeads, headSize: graph.headSize, limit: longest,
        arithmetic: arithmetic, memory: memory)
      let table = rotation.table(layer: layer)
      for (index, ids) in sequences.enumerated() {
        let base = hidden.base + starts[index] * graph.width
        let tiles = stride(from: 0, to: ids.count, by: tile).map { $0..<min(ids.count, $0 + tile) }
        func project(_ tokens: Range<Int>) throws(TinctureError) {
          try cancellation.check()
          try block.project(
            base + tokens.lowerBound * graph.width, count: tokens.count, first: tokens.lowerBound,
            layer: layer, weights: weights, rotation: table, cache: cache,
            queries: allQueries.map { $0.base + tokens.lowerBound * graph.queryRows }
              ?? block.queries.base)
        }
        func finish(_ tokens: Range<Int>) throws(TinctureError) {
          try block.finish(
            base + tokens.lowerBound * graph.width, count: tokens.count, first: tokens.lowerBound,
            sequenceCount: ids.count, layer: layer, weights: weights, cache: cache,
            queries: allQueries.map { $0.base + tokens.lowerBound * graph.queryRows }
              ?? block.queries.base)
        }
        if graph.isCausal {
          for tokens in tiles {
            try project(tokens)
            try finish(tokens)
          }
        } else {
          for tokens in tiles { try project(tokens) }
          for tokens in tiles { try finish(tokens) }
        }
      }
      try show(layer + 1)
    }
  }
}

/// What may be run.
struct SequenceCheck {
  private let graph: Graph
  private let typeCount: Int

  init(_ model: RuntimeModel) {
    graph = model.graph
    typeCount = model.tensors["token_types.weight"]?.shape.rowCount ?? 0
  }

  func check(_ sequences: [[Int32]], _ types: [[Int32]]?) throws(TinctureError) {
    for (index, ids) in sequences.enumerated() {
      guard !ids.isEmpty else {
        throw TinctureError(
          .init("runtime.sequence", .invalidInput), "sequence \(index + 1) has no tokens")
      }
      try length(ids.count, "sequence \(index + 1)")
      try tokens(ids, "sequence \(index + 1)")
    }
    guard let types else { return }
    let fits =
      types.count == sequences.count
      && zip(types, sequences).allSatisfy { types, ids in
        types.count == ids.count && types.allSatisfy { $0 >= 0 && $0 < max(1, typeCount) }
      }
    guard fits else {
      throw TinctureError(
        .init("runtime.tokenTypes", .invalidInput), "token types do not fit the tokens",
        expected: "a number from 0 to \(max(0, typeCount - 1)) for each token")
    }
  }

  func length(_ count: Int, _ name: String) throws(TinctureError) {
    guard count <= graph.contextLength else {
      throw TinctureError(
        .init("runtime.context", .usage),
        "\(name) is longer than the model's context",
        expected: "at most \(graph.contextLength) tokens", found: "\(count) tokens",
        advice: "shorten the text")
    }
  }

  func tokens(_ ids: [Int32], _ name: String) throws(TinctureError) {
    for (position, id) in ids.enumerated() where id < 0 || Int(id) >= graph.vocabulary {
      throw TinctureError(
        .init("runtime.token", .invalidInput), "\(name) has a token the model does not know",
        expected: "ids from 0 to \(graph.vocabulary - 1)", found: "\(id) at position \(position)",
        advice: "make the ids with this model's own tokenizer")
    }
  }
}

/// The rotations of a model's two kinds of layers.
final class RotaryTables {
  private let graph: Graph
  private let plain, local: RotaryTable?

  init(_ model: RuntimeModel, arithmetic: Arithmetic, memory: MemoryBudget) {
    graph = model.graph
    func table(_ rotary: Rotary?) -> RotaryTable? {
      rotary.map {
        RotaryTable($0, arithmetic: arithmetic, factors: model.rotaryFactors, memory: memory)
      }
    }
    plain = table(graph.rotary)
    local = table(graph.localRotary)
  }

  func table(layer: Int) -> RotaryTable? { graph.isWindowed[layer] ? local ?? plain : plain }
}
