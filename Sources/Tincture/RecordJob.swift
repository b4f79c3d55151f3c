import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureRuntime
import TinctureText

/// What is kept of what a model says, and how it is computed.
public struct RecordOptions: Sendable {
  /// How many logits of a row are kept; nil keeps all.
  public var top: Int?
  /// Whether sketches of the hidden states and of the weights are kept, so that `verify` can name a layer.
  public var withLayers: Bool
  /// Each prompt is cut to its first tokens.
  public var tokenLimit: Int?
  public var arithmetic: Arithmetic

  /// Logits kept when nothing else is said: about 16 KB a position.
  public static let defaultTop = 4096

  public init(
    top: Int? = RecordOptions.defaultTop, withLayers: Bool = false, tokenLimit: Int? = nil,
    arithmetic: Arithmetic = .exact
  ) {
    self.top = top
    self.withLayers = withLayers
    self.tokenLimit = tokenLimit
    self.arithmetic = arithmetic
  }
}

/// Records what a model says about prompts in a pack (formats/spec/parity-pack.md).
public struct RecordJob: Sendable {
  public let checkpoint: Checkpoint
  public let prompts: [Prompt]
  public let options: RecordOptions
  public let path: String
  let replaces: Bool
  let binding: BindingOptions
  /// Files beside the model's that must not be written over.
  let otherInputs: [String]
  let promptFile: PromptFile?

  /// - Parameters:
  ///   - path: the pack to write; it appears under this name only when it is whole.
  ///   - otherInputs: files that are read and must not be the output, such as that of the prompts.
  ///   - promptFile: the file that the prompts were read from, whose lines errors name.
  public init(
    _ checkpoint: Checkpoint, prompts: [Prompt], to path: String, replacing: Bool = false,
    options: RecordOptions = RecordOptions(), binding: BindingOptions = BindingOptions(),
    otherInputs: [String] = [], promptFile: PromptFile? = nil
  ) {
    self.checkpoint = checkpoint
    self.prompts = prompts
    self.path = path
    self.options = options
    self.binding = binding
    self.otherInputs = otherInputs
    self.promptFile = promptFile
    replaces = replacing
  }

  /// Runs the model and writes the pack.
  ///
  /// - Throws: `output.isInput`, `file.*`, `record.prompt`, `runtime.context`, `runtime.token`, `model.notFinite`, `memory.budget`, `run.interrupted`, and
  ///   what binding, tokenizing and running throw.
  /// - Complexity: one pass over the weights; memory: hidden states of all prompts, one layer, one chunk of logits.
  public func run(_ resources: Resources = Resources()) throws(TinctureError) -> RecordReport {
    let start = ContinuousClock.now
    let (model, packPrompts) = try prepare()
    let writer = try PackWriter(path: path, replacing: replaces)
    let digest = try model.digest(resources)
    let description = model.description(
      arithmetic: options.arithmetic, top: options.top, withLayers: options.withLayers,
      digest: digest, withWeights: options.withLayers)
    let recorder = try PackRecorder(
      description, prompts: packPrompts, writer: writer, threads: resources.threads,
      memory: resources.memory)
    try model.record(
      packPrompts, arithmetic: options.arithmetic, withLayers: options.withLayers, into: recorder,
      resources)
    if let about = description.weights {
      try WeightSketcher(model: model.bound, about: about, resources: resources)
        .record(into: recorder)
    }
    try resources.cancellation.check()
    try model.bound.source.checkUnchanged()
    _ = try recorder.finish()
    return report(
      model, packPrompts, digest: digest, byteCount: writer.byteCount, start: start, resources)
  }

  /// Makes every check that needs no writing and no computing.
  public func rehearse(_ resources: Resources = Resources()) throws(TinctureError) -> RecordReport {
    let start = ContinuousClock.now
    let (model, packPrompts) = try prepare()
    try OutputSet.check(parts: [(path, 0)], replacing: replaces)
    return report(model, packPrompts, digest: nil, byteCount: nil, start: start, resources)
  }

  private func prepare() throws(TinctureError) -> (ParityModel, [PackPrompt]) {
    let model = try ParityModel(checkpoint, binding: binding)
    try ParityOutputs.check([path], against: model, others: otherInputs)
    let packPrompts = try model.text.packPrompts(
      prompts, tokenLimit: options.tokenLimit, file: promptFile)
    return (model, packPrompts)
  }

  private func report(
    _ model: ParityModel, _ prompts: [PackPrompt], digest: String?, byteCount: UInt64?,
    start: ContinuousClock.Instant, _ resources: Resources
  ) -> RecordReport {
    RecordReport(
      source: checkpoint.path, architecture: model.bound.architecture, path: path,
      promptCount: prompts.count, tokenCount: prompts.reduce(0) { $0 + $1.ids.count },
      keptCount: model.runtime.isDecoder
        ? min(options.top ?? .max, model.runtime.vocabularySize) : nil,
      withLayers: options.withLayers, arithmetic: options.arithmetic, modelDigest: digest,
      byteCount: byteCount, notes: model.bound.notes + model.runtime.notes,
      threads: resources.threads, seconds: secondsSince(start),
      bufferByteCount: resources.memory.highWaterMark)
  }
}

/// What ``RecordJob`` did.
public struct RecordReport: Sendable {
  public let source: String
  public let architecture: String
  public let path: String
  public let promptCount: Int
  public let tokenCount: Int
  /// Logits kept of each row; nil for an encoder.
  public let keptCount: Int?
  public let withLayers: Bool
  public let arithmetic: Arithmetic
  /// SHA-256 of the weights; nil for a dry run.
  public let modelDigest: String?
  /// The pack's size; nil for a dry run.
  public let byteCount: UInt64?
  public let notes: [String]
  public let threads: Int
  public let seconds: Double
  /// Most bytes the memory budget held at one time.
  public let bufferByteCount: Int

  /// The report as members of a JSON object (formats/spec/report.md).
  package var json: [(String, JSONValue)] {
    var outputs: [JSONValue] = [.object([("path", .string(path)), ("byteCount", .null)])]
    if let byteCount {
      outputs = [.object([("path", .string(path)), ("byteCount", .uint(byteCount))])]
    }
    return [
      ("source", .string(source)), ("architecture", .string(architecture)),
      ("written", .bool(byteCount != nil)), ("outputs", .array(outputs)),
      ("promptCount", .int(promptCount)), ("tokenCount", .int(tokenCount)),
      ("kept", keptCount.map { .int($0) } ?? .null), ("layers", .bool(withLayers)),
      ("arithmetic", .string(arithmetic.rawValue)),
      ("instructionSet", InstructionSet.name.map { .string($0) } ?? .null),
      ("digest", modelDigest.map { .string($0) } ?? .null),
      ("notes", .array(notes.map { .string($0) })), ("threads", .int(threads)),
      ("seconds", .double(seconds)), ("bufferByteCount", .int(bufferByteCount)),
    ]
  }
}

/// Files that `record` and `verify` write.
enum ParityOutputs {
  /// - Throws: `output.isInput` when one of `paths` is a file of `model` or one of `others` under any name.
  static func check(
    _ paths: [String], against model: ParityModel, others: [String]
  ) throws(TinctureError) {
    var inputs = try model.checkpoint.inputs(of: model.bound)
    for path in others {
      if let identity = Folder.identity(path) { inputs.append((path, identity)) }
    }
    try check(paths, inputs: inputs)
  }

  /// - Throws: `output.isInput` when one of `paths`, or a name it has while it is written, is one of `inputs`.
  static func check(
    _ paths: [String], inputs: [(path: String, identity: FileIdentity)]
  ) throws(TinctureError) {
    for path in paths {
      for name in [path, path + ".partial", OutputFile.finishingPath(path)] {
        guard let identity = Folder.identity(name),
          let input = inputs.first(where: { $0.identity == identity })
        else { continue }
        throw isInput(name, input.path)
      }
    }
  }

  static func isInput(_ name: String, _ input: String) -> TinctureError {
    TinctureError(
      .init("output.isInput", .cannotWrite), "the output would be written over an input",
      place: .init(file: name), expected: "a file that is not read",
      found: "the same file as \(input)", advice: "give another output name")
  }
}
