import CKernels
import TinctureCatalog
import TinctureCore

/// What stands on top of an encoder: pooling and dense heads of sentence models, BERT's pooler and task heads.
///
/// Sources: sentence-transformers models/{Pooling,Dense,Normalize}.py; transformers modeling_bert.py (BertPooler,
/// BertLMPredictionHead, BertForSequenceClassification, BertForTokenClassification).
struct EncoderHeads {
  private let model: RuntimeModel
  private let arithmetic: Arithmetic
  private let team: Team
  private let memory: MemoryBudget
  private let store: WeightStore
  private let set: WeightSet
  private let ops = Operations.table

  private static let names = [
    "dense_2", "dense_3", "pooler", "mlm_dense", "mlm_norm", "mlm_output", "mlm_tied", "classifier",
  ]

  /// - Throws: `memory.budget`, `file.*`.
  init(
    _ model: RuntimeModel, arithmetic: Arithmetic, store: WeightStore, team: Team,
    memory: MemoryBudget
  ) throws(TinctureError) {
    self.model = model
    self.arithmetic = arithmetic
    self.team = team
    self.memory = memory
    self.store = store
    set = try store.load(Self.names.flatMap { [$0 + ".weight", $0 + ".bias"] })
  }

  func emit(
    _ hidden: UnsafePointer<Float>, count: Int, sequence: Int,
    _ output: (OutputRows) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    func give(_ kind: OutputKind, _ values: [Float], rows: Int = 1, first: Int = 0)
      throws(TinctureError)
    {
      var failure: TinctureError?
      values.withUnsafeBufferPointer { buffer in
        do throws(TinctureError) {
          try output(
            OutputRows(
              kind: kind, sequence: sequence, firstPosition: first, rowCount: rows,
              width: values.count / rows, values: buffer))
        } catch {
          failure = error
        }
      }
      if let failure { throw failure }
    }
    if let pooling = model.graph.pooling {
      try give(.pooled, pooled(hidden, count, pooling))
    }
    var pooler: [Float]?
    if set.projection("pooler") != nil {
      let vector = try self.pooler(hidden)
      try give(.pooler, vector)
      pooler = vector
    }
    switch model.graph.task {
    case nil: break
    case .sequenceClass:
      guard let pooler else { throw missing("pooler.weight") }
      try give(.scores, try linear("classifier", pooler, rows: 1))
    case .tokenClass:
      let input = Array(UnsafeBufferPointer(start: hidden, count: count * model.graph.width))
      try give(.scores, try linear("classifier", input, rows: count), rows: count)
    case .maskedWords:
      // In chunks: a row has as many scores as the vocabulary has words.
      for start in stride(from: 0, to: count, by: 64) {
        let rows = min(64, count - start)
        let input = Array(
          UnsafeBufferPointer(
            start: hidden + start * model.graph.width, count: rows * model.graph.width))
        try give(.scores, try maskedWords(input, rows: rows), rows: rows, first: start)
      }
    }
  }

  /// Mean in double, or one position; then dense heads; length 1 where the model says so.
  private func pooled(
    _ hidden: UnsafePointer<Float>, _ count: Int, _ pooling: Graph.Pooling
  ) throws(TinctureError) -> [Float] {
    let width = model.graph.width
    var vector: [Float]
    switch pooling {
    case .mean:
      var sums = [Double](repeating: 0, count: width)
      for token in 0..<count {
        for column in 0..<width { sums[column] += Double(hidden[token * width + column]) }
      }
      vector = sums.map { Float($0 / Double(count)) }
    case .first: vector = Array(UnsafeBufferPointer(start: hidden, count: width))
    case .last:
      vector = Array(UnsafeBufferPointer(start: hidden + (count - 1) * width, count: width))
    }
    if model.graph.normalizesPooled { vector = Self.normalized(vector) }
    for name in ["dense_2", "dense_3"] where set.projection(name) != nil {
      vector = try linear(name, vector, rows: 1)
    }
    return model.graph.normalizesResult ? Self.normalized(vector) : vector
  }

  /// A vector of zeros has no direction and stays as it is (torch.nn.functional.normalize: ε = 1e-12).
  private static func normalized(_ vector: [Float]) -> [Float] {
    let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    return vector.map { Float(Double($0) / max(length, 1e-12)) }
  }

  private func pooler(_ hidden: UnsafePointer<Float>) throws(TinctureError) -> [Float] {
    let first = Array(UnsafeBufferPointer(start: hidden, count: model.graph.width))
    var vector = try linear("pooler", first, rows: 1)
    vector.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { ops.pointee.tanh(base, Int64(buffer.count)) }
    }
    return vector
  }

  private func maskedWords(_ input: [Float], rows: Int) throws(TinctureError) -> [Float] {
    let graph = model.graph
    var inner = try linear("mlm_dense", input, rows: rows)
    guard let norm = set.norm("mlm_norm"), let shift = norm.bias else {
      throw missing("mlm_norm.weight")
    }
    inner.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      ops.pointee.activate(graph.activation.number, 0, base, nil, Int64(buffer.count))
      for row in 0..<rows {
        let x = base + row * graph.width
        ops.pointee.layer_norm(x, norm.weight, shift, graph.normEpsilon, x, Int64(graph.width))
      }
    }
    guard let bias = set.vector("mlm_output.bias") ?? set.vector("mlm_tied.bias") else {
      throw missing("cls.predictions.bias")
    }
    if let decoder = set.projection("mlm_output") {
      return try multiply(Projection(weights: decoder.weights, bias: bias), inner, rows: rows)
    }
    // The decoder's weight is the word embedding where the checkpoint has none of its own and does not say that they differ.
    guard graph.tiesHead else { throw missing("cls.predictions.decoder.weight") }
    let table = try store.load(["token_embd.weight"])
    guard let words = table.matrix("token_embd.weight") else { throw missing("token_embd.weight") }
    return try multiply(Projection(weights: words, bias: bias), inner, rows: rows)
  }

  private func linear(_ name: String, _ input: [Float], rows: Int) throws(TinctureError) -> [Float]
  {
    guard let projection = set.projection(name) else { throw missing(name + ".weight") }
    return try multiply(projection, input, rows: rows)
  }

  private func multiply(
    _ projection: Projection, _ input: [Float], rows: Int
  ) throws(TinctureError) -> [Float] {
    let width = projection.weights.rowLength
    guard input.count == rows * width else {
      throw TinctureError(
        .init("runtime.shape", .invalidInput), "a head does not fit the vectors before it",
        expected: "\(input.count / rows) columns", found: "\(width)")
    }
    let activations = try Activations(width: width, capacity: rows, budget: memory)
    input.withUnsafeBufferPointer { buffer in
      if let base = buffer.baseAddress { activations.values.update(from: base, count: input.count) }
    }
    activations.changed(count: rows)
    let outputs = projection.weights.rowCount
    let result = try FloatBuffer(rows * outputs, memory, for: "scores")
    try Linear.multiply(
      projection.weights, activations, tokens: 0..<rows, arithmetic: arithmetic, team: team,
      into: result.base, stride: outputs)
    if let bias = projection.bias {
      for row in 0..<rows { ops.pointee.add(result.base + row * outputs, bias, Int64(outputs)) }
    }
    return Array(UnsafeBufferPointer(start: result.base, count: rows * outputs))
  }

  private func missing(_ name: String) -> TinctureError {
    TinctureError(
      .init("runtime.missing", .invalidInput),
      "the checkpoint lacks a tensor of the head that config.json names",
      place: .init(tensor: name),
      advice: "take all weights of the model")
  }
}
