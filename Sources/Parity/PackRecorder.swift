import TinctureContainers
import TinctureCore

/// Puts what a model computes into a pack, as it comes: rows of logits and vectors prompt by prompt with ascending
/// positions, hidden states stage by stage.
///
/// Holds one frame of rows, and one stage's sketches. Used from one thread; the work on rows is shared out.
package final class PackRecorder {
  private let writer: PackWriter
  private let kernels: LogitKernels
  private let sketch: StageSketch?
  private let tail: TailSketch?
  /// Positions of the prompts before each.
  private let starts: [Int]
  private let threads: Int
  private let memory: MemoryBudget
  private var index: PackIndex
  private let prompts: [PackPrompt]
  private var pending = LogitFrame()
  private var pendingTails: [Float] = []
  private var pendingFirst = 0
  private var logitsPlace = (prompt: 0, position: 0)
  private var states: [Float] = []
  private var stagePlace = (stage: 0, prompt: 0)

  /// - Throws: what writing the prompts' frame throws.
  package init(
    _ description: PackDescription, prompts: [PackPrompt], writer: PackWriter, threads: Int,
    memory: MemoryBudget
  ) throws(TinctureError) {
    self.writer = writer
    self.threads = threads
    self.memory = memory
    self.prompts = prompts
    kernels = try LogitKernels()
    sketch =
      if let stages = description.stages { try StageSketch(stages) } else { nil }
    tail =
      if let about = description.tail, let length = description.vocabularySize {
        TailSketch(about, rowLength: length, kernels: kernels)
      } else { nil }
    starts = prompts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.ids.count) }
    let positions = prompts.reduce(0) { $0 + $1.ids.count }
    if let stages = description.stages,
      StageSketch.byteCount(positions: positions, stages) > PackLayout.largestContent
    {
      throw TinctureError(
        .init("pack.tooLarge", .limit), "too many positions for a pack with layers",
        expected: "\(PackLayout.largestContent / 4 / StageSketch.numbers(stages)) at most",
        found: "\(positions)", advice: "record fewer tokens, or leave --layers out")
    }
    let tokens = try writer.append(TokenFrame.encoded(prompts))
    index = PackIndex(
      description: description,
      prompts: prompts.map { PackIndex.Prompt($0) },
      tokens: tokens)
  }

  /// Takes in rows of logits of `prompt` from position `first` on.
  ///
  /// - Throws: `model.notFinite` with prompt and position; what writing throws.
  package func logits(prompt: Int, first: Int, rows: UnsafeBufferPointer<Float>)
    throws(TinctureError)
  {
    let about = index.description
    guard let length = about.vocabularySize, rows.count % length == 0, prompt < prompts.count,
      logitsPlace == (prompt, first), first + rows.count / length <= prompts[prompt].ids.count
    else {
      preconditionFailure("\(rows.count) logits of prompt \(prompt) from \(first)")
    }
    let rowCount = rows.count / length
    let scratchBytes = threads * LogitKernels.Scratch.byteCount(rowLength: length)
    try memory.lease(scratchBytes, for: "choosing logits")
    defer { memory.giveBack(scratchBytes) }
    try Allocation.check(scratchBytes, for: "choosing logits")
    var done = 0
    while done < rowCount {
      if pending.summaries.isEmpty { pendingFirst = first + done }
      let room = LogitFrame.rowLimit(about) - pending.summaries.count
      let count = min(room, rowCount - done)
      let part = UnsafeBufferPointer(rebasing: rows[done * length..<(done + count) * length])
      try summarize(part, prompt: prompt, first: first + done, length: length)
      done += count
      logitsPlace.position += count
      let isEnd = logitsPlace.position == prompts[prompt].ids.count
      if isEnd || pending.summaries.count == LogitFrame.rowLimit(about) { try flush(prompt) }
      if isEnd { logitsPlace = (prompt + 1, 0) }
    }
  }

  private func summarize(
    _ rows: UnsafeBufferPointer<Float>, prompt: Int, first: Int, length: Int
  ) throws(TinctureError) {
    let about = index.description
    let kept = about.keptCount
    let count = rows.count / length
    let ids = prompts[prompt].ids
    let input = Unchecked(rows)
    let kernels = kernels
    let tail = tail
    let tailNumbers = about.tail.map(TailSketch.numbers) ?? 0
    let start = starts[prompt] + first
    let empty = LogitSummary(
      normalizer: 0, restMass: 0, restMean: 0, mean: 0, variance: 0, next: 0)
    var summaries = [LogitSummary](repeating: empty, count: count)
    var keptIDs = [UInt32](repeating: 0, count: about.isFull ? 0 : count * kept)
    var values = [Float](repeating: 0, count: count * kept)
    var tails = [Float](repeating: 0, count: count * tailNumbers)
    try withOutput(&summaries) { (summaries) throws(TinctureError) in
      try withOutput(&keptIDs) { (keptIDs) throws(TinctureError) in
        try withOutput(&values) { (values) throws(TinctureError) in
          try withOutput(&tails) { (tails) throws(TinctureError) in
            try Parallel.forEachChunk(of: count, chunk: 4, threads: threads) {
              (range) throws(TinctureError) in
              let scratch = LogitKernels.Scratch(rowLength: length)
              for index in range {
                let row = UnsafeBufferPointer(
                  rebasing: input.value[index * length..<(index + 1) * length])
                try PackRecorder.check(row, kernels, prompt: prompt, position: first + index)
                let out = UnsafeMutableBufferPointer(
                  rebasing: values.value[index * kept..<(index + 1) * kept])
                var chosen = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
                if about.isFull {
                  _ = out.update(from: row)
                } else {
                  let target = UnsafeMutableBufferPointer(
                    rebasing: keptIDs.value[index * kept..<(index + 1) * kept])
                  kernels.greatest(row, into: target, scratch: scratch)
                  chosen = UnsafeBufferPointer(target)
                  for (slot, id) in chosen.enumerated() { out[slot] = row[Int(id)] }
                }
                let made = RowSummary.make(row, chosen, kernels, scratch)
                var summary = made.summary
                tail?.sketch(
                  row, kept: chosen, position: start + index, normalizer: summary.normalizer,
                  top: made.top, scratch: scratch,
                  into: UnsafeMutableBufferPointer(
                    rebasing: tails.value[index * tailNumbers..<(index + 1) * tailNumbers]))
                if first + index + 1 < ids.count { summary.next = row[Int(ids[first + index + 1])] }
                summaries.value[index] = summary
              }
            }
          }
        }
      }
    }
    pending.summaries += summaries
    pending.ids += keptIDs
    pending.values += values
    pendingTails += tails
  }

  static func check(
    _ row: UnsafeBufferPointer<Float>, _ kernels: LogitKernels, prompt: Int, position: Int
  ) throws(TinctureError) {
    if let bad = kernels.firstNonFinite(row) {
      throw TinctureError(
        .init("model.notFinite", .invalidInput), "the model computes a logit that is no number",
        found: "\(row[bad]) for token \(bad) at position \(position) of prompt \(prompt)",
        advice: "its weights overflow or are damaged; see 'tincture inspect'")
    }
  }

  private func flush(_ prompt: Int) throws(TinctureError) {
    let frame = try writer.append(pending.encoded(keptCount: index.description.keptCount))
    index.logits.append(
      LogitFrameEntry(
        prompt: prompt, first: pendingFirst, rowCount: pending.summaries.count, frame: frame))
    if !pendingTails.isEmpty {
      var bytes: [UInt8] = []
      BytePlanes.append(pendingTails.map(\.bitPattern), to: &bytes)
      index.tails.append(
        TailFrameEntry(
          prompt: prompt, first: pendingFirst, rowCount: pending.summaries.count,
          frame: try writer.append(bytes)))
      pendingTails.removeAll(keepingCapacity: true)
    }
    pending = LogitFrame()
  }

  /// Takes in the hidden states of all tokens of `prompt` at `stage`; every stage takes every prompt in order.
  package func stage(_ stage: Int, prompt: Int, states rows: UnsafeBufferPointer<Float>)
    throws(TinctureError)
  {
    guard let sketch, stagePlace == (stage, prompt),
      rows.count == prompts[prompt].ids.count * sketch.about.width
    else { preconditionFailure("stage \(stage) of prompt \(prompt), \(rows.count) numbers") }
    states += try sketch.sketch(rows, threads: threads)
    stagePlace.prompt += 1
    guard stagePlace.prompt == prompts.count else { return }
    var bytes: [UInt8] = []
    BytePlanes.append(states.map(\.bitPattern), to: &bytes)
    index.stages.append(StageFrameEntry(stage: stage, frame: try writer.append(bytes)))
    states.removeAll(keepingCapacity: true)
    stagePlace = (stage + 1, 0)
  }

  /// Takes in what is kept of some rows of a tensor's weights, in order; at most
  /// ``WeightSketchDescription/rowLimit(columns:)`` at a time.
  package func weights(_ tensor: String, first: Int, columns: Int, rows: WeightRows)
    throws(TinctureError)
  {
    guard let about = index.description.weights else {
      preconditionFailure("no weights were announced")
    }
    let count = rows.sketches.count / (about.projectionCount + 1)
    precondition(
      rows.parts.count == count * (about.runs?.byteCount(columns: columns) ?? 0),
      "\(rows.parts.count) bytes of the parts of \(count) rows")
    let bytes = WeightFrame.encoded(rows.sketches, about, kernels) + rows.parts
    index.weights.append(
      WeightFrameEntry(
        tensor: tensor, first: first, rowCount: count, columnCount: columns, isWhole: false,
        frame: try writer.append(bytes)))
  }

  /// Takes in all weights of a tensor of one row.
  package func weights(_ tensor: String, whole values: [Float]) throws(TinctureError) {
    precondition(index.description.weights != nil, "no weights were announced")
    var bytes: [UInt8] = []
    BytePlanes.append(values.map(\.bitPattern), to: &bytes)
    index.weights.append(
      WeightFrameEntry(
        tensor: tensor, first: 0, rowCount: 1, columnCount: values.count, isWhole: true,
        frame: try writer.append(bytes)))
  }

  /// Takes in an encoder's rows: `columns` numbers each.
  package func vectors(
    _ kind: VectorKind, prompt: Int, columns: Int, rows: UnsafeBufferPointer<Float>
  ) throws(TinctureError) {
    precondition(columns > 0 && rows.count % columns == 0, "\(rows.count) numbers")
    let limit = max(1, (PackLayout.largestContent / 4) / (4 * columns))
    let count = rows.count / columns
    for first in stride(from: 0, to: count, by: limit) {
      let end = min(count, first + limit)
      var bytes: [UInt8] = []
      BytePlanes.append(rows[first * columns..<end * columns].map(\.bitPattern), to: &bytes)
      index.vectors.append(
        VectorFrameEntry(
          kind: kind, prompt: prompt, first: first, rowCount: end - first, columnCount: columns,
          frame: try writer.append(bytes)))
    }
  }

  /// Ends the pack. Returns it opened when it stays in memory.
  package func finish() throws(TinctureError) -> InputFile? {
    precondition(
      index.description.vocabularySize == nil || logitsPlace == (prompts.count, 0),
      "logits end at \(logitsPlace)")
    precondition(
      index.description.stages.map { index.stages.count > $0.layerCount } ?? true,
      "\(index.stages.count) stages")
    return try writer.finish(index: index.serialized())
  }
}
