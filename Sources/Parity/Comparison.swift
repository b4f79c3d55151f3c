import TinctureContainers
import TinctureCore

/// Holds what a candidate computes against a pack, as it comes, in the order ``PackRecorder`` takes it.
///
/// Memory: the frames at hand and about 100 bytes a position; never all logits.
package final class Comparison {
  package let pack: ParityPack
  private let kernels: LogitKernels
  private let sketch: StageSketch?
  private let tail: TailSketch?
  /// Positions of the prompts before each.
  private let starts: [Int]
  private let threads: Int
  private let memory: MemoryBudget
  private var frameNumber = 0
  private var frame = LogitFrame()
  /// The sketches of the frame's tails; empty when the pack has none.
  private var tails: [Float] = []
  private var frameIsRead = false
  private var positions: [PositionMeasure] = []
  private var place = (prompt: 0, position: 0)
  private var stages: [StageMeasure] = []
  private var stageReference: [Float] = []
  private var stageSums = StageSums()
  private var stagePlace = (stage: 0, prompt: 0)
  private var vectors: [VectorMeasure] = []
  private var leased = 0
  /// Heads that only one of the two has: conversion leaves some out by a written rule. They are not compared.
  package private(set) var unmatchedHeads: Set<VectorKind> = []

  package init(_ pack: ParityPack, threads: Int, memory: MemoryBudget) throws(TinctureError) {
    self.pack = pack
    self.threads = threads
    self.memory = memory
    kernels = try LogitKernels()
    sketch = if let stages = pack.description.stages { try StageSketch(stages) } else { nil }
    tail =
      if let about = pack.description.tail, let length = pack.description.vocabularySize {
        TailSketch(about, rowLength: length, kernels: kernels)
      } else { nil }
    starts = pack.prompts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.ids.count) }
    if pack.description.vocabularySize != nil {
      let bytes = pack.index.positionCount * MemoryLayout<PositionMeasure>.stride
      try memory.lease(bytes, for: "the measures of every position")
      leased = bytes
      positions.reserveCapacity(pack.index.positionCount)
    }
  }

  deinit { memory.giveBack(leased) }

  /// Takes in rows of logits of `prompt` from position `first` on. A row with a logit that is no number is a measure
  /// that passes no limit, not an error: a verdict has its reports.
  ///
  /// - Throws: what reading the pack throws.
  package func logits(prompt: Int, first: Int, rows: UnsafeBufferPointer<Float>)
    throws(TinctureError)
  {
    guard let length = pack.description.vocabularySize, rows.count % length == 0,
      place == (prompt, first), prompt < pack.prompts.count,
      first + rows.count / length <= pack.prompts[prompt].ids.count
    else { preconditionFailure("\(rows.count) logits of prompt \(prompt) from \(first)") }
    let scratchBytes = threads * LogitKernels.Scratch.byteCount(rowLength: length)
    try memory.lease(scratchBytes, for: "comparing logits")
    defer { memory.giveBack(scratchBytes) }
    try Allocation.check(scratchBytes, for: "comparing logits")
    let rowCount = rows.count / length
    var done = 0
    while done < rowCount {
      let entry = pack.index.logits[frameNumber]
      if !frameIsRead {
        frame = try pack.logits(entry)
        tails = tail == nil ? [] : try pack.tails(pack.index.tails[frameNumber])
        frameIsRead = true
      }
      let start = place.position - entry.first
      let count = min(rowCount - done, entry.rowCount - start)
      try measure(
        UnsafeBufferPointer(rebasing: rows[done * length..<(done + count) * length]),
        frameRow: start)
      done += count
      place.position += count
      if start + count == entry.rowCount {
        frameNumber += 1
        frameIsRead = false
      }
      if place.position == pack.prompts[prompt].ids.count { place = (prompt + 1, 0) }
    }
  }

  private func measure(_ rows: UnsafeBufferPointer<Float>, frameRow: Int) throws(TinctureError) {
    let about = pack.description
    let length = about.vocabularySize ?? 0
    let kept = about.keptCount
    let count = rows.count / length
    let ids = pack.prompts[place.prompt].ids
    let place = place
    let input = Unchecked(rows)
    let frame = frame
    let tails = tails
    let tailNumbers = about.tail.map(TailSketch.numbers) ?? 0
    let start = starts[place.prompt] + place.position
    let comparison = RowComparison(kernels: kernels, length: length, tail: tail)
    let blank = PositionMeasure(
      prompt: 0, position: 0, divergence: 0, least: 0, most: 0, referenceTop: 0, candidateTop: 0,
      sharedTopTen: 0, shift: 0, meanSquare: 0, largestDifference: 0, variance: 0)
    var measures = [PositionMeasure](repeating: blank, count: count)
    try withOutput(&measures) { (measures) throws(TinctureError) in
      try Parallel.forEachChunk(of: count, chunk: 4, threads: threads) {
        (range) throws(TinctureError) in
        let scratch = RowComparison.Scratch(rowLength: length, kept: about.isFull ? 0 : kept)
        for index in range {
          let position = place.position + index
          let row = UnsafeBufferPointer(
            rebasing: input.value[index * length..<(index + 1) * length])
          let slots = (frameRow + index) * kept..<(frameRow + index + 1) * kept
          let next = position + 1 < ids.count ? ids[position + 1] : nil
          var measure = frame.ids.withUnsafeBufferPointer { frameIDs in
            frame.values.withUnsafeBufferPointer { values in
              comparison.measure(
                reference: frame.summaries[frameRow + index],
                ids: frameIDs.isEmpty
                  ? UnsafeBufferPointer(start: nil, count: 0)
                  : UnsafeBufferPointer(rebasing: frameIDs[slots]),
                values: UnsafeBufferPointer(rebasing: values[slots]),
                tail: tails[
                  (frameRow + index) * tailNumbers..<(frameRow + index + 1) * tailNumbers],
                row: row, position: start + index, next: next, scratch: scratch)
            }
          }
          measure.prompt = place.prompt
          measure.position = position
          measures.value[index] = measure
        }
      }
    }
    positions += measures
  }

  /// Takes in the hidden states of all tokens of `prompt` at `stage`.
  package func stage(_ stage: Int, prompt: Int, states: UnsafeBufferPointer<Float>)
    throws(TinctureError)
  {
    guard let sketch, stagePlace == (stage, prompt),
      states.count == pack.prompts[prompt].ids.count * sketch.about.width
    else { preconditionFailure("stage \(stage) of prompt \(prompt), \(states.count) numbers") }
    guard stage < pack.index.stages.count else {
      throw TinctureError(
        .init("verify.shape", .invalidInput), "the model has more stages than the pack",
        expected: "\(pack.index.stages.count) stages",
        advice: "verify against a pack of the same architecture")
    }
    if prompt == 0 {
      stageReference = try pack.stage(pack.index.stages[stage])
      stageSums = StageSums()
    }
    let own = try sketch.sketch(states, threads: threads)
    let before = pack.prompts.prefix(prompt).reduce(0) { $0 + $1.ids.count }
    let numbers = StageSketch.numbers(sketch.about)
    let start = before * numbers
    stageSums.add(
      reference: stageReference[start..<start + own.count], own: own, numbers: numbers)
    stagePlace.prompt += 1
    guard stagePlace.prompt == pack.prompts.count else { return }
    stages.append(
      StageMeasure(
        stage: stage, name: sketch.about.name(stage), layer: sketch.about.layer(stage),
        normalizedError: stageSums.normalizedError))
    stagePlace = (stage + 1, 0)
  }

  /// Takes in an encoder's rows.
  ///
  /// - Throws: `verify.shape` when the pack holds other rows.
  package func vectors(
    _ kind: VectorKind, prompt: Int, columns: Int, rows: UnsafeBufferPointer<Float>
  ) throws(TinctureError) {
    if kind.isHead, !pack.index.vectors.contains(where: { $0.kind == kind }) {
      unmatchedHeads.insert(kind)
      return
    }
    let entries = pack.index.vectors.filter { $0.kind == kind && $0.prompt == prompt }
    let count = columns > 0 ? rows.count / columns : 0
    guard entries.reduce(0, { $0 + $1.rowCount }) == count,
      entries.allSatisfy({ $0.columnCount == columns })
    else {
      let found = entries.first.map {
        "\(entries.reduce(0) { $0 + $1.rowCount }) rows of \($0.columnCount)"
      }
      throw TinctureError(
        .init("verify.shape", .invalidInput),
        "the model and the pack have other \(kind.rawValue) rows",
        expected: found ?? "none", found: "\(count) rows of \(columns)",
        advice: "verify against a pack of the same architecture and heads")
    }
    var measure = VectorMeasure(kind: kind, prompt: prompt)
    for entry in entries {
      let reference = try pack.vectors(entry)
      for row in 0..<entry.rowCount {
        let start = (entry.first + row) * columns
        var other = Array(reference[row * columns..<(row + 1) * columns])
        var own = Array(rows[start..<start + columns])
        if kind == .pooled {
          // A GGUF file does not say whether its model gives these the length 1.
          (other, own) = (Self.direction(other), Self.direction(own))
        }
        measure.add(reference: other, own: own)
      }
    }
    vectors.append(measure)
  }

  /// The vector at length 1; one of zeros stays as it is.
  private static func direction(_ vector: [Float]) -> [Float] {
    let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    return length > 0 ? vector.map { Float(Double($0) / length) } : vector
  }

  /// The measures of everything, once all of it was taken in.
  ///
  /// - Parameter skipFirst: positions at each prompt's start that are left out of the figures.
  package func finish(skipFirst: Int = 0) throws(TinctureError) -> Measures {
    precondition(
      pack.description.vocabularySize == nil || place == (pack.prompts.count, 0),
      "logits end at \(place)")
    let counted = positions.filter { $0.position >= skipFirst }
    guard pack.description.vocabularySize == nil || !counted.isEmpty else {
      throw TinctureError(
        .init("verify.nothing", .usage), "no position is left to compare",
        expected: "prompts longer than the \(skipFirst) positions left out",
        advice: "give a smaller --skip-first")
    }
    for kind in VectorKind.allCases {
      let expected = Set(pack.index.vectors.filter { $0.kind == kind }.map(\.prompt)).count
      let found = vectors.filter { $0.kind == kind }.count
      // A GGUF file has no place for BERT's own pooler and for heads: what it lacks is told, not compared.
      if kind.isHead, found == 0, expected > 0 {
        unmatchedHeads.insert(kind)
        continue
      }
      guard found == expected else {
        throw TinctureError(
          .init("verify.shape", .invalidInput), "the model gives other \(kind.rawValue) rows",
          expected: "those of \(expected) prompts, as the pack has them", found: "\(found)")
      }
    }
    guard stages.count == pack.index.stages.count else {
      throw TinctureError(
        .init("verify.shape", .invalidInput), "the model has fewer stages than the pack",
        expected: "\(pack.index.stages.count)", found: "\(stages.count)")
    }
    return Measures(
      positions: counted, stages: stages, vectors: vectors, keptCount: pack.description.keptCount,
      isFull: pack.description.isFull,
      hasTails: tail != nil, tokenCount: pack.index.positionCount)
  }
}
