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

  private let ops: UnsafePointer<to_ops>
  /// What the projections of attention and feed-forward multiply.
  private let input: Activations
  private let attended: Activations
  private let inner: Activations
  private let keys, values, up, output: FloatBuffer
  private let scratch: FloatBuffer
  /// Queries of one tile, for callers that attend at once.
  let queries: FloatBuffer
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
    ops = Operations.table
    input = try Activations(width: graph.width, capacity: capacity, budget: memory)
    attended = try Activations(width: graph.queryRows, capacity: capacity, budget: memory)
    inner = try Activations(width: graph.feedForward, capacity: capacity, budget: memory)
    keys = try FloatBuffer(capacity * graph.keyValueRows, memory, for: "keys")
    values = try FloatBuffer(capacity * graph.keyValueRows, memory, for: "values")
    let isGated = graph.rule.feedForward == .gated
    up = try FloatBuffer(isGated ? capacity * graph.feedForward : 1, memory, for: "feed-forward")
    output = try FloatBuffer(capacity * graph.width, memory, for: "block output")
    queries = try FloatBuffer(capacity * graph.queryRows, memory, for: "queries")
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
    _ hidden: UnsafeMutablePointer<Float>, count: Int, first: Int, layer: Int,
    weights: LayerWeights, rotation: RotaryTable?, cache: KeyValueCache,
    queries: UnsafeMutablePointer<Float>
  ) throws(TinctureError) {
    let (keys, values) = (keys.base, values.base)
    normalize(hidden, weights.attentionNorm, into: input.values, count)
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
      for token in tokens {
        job.block.finishHeads(
          job.queries + token * job.block.graph.queryRows, job.block.graph.heads,
          job.weights.query.bias, job.weights.queryNorm, job.cosines.map { $0 + token * half },
          job.sines.map { $0 + token * half }, job.isInterleaved)
        job.block.finishHeads(
          job.keys + token * job.block.graph.keyValueRows, job.block.graph.keyValueHeads,
          job.weights.key.bias, job.weights.keyNorm, job.cosines.map { $0 + token * half },
          job.sines.map { $0 + token * half }, job.isInterleaved)
        let rows = job.block.graph.keyValueRows
        let value = job.values + token * rows
        if let bias = job.weights.value.bias { job.block.ops.pointee.add(value, bias, Int64(rows)) }
        // The engine keeps its cache in F16.
        if job.block.arithmetic == .engine { job.block.ops.pointee.round_half(value, Int64(rows)) }
      }
    }
    cache.store(keys: keys, values: values, first: first, count: count, team: team)
  }

  /// Bias, norm and rotation of one token's queries or keys.
  private func finishHeads(
    _ x: UnsafeMutablePointer<Float>, _ heads: Int, _ bias: UnsafePointer<Float>?,
    _ norm: NormWeights?, _ cosines: UnsafeMutablePointer<Float>?,
    _ sines: UnsafeMutablePointer<Float>?, _ isInterleaved: Bool
  ) {
    let size = graph.headSize
    let ops = ops.pointee
    if let bias { ops.add(x, bias, Int64(heads * size)) }
    for head in 0..<heads {
      let place = x + head * size
      if let norm { ops.rms_norm(place, norm.weight, graph.normEpsilon, place, Int64(size)) }
      if let cosines, let sines {
        if isInterleaved {
          ops.rotate_interleaved(place, cosines, sines, Int64(size))
        } else {
          ops.rotate_split(place, cosines, sines, Int64(size))
        }
      }
    }
    if arithmetic == .engine { ops.round_half(x, Int64(heads * size)) }
  }

  /// Attends with `queries` and adds what attention and feed-forward give to the hidden vectors.
  ///
  /// - Parameters:
  ///   - first: position of the tile's first token.
  ///   - sequenceCount: tokens of the whole sequence, for models that attend both ways.
  /// - Throws: `memory.budget`.
  func finish(
    _ hidden: UnsafeMutablePointer<Float>, count: Int, first: Int, sequenceCount: Int, layer: Int,
    weights: LayerWeights, cache: KeyValueCache, queries: UnsafeMutablePointer<Float>
  ) throws(TinctureError) {
    attend(queries, count: count, first: first, sequenceCount: sequenceCount, layer, cache)
    attended.changed(count: count)
    try multiply(weights.output, attended, into: output.base)
    combine(hidden, weights.output.bias, weights.attentionPostNorm, count)
    normalize(hidden, weights.feedForwardNorm, into: input.values, count)
    input.changed(count: count)
    try feedForward(weights, count)
    combine(hidden, weights.down.bias, weights.feedForwardPostNorm, count)
  }

  private func attend(
    _ queries: UnsafeMutablePointer<Float>, count: Int, first: Int, sequenceCount: Int,
    _ layer: Int, _ cache: KeyValueCache
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
    _ queries: UnsafeMutablePointer<Float>, head: Int, tokens: Range<Int>, unit: Int, first: Int,
    sequenceCount: Int, _ layer: Int, _ cache: KeyValueCache
  ) {
    let group = graph.heads / graph.keyValueHeads
    let rows = graph.queryRows
    let at = tokens.lowerBound * rows + head * group * graph.headSize
    let (keys, values) = cache.head(head)
    withUnsafeTemporaryAllocation(of: Int64.self, capacity: tokens.count * 2) { bounds in
      guard let base = bounds.baseAddress else { return }
      for (index, token) in tokens.enumerated() {
        let range = graph.range(of: first + token, count: sequenceCount, layer: layer)
        base[index] = Int64(range.lowerBound)
        base[tokens.count + index] = Int64(range.upperBound)
      }
      var tile = to_attention(
        q: queries + at, q_stride: Int64(rows), out: attended.values + at,
        out_stride: Int64(rows), keys: keys, values: values,
        value_stride: Int64(cache.valueStride), capacity: Int64(cache.capacity),
        head_size: Int64(graph.headSize), tokens: Int64(tokens.count), group: Int64(group),
        first: base, last: base + tokens.count, scale: graph.attentionScale,
        soft_cap: graph.attentionSoftCap, scratch: scratch.base + unit * scratchPerUnit)
      ops.pointee.attention(&tile)
    }
  }

  private func feedForward(_ weights: LayerWeights, _ count: Int) throws(TinctureError) {
    let isGated = weights.gate != nil
    if let gate = weights.gate {
      try multiply(gate, input, into: inner.values)
      try multiply(weights.up, input, into: up.base)
    } else {
      try multiply(weights.up, input, into: inner.values)
    }
    let job = Unchecked(
      (
        ops: ops, inner: inner.values, up: isGated ? up.base : nil,
        bias: isGated ? weights.gate?.bias : weights.up.bias,
        upBias: isGated ? weights.up.bias : nil, width: graph.feedForward,
        activation: graph.activation.number,
        half: Int32(arithmetic == .engine && graph.activation == .geluTanh ? 1 : 0)
      ))
    team.forEachChunk(of: count, chunk: 4) { tokens in
      let job = job.value
      let width = Int64(job.width)
      for token in tokens {
        let inner = job.inner + token * job.width
        let up = job.up.map { $0 + token * job.width }
        if let bias = job.bias { job.ops.pointee.add(inner, bias, width) }
        if let bias = job.upBias, let up { job.ops.pointee.add(up, bias, width) }
        job.ops.pointee.activate(job.activation, job.half, inner, up, width)
      }
    }
    inner.changed(count: count)
    try multiply(weights.down, inner, into: output.base)
  }

  /// Hidden vectors plus ``output``, with its norm where the family has one.
  private func combine(
    _ hidden: UnsafeMutablePointer<Float>, _ bias: UnsafePointer<Float>?, _ norm: NormWeights?,
    _ count: Int
  ) {
    let job = Unchecked((block: self, hidden: hidden, output: output.base, bias: bias, norm: norm))
    team.forEachChunk(of: count, chunk: 8) { tokens in
      let (block, hidden, output, bias, norm) = job.value
      let width = Int64(block.graph.width)
      let ops = block.ops.pointee
      for token in tokens {
        let x = hidden + token * block.graph.width
        let y = output + token * block.graph.width
        if let bias { ops.add(y, bias, width) }
        if block.graph.rule.block == .post {
          ops.add(x, y, width)
          if let norm { block.normalize(x, norm, into: x) }
        } else {
          if let norm { block.normalize(y, norm, into: y) }
          ops.add(x, y, width)
        }
      }
    }
  }

  /// Normalises `count` vectors, or copies them where no norm stands.
  func normalize(
    _ x: UnsafeMutablePointer<Float>, _ norm: NormWeights?, into out: UnsafeMutablePointer<Float>,
    _ count: Int
  ) {
    let width = graph.width
    guard let norm else {
      out.update(from: x, count: count * width)
      return
    }
    let job = Unchecked((block: self, x: x, norm: norm, out: out))
    team.forEachChunk(of: count, chunk: 8) { tokens in
      let (block, x, norm, out) = job.value
      for token in tokens { block.normalize(x + token * width, norm, into: out + token * width) }
    }
  }

  private func normalize(
    _ x: UnsafeMutablePointer<Float>, _ norm: NormWeights, into out: UnsafeMutablePointer<Float>
  ) {
    let width = Int64(graph.width)
    if let bias = norm.bias {
      ops.pointee.layer_norm(x, norm.weight, bias, graph.normEpsilon, out, width)
    } else {
      ops.pointee.rms_norm(x, norm.weight, graph.normEpsilon, out, width)
    }
  }

  private func multiply(
    _ projection: Projection, _ activations: Activations, into output: UnsafeMutablePointer<Float>
  ) throws(TinctureError) {
    try Linear.multiply(
      projection.weights, activations, tokens: 0..<activations.count, arithmetic: arithmetic,
      team: team, into: output, stride: projection.weights.rowCount)
  }
}

/// The table of elementwise operations and attention.
enum Operations {
  static var table: UnsafePointer<to_ops> {
    guard let table = to_select() else {
      preconditionFailure("TINCTURE_ISA is wrong and InstructionSet.check() was not called")
    }
    return table
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
