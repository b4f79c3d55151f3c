import CKernels
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

/// From the last layer's vectors to what the model gives: logits, or an encoder's vectors, pooled vector and scores.
final class Outputs {
  private let model: RuntimeModel
  private let arithmetic: Arithmetic
  private let store: WeightStore
  private let team: Team
  private let memory: MemoryBudget
  private let ops: Operations
  /// Most rows of logits at one time.
  private let rowLimit: Int
  private let view: FloatView
  private let set: WeightSet
  private let finalNorm: NormWeights?
  private var head: OutputHead?
  private var heads: EncoderHeads?

  var hasFinalNorm: Bool { finalNorm != nil }

  /// - Throws: `memory.budget`, `file.*`.
  init(
    _ model: RuntimeModel, arithmetic: Arithmetic, store: WeightStore, team: Team,
    memory: MemoryBudget, rowLimit: Int
  ) throws(TinctureError) {
    self.model = model
    self.arithmetic = arithmetic
    ops = Operations(arithmetic)
    self.store = store
    self.team = team
    self.memory = memory
    self.rowLimit = rowLimit
    view = FloatView(memory, team)
    set = try store.load(["output_norm.weight", "output_norm.bias", "output.bias"])
    finalNorm = set.norm("output_norm")
  }

  /// Applies the final norm in place.
  func normalize(_ hidden: Numbers, count: Int) {
    guard let finalNorm else { return }
    let (graph, width) = (model.graph, model.graph.width)
    let job = Unchecked((ops: ops, hidden: hidden, norm: finalNorm))
    team.forEachChunk(of: count, chunk: 8) { tokens in
      let (ops, hidden, norm) = job.value
      for token in tokens {
        let x = hidden + token * width
        ops.normalize(x, norm, graph.normEpsilon, into: x, isInput: false, width: width)
      }
    }
  }

  /// Gives the outputs of one sequence whose vectors have left the final norm.
  func emit(
    _ hidden: Numbers, count: Int, sequence: Int, _ cancellation: Cancellation,
    _ output: (OutputRows) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    if model.isDecoder {
      try logits(hidden, count: count, sequence: sequence, cancellation, output)
      return
    }
    let width = model.graph.width
    let vectors = try view.floats(of: hidden, count: count * width)
    try output(
      OutputRows(
        kind: .hidden, sequence: sequence, firstPosition: 0, rowCount: count, width: width,
        values: UnsafeBufferPointer(start: vectors, count: count * width)))
    let heads: EncoderHeads
    if let made = self.heads {
      heads = made
    } else {
      heads = try EncoderHeads(
        model, arithmetic: arithmetic, store: store, team: team, memory: memory)
      self.heads = heads
    }
    try heads.emit(vectors, count: count, sequence: sequence, output)
  }

  private func logits(
    _ hidden: Numbers, count: Int, sequence: Int, _ cancellation: Cancellation,
    _ output: (OutputRows) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    let graph = model.graph
    let head: OutputHead
    if let made = self.head {
      head = made
    } else {
      head = try OutputHead(
        model, arithmetic: arithmetic, store: store, team: team, memory: memory,
        rowLimit: rowLimit)
      self.head = head
    }
    for start in stride(from: 0, to: count, by: rowLimit) {
      try cancellation.check()
      let rows = min(rowLimit, count - start)
      let values = try head.logits(hidden + start * graph.width, count: rows)
      try output(
        OutputRows(
          kind: .logits, sequence: sequence, firstPosition: start, rowCount: rows,
          width: graph.vocabulary,
          values: UnsafeBufferPointer(start: values, count: rows * graph.vocabulary)))
    }
  }
}

/// The output head: the model's own, or the token embedding where it has none.
///
/// Its rows stay in memory when they fit half of what the budget has left; else tiles of them are read for every chunk.
final class OutputHead {
  private let model: RuntimeModel
  private let arithmetic: Arithmetic
  private let store: WeightStore
  private let team: Team
  private let ops: Operations
  private let input: Activations
  private let values: FloatBuffer
  private let whole: WeightSet?
  private let tensor: CanonicalTensor
  private let tileRows: Int
  private let bias: WeightSet

  /// - Parameter rowLimit: most rows of logits at one time.
  /// - Throws: `memory.budget`, `file.*`.
  init(
    _ model: RuntimeModel, arithmetic: Arithmetic, store: WeightStore, team: Team,
    memory: MemoryBudget, rowLimit: Int
  ) throws(TinctureError) {
    let graph = model.graph
    self.model = model
    self.arithmetic = arithmetic
    ops = Operations(arithmetic)
    self.store = store
    self.team = team
    guard let tensor = model.tensors["output.weight"] ?? model.tensors["token_embd.weight"] else {
      throw TinctureError(.init("runtime.missing", .invalidInput), "the model has no output head")
    }
    self.tensor = tensor
    input = try Activations(
      width: graph.width, capacity: rowLimit, holding: arithmetic, budget: memory)
    values = try FloatBuffer(rowLimit * graph.vocabulary, memory, for: "logits")
    bias = try store.load(["output.bias"])
    let free = memory.limit - memory.held
    let byteCount = store.byteCount(tensor)
    if store.isMapped(tensor) || byteCount <= free / 2 {
      whole = try store.load([tensor.name])
      tileRows = graph.vocabulary
    } else {
      whole = nil
      tileRows = max(256, min(free / 4, 256 << 20) / max(1, byteCount / graph.vocabulary))
    }
  }

  /// The head's rows, where they are all at hand.
  var table: WeightMatrix? { whole?.matrix(tensor.name) }

  /// Logits of `count` vectors; valid until the next call.
  ///
  /// - Throws: `memory.budget`, `file.*`.
  func logits(_ hidden: Numbers, count: Int) throws(TinctureError) -> UnsafeMutablePointer<Float> {
    let graph = model.graph
    for token in 0..<count {
      ops.copy(hidden + token * graph.width, into: input.place(token), width: graph.width)
    }
    input.changed(count: count)
    if let whole {
      try multiply(whole, first: 0, count)
    } else {
      for start in stride(from: 0, to: graph.vocabulary, by: tileRows) {
        let rows = start..<min(graph.vocabulary, start + tileRows)
        try multiply(store.load(tensor, rows: rows), first: start, count)
      }
    }
    finish(count)
    return values.base
  }

  private func multiply(_ set: WeightSet, first: Int, _ count: Int) throws(TinctureError) {
    guard let matrix = set.matrix(tensor.name) else { return }
    let (place, vocabulary) = (values.base + first, model.graph.vocabulary)
    switch arithmetic {
    case .exact:
      try Linear.multiplySingle(matrix, input, team: team, into: place, stride: vocabulary)
    case .engine:
      try Linear.multiply(
        matrix, input, tokens: 0..<count, arithmetic: .engine, team: team, into: place,
        stride: vocabulary)
    }
  }

  /// Bias and soft cap.
  private func finish(_ count: Int) {
    let vocabulary = model.graph.vocabulary
    let cap = model.graph.finalSoftCap
    let bias = bias.vector("output.bias")
    if cap == 0, bias == nil { return }
    let job = Unchecked((ops: ops, values: values.base, bias: bias))
    let parts = (vocabulary + 8191) / 8192
    team.forEachChunk(of: count * parts, chunk: 4) { units in
      let (ops, values, bias) = job.value
      for unit in units {
        let first = unit % parts * 8192
        let size = Int64(min(8192, vocabulary - first))
        let place = values + unit / parts * vocabulary + first
        if let bias { ops.table.pointee.add(place, bias + first, size) }
        guard cap > 0 else { continue }
        switch ops.arithmetic {
        case .exact: ops.table.pointee.soft_cap_wide(place, cap, size)
        case .engine: ops.table.pointee.soft_cap(place, cap, size)
        }
      }
    }
  }
}
