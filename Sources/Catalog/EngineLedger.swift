import TinctureContainers
import TinctureCore

/// Everything of config.json that changes the computation: carried by a key that llama.cpp reads, equal
/// to what
/// it hard-codes, folded into weights, or an error that says what a stock engine would compute instead.
package struct EngineLedger {
  package let architecture: Architecture
  package private(set) var hyperparameters: Hyperparameters
  package private(set) var conditions: Set<Condition> = []
  package private(set) var queryFactor: Float = 1
  package private(set) var rotaryFactors: [Float]?
  package private(set) var notes: [String]
  /// What is to be thrown when the checkpoint has no head and config.json says two things about tying it.
  package let tyingConflict: TinctureError?
  private var rotary: RotarySettings?
  private var window: WindowSettings?
  /// What the checkpoint computes, where the metadata says it for llama.cpp.
  package private(set) var own: OwnFacts

  /// - Throws: `config.*`, `engine.*`.
  package init(_ architecture: Architecture, _ config: CheckpointConfig) throws(TinctureError) {
    self.architecture = architecture
    let reader = try ConfigReader(architecture, config, harmless: HarmlessFields.load())
    hyperparameters = reader.hyperparameters
    notes = reader.notes
    conditions.insert(hyperparameters.flag(.tied) ? .tied : .untied)
    tyingConflict = try Self.tyingConflict(config)
    if hyperparameters.flag(.attentionBias) { conditions.insert(.attentionBias) }
    if hyperparameters.flag(.feedForwardBias) { conditions.insert(.feedForwardBias) }
    let context = try hyperparameters.require(.contextLength)
    own = OwnFacts(
      activation: try Self.activation(architecture.graph, config), window: nil,
      contextLength: context, task: try Self.task(architecture.graph, config),
      tiesHead: try config.root.present("tie_word_embeddings")?.bool() ?? true)
    if let rule = architecture.rotary {
      let settings = try RotarySettings(rule, config, contextLength: context, notes: &notes)
      rotary = settings
      rotaryFactors = settings.llama3Factors(headSize: try hyperparameters.require(.headSize))
      if rotaryFactors != nil { conditions.insert(.rotaryFactors) }
    }
    if let rule = architecture.window {
      let settings = try WindowSettings(
        rule, config, layers: hyperparameters.require(.layers), notes: &notes)
      window = try settings.forEngine(rule, contextLength: context, config: config, notes: &notes)
      own.window = settings
      if let limit = settings.limit(rule, contextLength: context) {
        hyperparameters.set(.contextLength, integer: limit)
        notes.append(
          "layers see \(limit) positions only, which llama.cpp does not compute for \(architecture.name): "
            + "the context length is written as \(limit) instead of \(context), up to where both agree"
        )
      }
    }
    if let rule = architecture.queryScale {
      queryFactor = try rule.factor(config, hyperparameters, notes: &notes)
    }
  }

  private static func activation(
    _ graph: GraphRule, _ config: CheckpointConfig
  ) throws(TinctureError) -> GraphRule.Activation {
    guard let rule = graph.ownActivation else { return graph.activation }
    let node = config.present(rule.field)
    let name = try node?.string() ?? rule.fallback
    guard let activation = GraphRule.Activation(transformersName: name) else {
      throw CheckpointConfig.unsupported(
        node ?? config.root, "activation", "the activation is not known",
        expected: "gelu, gelu_new, gelu_pytorch_tanh, silu", found: name)
    }
    return activation
  }

  private static func task(
    _ graph: GraphRule, _ config: CheckpointConfig
  ) throws(TinctureError) -> GraphRule.Task? {
    guard let node = config.root.present("architectures") else { return nil }
    for name in try node.array() { return graph.tasks[try name.string()] }
    return nil
  }

  /// Versions of transformers look at different ones of the two objects: 4 at text_config, 5 at the root.
  private static func tyingConflict(_ config: CheckpointConfig) throws(TinctureError)
    -> TinctureError?
  {
    let key = "tie_word_embeddings"
    guard let inner = config.text?.present(key), let outer = config.root.present(key),
      try inner.bool() != outer.bool()
    else { return nil }
    return inner.error(
      "tied", "config.json says two things about tying the output head, and there is no head",
      expected: "\(try outer.bool()), as at the top", found: "\(try inner.bool())",
      advice: "set both alike; with false the checkpoint needs lm_head.weight")
  }

  /// The architecture's entries.
  package func metadata() throws(TinctureError) -> [(key: String, value: GGUFValue)] {
    var entries: [(key: String, value: GGUFValue)] = []
    for rule in architecture.metadata {
      let key = Self.key(rule.key, architecture.name)
      switch rule.source {
      case .bool(let value): entries.append((key, .bool(value)))
      case .hyperparameter(let name):
        switch (rule.type, name.kind) {
        case (.uint32, .integer):
          let value = try hyperparameters.require(name)
          guard let narrow = UInt32(exactly: value) else {
            throw TinctureError(
              .init("config.range", .invalidInput), "the number does not fit into 32 bits",
              place: .init(key: key), found: "\(value)")
          }
          entries.append((key, .uint32(narrow)))
        case (.float32, .number):
          if let value = hyperparameters.number(name) {
            entries.append((key, .float32(Float(value))))
          }
        case (.bool, .bool): entries.append((key, .bool(hyperparameters.flag(name))))
        default:
          throw TinctureError(
            .init("architecture.metadataType", .invalidInput),
            "\(name.rawValue) cannot be written as \(rule.type.rawValue)",
            place: .init(file: BundledFile.path(architecture.fileName), key: rule.key))
        }
      }
    }
    if let rotary { entries += rotary.metadata(architecture: architecture.name) }
    if let window, let rule = architecture.window {
      entries += window.metadata(rule, architecture: architecture.name)
    }
    return entries
  }

  /// The key with the architecture's name in the place of `{arch}`.
  static func key(_ template: String, _ architecture: String) -> String {
    let hole = "{arch}"
    guard template.hasPrefix(hole) else { return template }
    return architecture + template.dropFirst(hole.count)
  }
}
