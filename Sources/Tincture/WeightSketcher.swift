import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity

/// Keeps sketches of a model's weights in a pack, and holds a candidate's against them.
///
/// A pack cannot keep the weights, but a few sums with random signs of every row (``StageSketch``) tell how far another
/// row is: for rows x and y the mean of (s·x − s·y)² over the signs is |x − y|². Held against what the format costs
/// (`weightError` times |x|²), an honest row stays near 1 and a row in another place or of another norm is far off, though
/// the logits hide it. A single wrong block drowns in the noise of its row: what is kept of the parts of a row
/// (``RunSketch``, ``RunCheck``) shows it.
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
  /// - Complexity: reads and decodes all weights once; `projectionCount` multiplications a weight and as many as a run
  ///   has signs. Memory: what is kept of the rows of a frame and 2 MB a thread.
  func record(into recorder: PackRecorder) throws(TinctureError) {
    for tensor in model.tensors {
      if tensor.shape.rowCount == 1 {
        try recorder.weights(
          tensor.name, whole: try WeightCheck.rows(tensor, 0..<1, CanonicalView(model)))
        continue
      }
      let columns = tensor.shape.rowLength
      let limit = about.rowLimit(columns: columns)
      for first in stride(from: 0, to: tensor.shape.rowCount, by: limit) {
        let end = min(tensor.shape.rowCount, first + limit)
        let bytes = keptByteCount(rows: end - first, columns)
        try resources.memory.lease(bytes, for: "sketches of weights")
        defer { resources.memory.giveBack(bytes) }
        try recorder.weights(
          tensor.name, first: first, columns: columns, rows: try rows(tensor, first..<end))
      }
    }
  }

  /// Memory for what is kept of rows, and for a frame of it.
  private func keptByteCount(rows: Int, _ columns: Int) -> Int {
    rows * (8 * (about.projectionCount + 1) + 2 * (about.runs?.byteCount(columns: columns) ?? 0))
  }

  /// What is kept of rows, in order.
  private func rows(_ tensor: CanonicalTensor, _ rows: Range<Int>) throws(TinctureError)
    -> WeightRows
  {
    let columns = tensor.shape.rowLength
    let stride = about.projectionCount + 1
    let runs = try about.runSketch()
    let (blocks, signs) = (
      runs.map { _ in RunSketchDescription.blockCount(columns: columns) } ?? 0,
      runs?.about.signByteCount(columns: columns) ?? 0
    )
    var sketches = [Float](repeating: 0, count: rows.count * stride)
    var parts = [UInt8](repeating: 0, count: rows.count * (blocks + signs))
    let signsAt = rows.count * blocks
    let outcome = sketches.withUnsafeMutableBufferPointer { sketches in
      parts.withUnsafeMutableBufferPointer { parts in
        let (sketches, parts) = (Unchecked(sketches), Unchecked(parts))
        return Result { () throws(TinctureError) in
          try forEachChunk(tensor, rows) { (range, values, own) throws(TinctureError) in
            let first = range.lowerBound - rows.lowerBound
            for (index, number) in own.enumerated() {
              sketches.value[first * stride + index] = number
            }
            guard let runs else { return }
            var row = runs.row(columns: columns)
            var kept: (codes: [UInt8], signs: [UInt8]) = ([], [])
            for index in 0..<range.count {
              runs.measure(values[index, columns], into: &row)
              runs.append(
                row, columns: columns, square: own[index * stride], codes: &kept.codes,
                signs: &kept.signs)
            }
            for (index, byte) in kept.codes.enumerated() {
              parts.value[first * blocks + index] = byte
            }
            for (index, byte) in kept.signs.enumerated() {
              parts.value[signsAt + first * signs + index] = byte
            }
          }
        }
      }
    }
    try outcome.get()
    return WeightRows(sketches: sketches, parts: parts[...])
  }

  /// Rows of weights that stand one after the other.
  private struct Values {
    let base: UnsafeBufferPointer<Float>

    subscript(row: Int, columns: Int) -> UnsafeBufferPointer<Float> {
      UnsafeBufferPointer(rebasing: base[row * columns..<(row + 1) * columns])
    }
  }

  /// Calls `body` with the weights and the sketches of some rows after others, from several threads.
  private func forEachChunk(
    _ tensor: CanonicalTensor, _ rows: Range<Int>,
    _ body: @Sendable (Range<Int>, Values, _ sketches: [Float]) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    let columns = tensor.shape.rowLength
    let sketch = try about.sketch(width: columns)
    let view = CanonicalView(model)
    let chunk = Self.rowsPerChunk(columns)
    let bytes = resources.threads * chunk * columns * 8
    try resources.memory.lease(bytes, for: "weights of some rows")
    defer { resources.memory.giveBack(bytes) }
    try Parallel.forEachChunk(of: rows.count, chunk: chunk, threads: resources.threads) {
      (range) throws(TinctureError) in
      try resources.cancellation.check()
      let range = rows.lowerBound + range.lowerBound..<rows.lowerBound + range.upperBound
      let values = try WeightCheck.rows(tensor, range, view)
      let outcome = values.withUnsafeBufferPointer { buffer in
        Result { () throws(TinctureError) in
          try body(range, Values(base: buffer), try sketch.sketch(buffer, threads: 1))
        }
      }
      try outcome.get()
    }
  }

  private static func rowsPerChunk(_ columns: Int) -> Int {
    max(1, elementsPerChunk / max(1, columns))
  }

  /// What was found of each.
  struct Results: Sendable {
    var rows = WeightCheck.Result()
    var lengths = WeightCheck.Result()
    var signs = WeightCheck.Result()

    mutating func add(_ other: Results) {
      rows.add(other.rows)
      lengths.add(other.lengths)
      signs.add(other.signs)
    }
  }

  /// Holds the model's weights against those of `pack`.
  ///
  /// - Parameters:
  ///   - row: how many times what its format costs a row may be off.
  ///   - limits: the same of the lengths of blocks and the sums of runs, by stored type.
  ///   - cost: what a stored type costs, squared error over energy.
  func compare(
    with pack: ParityPack, row: Double, limits: WeightLimits, cost: (String) -> Double
  ) throws(TinctureError) -> Results {
    var result = Results()
    var tensors: [String: CanonicalTensor] = [:]
    for tensor in model.tensors { tensors[tensor.name] = tensor }
    let names = Set(pack.index.weights.map(\.tensor))
    func missing(_ name: String, _ words: String) {
      result.rows.miss(name, words, stage: WeightCheck.stage(name, tensors[name]?.layer, model))
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
        try compare(
          tensor, whole: pack.wholeWeights(entry), row, cost, place, into: &result.rows)
      } else {
        try compare(tensor, entry, pack, row, limits, cost, place, into: &result)
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
  private struct Place: Sendable {
    let name: String
    let stage: Int
  }

  private func compare(
    _ tensor: CanonicalTensor, _ entry: WeightFrameEntry, _ pack: ParityPack, _ rowLimit: Double,
    _ limits: WeightLimits, _ cost: (String) -> Double, _ place: Place, into result: inout Results
  ) throws(TinctureError) {
    let columns = entry.columnCount
    let bytes = keptByteCount(rows: entry.rowCount, columns)
    try resources.memory.lease(bytes, for: "sketches of weights")
    defer { resources.memory.giveBack(bytes) }
    let reference = try pack.weights(entry)
    let type = WeightCheck.storedType(tensor)
    let rowCost = RowCost(type, columns: columns, cost)
    let runs = try about.runSketch().map { RunCheck($0, type, columns: columns, rowCost) }
    let stride = about.projectionCount + 1
    let blocks = runs == nil ? 0 : RunSketchDescription.blockCount(columns: columns)
    let signs = about.runs?.signByteCount(columns: columns) ?? 0
    let codesAt = reference.parts.startIndex
    let signsAt = codesAt + entry.rowCount * blocks
    let chunk = Self.rowsPerChunk(columns)
    let about = about
    // Packs before version 3 keep nothing of the parts of rows, and nothing limits them.
    let partLimits = runs.map { _ in
      (length: limits[.lengthError, type?.description], sign: limits[.signError, type?.description])
    }
    var parts = [Results](repeating: Results(), count: (entry.rowCount + chunk - 1) / chunk)
    let outcome = parts.withUnsafeMutableBufferPointer { buffer in
      let out = Unchecked(buffer)
      return Result { () throws(TinctureError) in
        try forEachChunk(tensor, entry.first..<entry.first + entry.rowCount) {
          (range, values, own) throws(TinctureError) in
          let own = try about.rounded(own)
          var part = Results()
          var scratch = runs?.scratch() ?? RunCheck.Scratch()
          for (index, row) in range.enumerated() {
            let at = row - entry.first
            let sketch = reference.sketches[at * stride..<(at + 1) * stride]
            let ownSketch = own[index * stride..<(index + 1) * stride]
            part.rows.add(
              rowCost.ratio(sketch, ownSketch), rowLimit, place: "\(place.name), row \(row)",
              tensor: place.name, stage: place.stage)
            guard let runs, let partLimits else { continue }
            part.lengths.add(
              rowCost.lengthRatio(sketch, ownSketch), partLimits.length,
              place: "\(place.name), row \(row)", tensor: place.name, stage: place.stage)
            let kept = RunCheck.Kept(
              square: sketch.first ?? 0,
              codes: reference.parts[codesAt + at * blocks..<codesAt + (at + 1) * blocks],
              signs: reference.parts[signsAt + at * signs..<signsAt + (at + 1) * signs])
            func words(_ index: Int, _ length: Int) -> String {
              let end = min(columns, (index + 1) * length)
              return "\(place.name), row \(row), columns \(index * length) to \(end - 1)"
            }
            runs.compare(values[index, columns], with: kept, &scratch) { ratio, block in
              part.lengths.add(
                ratio, partLimits.length, place: words(block, RunSketchDescription.blockLength),
                tensor: place.name, stage: place.stage)
            } sign: { ratio, run in
              part.signs.add(
                ratio, partLimits.sign, place: words(run, runs.sketch.about.length),
                tensor: place.name, stage: place.stage)
            }
          }
          out.value[(range.lowerBound - entry.first) / chunk] = part
        }
      }
    }
    try outcome.get()
    for part in parts { result.add(part) }
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

  /// Squared error that a weight may have where the mean square of those around it is half of `energy`.
  func budget(energy: Double, columns: Int) -> Double {
    share * energy + least / Double(columns)
  }

  /// What the lengths of two rows show of their squared error, in multiples of what may be.
  func lengthRatio(_ reference: ArraySlice<Float>, _ own: ArraySlice<Float>) -> Double {
    guard let x = reference.first.map(Double.init), let y = own.first.map(Double.init), x != y
    else { return 0 }
    let distance = x.squareRoot() - y.squareRoot()
    return distance * distance / (2 * share * x + least)
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
  /// Takes in what was found further on.
  mutating func add(_ other: WeightCheck.Result) {
    takeWorst(of: other)
    faultCount += other.faultCount
    for tensor in other.tensors where tensors.last != tensor { tensors.append(tensor) }
    if let stage = other.stage { self.stage = min(self.stage ?? stage, stage) }
  }

  mutating func add(
    _ ratio: Double, _ limit: Double, place: @autoclosure () -> String, tensor: String, stage: Int
  ) {
    guard take(ratio, limit, place()) else { return }
    faultCount += 1
    if tensors.last != tensor { tensors.append(tensor) }
    self.stage = min(self.stage ?? stage, stage)
  }

  mutating func miss(_ name: String, _ words: String, stage: Int) {
    add(.infinity, 0, place: "\(name) \(words)", tensor: name, stage: stage)
    if worst == .infinity { limit = nil }
  }

  /// Keeps what is farther beyond its limit than all before it; says whether it is beyond it at all.
  ///
  /// A number that is none counts as infinitely far.
  mutating func take(_ ratio: Double, _ limit: Double, _ place: @autoclosure () -> String) -> Bool {
    let ratio = ratio.isNaN ? .infinity : ratio
    if ratio > 0, worst == 0 || isFarther(ratio, limit) {
      worst = ratio
      self.limit = limit
      self.place = place()
    }
    return ratio > limit
  }

  mutating func takeWorst(of other: WeightCheck.Result) {
    guard other.worst > 0, worst == 0 || isFarther(other.worst, other.limit) else { return }
    worst = other.worst
    limit = other.limit
    place = other.place
  }

  /// Whether `ratio` is farther from its limit than the worst yet; what has no limit is farthest.
  private func isFarther(_ ratio: Double, _ limit: Double?) -> Bool {
    let (own, other) = (worst / (self.limit ?? 0), ratio / (limit ?? 0))
    return (other, ratio) > (own, worst)
  }
}
