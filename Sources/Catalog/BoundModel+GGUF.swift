import TinctureContainers
import TinctureCore

extension BoundModel {
  /// Binds a GGUF file as a source: names and metadata stay, roles come from the architecture file.
  ///
  /// The metadata is held against itself, the vocabulary and every tensor's shape: what is written is a model that
  /// llama.cpp computes as it is meant.
  /// - Throws: `architecture.unknown`, `gguf.metadata` for keys that are missing, mistyped, out of range or contradict
  ///   others, `tensors.unknown`, `tensors.missing`, `tensors.layer`, `tensors.shape`.
  /// - Complexity: O(tensors × rules).
  public static func bind(
    gguf: GGUFFile, options: BindingOptions = BindingOptions()
  ) throws(TinctureError) -> BoundModel {
    let name = try GGUFKeys(gguf).string("general.architecture")
    return try bind(
      gguf: gguf, as: Architecture.named(name, file: gguf.path), options: options)
  }

  /// The same with the architecture looked up.
  package static func bind(
    gguf: GGUFFile, as architecture: Architecture, options: BindingOptions = BindingOptions()
  ) throws(TinctureError) -> BoundModel {
    let keys = GGUFKeys(gguf)
    let name = architecture.name
    if let type = gguf.value("general.type"), type != .string("model") {
      throw keys.failure("general.type", "the file is not a model", expected: "model")
    }
    if options.preTokenizer != nil {
      throw TinctureError(
        .init("usage.preTokenizer", .usage), "a GGUF file has its pre-tokenizer already",
        place: .init(file: gguf.path), advice: "use --metadata tokenizer.ggml.pre=NAME to change it"
      )
    }
    _ = try keys.optionalString("general.name")
    _ = try keys.optionalInteger("general.file_type")
    let vocabulary = try GGUFVocabulary(
      keys, kind: architecture.tokenizer, decided: options.decidedKeys)
    let hyperparameters = try GGUFHyperparameters(
      keys, architecture,
      tokenCount: tokenCount(keys, vocabulary, architecture))
    let layers = try hyperparameters.values.require(.layers)
    let tensors = try canonicalTensors(gguf, architecture, hyperparameters, layers: layers)
    let planned: Set<String> = ["general.file_type", "general.quantization_version"]
    var model = BoundModel(
      architecture: name, layerCount: layers,
      headCount: try hyperparameters.values.require(.heads),
      keyValueHeadCount: try hyperparameters.values.require(.keyValueHeads), tensors: tensors,
      metadata: gguf.metadata.filter { !planned.contains($0.key) },
      coverage: tensors.map { ($0.name, .written(as: $0.name)) },
      notes: vocabulary.notes + hyperparameters.notes,
      source: gguf)
    model.runtime = RuntimeFacts(architecture, own: nil, heads: [])
    return model
  }

  /// Rows of the token embedding: what the vocabulary says, or the key where the file says that it has none.
  private static func tokenCount(
    _ keys: GGUFKeys, _ vocabulary: GGUFVocabulary, _ architecture: Architecture
  ) throws(TinctureError) -> Int {
    if let count = vocabulary.tokenCount { return count }
    guard vocabulary.isDeclaredAbsent else { return embeddingRows(keys.file, architecture) }
    let key = architecture.name + ".vocab_size"
    guard let count = try keys.optionalInteger(key) else { throw keys.missing(key, "a uint32") }
    return count
  }

  /// What the token embedding says of a vocabulary that the file does not have.
  private static func embeddingRows(_ gguf: GGUFFile, _ architecture: Architecture) -> Int {
    let rule = architecture.tensors.first { $0.role == .tokenEmbedding }
    let info = rule.flatMap { rule in gguf.tensors.first { $0.name == rule.to.text } }
    return info?.shape.dimensions.first ?? 0
  }

  private static func canonicalTensors(
    _ gguf: GGUFFile, _ architecture: Architecture, _ hyperparameters: GGUFHyperparameters,
    layers: Int
  ) throws(TinctureError) -> [CanonicalTensor] {
    var tensors: [CanonicalTensor] = []
    var claimed: [(info: TensorInfo, rule: TensorRule)] = []
    var unknown: [String] = []
    for info in gguf.tensors {
      var found: (rule: TensorRule, layer: Int?)?
      for rule in architecture.tensors {
        if let match = rule.to.match(info.name.utf8) {
          found = (rule, match.layer)
          break
        }
      }
      guard let (rule, layer) = found else {
        unknown.append(info.name)
        continue
      }
      if let layer, layer >= layers {
        throw TinctureError(
          .init("tensors.layer", .invalidInput),
          "the file has more layers than its block_count says",
          place: .init(file: gguf.path, tensor: info.name, layer: layer),
          expected: "layers 0 to \(layers - 1)", found: "layer \(layer)")
      }
      claimed.append((info, rule))
      tensors.append(
        CanonicalTensor(
          name: info.name, shape: info.shape, role: rule.role, layer: layer,
          expression: RowExpression(pieces: [
            .source(
              SourceTensor(info), firstRow: 0, rowCount: info.shape.rowCount, order: .identity,
              scale: 1, add: 0)
          ])))
    }
    guard unknown.isEmpty else {
      throw TinctureError(
        .init("tensors.unknown", .unsupported),
        "\(BundledFile.path(architecture.fileName)) does not know these tensors",
        place: .init(file: gguf.path, tensor: unknown.first), found: Binding.list(unknown),
        advice: "their roles decide their types; add them to the architecture file")
    }
    let names = Set(tensors.map(\.name))
    var absent = NameCount()
    for rule in architecture.tensors
    where !rule.from.isEmpty && !rule.isOptional && rule.condition == nil {
      for number in 0..<(rule.to.hasLayer ? layers : 1) {
        let layer = rule.to.hasLayer ? number : nil
        let name = rule.to.name(layer: layer)
        let isInside = rule.inside.map { names.contains($0.name(layer: layer)) } ?? false
        if !names.contains(name), !isInside { absent.append(name) }
      }
    }
    guard absent.count == 0 else {
      throw TinctureError(
        .init("tensors.missing", .invalidInput), "the file lacks tensors of its architecture",
        place: .init(file: gguf.path, tensor: absent.first), expected: absent.text,
        advice: "take the whole file")
    }
    try checkTogether(architecture, names, hyperparameters)
    for (info, rule) in claimed {
      try hyperparameters.check(info, rule, file: gguf.files[info.fileIndex].path)
    }
    return tensors
  }
  /// Tensors that belong together are all there or none, and so are the keys that say their sizes.
  private static func checkTogether(
    _ architecture: Architecture, _ names: Set<String>, _ hyperparameters: GGUFHyperparameters
  ) throws(TinctureError) {
    let file = hyperparameters.keys.file
    for (_, rules) in architecture.tensorsTogether {
      let absent = rules.map(\.to.text).filter { !names.contains($0) }
      guard let first = absent.first else { continue }
      let present = rules.map(\.to.text).filter(names.contains)
      let sizes = rules.flatMap { hyperparameters.sizeKeys($0) }
      let keys = sizes.filter { file.value($0) != nil }
      guard let witness = present.first ?? keys.first else { continue }
      throw TinctureError(
        .init("tensors.missing", .invalidInput),
        "the file lacks tensors that belong to others of its own",
        place: .init(
          file: file.path, tensor: first, key: present.isEmpty ? witness : nil),
        expected: Binding.list(absent),
        found: Binding.list(present.isEmpty ? keys : present) + " without",
        advice: "without them the model's vectors are others; take the whole file")
    }
  }
}
