import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureRuntime
import TinctureText

/// Holds a model against a pack, or against another model that is recorded in memory first.
public struct VerifyJob: Sendable {
  /// What the model is held against.
  public enum Reference: Sendable {
    /// A pack at this path.
    case pack(String)
    /// A model: it is run on the prompts first, in exact arithmetic, with layers. No prompts: the built-in ones.
    case model(Checkpoint, prompts: [Prompt]?)
  }

  public let candidate: Checkpoint
  public let reference: Reference
  /// nil: chosen by how the candidate's matrices are stored.
  public let toleranceName: String?
  public let arithmetic: Arithmetic
  /// Positions left out of the figures at each prompt's start.
  public let skipFirst: Int
  /// For a reference that is a model: each prompt is cut to its first tokens.
  public let tokenLimit: Int?
  /// How many positions are enough; nil: as many as the tolerance asks for.
  public let minimumPositions: Int?
  let binding: BindingOptions
  let promptFile: PromptFile?

  /// - Parameter promptFile: the file that the reference's prompts were read from, whose lines errors name.
  public init(
    _ candidate: Checkpoint, against reference: Reference, tolerance: String? = nil,
    arithmetic: Arithmetic = .exact, skipFirst: Int = 0, tokenLimit: Int? = nil,
    minimumPositions: Int? = nil, binding: BindingOptions = BindingOptions(),
    promptFile: PromptFile? = nil
  ) {
    self.candidate = candidate
    self.reference = reference
    toleranceName = tolerance
    self.arithmetic = arithmetic
    self.skipFirst = skipFirst
    self.tokenLimit = tokenLimit
    self.minimumPositions = minimumPositions
    self.binding = binding
    self.promptFile = promptFile
  }

  /// What `path` is: a pack when it starts as one, else a model.
  ///
  /// - Throws: `file.*`, and what opening a model throws.
  public static func reference(at path: String, prompts: [Prompt]?) throws(TinctureError)
    -> Reference
  {
    if Folder.kind(path) == .file, try PackFile.isPack(path) { return .pack(path) }
    return .model(try Checkpoint.open(path, orPack: true), prompts: prompts)
  }

  /// Runs the candidate (and a reference that is a model) and compares.
  ///
  /// A model outside the tolerance, one that reads texts in another way, or one that cannot be compared with the reference
  /// at all, is no error: see ``ParityReport/isPassed``.
  /// - Throws: `tolerance.*`, `pack.*`, `model.notFinite` (of the reference), and what binding and running throw.
  public func run(_ resources: Resources = Resources()) throws(TinctureError) -> ParityReport {
    let model = try ParityModel(candidate, binding: binding)
    let other = try side()
    let (tolerance, choiceNote) = try tolerance(model, other.about)
    let limits = try limits(model, other.about, tolerance)
    if let obstacle = model.obstacle(to: other.about) {
      return try refused(model, other.about, tolerance, obstacle, prompts: [], resources)
    }
    let (pack, keeper, conversations, promptNotes) = try pack(other, resources)
    let comparison = try Comparison(
      pack, threads: resources.threads, memory: resources.memory)
    let measures: Measures
    do throws(TinctureError) {
      try model.compare(with: comparison, arithmetic: arithmetic, resources)
      measures = try comparison.finish(skipFirst: skipFirst)
    } catch {
      guard Self.mismatches.contains(error.code.name) else { throw error }
      let obstacle = ParityModel.obstacle(error)
      return try refused(
        model, pack.description, tolerance, obstacle, prompts: pack.prompts, resources)
    }
    let verdict = try Verdict(
      measures, tolerance, isEngine: arithmetic == .engine, isSmall: model.isSmall,
      minimumPositions: minimumPositions,
      also: try fileChecks(model, pack, limits, resources))
    let own = try description(model, resources)
    try model.bound.source.checkUnchanged()
    var sampling: String?
    if case .model(let other, _, _) = other { sampling = model.samplingNote(against: other) }
    let notes =
      [sampling].compactMap { $0 } + promptNotes + model.runtime.notes
      + [choiceNote].compactMap { $0 }
      + notes(model, pack.description, tolerance, limits, measures, comparison)
    return withExtendedLifetime(keeper) {
      ParityReport(
        reference: .init(pack.description, path: referencePath),
        candidate: .init(own, path: candidate.path), prompts: pack.prompts, measures: measures,
        verdict: verdict, reading: model.reading(of: pack, conversations), skipFirst: skipFirst,
        notes: notes,
        tokenText: { model.text.spelling($0) })
    }
  }

  /// Errors of a run that say that the two do not belong together, not that a file is broken.
  private static let mismatches: Set<String> = ["verify.shape", "runtime.context", "runtime.token"]

  /// The report on two that cannot be compared.
  private func refused(
    _ model: ParityModel, _ about: PackDescription, _ tolerance: Tolerance, _ obstacle: String,
    prompts: [PackPrompt], _ resources: Resources
  ) throws(TinctureError) -> ParityReport {
    ParityReport(
      reference: .init(about, path: referencePath),
      candidate: .init(try description(model, resources), path: candidate.path), prompts: prompts,
      measures: .none, verdict: Verdict(tolerance, obstacle: obstacle), reading: [],
      skipFirst: skipFirst, notes: model.runtime.notes, tokenText: { _ in nil })
  }

  private func description(
    _ model: ParityModel, _ resources: Resources
  ) throws(TinctureError) -> PackDescription {
    model.description(
      arithmetic: arithmetic, top: nil, withLayers: false, digest: try model.digest(resources))
  }

  /// What is worth telling beside the checks.
  private func notes(
    _ model: ParityModel, _ about: PackDescription, _ tolerance: Tolerance,
    _ limits: WeightLimits, _ measures: Measures, _ comparison: Comparison
  ) -> [String] {
    var notes: [String] = []
    if model.isSmall, tolerance.knowsSmall {
      notes.append(
        "the limits are those of small models: quantization costs more where layers have fewer than \(Tolerance.smallWeightCount / 1_000_000) million weights"
      )
    }
    if limits.isWidened {
      notes.append(
        "the file says that an importance matrix led its encoder (\(importanceKeys.joined(separator: ", "))): its weights are held to the wider limits of such files, which find fewer faults"
      )
    }
    if case .pack = reference {
      var unknown: [String] = []
      if about.weights == nil { unknown.append("weights") }
      if about.tokenizer == nil { unknown.append("tokenizer") }
      if about.settings.isEmpty { unknown.append("settings") }
      if !unknown.isEmpty {
        notes.append(
          "the pack knows nothing of the model's \(unknown.joined(separator: ", ")): a fault there is seen only where it changes what the model says of these prompts"
        )
      }
    }
    if let bad = measures.notFinite.first {
      notes.append(
        "\(measures.notFinite.count) positions have logits that are no numbers, the first is position \(bad.position) of prompt \(bad.prompt): weights overflow or are damaged"
      )
    }
    for kind in VectorKind.allCases where comparison.unmatchedHeads.contains(kind) {
      notes.append(
        "only one of the two has a head that gives \(kind.rawValue) rows: not compared")
    }
    if about.architecture != model.bound.architecture {
      notes.append(
        "the reference is \(about.architecture), the candidate \(model.bound.architecture)")
    }
    return notes
  }

  /// Makes every check that needs no computing; returns the tolerance's name and why the two cannot be compared.
  public func rehearse() throws(TinctureError) -> (tolerance: String, obstacle: String?) {
    let model = try ParityModel(candidate, binding: binding)
    let other = try side()
    let (tolerance, _) = try tolerance(model, other.about)
    _ = try limits(model, other.about, tolerance)
    if case .model(let model, let prompts, _) = other { _ = try packPrompts(of: model, prompts) }
    return (tolerance.name, model.obstacle(to: other.about))
  }

  private var referencePath: String {
    switch reference {
    case .pack(let path): path
    case .model(let checkpoint, _): checkpoint.path
    }
  }

  /// The reference, opened.
  private enum Side {
    case pack(ParityPack)
    case model(ParityModel, prompts: [Prompt]?, PackDescription)

    var about: PackDescription {
      switch self {
      case .pack(let pack): pack.description
      case .model(_, _, let about): about
      }
    }
  }

  private func side() throws(TinctureError) -> Side {
    switch reference {
    case .pack(let path): return .pack(try ParityPack(path: path))
    case .model(let checkpoint, let prompts):
      let model = try ParityModel(checkpoint, binding: binding)
      let about = model.description(
        arithmetic: .exact, top: RecordOptions.defaultTop, withLayers: true, digest: nil)
      return .model(model, prompts: prompts, about)
    }
  }

  /// The tolerance, and what is to be told about how it was chosen.
  private func tolerance(
    _ model: ParityModel, _ about: PackDescription
  ) throws(TinctureError) -> (Tolerance, note: String?) {
    _ = try ToleranceChoice.costs()
    if let toleranceName { return (try Tolerance.named(toleranceName), nil) }
    let choice = try ToleranceChoice.make(
      stored: StoredShares(model.computed),
      reference: (about.storedTypes, about.arithmetic), arithmetic: arithmetic)
    guard choice.name == "f32", arithmetic == .exact, model.computesEnginesActivation,
      about.activation != model.activation
    else { return (choice, nil) }
    return (
      try Tolerance.named("f16"),
      "the file holds every weight of the reference, but llama.cpp computes another form of the activation for \(model.bound.architecture) (\(model.activation) in place of \(about.activation ?? "the checkpoint's own")), and so is the file computed: the limits are those of f16"
    )
  }

  /// The pack, and what keeps one in memory alive.
  private func pack(_ side: Side, _ resources: Resources) throws(TinctureError) -> (
    pack: ParityPack, keeper: PackRecorder?, conversations: BuiltInConversations, notes: [String]
  ) {
    switch side {
    case .pack(let pack): return (pack, nil, BuiltInConversations(), [])
    case .model(let other, let prompts, var about):
      let (packPrompts, conversations, notes) = try packPrompts(of: other, prompts)
      about.modelDigest = try other.digest(resources)
      let recorder = try PackRecorder(
        about, prompts: packPrompts, writer: try PackWriter(memory: resources.memory),
        threads: resources.threads, memory: resources.memory)
      try other.record(
        packPrompts, arithmetic: .exact, withLayers: true, into: recorder, resources)
      try other.bound.source.checkUnchanged()
      guard let file = try recorder.finish() else {
        throw TinctureError(
          .init("verify.memory", .internalError), "a pack in memory was not returned")
      }
      return (try ParityPack(try PackFile(file)), recorder, conversations, notes)
    }
  }

  /// The prompts for a reference that is a model, and what is worth telling about them.
  ///
  /// Given prompts must fit the model; built-in ones are cut to its context.
  private func packPrompts(
    of model: ParityModel, _ prompts: [Prompt]?
  ) throws(TinctureError) -> (
    prompts: [PackPrompt], conversations: BuiltInConversations, notes: [String]
  ) {
    var conversations = BuiltInConversations()
    if let prompts {
      let all = try model.text.packPrompts(prompts, tokenLimit: tokenLimit, file: promptFile)
      return (all, conversations, [])
    }
    let context = model.runtime.contextLength
    let limit = min(tokenLimit ?? .max, context)
    let builtIn = try BuiltInPrompts.all()
    var all = try model.text.packPrompts(builtIn.texts, tokenLimit: limit)
    var notes: [String] = []
    for messages in model.speaks ? builtIn.conversations : [] {
      do throws(TinctureError) {
        let prompt = try model.text.packPrompt(
          messages, tokenLimit: limit, now: conversations.now)
        conversations.messages[all.count] = messages
        all.append(prompt)
      } catch {
        let words = ParityModel.obstacle(error) + (error.place.key.map { ", \($0)" } ?? "")
        notes.append(
          "a built-in conversation that begins with a \(messages[0].role)'s turn is left out, as the reference's chat template does not make a prompt of it: \(words)"
        )
      }
    }
    let cut = all.filter(\.isCut).count
    if cut > 0, limit == context {
      notes.append(
        "\(cut) of the \(all.count) built-in texts are cut to the model's context of \(context) tokens"
      )
    }
    return (all, conversations, notes)
  }
}
