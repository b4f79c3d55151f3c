import TinctureContainers
import TinctureCore
import TinctureParity

/// Parity packs: the whole file, its index as JSON, and the frames behind their digests.
extension FuzzTarget {
  private static let about = PackDescription(
    producer: "fuzz", arithmetic: "exact", instructionSet: "scalar", modelName: "made up",
    architecture: "llama", storedTypes: ["F32"], modelDigest: nil, vocabularySize: 40,
    vocabularyDigest: nil, top: 12, stages: StageDescription(layerCount: 1, width: 4),
    weights: WeightSketchDescription())

  /// A small good pack with everything a decoder's pack can hold.
  private static func goodPack() throws(TinctureError) -> [UInt8] {
    let memory = MemoryBudget(limit: 1 << 26)
    let prompts = [
      PackPrompt(
        text: "ab", ids: [1, 2, 3], pieces: [[], Array("a".utf8), Array("b".utf8)])
    ]
    let recorder = try PackRecorder(
      about, prompts: prompts, writer: try PackWriter(memory: memory), threads: 1, memory: memory)
    var random = RandomSource(seed: 3)
    func rows(_ count: Int) -> [Float] {
      (0..<count).map { _ in Float(random.below(1000)) * 0.01 }
    }
    for stage in 0..<3 {
      let states = rows(3 * 4)
      let done = states.withUnsafeBufferPointer { buffer in
        Result { () throws(TinctureError) in
          try recorder.stage(stage, prompt: 0, states: buffer)
        }
      }
      try done.get()
    }
    let logits = rows(3 * 40)
    let done = logits.withUnsafeBufferPointer { buffer in
      Result { () throws(TinctureError) in try recorder.logits(prompt: 0, first: 0, rows: buffer) }
    }
    try done.get()
    let sketch = try WeightSketchDescription().sketch(width: 6)
    let weights = rows(5 * 6)
    let sketches = try weights.withUnsafeBufferPointer { buffer in
      Result { () throws(TinctureError) in try sketch.sketch(buffer, threads: 1) }
    }.get()
    // A block and a run of sixteen signs a row.
    try recorder.weights(
      "blk.0.attn_q.weight", first: 0, columns: 6,
      rows: WeightRows(
        sketches: sketches, parts: [120, 128, 0, 255, 131] + (0..<10).map { UInt8($0 * 25) }))
    try recorder.weights("blk.0.attn_norm.weight", whole: rows(4))
    guard let file = try recorder.finish() else { return [] }
    return try file.contents(limit: 1 << 20)
  }

  private static func seeds(_ make: ([UInt8]) throws(TinctureError) -> [UInt8]) -> [[UInt8]] {
    do throws(TinctureError) {
      return [try make(try goodPack())]
    } catch {
      // A seed that cannot be made is one that the parser refuses: the run says so.
      return [[]]
    }
  }

  private static func readAll(_ pack: ParityPack) throws(TinctureError) -> Int {
    for entry in pack.index.logits { _ = try pack.logits(entry) }
    for entry in pack.index.vectors { _ = try pack.vectors(entry) }
    for entry in pack.index.stages { _ = try pack.stage(entry) }
    for entry in pack.index.tails { _ = try pack.tails(entry) }
    for entry in pack.index.weights {
      if entry.isWhole {
        _ = try pack.wholeWeights(entry)
      } else {
        _ = try pack.weights(entry)
      }
    }
    return min(15, pack.index.logits.count)
  }

  static let pack = FuzzTarget(
    name: "pack", seeds: seeds { (bytes) throws(TinctureError) in bytes },
    // libzstd's own tables.
    fixedMemory: 1 << 19,
    run: { (bytes) throws(TinctureError) in
      try readAll(ParityPack(PackFile(InputFile(memory: bytes, name: "fuzz"))))
    })

  /// The index as JSON; what it says of frames is followed into a file of the same length.
  static let packIndex = FuzzTarget(
    name: "pack-index",
    seeds: seeds { (bytes) throws(TinctureError) in
      try PackFile(InputFile(memory: bytes, name: "fuzz")).index
    },
    words: [
      "\"prompt\":", "\"first\":", "\"rows\":", "\"columns\":", "\"kind\":\"hidden\"", "\"at\":24",
      "\"whole\":true", "\"run\":32,", "\"signs\":8", "\"weightSketch\":null",
      "\"tailSketch\":null", "\"holds\":",
      "\"tokenCount\":", "\"size\":", "\"top\":null", "\"stageSketch\":null", "null",
    ],
    fixedMemory: 1 << 19,
    run: { (bytes) throws(TinctureError) in
      let index = try PackIndex(bytes, file: "fuzz")
      // What is written again must read back as the same.
      let again = try PackIndex(index.serialized(), file: "fuzz")
      precondition(again.serialized() == index.serialized(), "an index changes when written")
      return min(15, index.logits.count + index.vectors.count)
    })

  /// A frame of logits as it comes out of zstd.
  static let packLogits = FuzzTarget(
    name: "pack-logits",
    seeds: seeds { (bytes) throws(TinctureError) in
      let file = try PackFile(InputFile(memory: bytes, name: "fuzz"))
      let index = try PackIndex(file.index, file: "fuzz")
      return try file.read(index.logits[0].frame, name: "logits")
    },
    run: { (bytes) throws(TinctureError) in
      let perRow = 44 + 12 * 8
      guard bytes.count % perRow == 0, !bytes.isEmpty else {
        throw TinctureError(.init("pack.value", .invalidInput), "no whole rows")
      }
      let rows = bytes.count / perRow
      let frame = try LogitFrame(bytes, rows: rows, about)
      precondition(frame.encoded(keptCount: 12) == bytes, "a frame changes when written")
      return min(15, rows)
    })
}
