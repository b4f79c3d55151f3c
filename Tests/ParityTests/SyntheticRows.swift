import Testing
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureTestSupport

/// A model of made-up rows: the same seed gives the same rows, `noise` moves them.
struct SyntheticRows {
  var vocabulary = 3000
  var width = 24
  var layerCount = 3
  var lengths = [7, 40, 1]
  var seed: UInt64 = 1
  var noise: Float = 0
  /// What is added to every logit.
  var shift: Float = 0
  /// The entries below the so many greatest of each row change places.
  var shuffledBelow: Int?
  /// A position of prompt 0 with a logit that is no number.
  var brokenPosition: Int?
  /// A layer from which on hidden states are another's.
  var brokenLayer: Int?

  var prompts: [PackPrompt] {
    var random = SeededRandom(seed: seed)
    return lengths.map { length in
      let ids = (0..<length).map { _ in Int32(random.next() % UInt64(vocabulary)) }
      return PackPrompt(text: nil, ids: ids, pieces: ids.map { Array("t\($0) ".utf8) })
    }
  }

  func description(top: Int?, layers: Bool = false, kind: Bool = true) -> PackDescription {
    PackDescription(
      producer: "test", arithmetic: "exact", instructionSet: nil, modelName: "made up",
      architecture: "llama", storedTypes: ["F32"], modelDigest: nil,
      vocabularySize: kind ? vocabulary : nil, vocabularyDigest: nil, top: top,
      stages: layers ? StageDescription(layerCount: layerCount, width: width) : nil,
      weights: layers ? WeightSketchDescription() : nil)
  }

  /// Logits of a prompt: `length × vocabulary`, near to a normal distribution of deviation 4.
  func logits(_ prompt: Int) -> [Float] {
    var random = SeededRandom(seed: seed &* 1000 &+ UInt64(prompt))
    var other = SeededRandom(seed: seed &* 77 &+ UInt64(prompt) &+ 5)
    var rows = (0..<lengths[prompt] * vocabulary).map { _ in
      let value = random.normal() * 4
      return (noise == 0 ? value : value + noise * other.normal()) + shift
    }
    if let shuffledBelow {
      for row in 0..<lengths[prompt] {
        let at = row * vocabulary
        let order = (0..<vocabulary).sorted { rows[at + $0] > rows[at + $1] }
        let tail = order[shuffledBelow...].sorted()
        let values = tail.map { rows[at + $0] }
        for (slot, id) in tail.enumerated() {
          rows[at + id] = values[(slot + 7) % values.count]
        }
      }
    }
    if prompt == 0, let brokenPosition { rows[brokenPosition * vocabulary + 77] = .nan }
    return rows
  }

  func states(_ stage: Int, _ prompt: Int) -> [Float] {
    var random = SeededRandom(seed: seed &* 31 &+ UInt64(stage * 100 + prompt))
    var other = SeededRandom(seed: 999)
    let isBroken = brokenLayer.map { stage > $0 } ?? false
    return (0..<lengths[prompt] * width).map { _ in
      random.normal() + (isBroken ? other.normal() : noise * 0.01 * other.normal())
    }
  }

  /// Feeds rows in pieces of `chunk` rows.
  func feed(
    chunk: Int, layers: Bool,
    stage: (Int, Int, UnsafeBufferPointer<Float>) throws(TinctureError) -> Void,
    rows: (Int, Int, UnsafeBufferPointer<Float>) throws(TinctureError) -> Void
  ) throws {
    if layers {
      for number in 0...layerCount + 1 {
        for prompt in lengths.indices {
          try states(number, prompt).withUnsafeBufferPointer { try stage(number, prompt, $0) }
        }
      }
    }
    for (prompt, length) in lengths.enumerated() {
      let logits = logits(prompt)
      for first in stride(from: 0, to: length, by: chunk) {
        let end = min(length, first + chunk)
        try logits[first * vocabulary..<end * vocabulary].withUnsafeBufferPointer {
          try rows(prompt, first, $0)
        }
      }
    }
  }

  /// A pack of the rows, in memory.
  func pack(
    top: Int?, layers: Bool = false, chunk: Int = 5, threads: Int = 2
  ) throws -> (pack: ParityPack, bytes: [UInt8]) {
    let memory = MemoryBudget(limit: 1 << 30)
    let recorder = try PackRecorder(
      description(top: top, layers: layers), prompts: prompts,
      writer: try PackWriter(memory: memory), threads: threads, memory: memory)
    try feed(
      chunk: chunk, layers: layers,
      stage: { (stage, prompt, states) throws(TinctureError) in
        try recorder.stage(stage, prompt: prompt, states: states)
      },
      rows: { (prompt, first, rows) throws(TinctureError) in
        try recorder.logits(prompt: prompt, first: first, rows: rows)
      })
    if layers {
      let about = WeightSketchDescription()
      for first in [0, 2] {
        // One block and one run a row.
        try recorder.weights(
          "blk.0.attn_q.weight", first: first, columns: 5,
          rows: WeightRows(
            sketches: (0..<2 * (about.projectionCount + 1)).map { Float($0) / 8 },
            parts: [128, 0, 1, 2, 3, 4]))
      }
      try recorder.weights("blk.0.attn_norm.weight", whole: [1, 2.5, -3])
    }
    let file = try #require(try recorder.finish())
    let bytes = try file.contents(limit: 1 << 28)
    return (try ParityPack(try PackFile(file)), bytes)
  }

  /// These rows held against `pack`.
  func measures(
    against pack: ParityPack, layers: Bool = false, chunk: Int = 3, threads: Int = 2,
    skipFirst: Int = 0
  ) throws -> Measures {
    let comparison = try Comparison(
      pack, threads: threads, memory: MemoryBudget(limit: 1 << 30))
    try feed(
      chunk: chunk, layers: layers,
      stage: { (stage, prompt, states) throws(TinctureError) in
        try comparison.stage(stage, prompt: prompt, states: states)
      },
      rows: { (prompt, first, rows) throws(TinctureError) in
        try comparison.logits(prompt: prompt, first: first, rows: rows)
      })
    return try comparison.finish(skipFirst: skipFirst)
  }
}
