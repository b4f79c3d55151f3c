import CKernels
import TinctureCatalog
import TinctureCore

/// The one block of every family, on a tile of tokens: projections and rotation first, attention and feed-forward
/// after, so that a sequence that attends both ways can be projected whole before anything attends.
///
/// Holds the tile's working memory. Used by one thread at a time.
final class TransformerBlock {
  let graph: Graph
  let arithmetic: Arithmetic
  let team: Team
  /// Most tokens of a tile.
  let capacity: Int

  private let ops: Operations
  /// What the projections of attention and feed-forward multiply.
  private let input: Activations
  private let attended: Activations
  private let inner: Activations
  private let keys, values, up, output: NumberBuffer
  private let scratch: FloatBuffer
  /// Queries of one tile, for callers that attend at once.
  let queries: NumberBuffer
  private let tokensPerUnit: Int
  private let scratchPerUnit: Int

  /// - Throws: `memory.budget`.
  init(
    _ graph: Graph, arithmetic: Arithmetic, capacity: Int, team: Team, memory: MemoryBudget
  ) throws(TinctureError) {
    self.graph = graph
    self.arithmetic = arithmetic
    self.capacity = capacity
    self.team = team
    ops = Operations(arithmetic)
    func activations(_ width: Int) throws(TinctureError) -> Activations {
      try Activations(width: width, capacity: capacity, holding: arithmetic, budget: memory)
    }
    func numbers(_ width: Int, _ purpose: String) throws(TinctureError) -> NumberBuffer {
      try NumberBuffer(max(1, capacity * width), arithmetic, memory, for: purpose)
    }
    input = try activations(graph.width)
    attended = try activations(graph.queryRows)
    inner = try activations(graph.feedForward)
    keys = try numbers(graph.keyValueRows, "keys")
    values = try numbers(graph.keyValueRows, "values")
    up = try numbers(graph.rule.feedForward == .gated ? graph.feedForward : 0, "feed-forward")
    output = try numbers(graph.width, "block output")
    queries = try numbers(graph.queryRows, "queries")
    let group = graph.heads / graph.keyValueHeads
    tokensPerUnit = max(1, 32 / group)
    let stride = (graph.headSize + 15) / 16 * 16
    let floats = Int(to_attention_scratch(Int64(tokensPerUnit * group), Int64(stride)))
    scratchPerUnit = (floats + 15) / 16 * 16
    let units = (capacity + tokensPerUnit - 1) / tokensPerUnit * graph.keyValueHeads
    scratch = try FloatBuffer(units * scratchPerUnit, memory, for: "attention")
  }

  /// Normalises `count` hidden vectors, projects them, turns queries and keys, stores keys and values at positions
  /// from `first` on.
  ///
  /// - Parameter queries: room for `[count][queryRows]`.
  /// - Throws: `memory.budget`.
  func project(
    _ hidden: Numbers, count: Int, first: Int, layer: Int, weights: LayerWeights,
    rotation: RotaryTable?, cache: KeyValueCache, queries: Numbers
  ) throws(TinctureError) {
    let (keys, values) = (keys.base, values.base)
    normalize(hidden, weights.attentionNorm, count)
    input.changed(count: count)
    try multiply(weights.query, input, into: queries)
    try multiply(weights.key, input, into: keys)
    try multiply(weights.value, input, into: values)
    try cache.reserve(below: first + count)
    let table = try rotation?.rows(below: first + count)
    let half = graph.headSize / 2
    let job = Unchecked(
      (
        block: self, weights: weights, queries: queries, keys: keys, values: values,
        cosines: table.map { $0.cosines + first * half },
        sines: table.map { $0.sines + first * half },
        isInterleaved: rotation?.isInterleaved ?? false
      ))
    team.forEachChunk(of: count, chunk: 8) { tokens in
      let job = job.value
      let (graph, ops) = (job.block.graph, job.block.ops)
      for token in tokens {
        job.block.finishHeads(
          job.queries + token * graph.queryRows, graph.heads,
          as: .query, job.weights.query.bias, job.weights.queryNorm,
          job.cosines.map { $0 + token * half },
          job.sines.map { $0 + token * half }, job.isInterleaved)
        job.block.finishHeads(
          job.keys + token * graph.keyValueRows, graph.keyValueHeads,
          as: .stored, job.weights.key.bias, job.weights.keyNorm,
          job.cosines.map { $0 + token * half },
          job.sines.map { $0 + token * half }, job.isInterleaved)
        let value = job.values + token * graph.keyValueRows
        if let bias = job.weights.value.bias { ops.add(value, bias, width: graph.keyValueRows) }
        ops.round(value, as: .stored, width: graph.keyValueRows)
      }
    }
    cache.store(keys: keys, values: values, first: first, count: count, team: team)
  }

  /// Bias, norm and rotation of one token's queries or keys.
  private func finishHeads(
    _ x: Numbers, _ heads: Int, as input: Operations.AttentionInput,
    _ bias: UnsafePointer<Float>?, _ norm: NormWeights?,
    _ cosines: UnsafeMutablePointer<Float>?, _ sines: UnsafeMutablePointer<Float>?,
    _ isInterleaved: Bool
  ) {
    let size = graph.headSize
    if let bias { ops.add(x, bias, width: heads * size) }
    for head in 0..<heads {
      let place = x + head * size
      if let norm {
        ops.normalize(place, norm, graph.normEpsilon, into: place, isInput: false, width: size)
      }
      if let cosines, let sines {
        ops.rotate(place, cosines, sines, isInterleaved: isInterleaved, width: size)
      }
    }
    ops.round(x, as: input, width: heads * size)
  }

  /// Attends with `queries` and adds what attention and feed-forward give to the hidden vectors.
  ///
  /// - Parameters:
  ///   - first: position of the tile's first token.
  ///   - sequenceCount: tokens of the whole sequence, for models that attend both ways.
  /// - Throws: `memory.budget`.
  func finish(
    _ hidden: Numbers, count: Int, first: Int, sequenceCount: Int, layer: Int,
    weights: LayerWeights, cache: KeyValueCache, queries: Numbers
  ) throws(TinctureError) {
    attend(queries, count: count, first: first, sequenceCount: sequenceCount, layer, cache)
    attended.changed(count: count)
    try multiply(weights.output, attended, into: output.base)
    combine(hidden, weights.output.bias, weights.attentionPostNorm, count)
    normalize(hidden, weights.feedForwardNorm, count)
    input.changed(count: count)
    try feedForward(weights, count)
    combine(hidden, weights.down.bias, weights.feedForwardPostNorm, count)
  }

  private func attend(
    _ queries: Numbers, count: Int, first: Int, sequenceCount: Int, _ layer: Int,
    _ cache: KeyValueCache
  ) {
    let tiles = (count + tokensPerUnit - 1) / tokensPerUnit
    let job = Unchecked((block: self, queries: queries, cache: cache))
    team.forEachChunk(of: tiles * graph.keyValueHeads, chunk: 1) { units in
      let block = job.value.block
      for unit in units {
        let (head, tile) = (unit / tiles, unit % tiles)
        let tokens =
          tile * block.tokensPerUnit..<min(count, (tile + 1) * block.tokensPerUnit)
        block.attend(
          job.value.queries, head: head, tokens: tokens, unit: unit, first: first,
          sequenceCount: sequenceCount, layer, job.value.cache)
      }
    }
  }

  private func attend(
    _ queries: Numbers, head: Int, tokens: Range<Int>, unit: Int, first: Int,
    sequenceCount: Int, _ layer: Int, _ cache: KeyValueCache
  ) {
    let group = graph.heads / graph.keyValueHeads
    let rows = graph.queryRows
    let inHead = head * group * graph.headSize
    let q = queries + tokens.lowerBound * rows + inHead
    let out = attended.place(tokens.lowerBound) + inHead
    let (keys, values) = cache.head(head)
    withUnsafeTemporaryAllocation(of: Int64.self, capacity: tokens.count * 2) { bounds in
      guard let base = bounds.baseAddress else { return }
      for (index, token) in tokens.enumerated() {
        let range = graph.range(of: first + token, count: sequenceCount, layer: layer)
        base[index] = Int64(range.lowerBound)
        base[tokens.count + index] = Int64(range.upperBound)
      }
      var tile = to_attention()
      tile.q_stride = Int64(rows)
      tile.out_stride = Int64(attended.pitch)
      tile.value_stride = Int64(cache.valueStride)
      tile.capacity = Int64(cache.capacity)
      tile.head_size = Int64(graph.headSize)
      (tile.tokens, tile.group) = (Int64(tokens.count), Int64(group))
      (tile.first, tile.last) = (UnsafePointer(base), UnsafePointer(base + tokens.count))
      (tile.scale, tile.soft_cap) = (graph.attentionScale, graph.attentionSoftCap)
      tile.scratch = scratch.base + unit * scratchPerUnit
      switch arithmetic {
      case .exact:
        (tile.wide_q, tile.wide_out) = (UnsafePointer(q.doubles), out.doubles)
        tile.wide_keys = UnsafePointer(keys.doubles)
        tile.wide_values = UnsafePointer(values.doubles)
        ops.table.pointee.attention_wide(&tile)
      case .engine:
        (tile.q, tile.out) = (UnsafePointer(q.floats), out.floats)
        (tile.keys, tile.values) = (UnsafePointer(keys.floats), UnsafePointer(values.floats))
        ops.table.pointee.attention(&tile)
      }
    }
  }

  private func feedForward(_ weights: LayerWeights, _ count: Int) throws(TinctureError) {
    let isGated = weights.gate != nil
    if let gate = weights.gate {
      try multiply(gate, input, into: inner.place(0), stride: inner.pitch)
      try multiply(weights.up, input, into: up.base)
    } else {
      try multiply(weights.up, input, into: inner.place(0), stride: inner.pitch)
    }
    let job = Unchecked(
      (
        block: self, up: isGated ? up.base : nil,
        bias: isGated ? weights.gate?.bias : weights.up.bias,
        upBias: isGated ? weights.up.bias : nil
      ))
    team.forEachChunk(of: count, chunk: 4) { tokens in
      let job = job.value
      let (ops, graph) = (job.block.ops, job.block.graph)
      let width = graph.feedForward
      for token in tokens {
        let inner = job.block.inner.place(token)
        let up = job.up.map { $0 + token * width }
        if let bias = job.bias { ops.add(inner, bias, width: width) }
        if let bias = job.upBias, let up { ops.add(up, bias, width: width) }
        ops.activate(graph.activation, inner, up, width: width)
      }
    }
    inner.changed(count: count)
    try multiply(weights.down, inner, into: output.base)
  }

  /// Hidden vectors plus ``output``, with its norm where the family has one.
  private func combine(
    _ hidden: Numbers, _ bias: UnsafePointer<Float>?, _ norm: NormWeights?, _ count: Int
  ) {
    let job = Unchecked((block: self, hidden: hidden, output: output.base, bias: bias, norm: norm))
    team.forEachChunk(of: count, chunk: 8) { tokens in
      let (block, hidden, output, bias, norm) = job.value
      let (ops, width, epsilon) = (block.ops, block.graph.width, block.graph.normEpsilon)
      for token in tokens {
        let (x, y) = (hidden + token * width, output + token * width)
        if let bias { ops.add(y, bias, width: width) }
        let isPost = block.graph.rule.block == .post
        if isPost { ops.add(x, y, width: width) }
        if let norm {
          let place = isPost ? x : y
          ops.normalize(place, norm, epsilon, into: place, isInput: false, width: width)
        }
        if !isPost { ops.add(x, y, width: width) }
      }
    }
  }

  /// Normalises `count` vectors into ``input``, or copies them where no norm stands.
  private func normalize(_ x: Numbers, _ norm: NormWeights?, _ count: Int) {
    let job = Unchecked((block: self, x: x, norm: norm))
    team.forEachChunk(of: count, chunk: 8) { tokens in
      let (block, x, norm) = job.value
      let (ops, width) = (block.ops, block.graph.width)
      for token in tokens {
        let (from, out) = (x + token * width, block.input.place(token))
        if let norm {
          ops.normalize(
            from, norm, block.graph.normEpsilon, into: out, isInput: true, width: width)
        } else {
          ops.copy(from, into: out, width: width)
        }
      }
    }
  }

  private func multiply(
    _ projection: Projection, _ activations: Activations, into output: Numbers, stride: Int? = nil
  ) throws(TinctureError) {
    let stride = stride ?? projection.weights.rowCount
    switch arithmetic {
    case .exact:
      try Linear.multiply(
        projection.weights, activations, team: team, into: output.doubles, stride: stride)
    case .engine:
      try Linear.multiply(
        projection.weights, activations, tokens: 0..<activations.count, arithmetic: .engine,
        team: team, into: output.floats, stride: stride)
    }
  }
}

extension GraphRule.Activation {
  /// Its number in `cops.h`.
  var number: Int32 {
    switch self {
    case .silu: Int32(bitPattern: TO_SILU.rawValue)
    case .gelu: Int32(bitPattern: TO_GELU.rawValue)
    case .geluTanh: Int32(bitPattern: TO_GELU_TANH.rawValue)
    }
  }
}
