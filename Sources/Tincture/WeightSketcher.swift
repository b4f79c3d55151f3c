import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity

/// Keeps sketches of a model's weights in a pack, and holds a candidate's against them.
///
/// A pack cannot keep the weights, but a few sums with random signs of every row (``StageSketch``) tell how far another
/// row is: for rows x and y the mean of (s·x − s·y)² over the signs is |x − y|². Held against what the format costs
/// (`weightError` times |x|²), an honest row stays near 1 and a row with one wrong block, in another place or of another
/// norm is far off, though the logits hide it. With 8 sums a faulty row of n times the cost is below limit L with the
/// probability that a chi-square of 8 degrees is below 8 L / n: for L = 40 and n = 111 (one block of 32 with a turned
/// scale in a Q5_0 row of 640) 6 in 100; swapped rows, of which n is in the thousands, never.
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
      // A head of its own may be a copy of the embedding.
      if tensor.name != "output.weight" { missing(tensor.name, "is not in the reference") }
    }
    for entry in pack.index.weights {
      guard let tensor = tensors[entry.tensor] else {
        if entry.tensor != "output.weight", entry.first == 0 { missing(entry.tensor, "is missing") }
        continue
      }
      guard tensor.shape.rowLength == entry.columnCount,
        tensor.shape.rowCount >= entry.first + entry.rowCount
      else {
        missing(entry.tensor, "has another shape than in the reference")
        continue
      }
      let reference = try pack.weights(entry)
      let own = try sketches(tensor, entry.first..<entry.first + entry.rowCount)
      // Sums are kept in 11 bits.
      let share = cost(WeightCheck.storedType(tensor)?.description ?? "") + 0x1p-22
      let stride = about.projectionCount + 1
      for row in 0..<entry.rowCount {
        var square = 0.0
        for index in 1..<stride {
          let d = Double(reference[row * stride + index]) - Double(own[row * stride + index])
          square += d * d
        }
        square /= Double(about.projectionCount)
        let energy = Double(reference[row * stride])
        result.add(
          square == 0 ? 0 : square / (share * energy), limit,
          place: "\(entry.tensor), row \(entry.first + row)", tensor: entry.tensor,
          stage: WeightCheck.stage(entry.tensor, tensor.layer, model))
      }
    }
    return result
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
