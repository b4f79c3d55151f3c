import TinctureContainers
import TinctureCore

/// The index of a pack: its description, its prompts' lengths and texts, and where each frame stands.
package struct PackIndex: Sendable {
  /// A prompt without its ids.
  package struct Prompt: Sendable {
    package var text: String?
    package var form: PromptForm?
    package var isCut: Bool
    package var tokenCount: Int

    init(_ prompt: PackPrompt) {
      text = prompt.text
      form = prompt.form
      isCut = prompt.isCut
      tokenCount = prompt.ids.count
    }

    init(text: String?, form: PromptForm?, isCut: Bool, tokenCount: Int) {
      self.text = text
      self.form = form
      self.isCut = isCut
      self.tokenCount = tokenCount
    }
  }

  static let schemaVersion = 3
  /// Version 1 says nothing about the tokenizer, nor how texts became ids, and keeps nothing of the logits that are not
  /// kept. Version 2 keeps nothing of the parts of a row of weights.
  static let oldestVersion = 1
  static let promptLimit = 1 << 20
  static let tokenLimit = 1 << 22
  static let positionLimit = 1 << 26
  static let vocabularyLimit = 1 << 24
  static let widthLimit = 1 << 20
  static let weightRowLimit = 1 << 40

  package var description: PackDescription
  package var prompts: [Prompt]
  package var tokens: PackFrame
  package var logits: [LogitFrameEntry] = []
  /// One for each of ``logits``, or none.
  package var tails: [TailFrameEntry] = []
  package var vectors: [VectorFrameEntry] = []
  package var stages: [StageFrameEntry] = []
  package var weights: [WeightFrameEntry] = []

  /// Tokens of all prompts.
  package var positionCount: Int { prompts.reduce(0) { $0 + $1.tokenCount } }

  package func serialized() -> [UInt8] {
    func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
    func int(_ value: Int?) -> JSONValue { value.map { .int($0) } ?? .null }
    let about = description
    var stageDescription = JSONValue.null
    if let stages = about.stages {
      stageDescription = .object([
        ("layers", .int(stages.layerCount)), ("width", .int(stages.width)),
        ("projections", .int(stages.projectionCount)), ("seed", .uint(stages.seed)),
      ])
    }
    let json = JSONValue.object([
      ("schemaVersion", .int(PackIndex.schemaVersion)),
      ("producer", .string(about.producer)),
      ("arithmetic", .string(about.arithmetic)),
      ("instructionSet", text(about.instructionSet)),
      (
        "model",
        .object([
          ("name", .string(about.modelName)), ("architecture", .string(about.architecture)),
          ("types", .array(about.storedTypes.map { .string($0) })),
          ("digest", text(about.modelDigest)),
        ])
      ),
      (
        "vocabulary",
        .object([
          ("size", int(about.vocabularySize)), ("digest", text(about.vocabularyDigest)),
        ])
      ),
      (
        "settings",
        about.settings.isEmpty
          ? .null : .object(about.settings.map { ($0.name, .string($0.value)) })
      ),
      ("tokenizer", about.tokenizer?.json ?? .null),
      ("top", int(about.top)),
      (
        "tailSketch",
        about.tail.map {
          .object([("buckets", .int($0.bucketCount)), ("seed", .uint($0.seed))])
        } ?? .null
      ),
      ("stageSketch", stageDescription),
      (
        "weightSketch",
        about.weights.map {
          .object(
            [("projections", .int($0.projectionCount)), ("seed", .uint($0.seed))]
              + ($0.runs.map { [("run", .int($0.length)), ("signs", .int($0.signCount))] } ?? []))
        } ?? .null
      ),
      (
        "prompts",
        .array(
          prompts.map {
            .object([
              ("text", text($0.text)), ("form", text($0.form?.rawValue)), ("cut", .bool($0.isCut)),
              ("tokenCount", .int($0.tokenCount)),
            ])
          })
      ),
      ("tokens", .object(PackIndex.members(tokens))),
      (
        "logits",
        .array(
          logits.map {
            .object(
              [
                ("prompt", .int($0.prompt)), ("first", .int($0.first)),
                ("rows", .int($0.rowCount)),
              ] + PackIndex.members($0.frame))
          })
      ),
      (
        "tails",
        .array(
          tails.map {
            .object(
              [
                ("prompt", .int($0.prompt)), ("first", .int($0.first)),
                ("rows", .int($0.rowCount)),
              ] + PackIndex.members($0.frame))
          })
      ),
      (
        "vectors",
        .array(
          vectors.map {
            .object(
              [
                ("kind", .string($0.kind.rawValue)), ("prompt", .int($0.prompt)),
                ("first", .int($0.first)), ("rows", .int($0.rowCount)),
                ("columns", .int($0.columnCount)),
              ] + PackIndex.members($0.frame))
          })
      ),
      (
        "stages",
        .array(
          stages.map { .object([("stage", .int($0.stage))] + PackIndex.members($0.frame)) })
      ),
      (
        "weights",
        .array(
          weights.map {
            .object(
              [
                ("tensor", .string($0.tensor)), ("first", .int($0.first)),
                ("rows", .int($0.rowCount)), ("columns", .int($0.columnCount)),
              ] + ($0.isWhole ? [("whole", .bool(true))] : []) + PackIndex.members($0.frame))
          })
      ),
    ])
    return json.serialized(pretty: false)
  }

  private static func members(_ frame: PackFrame) -> [(String, JSONValue)] {
    [
      ("at", .uint(frame.byteOffset)), ("bytes", .int(frame.byteCount)),
      ("holds", .int(frame.contentByteCount)), ("sha256", .string(Hexadecimal.text(frame.digest))),
    ]
  }
}
