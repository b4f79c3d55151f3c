import TinctureContainers
import TinctureCore

extension PackIndex {
  /// Reads and checks an index.
  ///
  /// Every list must be whole: the frames of logits cover every position once and in order, or there are none.
  /// - Throws: `pack.syntax` and the like of the JSON scanner, `pack.range`, `pack.order`, `pack.value`.
  package init(_ bytes: [UInt8], file: String) throws(TinctureError) {
    let json = try JSON.parse(bytes, file: file, code: "pack")
    let version = try json.member("schemaVersion")
    let number = try version.int()
    guard (PackIndex.oldestVersion...PackIndex.schemaVersion).contains(number) else {
      throw version.error(
        "schema", "not a version of the index that this build reads",
        expected: "\(PackIndex.oldestVersion) to \(PackIndex.schemaVersion)",
        found: version.shortText)
    }
    var known = [
      "schemaVersion", "producer", "arithmetic", "instructionSet", "model", "vocabulary",
      "settings", "top",
      "tailSketch", "stageSketch", "prompts", "tokens", "logits", "tails", "vectors", "stages",
      "weightSketch", "weights",
    ]
    if number > 1 { known.append("tokenizer") }
    for (key, _) in try json.object() {
      let name = try key.string()
      guard known.contains(name) else {
        throw key.error("unknownKey", "an index has no member \"\(name)\"")
      }
    }
    description = try PackIndex.description(json, version: number)
    var prompts: [Prompt] = []
    var positions = 0
    for node in try json.member("prompts").array() {
      let count = try PackIndex.count(node.member("tokenCount"), 1...PackIndex.tokenLimit)
      prompts.append(try PackIndex.prompt(node, tokenCount: count, version: number))
      positions += count
      guard prompts.count <= PackIndex.promptLimit, positions <= PackIndex.positionLimit else {
        throw node.error(
          "range", "too many prompts or tokens",
          expected:
            "\(PackIndex.promptLimit) prompts, \(PackIndex.positionLimit) tokens at most")
      }
    }
    guard !prompts.isEmpty else { throw json.error("value", "the pack has no prompts") }
    self.prompts = prompts
    tokens = try PackIndex.frame(json.member("tokens"))
    try readLogits(json.member("logits"))
    if let list = json.present("tails") { try readTails(list) }
    guard description.tail == nil || !tails.isEmpty else {
      throw json.error("value", "there is a tailSketch but no tails")
    }
    try readVectors(json.member("vectors"))
    try readStages(json.member("stages"))
    if let list = json.present("weights") { try readWeights(list) }
  }

  private static func prompt(
    _ node: JSON, tokenCount: Int, version: Int
  ) throws(TinctureError) -> Prompt {
    var prompt = Prompt(
      text: try node.present("text")?.string(), form: nil, isCut: false, tokenCount: tokenCount)
    guard version > 1 else { return prompt }
    prompt.isCut = try node.member("cut").bool()
    if let form = node.present("form") {
      prompt.form = PromptForm(rawValue: try form.string())
      guard prompt.form != nil, prompt.text != nil else {
        throw form.error(
          "value", "not a way in which a text becomes tokens",
          expected: PromptForm.allCases.map(\.rawValue).joined(separator: ", ") + ", beside a text",
          found: form.shortText)
      }
    }
    return prompt
  }

  private static func description(
    _ json: JSON, version: Int
  ) throws(TinctureError) -> PackDescription {
    let model = try json.member("model")
    let vocabulary = try json.member("vocabulary")
    var types: [String] = []
    for node in try model.member("types").array() { types.append(try node.string()) }
    var size: Int?
    if let node = vocabulary.present("size") { size = try count(node, 1...vocabularyLimit) }
    var top: Int?
    if let node = json.present("top") { top = try count(node, 1...vocabularyLimit) }
    var stages: StageDescription?
    if let node = json.present("stageSketch") {
      stages = StageDescription(
        layerCount: try count(node.member("layers"), 1...4096),
        width: try count(node.member("width"), 1...widthLimit),
        projectionCount: try count(node.member("projections"), 1...256),
        seed: try node.member("seed").uint64())
    }
    var tail: TailDescription?
    if let node = json.present("tailSketch") {
      let buckets = try node.member("buckets")
      tail = TailDescription(
        bucketCount: try count(buckets, 8...1 << 16), seed: try node.member("seed").uint64())
      guard try buckets.int() % 8 == 0 else {
        throw buckets.error("range", "the number of buckets is no multiple of 8")
      }
    }
    var weights: WeightSketchDescription?
    if let node = json.present("weightSketch") {
      weights = WeightSketchDescription(
        projectionCount: try count(node.member("projections"), 1...256),
        seed: try node.member("seed").uint64(),
        runs: version > 2 ? try runs(node) : nil)
    }
    var settings: [(name: String, value: String)] = []
    if let node = json.present("settings") {
      for (name, value) in try node.object() {
        settings.append((try name.string(), try value.string()))
      }
    }
    return PackDescription(
      producer: try json.member("producer").string(),
      arithmetic: try json.member("arithmetic").string(),
      instructionSet: try json.present("instructionSet")?.string(),
      modelName: try model.member("name").string(),
      architecture: try model.member("architecture").string(), storedTypes: types,
      modelDigest: try digestText(model.present("digest")), vocabularySize: size,
      vocabularyDigest: try digestText(vocabulary.present("digest")), top: top, stages: stages,
      tail: tail, tokenizer: try json.present("tokenizer").map(TokenizerFacts.init(_:)),
      settings: settings, weights: weights)
  }

  /// Version 3 may keep something of the parts of rows.
  private static func runs(_ node: JSON) throws(TinctureError) -> RunSketchDescription? {
    guard node.present("run") != nil || node.present("signs") != nil else { return nil }
    func multiple(_ name: String, of unit: Int, _ range: ClosedRange<Int>) throws(TinctureError)
      -> Int
    {
      let member = try node.member(name)
      let value = try count(member, range)
      guard value % unit == 0 else {
        throw member.error(
          "range", "the number is no multiple of \(unit)", expected: "a multiple of \(unit)",
          found: "\(value)")
      }
      return value
    }
    return RunSketchDescription(
      length: try multiple(
        "run", of: RunSketchDescription.blockLength, RunSketchDescription.blockLength...4096),
      signCount: try multiple("signs", of: 8, 8...64))
  }

  private mutating func readLogits(_ list: JSON) throws(TinctureError) {
    var next = (prompt: 0, first: 0)
    for node in try list.array() {
      guard description.vocabularySize != nil else {
        throw node.error("value", "there are logits but no vocabulary")
      }
      let entry = LogitFrameEntry(
        prompt: try PackIndex.count(node.member("prompt"), 0...prompts.count - 1),
        first: try PackIndex.count(node.member("first"), 0...PackIndex.tokenLimit),
        rowCount: try PackIndex.count(node.member("rows"), 1...PackIndex.tokenLimit),
        frame: try PackIndex.frame(node))
      let length = prompts[entry.prompt].tokenCount
      guard entry.prompt == next.prompt, entry.first == next.first,
        entry.rowCount <= length - entry.first
      else {
        throw node.error(
          "order", "the rows do not follow each other",
          expected: "prompt \(next.prompt) from position \(next.first)")
      }
      let wanted = LogitFrame.byteCount(rows: entry.rowCount, description)
      guard entry.frame.contentByteCount == wanted else {
        throw node.error(
          "value", "the frame holds another number of bytes than its rows need",
          expected: wanted.map { "\($0)" } ?? "fewer rows",
          found: "\(entry.frame.contentByteCount)")
      }
      logits.append(entry)
      let end = entry.first + entry.rowCount
      next = end == length ? (entry.prompt + 1, 0) : (entry.prompt, end)
    }
    guard logits.isEmpty || next.prompt == prompts.count else {
      throw list.error("order", "rows are missing", expected: "rows of prompt \(next.prompt)")
    }
    guard !logits.isEmpty || description.vocabularySize == nil else {
      throw list.error("value", "there is a vocabulary but no logits")
    }
  }

  /// Each goes with the frame of logits of the same place in the list.
  private mutating func readTails(_ list: JSON) throws(TinctureError) {
    for node in try list.array() {
      guard let about = description.tail else {
        throw node.error("value", "there are tails but no tailSketch, or nothing was left out")
      }
      let entry = TailFrameEntry(
        prompt: try PackIndex.count(node.member("prompt"), 0...prompts.count - 1),
        first: try PackIndex.count(node.member("first"), 0...PackIndex.tokenLimit),
        rowCount: try PackIndex.count(node.member("rows"), 1...PackIndex.tokenLimit),
        frame: try PackIndex.frame(node))
      guard tails.count < logits.count, logits[tails.count].prompt == entry.prompt,
        logits[tails.count].first == entry.first, logits[tails.count].rowCount == entry.rowCount
      else {
        throw node.error("order", "the tails do not go with the logits")
      }
      // No more rows than the frame of logits holds: the product is small.
      let wanted = TailSketch.byteCount(rows: entry.rowCount, about)
      guard entry.frame.contentByteCount == wanted else {
        throw node.error(
          "value", "the frame holds another number of bytes than its rows need",
          expected: "\(wanted)", found: "\(entry.frame.contentByteCount)")
      }
      tails.append(entry)
    }
    guard tails.count == logits.count || tails.isEmpty else {
      throw list.error("order", "tails are missing", expected: "\(logits.count) frames")
    }
  }

  private mutating func readVectors(_ list: JSON) throws(TinctureError) {
    for node in try list.array() {
      let kindNode = try node.member("kind")
      guard let kind = VectorKind(rawValue: try kindNode.string()) else {
        throw kindNode.error(
          "value", "not a kind of vectors",
          expected: VectorKind.allCases.map(\.rawValue).joined(separator: ", "),
          found: kindNode.shortText)
      }
      let entry = VectorFrameEntry(
        kind: kind, prompt: try PackIndex.count(node.member("prompt"), 0...prompts.count - 1),
        first: try PackIndex.count(node.member("first"), 0...PackIndex.tokenLimit),
        rowCount: try PackIndex.count(node.member("rows"), 1...PackIndex.tokenLimit),
        columnCount: try PackIndex.count(
          node.member("columns"), 1...PackIndex.vocabularyLimit),
        frame: try PackIndex.frame(node))
      let (cells, overflow) = entry.rowCount.multipliedReportingOverflow(by: entry.columnCount)
      guard !overflow, cells <= PackLayout.largestContent / 4,
        entry.frame.contentByteCount == 4 * cells,
        entry.first <= prompts[entry.prompt].tokenCount,
        entry.rowCount <= prompts[entry.prompt].tokenCount - entry.first
      else {
        throw node.error(
          "value", "the frame's size and its rows and columns disagree",
          found: "\(entry.frame.contentByteCount) bytes")
      }
      vectors.append(entry)
    }
  }

  private mutating func readStages(_ list: JSON) throws(TinctureError) {
    for node in try list.array() {
      guard let about = description.stages else {
        throw node.error("value", "there are stages but no stageSketch")
      }
      let stage = try PackIndex.count(node.member("stage"), 0...about.layerCount + 1)
      let frame = try PackIndex.frame(node)
      guard stage == stages.count else {
        throw node.error(
          "order", "the stages do not follow each other", expected: "\(stages.count)")
      }
      let wanted = StageSketch.byteCount(positions: positionCount, about)
      guard frame.contentByteCount == wanted else {
        throw node.error(
          "value", "the frame holds another number of bytes than its positions need",
          expected: "\(wanted)", found: "\(frame.contentByteCount)")
      }
      stages.append(StageFrameEntry(stage: stage, frame: frame))
    }
    guard let about = description.stages else { return }
    guard stages.count > about.layerCount else {
      throw list.error("order", "stages are missing", expected: "stage \(stages.count)")
    }
  }

  private mutating func readWeights(_ list: JSON) throws(TinctureError) {
    for node in try list.array() {
      guard let about = description.weights else {
        throw node.error("value", "there are weights but no weightSketch")
      }
      let entry = WeightFrameEntry(
        tensor: try node.member("tensor").string(),
        first: try PackIndex.count(node.member("first"), 0...PackIndex.weightRowLimit),
        rowCount: try PackIndex.count(node.member("rows"), 1...WeightFrame.rowLimit),
        columnCount: try PackIndex.count(node.member("columns"), 1...PackIndex.vocabularyLimit),
        isWhole: try node.present("whole")?.bool() ?? false, frame: try PackIndex.frame(node))
      guard !entry.isWhole || entry.first == 0 && entry.rowCount == 1 else {
        throw node.error("value", "a tensor that is kept whole has one row")
      }
      // A tensor's rows follow each other.
      let before = weights.last.flatMap { $0.tensor == entry.tensor ? $0 : nil }
      guard entry.first == before.map({ $0.first + $0.rowCount }) ?? 0,
        entry.columnCount == before?.columnCount ?? entry.columnCount, before?.isWhole != true
      else { throw node.error("order", "the rows of a tensor do not follow each other") }
      let wanted = entry.contentByteCount(about)
      guard entry.frame.contentByteCount == wanted else {
        throw node.error(
          "value", "the frame holds another number of bytes than its rows need",
          expected: "\(wanted)", found: "\(entry.frame.contentByteCount)")
      }
      weights.append(entry)
    }
  }

  private static func count(_ node: JSON, _ range: ClosedRange<Int>) throws(TinctureError) -> Int {
    let value = try node.int()
    guard range.contains(value) else {
      throw node.error(
        "range", "the number is out of range",
        expected: "\(range.lowerBound) to \(range.upperBound)", found: "\(value)")
    }
    return value
  }

  private static func frame(_ node: JSON) throws(TinctureError) -> PackFrame {
    PackFrame(
      byteOffset: try node.member("at").uint64(),
      byteCount: try count(node.member("bytes"), 1...PackLayout.largestContent * 2),
      contentByteCount: try count(node.member("holds"), 0...PackLayout.largestContent),
      digest: try digest(node.member("sha256")))
  }

  private static func digest(_ node: JSON) throws(TinctureError) -> [UInt8] {
    guard let bytes = Hexadecimal.bytes(try node.string()), bytes.count == 32 else {
      throw node.error("value", "not a SHA-256", expected: "64 digits of 0-9 a-f")
    }
    return bytes
  }

  private static func digestText(_ node: JSON?) throws(TinctureError) -> String? {
    guard let node else { return nil }
    return Hexadecimal.text(try digest(node))
  }
}
