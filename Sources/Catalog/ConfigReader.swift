import TinctureCore

/// Reads the hyperparameters of a checkpoint as its architecture file says: the engine ledger of plain
/// fields.
///
/// Every field of config.json is a hyperparameter, fixed by what llama.cpp computes, known to be
/// harmless, or an
/// error. Nothing is guessed: a fallback needs a citation in the architecture file and is told in the
/// notes.
package struct ConfigReader {
  let architecture: Architecture
  let config: CheckpointConfig
  package private(set) var hyperparameters = Hyperparameters()
  package private(set) var notes: [String] = []

  /// Reads everything at once.
  ///
  /// - Throws: `config.*` for missing, mistyped or impossible values; `engine.*` for a value under which
  /// a stock
  ///   engine would compute something else; `config.unknownField` for a field nobody has judged.
  package init(
    _ architecture: Architecture, _ config: CheckpointConfig, harmless: HarmlessFields
  ) throws(TinctureError) {
    self.architecture = architecture
    self.config = config
    try refuseQuantized()
    try refuseUnknown(harmless)
    for field in architecture.fields { try read(field) }
    try checkHeads()
  }

  private func refuseQuantized() throws(TinctureError) {
    guard let node = config.present("quantization_config"), node.count > 0 else { return }
    let method = node.present("quant_method")?.shortText ?? "an unknown method"
    throw CheckpointConfig.unsupported(
      node, "quantizedCheckpoint", "the checkpoint's weights are already quantized",
      expected: "float weights", found: method,
      advice: "convert the original checkpoint with float weights")
  }

  private func refuseUnknown(_ harmless: HarmlessFields) throws(TinctureError) {
    var known = Set(architecture.fields.map(\.key))
    known.insert("text_config")
    if architecture.rotary != nil { known.formUnion(RotaryRule.keys) }
    if let window = architecture.window { known.formUnion(window.keys) }
    if let scale = architecture.queryScale { known.insert(scale.key) }
    for (key, value) in try config.fields where !known.contains(key) && !harmless.contains(key) {
      if value.kind == .object || value.kind == .array, value.count == 0 { continue }
      let error = value.error(
        "unknownField",
        "config.json has a field that nobody has judged for \(architecture.name): it may change "
          + "what the model computes",
        found: "\(key): \(value.shortText)",
        advice: "if it changes nothing, add it to formats/config/harmless.json5 or to formats/"
          + "\(architecture.fileName) and set TINCTURE_FORMATS to that folder")
      throw TinctureError(
        .init("config.unknownField", .unsupported), error.message, place: error.place,
        found: error.found, advice: error.advice)
    }
  }

  private mutating func read(_ field: ConfigField) throws(TinctureError) {
    guard let node = config.present(field.key) else {
      try absent(field)
      return
    }
    switch field.meaning {
    case .hyperparameter(let name, let minimum, let maximum):
      try set(name, from: node, minimum, maximum)
    case .fixed(let allowed, let engine):
      let found = try Self.literal(node)
      guard allowed.contains(found) else {
        throw CheckpointConfig.unsupported(
          node, "field", "llama.cpp does not compute what \(field.key) asks for: \(engine)",
          expected: allowed.isEmpty
            ? "null, or no such field" : allowed.map(\.description).joined(separator: " or "),
          found: found.description,
          advice: "no GGUF of architecture \(architecture.name) can hold this model")
      }
    case .harmless: break
    }
    if let note = field.note { notes.append("\(field.key) is \(node.shortText): \(note)") }
  }

  private mutating func absent(_ field: ConfigField) throws(TinctureError) {
    if let fallback = field.fallback, case .hyperparameter(let name, _, _) = field.meaning {
      let said: String
      switch fallback {
      case .literal(.number(let value)) where name.kind == .integer:
        guard let whole = Int(exactly: value) else { throw missing(field) }
        hyperparameters.set(name, integer: whole)
        said = String(whole)
      case .literal(.number(let value)):
        hyperparameters.set(name, number: value)
        said = String(value)
      case .literal(.bool(let value)):
        hyperparameters.set(name, bool: value)
        said = String(value)
      case .heads:
        let heads = try hyperparameters.require(.heads)
        hyperparameters.set(name, integer: heads)
        said = "\(heads), as many as heads"
      case .widthPerHead:
        let width = try hyperparameters.require(.width)
        let heads = try hyperparameters.require(.heads)
        guard heads > 0, width % heads == 0 else { throw missing(field) }
        hyperparameters.set(name, integer: width / heads)
        said = "\(width / heads), width over heads"
      case .literal: throw missing(field)
      }
      notes.append(
        "\(config.lack(field.key)): \(said) is used (\(field.because ?? "no source"))")
      return
    }
    if field.isRequired { throw missing(field) }
    if config.null(field.key) != nil, case .fixed(let allowed, _) = field.meaning,
      !allowed.isEmpty, !allowed.contains(.null)
    {
      notes.append(
        "\(config.lack(field.key)): the file is as if it were absent, and llama.cpp computes with "
          + allowed.map(\.description).joined(separator: " or "))
    }
  }

  private func missing(_ field: ConfigField) -> TinctureError {
    (config.null(field.key) ?? config.text ?? config.root).error(
      "missing", "\(config.lack(field.key, quoted: true)), which \(architecture.name) needs",
      advice: "take config.json of the original model")
  }

  private mutating func set(
    _ name: Hyperparameter, from node: JSON, _ minimum: Double, _ maximum: Double
  ) throws(TinctureError) {
    switch name.kind {
    case .bool: hyperparameters.set(name, bool: try node.bool())
    case .integer:
      let value = try node.int()
      guard Double(value) >= minimum, Double(value) <= maximum else {
        throw outOfRange(node, minimum, maximum)
      }
      hyperparameters.set(name, integer: value)
    case .number:
      let value = try node.double()
      guard value >= minimum, value <= maximum else { throw outOfRange(node, minimum, maximum) }
      hyperparameters.set(name, number: value)
    }
  }

  private func outOfRange(_ node: JSON, _ minimum: Double, _ maximum: Double) -> TinctureError {
    node.error(
      "range", "the number is outside what a model can have",
      expected:
        "\(ConfigField.Literal.number(minimum)) to \(ConfigField.Literal.number(maximum))",
      found: node.shortText)
  }

  private func checkHeads() throws(TinctureError) {
    let heads = try hyperparameters.require(.heads)
    let keyValueHeads = try hyperparameters.require(.keyValueHeads)
    // A format file may allow zero.
    guard heads > 0, keyValueHeads > 0, heads % keyValueHeads == 0 else {
      throw (config.present("num_key_value_heads") ?? config.root).error(
        "heads", "the heads cannot be shared out evenly",
        expected: "key-value heads that divide \(heads)", found: "\(keyValueHeads)")
    }
    let width = try hyperparameters.require(.width)
    if hyperparameters.integer(.headSize) == nil, width % heads != 0 {
      throw (config.present("num_attention_heads") ?? config.root).error(
        "heads", "the heads cannot share the width evenly", expected: "heads that divide \(width)",
        found: "\(heads)")
    }
    if architecture.rotary != nil, try hyperparameters.require(.headSize) % 2 != 0 {
      throw (config.present("head_dim") ?? config.root).error(
        "headSize", "rotary embeddings need an even head size", expected: "an even number",
        found: "\(try hyperparameters.require(.headSize))")
    }
  }

  /// Narrows the context length (see ``WindowRule``).
  mutating func limitContext(to length: Int) {
    hyperparameters.set(.contextLength, integer: length)
  }

  static func literal(_ node: JSON) throws(TinctureError) -> ConfigField.Literal {
    switch node.kind {
    case .null: .null
    case .bool: .bool(try node.bool())
    case .number: .number(try node.double())
    case .string: .string(try node.string())
    case .array, .object:
      throw node.error(
        "type", "wrong type of value", expected: "a plain value", found: node.shortText)
    }
  }
}
