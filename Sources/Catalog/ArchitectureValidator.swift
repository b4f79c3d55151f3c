import TinctureCore

/// Rules over architecture files that decoding alone cannot check; run at load and by a test.
package enum ArchitectureValidator {
  package static func check(_ architectures: [Architecture]) throws(TinctureError) {
    try uniqueMatches(architectures)
    let keys = try EngineKeys.load()
    for architecture in architectures { try check(architecture, keys: keys) }
  }

  package static func check(_ architecture: Architecture, keys: EngineKeys) throws(TinctureError) {
    try uniqueHyperparameters(architecture)
    try reachableRules(architecture)
    try uniqueTargets(architecture)
    try readDimensions(architecture)
    try knownKeys(architecture, keys)
    try heads(architecture)
    try together(architecture)
  }

  /// Tensors that come together or not at all are two or more, outside the layers.
  private static func together(_ architecture: Architecture) throws(TinctureError) {
    for (name, rules) in architecture.tensorsTogether
    where rules.count < 2 || rules.contains(where: \.to.hasLayer) {
      throw failure(
        architecture, "together", "\(name) needs two or more tensors, and none of a layer")
    }
  }

  /// What the runtime alone computes with is left out of GGUF files by a rule, and has names of its own.
  private static func heads(_ architecture: Architecture) throws(TinctureError) {
    let targets = Set(architecture.tensors.map(\.to.text))
    for group in architecture.heads {
      for rule in group.tensors {
        guard !targets.contains(rule.to.text) else {
          throw failure(architecture, "twoTargets", "two rules write \(rule.to.text)")
        }
        for from in rule.from {
          let name = (group.prefixes.first ?? "") + from.name(layer: 0)
          guard claimants(architecture, name, nil).allSatisfy({ $0.hasPrefix("left out: ") }) else {
            throw failure(architecture, "twoRules", "\(name) is a head and written as well")
          }
        }
      }
    }
    for rule in architecture.tensors where rule.shape.contains(.any) {
      throw failure(architecture, "shape", "\(rule.to.text) has a size that nothing says")
    }
  }

  /// No checkpoint fits two files.
  private static func uniqueMatches(_ architectures: [Architecture]) throws(TinctureError) {
    var owners: [String: String] = [:]
    for architecture in architectures {
      for name in architecture.match.architectures + architecture.match.modelTypes {
        if let other = owners[name] {
          throw failure(architecture, "twoFiles", "\(name) is matched by \(other) too")
        }
        owners[name] = architecture.fileName
      }
    }
  }

  /// No hyperparameter is read from two fields.
  private static func uniqueHyperparameters(_ architecture: Architecture) throws(TinctureError) {
    var seen: Set<Hyperparameter> = []
    for field in architecture.fields {
      if case .hyperparameter(let name, _, _) = field.meaning, !seen.insert(name).inserted {
        throw failure(architecture, "twoFields", "\(name.rawValue) is read from two fields")
      }
    }
  }

  /// A name that one rule is made for is claimed by that rule alone; so no rule is unreachable and none
  /// overlap.
  private static func reachableRules(_ architecture: Architecture) throws(TinctureError) {
    for group in architecture.groups {
      for rule in group.tensors {
        for from in rule.from where !group.prefixes.isEmpty {
          for prefix in group.prefixes {
            let name = prefix + from.name(layer: 0)
            let claims = claimants(architecture, name, rule.condition)
            guard claims.count == 1 else {
              throw failure(
                architecture, "twoRules",
                "\(name) is claimed by \(claims.joined(separator: " and "))")
            }
          }
        }
        if rule.from.isEmpty == false, group.prefixes.isEmpty {
          throw failure(
            architecture, "unreachable", "\(rule.to.text) stands in a group without prefixes")
        }
      }
    }
    for rule in architecture.leftOut {
      if let target = rule.repeats, !architecture.tensors.contains(where: { $0.to.text == target })
      {
        throw failure(architecture, "repeats", "no rule writes \(target), which is to be repeated")
      }
      let name = (rule.prefixes.first ?? "") + rule.pattern.name(layer: 0)
      let claims = claimants(architecture, name, rule.condition)
      guard claims.count == 1 else {
        throw failure(
          architecture, "twoRules", "\(name) is claimed by \(claims.joined(separator: " and "))")
      }
    }
  }

  /// The rules that claim `name` while `condition` holds.
  private static func claimants(
    _ architecture: Architecture, _ name: String, _ condition: Condition?
  ) -> [String] {
    func canHold(_ other: Condition?) -> Bool {
      switch (condition, other) {
      case (.tied, .untied), (.untied, .tied): false
      default: true
      }
    }
    var found: Set<String> = []
    for group in architecture.groups {
      for prefix in group.prefixes where name.utf8.starts(with: prefix.utf8) {
        for rule in group.tensors where canHold(rule.condition) {
          let rest = name.utf8.dropFirst(prefix.utf8.count)
          if rule.from.contains(where: { $0.match(rest) != nil }) { found.insert(rule.to.text) }
        }
      }
    }
    for rule in architecture.leftOut where canHold(rule.condition) {
      for prefix in rule.prefixes where name.utf8.starts(with: prefix.utf8) {
        if rule.pattern.match(name.utf8.dropFirst(prefix.utf8.count)) != nil {
          found.insert("left out: \(rule.pattern.text)")
        }
      }
    }
    return found.sorted()
  }

  private static func uniqueTargets(_ architecture: Architecture) throws(TinctureError) {
    var seen: Set<String> = []
    for rule in architecture.tensors where !seen.insert(rule.to.text).inserted {
      throw failure(architecture, "twoTargets", "two rules write \(rule.to.text)")
    }
    for rule in architecture.tensors where !rule.from.isEmpty {
      for from in rule.from where from.hasLayer != rule.to.hasLayer || from.hasRest {
        throw failure(architecture, "holes", "\(from.text) and \(rule.to.text) have other holes")
      }
    }
  }

  /// Every size that shapes and metadata use is read from config.json.
  private static func readDimensions(_ architecture: Architecture) throws(TinctureError) {
    var known: Set<Hyperparameter> = []
    for field in architecture.fields {
      if case .hyperparameter(let name, _, _) = field.meaning { known.insert(name) }
    }
    var used: Set<Hyperparameter> = [.layers, .heads, .keyValueHeads, .contextLength]
    for rule in architecture.tensors {
      if rule.shape.isEmpty, rule.role != .denseHead {
        throw failure(architecture, "shape", "\(rule.to.text) has no shape")
      }
      // A tensor met in GGUF files alone has the sizes that their metadata says.
      let isMade = !rule.from.isEmpty || rule.condition != nil
      if isMade { for dimension in rule.shape { used.formUnion(needs(dimension)) } }
    }
    for rule in architecture.metadata {
      if case .hyperparameter(let name) = rule.source { used.insert(name) }
    }
    if let missing = used.subtracting(known).map(\.rawValue).sorted().first {
      throw failure(architecture, "unread", "\(missing) is used, but no field of config.json is it")
    }
  }

  private static func needs(_ dimension: Dimension) -> Set<Hyperparameter> {
    switch dimension {
    case .vocabulary: [.vocabulary]
    case .width: [.width]
    case .feedForward: [.feedForward]
    case .headSize, .rotaryPairs: [.headSize]
    case .contextLength: [.contextLength]
    case .tokenTypes: [.tokenTypes]
    case .queryRows: [.heads, .headSize]
    case .keyValueRows: [.keyValueHeads, .headSize]
    case .queryKeyValueRows: [.heads, .keyValueHeads, .headSize]
    case .classes: [.classes]
    case .any: []
    }
  }

  private static func knownKeys(
    _ architecture: Architecture, _ keys: EngineKeys
  ) throws(TinctureError) {
    for rule in architecture.metadata where !keys.contains(rule.key, for: architecture.name) {
      guard keys.knows(architecture.name) else {
        throw failure(
          architecture, "engineUnlisted",
          "\(EngineKeys.path) does not list which keys llama.cpp reads for \(architecture.name)",
          expected: "a list named \"\(architecture.name)\"", found: "none",
          advice: "run tools/golden/engine_keys.sh, which adds it; formats/README.md says how")
      }
      throw failure(
        architecture, "engineKey", "llama.cpp reads no key \(rule.key) for this architecture")
    }
  }

  private static func failure(
    _ architecture: Architecture, _ code: String, _ message: String, expected: String? = nil,
    found: String? = nil, advice: String = "correct the file; formats/README.md says how"
  ) -> TinctureError {
    TinctureError(
      .init("architecture." + code, .invalidInput), message,
      place: .init(file: BundledFile.path(architecture.fileName)), expected: expected, found: found,
      advice: advice)
  }
}

/// The metadata keys that llama.cpp reads: `formats/config/engine-keys.json5`.
package struct EngineKeys: Sendable {
  private static let name = "config/engine-keys.json5"
  /// The file, as messages name it.
  package static let path = BundledFile.path(name)

  private let general: Set<String>
  private let every: Set<String>
  private let own: [String: Set<String>]

  /// The list, read once in a process.
  ///
  /// - Throws: `formats.*`.
  package static func load() throws(TinctureError) -> EngineKeys { try loaded.get() }

  private static let loaded = Result { () throws(TinctureError) in try read() }

  private static func read() throws(TinctureError) -> EngineKeys {
    var lists: [String: Set<String>] = [:]
    for file in try BundledFile.all(in: "config") where file.name == name {
      let root = try JSON.parse(
        file.bytes, file: file.path, mode: .lenient, code: "formats")
      for (name, list) in try root.object() {
        var keys: Set<String> = []
        for key in try list.array() { keys.insert(try key.string()) }
        lists[try name.string()] = keys
      }
    }
    let general = lists.removeValue(forKey: "general") ?? []
    let every = lists.removeValue(forKey: "every") ?? []
    return EngineKeys(general: general, every: every, own: lists)
  }

  /// Whether the keys of `architecture` are listed at all.
  package func knows(_ architecture: String) -> Bool { own[architecture] != nil }

  /// Whether llama.cpp reads `key` for `architecture`, whose name may stand in it or `{arch}` in its place.
  package func contains(_ key: String, for architecture: String) -> Bool {
    let prefix = architecture + "."
    let key = key.hasPrefix(prefix) ? "{arch}." + key.dropFirst(prefix.count) : key
    return general.contains(key) || every.contains(key) || own[architecture]?.contains(key) == true
  }
}
