import TinctureCore
import TinctureText

/// Reads an architecture file. Strict: an unknown key, word or pattern is an error with file and byte.
struct ArchitectureFile {
  let file: String

  func architecture(_ object: FormatObject) throws(TinctureError) -> Architecture {
    var object = object
    let architecture = Architecture(
      fileName: file,
      name: try object.required("name").string(),
      match: try match(FormatObject(object.required("match"))),
      tokenizer: try FormatObject.word(object.required("tokenizer"), VocabularyKind.self),
      fields: try fields(object.required("config")),
      rotary: try object.optional("rotary").map(rotary),
      window: try object.optional("window").map(window),
      queryScale: try object.optional("queryScale").map(queryScale),
      sentenceModules: try object.word("sentenceModules", SentenceModuleRule.self) ?? .ignored,
      spellings: try spellings(object.optional("spellings")),
      groups: try groups(object.required("groups")),
      heads: try object.optional("heads").map(groups) ?? [],
      leftOut: try leftOut(object.optional("leftOut")),
      metadata: try metadata(object.required("metadata")),
      graph: try graph(object.required("graph")))
    try object.finish()
    return architecture
  }

  private func match(_ object: FormatObject) throws(TinctureError) -> Architecture.Match {
    var object = object
    let match = Architecture.Match(
      architectures: try object.strings("architectures"),
      modelTypes: try object.strings("modelTypes"),
      besideModelTypes: try object.strings("besideModelTypes"),
      signature: try object.pattern("signature"))
    try object.finish()
    return match
  }

  private func spellings(_ node: JSON?) throws(TinctureError) -> [(old: String, new: String)] {
    guard let node else { return [] }
    var pairs: [(old: String, new: String)] = []
    for (key, value) in try node.object() { pairs.append((try key.string(), try value.string())) }
    return pairs
  }

  // MARK: fields of config.json

  private func fields(_ node: JSON) throws(TinctureError) -> [ConfigField] {
    var fields: [ConfigField] = []
    for (key, value) in try node.object() {
      fields.append(try field(key.string(), FormatObject(value)))
    }
    return fields
  }

  private func field(_ key: String, _ object: FormatObject) throws(TinctureError) -> ConfigField {
    var object = object
    let node = object.node
    let meaning: ConfigField.Meaning
    if let name = try object.word("is", Hyperparameter.self) {
      let minimum = try object.optional("min")?.double() ?? (name.kind == .integer ? 1 : 0)
      let maximum = try object.optional("max")?.double() ?? 1e9
      meaning = .hyperparameter(name, minimum: minimum, maximum: maximum)
    } else if let allowed = object.optional("equals") {
      var literals: [ConfigField.Literal] = []
      for element in try allowed.array() { literals.append(try ConfigReader.literal(element)) }
      meaning = .fixed(literals, engine: try object.required("engine").string())
    } else if let reason = object.optional("harmless") {
      meaning = .harmless(try reason.string())
    } else {
      throw node.error("field", "a field needs one of: is, equals, harmless")
    }
    var fallback: ConfigField.Fallback?
    if let value = object.optional("ifMissing") {
      if value.equals("heads") {
        fallback = .heads
      } else if value.equals("widthPerHead") {
        fallback = .widthPerHead
      } else {
        fallback = .literal(try ConfigReader.literal(value))
      }
    }
    let because = try object.optional("because")?.string()
    guard (fallback == nil) == (because == nil) else {
      throw node.error("citation", "ifMissing and because go together: a fallback needs its source")
    }
    let isOptional = try object.flag("optional")
    var isRequired = try object.flag("required")
    if case .hyperparameter = meaning { isRequired = fallback == nil && !isOptional }
    let field = ConfigField(
      key: key, meaning: meaning, fallback: fallback, because: because, isOptional: isOptional,
      isRequired: isRequired, note: try object.optional("note")?.string())
    try object.finish()
    return field
  }

  private func rotary(_ node: JSON) throws(TinctureError) -> RotaryRule {
    var object = try FormatObject(node)
    var scalings: [RotaryRule.Scaling] = []
    for element in try object.required("scalings").array() {
      scalings.append(try FormatObject.word(element, RotaryRule.Scaling.self))
    }
    let rule = RotaryRule(
      base: try object.required("base").double(),
      localBase: try object.optional("localBase")?.double(),
      because: try object.required("because").string(), scalings: scalings,
      isBaseAlwaysWritten: try object.required("baseAlwaysWritten").bool())
    try object.finish()
    return rule
  }

  private func window(_ node: JSON) throws(TinctureError) -> WindowRule {
    var object = try FormatObject(node)
    let period = object.optional("period")
    let length = try period?.int() ?? 1
    guard length > 0, length <= 1024 else {
      throw (period ?? node).error(
        "range", "the number is out of range", expected: "1 to 1024", found: "\(length)")
    }
    let rule = WindowRule(
      engine: try FormatObject.word(object.required("engine"), WindowRule.Engine.self),
      layers: try FormatObject.word(object.required("layers"), WindowRule.Layers.self),
      period: length,
      periodKey: try object.optional("periodKey")?.string(),
      isSizeAlwaysWritten: try object.flag("sizeAlwaysWritten"),
      needs: try object.optional("needs").map { (node) throws(TinctureError) in
        try FormatObject.word(node, WindowRule.Need.self)
      },
      size: try object.optional("size").map(windowSize),
      firstLayer: try object.optional("firstLayer")?.int(),
      because: try object.required("because").string())
    try object.finish()
    return rule
  }

  private func windowSize(_ node: JSON) throws(TinctureError) -> Int {
    let size = try node.int()
    guard size > 0, size <= 1 << 30 else {
      throw node.error(
        "range", "the number is out of range", expected: "1 to 2^30", found: "\(size)")
    }
    return size
  }

  private func queryScale(_ node: JSON) throws(TinctureError) -> QueryScaleRule {
    var object = try FormatObject(node)
    let rule = QueryScaleRule(
      key: try object.required("key").string(), fallback: try object.required("ifMissing").double(),
      because: try object.required("because").string(),
      layersWithWidthPerHead: try object.optional("layersWithWidthPerHead")?.int())
    try object.finish()
    return rule
  }

  // MARK: tensors

  private func groups(_ node: JSON) throws(TinctureError) -> [Architecture.Group] {
    var groups: [Architecture.Group] = []
    for element in try node.array() {
      var object = try FormatObject(element)
      var tensors: [TensorRule] = []
      for rule in try object.required("tensors").array() {
        tensors.append(try tensor(FormatObject(rule)))
      }
      groups.append(.init(prefixes: try object.strings("prefixes"), tensors: tensors))
      try object.finish()
    }
    return groups
  }

  private func tensor(_ object: FormatObject) throws(TinctureError) -> TensorRule {
    var object = object
    guard let to = try object.pattern("to") else {
      throw object.node.error("missing", "a rule needs \"to\"")
    }
    var shape: [Dimension] = []
    if let list = object.optional("shape") {
      for element in try list.array() {
        shape.append(try FormatObject.word(element, Dimension.self))
      }
    }
    let together = try object.optional("optionalTogether")?.string()
    let isOptional = try object.flag("optional") || together != nil
    let rule = TensorRule(
      from: try object.patterns("from"), to: to,
      role: try FormatObject.word(object.required("role"), Role.self), shape: shape,
      add: Float(try object.optional("add")?.double() ?? 0),
      order: try object.word("order", TensorRule.Order.self),
      fold: try object.word("fold", TensorRule.Fold.self),
      followsVocabulary: try object.flag("followsVocabulary"),
      condition: try object.word("when", Condition.self), isOptional: isOptional,
      together: together, inside: try object.pattern("inside"))
    try object.finish()
    return rule
  }

  private func leftOut(_ node: JSON?) throws(TinctureError) -> [Architecture.LeftOutRule] {
    guard let node else { return [] }
    var rules: [Architecture.LeftOutRule] = []
    for element in try node.array() {
      var object = try FormatObject(element)
      let prefixes = try object.strings("prefixes")
      let reason = try object.required("because").string()
      let condition = try object.word("when", Condition.self)
      let isNoted = try object.flag("noted")
      let repeats = try object.optional("repeats")?.string()
      let isCounting = try object.flag("counts")
      for pattern in try object.patterns("from") {
        rules.append(
          .init(
            pattern: pattern, prefixes: prefixes.isEmpty ? [""] : prefixes, reason: reason,
            condition: condition, isNoted: isNoted, repeats: repeats, isCounting: isCounting))
      }
      try object.finish()
    }
    return rules
  }

  private func metadata(_ node: JSON) throws(TinctureError) -> [Architecture.MetadataRule] {
    var rules: [Architecture.MetadataRule] = []
    for (key, value) in try node.object() {
      var object = try FormatObject(value)
      let source: Architecture.MetadataRule.Source
      if let constant = object.optional("bool") {
        source = .bool(try constant.bool())
      } else {
        source = .hyperparameter(
          try FormatObject.word(object.required("is"), Hyperparameter.self))
      }
      let type = try object.word("as", Architecture.MetadataRule.ValueType.self) ?? .bool
      rules.append(.init(key: try key.string(), source: source, type: type))
      try object.finish()
    }
    return rules
  }
}

extension Architecture {
  /// Reads an architecture file; `name` is its path below `formats/`.
  ///
  /// - Throws: `formats.*` with file and byte.
  package static func decode(_ bytes: [UInt8], name: String) throws(TinctureError) -> Architecture {
    let root = try JSON.parse(bytes, file: BundledFile.path(name), mode: .lenient, code: "formats")
    return try ArchitectureFile(file: name).architecture(FormatObject(root))
  }
}
