import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity

/// Holds a candidate's stored weights against the reference's, block by block.
///
/// Logits cannot show one wrong scale among thousands of blocks through the noise of quantization; the weights can: a
/// block that is farther from its source than its format explains was not made from it. For every 32 weights of a row
/// the squared error is held against what the format costs: `weightError` of its tolerance times the energy of these
/// weights and, as the sub-blocks of a super-block share a scale, that of as many weights of average size of their block.
/// A row that passes the limit is encoded again by our own encoder, plainly, and what that loses counts as the format's
/// cost too: so rows with far outliers, which a format holds badly, are not taken for wrong. Floats are held against half
/// a unit in the last place, element by element.
///
/// Both sides are read through ``CanonicalView``, as conversion reads them, so whatever is folded into weights is folded
/// here too. Memory: about 4 MB a thread.
struct WeightCheck {
  /// What was found.
  struct Result: Sendable {
    /// The squared error that is largest against its limit, in multiples of what the format costs; and that limit. nil: what
    /// was found has none, or nothing was found.
    var worst = 0.0
    var limit: Double?
    var place = ""
    /// The first stage (0 embeddings, i + 1 layer i, one more the head) with a block beyond the limit.
    var stage: Int?
    var faultCount = 0
    /// Tensors with such blocks, in order.
    var tensors: [String] = []
  }

  private static let elementsPerChunk = 1 << 18
  private static let runLength = 32

  let reference: BoundModel
  let candidate: BoundModel
  let limits: WeightLimits
  /// What a stored type costs: squared error over energy.
  let cost: @Sendable (String) -> Double

  private struct Chunk: Sendable {
    let own: CanonicalTensor
    let other: CanonicalTensor
    /// For people, and where the tensor acts.
    let name: String
    let stage: Int
    let type: StoredType?
    let limit: Double
    let rows: Range<Int>
  }

  /// - Throws: `file.*`, `memory.budget`, `run.interrupted`.
  func run(_ resources: Resources) throws(TinctureError) -> Result {
    var result = Result()
    var others: [String: CanonicalTensor] = [:]
    for tensor in reference.tensors { others[tensor.name] = tensor }
    var chunks: [Chunk] = []
    func hold(_ own: CanonicalTensor, against other: CanonicalTensor, _ name: String, _ stage: Int)
    {
      let type = Self.storedType(own)
      let limit = limits[.blockError, type?.description]
      let count = max(1, Self.elementsPerChunk / max(1, own.shape.rowLength))
      for first in stride(from: 0, to: own.shape.rowCount, by: count) {
        chunks.append(
          Chunk(
            own: own, other: other, name: name, stage: stage, type: type, limit: limit,
            rows: first..<min(own.shape.rowCount, first + count)))
      }
    }
    for tensor in candidate.tensors {
      let stage = Self.stage(tensor.name, tensor.layer, candidate)
      // A head of its own may be a copy of the embedding that the reference uses for one.
      let name =
        tensor.name == Self.head && others[tensor.name] == nil ? Self.embedding : tensor.name
      guard let other = others[name], other.shape == tensor.shape else {
        result.miss(
          tensor.name, "is not in the reference, or has another shape there", stage: stage)
        continue
      }
      hold(tensor, against: other, tensor.name, stage)
    }
    let names = Set(candidate.tensors.map(\.name))
    for tensor in reference.tensors where !names.contains(tensor.name) {
      let stage = Self.stage(tensor.name, tensor.layer, candidate)
      // Without a head the embedding takes its place, of which the reference's head may be a copy.
      if tensor.name == Self.head,
        let embedding = candidate.tensors.first(where: { $0.name == Self.embedding }),
        embedding.shape == tensor.shape
      {
        hold(embedding, against: tensor, Self.embeddingAsHead, stage)
      } else {
        result.miss(tensor.name, "is missing", stage: stage)
      }
    }
    let found = try compare(chunks, resources)
    for (chunk, part) in zip(chunks, found) {
      result.takeWorst(of: part)
      guard part.faultCount > 0 else { continue }
      result.faultCount += part.faultCount
      if result.tensors.last != chunk.name { result.tensors.append(chunk.name) }
      result.stage = min(result.stage ?? chunk.stage, chunk.stage)
    }
    return result
  }

  static let head = "output.weight"
  static let embedding = "token_embd.weight"
  static let embeddingAsHead = "\(embedding) as output head"

  /// The stage a tensor acts in first: what is in no layer and is not the input's stands behind the layers.
  static func stage(_ name: String, _ layer: Int?, _ model: BoundModel) -> Int {
    if let layer { return layer + 1 }
    if name.hasPrefix("rope_") { return 1 }
    let isInput = ["token_embd", "token_types", "position_embd"].contains { name.hasPrefix($0) }
    return isInput ? 0 : model.layerCount + 1
  }

  static func storedType(_ tensor: CanonicalTensor) -> StoredType? {
    guard tensor.expression.pieces.count == 1,
      case .source(let source, _, _, _, _, _) = tensor.expression.pieces[0]
    else { return nil }
    return source.info.type
  }

  private func compare(_ chunks: [Chunk], _ resources: Resources) throws(TinctureError) -> [Result]
  {
    let widest = chunks.map { $0.rows.count * $0.own.shape.rowLength }.max() ?? 0
    // Two sets of floats, a row encoded again and what is read.
    let bytes = resources.threads * widest * 16
    try resources.memory.lease(bytes, for: "comparing weights")
    defer { resources.memory.giveBack(bytes) }
    let views = (CanonicalView(candidate), CanonicalView(reference))
    var results = [Result](repeating: Result(), count: chunks.count)
    let outcome = results.withUnsafeMutableBufferPointer { buffer in
      let out = Unchecked(buffer)
      return Swift.Result { () throws(TinctureError) in
        try Parallel.forEachChunk(of: chunks.count, chunk: 1, threads: resources.threads) {
          (range) throws(TinctureError) in
          for index in range {
            try resources.cancellation.check()
            let chunk = chunks[index]
            let own = try Self.rows(chunk.own, chunk.rows, views.0)
            let other = try Self.rows(chunk.other, chunk.rows, views.1)
            out.value[index] = measure(chunk, own, other)
          }
        }
      }
    }
    try outcome.get()
    return results
  }

  static func rows(_ tensor: CanonicalTensor, _ rows: Range<Int>, _ view: CanonicalView)
    throws(TinctureError) -> [Float]
  {
    var values = [Float](repeating: 0, count: rows.count * tensor.shape.rowLength)
    let count = CanonicalView.scratchByteCount(tensor, rowCount: rows.count)
    let scratch = try Allocation.aligned(count, for: "comparing weights")
    defer { scratch.deallocate() }
    let outcome = values.withUnsafeMutableBufferPointer { buffer in
      Swift.Result { () throws(TinctureError) in
        guard let base = buffer.baseAddress else { return }
        try view.rows(of: tensor, rows, into: base, scratch: scratch)
      }
    }
    try outcome.get()
    return values
  }

  // MARK: Measuring

  private func measure(_ chunk: Chunk, _ own: [Float], _ other: [Float]) -> Result {
    var result = Result()
    let length = chunk.own.shape.rowLength
    for row in 0..<chunk.rows.count {
      let range = row * length..<(row + 1) * length
      let name = "\(chunk.name), row \(chunk.rows.lowerBound + row)"
      if case .block(let format)? = chunk.type {
        blocks(format, own[range], other[range], chunk.limit, name, &result)
      } else {
        elements(chunk.type, own[range], other[range], chunk.limit, name, &result)
      }
    }
    return result
  }

  private func add(
    _ ratio: Double, _ limit: Double, _ place: @autoclosure () -> String, _ result: inout Result
  ) {
    if result.take(ratio, limit, place()) { result.faultCount += 1 }
  }

  private func elements(
    _ type: StoredType?, _ own: ArraySlice<Float>, _ other: ArraySlice<Float>, _ limit: Double,
    _ name: String, _ result: inout Result
  ) {
    for (offset, pair) in zip(own, other).enumerated() where pair.0 != pair.1 {
      add(Self.ratio(type, of: pair.0, pair.1), limit, "\(name), column \(offset)", &result)
    }
  }

  /// Squared error of a stored float over that of half a unit in the last place, of normal numbers and of the smallest. A
  /// reference that the 16-bit type holds must be the same.
  static func ratio(_ type: StoredType?, of own: Float, _ other: Float) -> Double {
    let (relative, least): (Double, Double) =
      switch type {
      case .element(.f16)?: (0x1p-12, 0x1p-25)
      case .element(.bf16)?: (0x1p-9, 0x1p-134)
      default: (0x1p-24, 0x1p-149)
      }
    if own != other, holds(type, other) { return .infinity }
    let error = (Double(other) - Double(own)) / max(abs(Double(other)) * relative, least)
    return error * error
  }

  /// Whether a number of 16 bits (subnormal halves aside) is `value`, so that no rounding excuses another one.
  private static func holds(_ type: StoredType?, _ value: Float) -> Bool {
    switch type {
    case .element(.bf16)?: value.bitPattern & 0xFFFF == 0
    case .element(.f16)?:
      value.bitPattern & 0x1FFF == 0 && value.magnitude >= 0x1p-14 && value.magnitude <= 65504
    default: false
    }
  }

  private func blocks(
    _ format: BlockFormat, _ own: ArraySlice<Float>, _ other: ArraySlice<Float>, _ limit: Double,
    _ name: String, _ result: inout Result
  ) {
    let share = cost(format.name)
    let ratios = self.ratios(format, own, other, share, floor: nil)
    guard ratios.contains(where: { !($0 <= limit) }) else {
      for (run, ratio) in ratios.enumerated() { add(ratio, limit, place(name, run), &result) }
      return
    }
    let floor = lost(format, other)
    for (run, ratio) in self.ratios(format, own, other, share, floor: floor).enumerated() {
      add(ratio, limit, place(name, run), &result)
    }
  }

  private func place(_ name: String, _ run: Int) -> String {
    "\(name), columns \(run * Self.runLength) to \((run + 1) * Self.runLength - 1)"
  }

  /// Squared error of each run over what the format costs it; with `floor` over what the encoder lost there, if more.
  private func ratios(
    _ format: BlockFormat, _ own: ArraySlice<Float>, _ other: ArraySlice<Float>, _ share: Double,
    floor: [Double]?
  ) -> [Double] {
    let length = own.count
    var result: [Double] = []
    result.reserveCapacity(length / Self.runLength + 1)
    own.withUnsafeBufferPointer { own in
      other.withUnsafeBufferPointer { other in
        for block in stride(from: 0, to: length, by: format.elementsPerBlock) {
          let end = min(length, block + format.elementsPerBlock)
          var whole = 0.0
          for index in block..<end { whole += Double(other[index]) * Double(other[index]) }
          let runs = (end - block + Self.runLength - 1) / Self.runLength
          for start in stride(from: block, to: end, by: Self.runLength) {
            var energy = 0.0
            var error = 0.0
            for index in start..<min(end, start + Self.runLength) {
              let x = Double(other[index])
              let d = x - Double(own[index])
              energy += x * x
              error += d * d
            }
            var expected = share * (energy + whole / Double(runs))
            if let floor { expected = max(expected, floor[result.count]) }
            result.append(error == 0 ? 0 : error / expected)
          }
        }
      }
    }
    return result
  }

  /// What our plain encoder loses of a row, run by run.
  private func lost(_ format: BlockFormat, _ row: ArraySlice<Float>) -> [Double]? {
    guard format.canEncode, let rowBytes = format.rowByteCount(row.count) else { return nil }
    let values = Array(row)
    var bytes = [UInt8](repeating: 0, count: rowBytes)
    var decoded = [Float](repeating: 0, count: values.count)
    let outcome = bytes.withUnsafeMutableBytes { raw in
      values.withUnsafeBufferPointer { buffer in
        Swift.Result { () throws(EncodingError) in
          guard let base = raw.baseAddress, let numbers = buffer.baseAddress else { return }
          try format.encode(
            numbers, rowCount: 1, rowLength: values.count, importance: nil, into: base)
        }
      }
    }
    // Weights the encoder refuses have no cost of their own.
    if case .failure = outcome { return nil }
    bytes.withUnsafeBytes { raw in
      decoded.withUnsafeMutableBufferPointer { out in
        guard let base = raw.baseAddress, let target = out.baseAddress else { return }
        format.decode(base, rowCount: 1, rowLength: values.count, into: target)
      }
    }
    return stride(from: 0, to: values.count, by: Self.runLength).map { start in
      (start..<min(values.count, start + Self.runLength)).reduce(0.0) {
        let d = Double(values[$1]) - Double(decoded[$1])
        return $0 + d * d
      }
    }
  }
}
