import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity

/// Keeps sketches of a model's weights in a pack, and holds a candidate's against them.
///
/// A pack cannot keep the weights, but a few sums with random signs of every row (``StageSketch``) tell how far another
/// row is: for rows x and y the mean of (s·x − s·y)² over the signs is |x − y|². Held against what the format costs
/// (`weightError` times |x|²), an honest row stays near 1 and a row with one wrong block, in another place or of another
/// norm is far off, though the logits hide it. With 32 sums a faulty row of n times the cost is below limit L with the
/// probability that a chi-square of 32 degrees is below 32 L / n: for L = 16 and n = 111 (one block of 32 with a turned
/// scale in a Q5_0 row of 640) never; for n = 28 (the same block doubled) 2 in 100; for n = 7 (halved) nearly always.
///
/// Tensors of one row (norms, biases) are kept whole and compared weight by weight, as ``WeightCheck`` does. Rows of
/// floats have no such slack (``RowCost``): F32 holds every value, so the sketches are the same.
struct WeightSketcher {
  let model: BoundModel
  let about: WeightSketchDescription
  let resources: Resources

  private static let elementsPerChunk = 1 << 18

  /// Records every tensor.
  ///
  /// - Complexity: reads and decodes all weights once, `projectionCount` multiplications a weight. Memory: the sketches
  ///   of 2^18 rows and 2 MB a thread.
  func record(into recorder: PackRecorder) throws(TinctureError) {
    for tensor in model.tensors {
      if tensor.shape.rowCount == 1 {
        try recorder.weights(
          tensor.name, whole: try WeightCheck.rows(tensor, 0..<1, CanonicalView(model)))
        continue
      }
      for first in stride(from: 0, to: tensor.shape.rowCount, by: PackRecorder.weightRows) {
        let end = min(tensor.shape.rowCount, first + PackRecorder.weightRows)
        try recorder.weights(
          tensor.name, first: first, columns: tensor.shape.rowLength,
          sketches: try sketches(tensor, first..<end))
      }
    }
  }

  /// Sketches of rows, in order.
  private func sketches(_ tensor: CanonicalTensor, _ rows: Range<Int>) throws(TinctureError)
    -> [Float]
  {
    let length = tensor.shape.rowLength
    let stride = about.projectionCount + 1
    let sketch = try about.sketch(width: length)
    let view = CanonicalView(model)
    let chunk = max(1, Self.elementsPerChunk / max(1, length))
    let bytes = 4 * (rows.count * stride + resources.threads * 2 * chunk * length)
    try resources.memory.lease(bytes, for: "sketches of weights")
    defer { resources.memory.giveBack(bytes) }
    var result = [Float](repeating: 0, count: rows.count * stride)
    let outcome = result.withUnsafeMutableBufferPointer { buffer in
      let out = Unchecked(buffer)
      return Result { () throws(TinctureError) in
        try Parallel.forEachChunk(of: rows.count, chunk: chunk, threads: resources.threads) {
          (range) throws(TinctureError) in
          try resources.cancellation.check()
          let values = try WeightCheck.rows(
            tensor, rows.lowerBound + range.lowerBound..<rows.lowerBound + range.upperBound, view)
          let own = try values.withUnsafeBufferPointer { buffer in
            Result { () throws(TinctureError) in try sketch.sketch(buffer, threads: 1) }
          }.get()
          for (index, number) in own.enumerated() {
            out.value[range.lowerBound * stride + index] = number
          }
        }
      }
    }
    try outcome.get()
    return result
  }

  /// Holds the model's weights against those of `pack`.
  ///
  /// - Parameters:
  ///   - cost: what a stored type costs, squared error over energy.
  ///   - limit: how many times the cost a row may be off.
  func compare(with pack: ParityPack, limit: Double, cost: (String) -> Double)
    throws(TinctureError) -> WeightCheck.Result
  {
    var result = WeightCheck.Result()
    var tensors: [String: CanonicalTensor] = [:]
    for tensor in model.tensors { tensors[tensor.name] = tensor }
    let names = Set(pack.index.weights.map(\.tensor))
    func missing(_ name: String, _ words: String) {
      result.miss(name, words, stage: WeightCheck.stage(name, tensors[name]?.layer, model))
    }
    for tensor in model.tensors where !names.contains(tensor.name) {
      if tensor.name != WeightCheck.head { missing(tensor.name, "is not in the reference") }
    }
    func hold(_ tensor: CanonicalTensor, _ entry: WeightFrameEntry, as name: String)
      throws(TinctureError)
    {
      guard tensor.shape.rowLength == entry.columnCount,
        tensor.shape.rowCount >= entry.first + entry.rowCount,
        !entry.isWhole || tensor.shape.rowCount == 1
      else {
        missing(entry.tensor, "has another shape than in the reference")
        return
      }
      let isHead = name == WeightCheck.embeddingAsHead
      let place = Place(
        name: name,
        stage: WeightCheck.stage(isHead ? WeightCheck.head : name, tensor.layer, model))
      if entry.isWhole {
        try compare(tensor, whole: pack.wholeWeights(entry), limit, cost, place, into: &result)
      } else {
        try compare(tensor, entry, pack, limit, cost, place, into: &result)
      }
    }
    for entry in pack.index.weights {
      if let tensor = tensors[entry.tensor] {
        try hold(tensor, entry, as: entry.tensor)
      } else if entry.tensor == WeightCheck.head, let embedding = tensors[WeightCheck.embedding] {
        // Without a head the embedding takes its place, of which the reference's head may be a copy.
        try hold(embedding, entry, as: WeightCheck.embeddingAsHead)
      } else if entry.first == 0 {
        missing(entry.tensor, "is missing")
      }
      // A head of its own may be a copy of the embedding that the reference uses for one.
      if entry.tensor == WeightCheck.embedding, !names.contains(WeightCheck.head),
        let head = tensors[WeightCheck.head]
      {
        try hold(head, entry, as: WeightCheck.head)
      }
    }
    return result
  }

  /// What a tensor is called, and the stage it acts in.
  private struct Place {
    let name: String
    let stage: Int
  }

  private func compare(
    _ tensor: CanonicalTensor, _ entry: WeightFrameEntry, _ pack: ParityPack, _ limit: Double,
    _ cost: (String) -> Double, _ place: Place, into result: inout WeightCheck.Result
  ) throws(TinctureError) {
    let reference = try pack.weights(entry)
    let own = try about.rounded(sketches(tensor, entry.first..<entry.first + entry.rowCount))
    let rowCost = RowCost(WeightCheck.storedType(tensor), columns: entry.columnCount, cost)
    let stride = about.projectionCount + 1
    for row in 0..<entry.rowCount {
      let range = row * stride..<(row + 1) * stride
      result.add(
        rowCost.ratio(reference[range], own[range]), limit,
        place: "\(place.name), row \(entry.first + row)", tensor: place.name, stage: place.stage)
    }
  }

  /// A tensor of one row, of which every weight is known.
  private func compare(
    _ tensor: CanonicalTensor, whole reference: [Float], _ limit: Double,
    _ cost: (String) -> Double, _ place: Place, into result: inout WeightCheck.Result
  ) throws(TinctureError) {
    let own = try WeightCheck.rows(tensor, 0..<1, CanonicalView(model))
    let type = WeightCheck.storedType(tensor)
    if case .block(let format)? = type {
      var (error, energy) = (0.0, 0.0)
      for (x, y) in zip(reference, own) {
        error += (Double(x) - Double(y)) * (Double(x) - Double(y))
        energy += Double(x) * Double(x)
      }
      let ratio = error == 0 ? 0 : error / (cost(format.name) * energy)
      result.add(ratio, limit, place: place.name, tensor: place.name, stage: place.stage)
      return
    }
    for (column, pair) in zip(own, reference).enumerated() where pair.0 != pair.1 {
      result.add(
        WeightCheck.ratio(type, of: pair.0, pair.1), limit,
        place: "\(place.name), column \(column)", tensor: place.name, stage: place.stage)
    }
  }
}

/// What a row's sketch may be off by, given how the candidate stores the row.
package struct RowCost {
  /// Squared error over energy, and squared error of any row.
  private let share, least: Double
  /// Squared error of the squared length over its square; nil where the length may change.
  private let lengthShare: Double?
  /// Whether a sum may be off by one step of its rounding more: where rows differ less than sums are rounded, two that
  /// are nearly equal can be rounded apart.
  private let allowsStep: Bool

  /// Blocks: what the format costs, and the eleven bits of the sums. Floats: a quarter of what rounding costs, as `limit`
  /// is many times the cost and rounding of floats is not: with 16 a row of BF16 may have 4 times its expected error,
  /// which 32 sums show of an honest row in less than one of 10^12 cases. F32 holds every value: sums and lengths are those of the
  /// reference, rounded alike; a sum on the border of two roundings is let pass.
  package init(_ type: StoredType?, columns: Int, _ cost: (String) -> Double) {
    let own = cost(type?.description ?? "")
    allowsStep = type == .element(.f16)
    switch type {
    case .element(.f16)?:
      // The smallest halves have an absolute error.
      (share, least, lengthShare) = (own / 4, Double(columns) * 0x1p-52, nil)
    case .element(.bf16)?: (share, least, lengthShare) = (own / 4, 0, nil)
    case .block?: (share, least, lengthShare) = (own + 0x1p-22, 0, nil)
    default: (share, least, lengthShare) = (0x1p-26, 0, 0x1p-46)
    }
  }

  /// How far apart the halves are that `sum` over `length` is kept as, in units of `sum`; a rounded sum's own half counts.
  private static func step(_ sum: Double, _ length: Double) -> Double {
    guard length > 0 else { return 0 }
    let share = max(sum / length, 0x1p-14)
    // A little more, as sum and length are rounded too.
    return length * share.binade * 0x1p-10 * (1 + 0x1p-10)
  }

  /// Squared error in multiples of what may be: of the sums or, where that counts, of the squared length.
  package func ratio(_ reference: ArraySlice<Float>, _ own: ArraySlice<Float>) -> Double {
    var square = 0.0
    let energy = Double(reference.first ?? 0)
    let length = energy.squareRoot()
    for (x, y) in zip(reference.dropFirst(), own.dropFirst()) {
      var distance = abs(Double(x) - Double(y))
      if allowsStep, distance > 0 {
        distance = max(0, distance - Self.step(max(abs(Double(x)), abs(Double(y))), length))
      }
      square += distance * distance
    }
    square /= Double(reference.count - 1)
    let sums = square == 0 ? 0 : square / (share * energy + least)
    let change = Double(own.first ?? 0) - energy
    guard let lengthShare, change != 0 else { return sums }
    return max(sums, change * change / (lengthShare * energy * energy))
  }
}

extension WeightCheck.Result {
  mutating func add(
    _ ratio: Double, _ limit: Double, place: @autoclosure () -> String, tensor: String, stage: Int
  ) {
    // A number that is none counts as infinitely far.
    let ratio = ratio.isNaN ? .infinity : ratio
    if ratio > worst {
      worst = ratio
      self.place = place()
    }
    guard ratio > limit else { return }
    faultCount += 1
    if tensors.last != tensor { tensors.append(tensor) }
    self.stage = min(self.stage ?? stage, stage)
  }

  mutating func miss(_ name: String, _ words: String, stage: Int) {
    add(.infinity, 0, place: "\(name) \(words)", tensor: name, stage: stage)
  }
}
