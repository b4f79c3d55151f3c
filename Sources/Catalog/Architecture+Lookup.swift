import TinctureContainers
import TinctureCore

extension Architecture {
  /// Every architecture of `formats/architectures/`, validated, in the order of file names.
  ///
  /// - Throws: `formats.*` for a malformed file, `architecture.*` for one that breaks a rule.
  package static func all() throws(TinctureError) -> [Architecture] {
    var architectures: [Architecture] = []
    for file in try BundledFile.all(in: "architectures") {
      architectures.append(try decode(file.bytes, name: file.name))
    }
    try ArchitectureValidator.check(architectures)
    return architectures
  }

  /// The architecture of a GGUF file.
  ///
  /// - Throws: `architecture.unknown` listing the known ones.
  package static func named(_ name: String, file: String) throws(TinctureError) -> Architecture {
    let architectures = try all()
    if let found = architectures.first(where: { $0.name == name }) { return found }
    throw TinctureError(
      .init("architecture.unknown", .unsupported), "the architecture is not known",
      place: .init(file: file, key: "general.architecture"),
      expected: Set(architectures.map(\.name)).sorted().joined(separator: ", "), found: name,
      advice: "describe it in formats/architectures/ (formats/README.md says how)")
  }

  /// The architecture of a checkpoint: by `architectures[0]`, else by `model_type`, else by a tensor that
  /// only
  /// one family has.
  ///
  /// - Throws: `config.architectures`, `config.modelType` when architectures and model_type say two
  ///   architectures, `architecture.unknown`.
  package static func matching(
    _ config: CheckpointConfig, source: any TensorSource, notes: inout [String]
  ) throws(TinctureError) -> Architecture {
    let architectures = try all()
    if let node = config.root.present("architectures"), try node.array().count > 0 {
      for element in node.elements {
        let name = try element.string()
        if let found = architectures.first(where: { $0.match.architectures.contains(name) }) {
          try found.checkModelTypes(config)
          return found
        }
        throw unknown(
          element, name, architectures.flatMap(\.match.architectures).sorted())
      }
    }
    if let node = config.root.present("model_type") {
      let type = try node.string()
      guard let found = architectures.first(where: { $0.match.modelTypes.contains(type) }) else {
        throw unknown(node, type, architectures.flatMap(\.match.modelTypes).sorted())
      }
      notes.append(
        "config.json names no architecture: model_type \(type) is taken as \(found.name)")
      return found
    }
    for architecture in architectures {
      guard let signature = architecture.match.signature else { continue }
      let names = Wrappers.stripped(source.tensors.map(\.name))
      let prefixes = architecture.groups.flatMap(\.prefixes)
      let isMet = names.contains { name in
        prefixes.contains {
          name.hasPrefix($0) && signature.match(name.dropFirst($0.utf8.count).utf8) != nil
        }
      }
      if isMet {
        notes.append(
          "config.json names neither architecture nor model_type: the tensor "
            + "\(signature.text) says \(architecture.name)"
        )
        return architecture
      }
    }
    throw config.root.error(
      "architectures", "config.json says neither architectures nor model_type",
      expected: architectures.flatMap(\.match.architectures).sorted().joined(separator: ", "),
      advice: "add \"architectures\": [\"…\"] to config.json as the model's card has it")
  }

  /// Refuses a `model_type` of another architecture: transformers' Auto classes go by it alone.
  private func checkModelTypes(_ config: CheckpointConfig) throws(TinctureError) {
    let known = match.modelTypes + match.besideModelTypes
    for node in [config.root.present("model_type"), config.text?.present("model_type")] {
      guard let node, try !known.contains(node.string()) else { continue }
      throw node.error(
        "modelType", "model_type and architectures say two different models",
        expected: known.joined(separator: ", "), found: node.shortText,
        advice:
          "transformers goes by model_type, stock converters by architectures; correct the wrong one"
      )
    }
  }

  private static func unknown(_ node: JSON, _ name: String, _ known: [String]) -> TinctureError {
    let error = node.error(
      "architecture", "the architecture is not known", expected: known.joined(separator: ", "),
      found: name)
    return TinctureError(
      .init("architecture.unknown", .unsupported), error.message, place: error.place,
      expected: error.expected, found: error.found,
      advice: "describe it in formats/architectures/ (formats/README.md says how)")
  }
}

/// What training tools put before every tensor's name.
enum Wrappers {
  private static let prefixes = ["base_model.model.", "_orig_mod.", "module."]

  /// The name without wrappers, however deep.
  static func stripped(_ name: String) -> Substring {
    var rest = name[...]
    while let prefix = prefixes.first(where: { rest.utf8.starts(with: $0.utf8) }) {
      rest = rest.dropFirst(prefix.utf8.count)
    }
    return rest
  }

  static func stripped(_ names: [String]) -> [Substring] { names.map { stripped($0) } }
}
