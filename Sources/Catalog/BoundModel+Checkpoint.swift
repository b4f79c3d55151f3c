import TinctureContainers
import TinctureCore
import TinctureText

/// Choices of the user that binding needs.
public struct BindingOptions: Sendable {
  /// llama.cpp's name of the pre-tokenizer, when the tokenizer's own definition is not recognised.
  public var preTokenizer: String?
  /// Metadata keys that the user sets: a GGUF source's own values of them are not held against its vocabulary.
  public var decidedKeys: Set<String> = []
  /// Counts what reading the tokenizer takes; nil counts nothing.
  public var memory: MemoryBudget?

  public init(preTokenizer: String? = nil, memory: MemoryBudget? = nil) {
    self.preTokenizer = preTokenizer
    self.memory = memory
  }

  /// Runs `body` while `byteCount` bytes are counted; less than 1 MiB is not.
  func counting<R>(
    _ byteCount: Int, for purpose: String, _ body: () throws(TinctureError) -> R
  ) throws(TinctureError) -> R {
    guard let memory, byteCount >= 1 << 20 else { return try body() }
    try memory.lease(byteCount, for: purpose)
    defer { memory.giveBack(byteCount) }
    return try body()
  }
}

extension BoundModel {
  /// Binds a checkpoint: decides name, shape, role and making of every tensor of the GGUF, and its
  /// metadata.
  ///
  /// Reads config.json, tokenizer files, model card and modules of `folder`. Of the weights it reads only a head
  /// that the configuration ties and the token embedding, to compare them.
  /// - Parameters:
  ///   - source: the checkpoint's tensors.
  ///   - folder: where its other files stand.
  /// - Throws: `config.*`, `engine.*` (llama.cpp would compute something else), `tensors.*` (a tensor is
  /// missing,
  ///   unknown, twice there or of another shape), `memory.budget`, and the tokenizer's errors.
  /// - Complexity: linear in headers and tokenizer files, and in the bytes compared.
  public static func bind(
    source: any TensorSource, folder: String, options: BindingOptions = BindingOptions()
  ) throws(TinctureError) -> BoundModel {
    let config = try CheckpointConfig.open(folder: folder)
    var notes: [String] = []
    let architecture = try Architecture.matching(config, source: source, notes: &notes)
    let engine = try EngineLedger(architecture, config)
    notes += engine.notes
    let modules = try SentenceModules(
      folder: folder, rule: architecture.sentenceModules,
      width: engine.hyperparameters.require(.width))
    let binding = try claimed(engine, source, folder, &notes)
    let rows = try binding.embeddingRows()
    let vocabulary = try options.counting(
      try TokenizerFiles.memoryByteCount(folder: folder), for: "the tokenizer"
    ) { () throws(TinctureError) in
      try VocabularyMetadata.make(
        files: TokenizerFiles.open(folder: folder), kind: architecture.tokenizer,
        embeddingRows: rows, preTokenizerOverride: options.preTokenizer,
        configuredSize: engine.hyperparameters.integer(.vocabulary),
        tokenTypeCount: engine.hyperparameters.integer(.tokenTypes))
    }
    notes += vocabulary.notes
    notes += modules.notes
    if let settings = modules.settings {
      notes += settings.notes(
        contextLength: try engine.hyperparameters.require(.contextLength),
        lowercases: vocabulary.metadata.contains {
          $0.key == "tokenizer.ggml.normalizer.lowercase" && $0.value == .bool(true)
        })
    }
    if let checkpoint = source as? SafetensorsCheckpoint { notes += checkpoint.notes }
    notes += try besideNotes(folder)
    var tensors = try binding.canonicalTensors(tokenCount: vocabulary.tokenCount)
    var coverage = binding.coverage
    let whole = CombinedSource(
      source, parts: modules.dense.map { ($0.folder, $0.source as any TensorSource) })
    for head in modules.dense {
      tensors.append(try denseTensor(head, whole, &coverage))
    }
    for (reason, count) in binding.leftOutCounts {
      notes.append("\(count) tensor\(count == 1 ? "" : "s") left out: \(reason)")
    }
    let parameterCount = tensors.reduce(0) { $0 + $1.shape.elementCount }
    var metadata = try GeneralMetadata.entries(
      architecture: architecture.name, folder: folder, config: config,
      parameterCount: parameterCount)
    metadata += try engine.metadata()
    metadata += modules.metadata(architecture: architecture.name)
    let known = Set(metadata.map(\.key))
    metadata += vocabulary.metadata.filter { !known.contains($0.key) }
    var model = BoundModel(
      architecture: architecture.name, layerCount: try engine.hyperparameters.require(.layers),
      headCount: try engine.hyperparameters.require(.heads),
      keyValueHeadCount: try engine.hyperparameters.require(.keyValueHeads), tensors: tensors,
      metadata: metadata, coverage: coverage, notes: notes, source: whole)
    var own = engine.own
    if modules.settings != nil {
      own.normalizesPooled = modules.normalizesPooled
      own.normalizesResult = modules.normalizesResult
    }
    model.runtime = RuntimeFacts(architecture, own: own, heads: try binding.heads(source.tensors))
    return model
  }

  /// What stands beside the weights and is not part of the output.
  private static func besideNotes(_ folder: String) throws(TinctureError) -> [String] {
    let adapters = try Folder.names(folder).filter {
      $0.hasPrefix("adapter_model.") || $0 == "adapter_config.json"
    }
    guard let first = adapters.first else { return [] }
    return [
      "\(adapters.count == 1 ? first : adapters.joined(separator: " and ")) beside the weights: the adapter is not "
        + "merged, the output is the model without it (merge it with peft's merge_and_unload first)"
    ]
  }

  /// The checkpoint's tensors claimed by the rules that hold for it.
  ///
  /// A head that the configuration ties, but whose values are others than the token embedding's, is written. Where
  /// llama.cpp can only compute with the token embedding, the values must be the same whatever the configuration says.
  private static func claimed(
    _ engine: EngineLedger, _ source: any TensorSource, _ folder: String, _ notes: inout [String]
  ) throws(TinctureError) -> Binding {
    let architecture = engine.architecture
    func claim(_ conditions: Set<Condition>) throws(TinctureError) -> Binding {
      var binding = Binding(
        architecture: architecture, hyperparameters: engine.hyperparameters,
        conditions: conditions, queryFactor: engine.queryFactor,
        rotaryFactors: engine.rotaryFactors, configPath: Folder.join(folder, "config.json"),
        weightsPath: source.files.count == 1 ? source.files[0].path : folder,
        files: source.files.map(\.path))
      try binding.claim(source.tensors)
      return binding
    }
    let binding = try claim(engine.conditions)
    for info in binding.counting {
      guard let wrong = try CountingTensor.firstDifference(info, in: source) else { continue }
      notes.append(
        "\(info.name) does not count from 0: number \(wrong.index) is \(wrong.value); it is left out all the same, "
          + "because transformers (since 4.31) and llama.cpp do not read it and count themselves")
    }
    for (info, target, _) in binding.repeats {
      guard let original = binding.source(of: target),
        let place = try RepeatedTensor.firstDifference(info, original, in: source)
      else { continue }
      let difference =
        info.shape == original.shape
        ? "other values than \(original.name), first in row \(place.row), column \(place.column)"
        : "another shape than \(original.name): \(info.shape), not \(original.shape)"
      guard architecture.tensors.contains(where: { $0.role == .output && $0.condition == .untied })
      else {
        throw TinctureError(
          .init("engine.head", .unsupported),
          "the checkpoint has an output head of its own; llama.cpp's \(architecture.name) computes "
            + "with the token embedding in its place",
          place: .init(file: source.files[info.fileIndex].path, tensor: info.name),
          expected: "the values of \(original.name), or no head", found: difference,
          advice: "no GGUF of architecture \(architecture.name) can hold this model")
      }
      notes.append(
        "config.json ties the output head to the token embedding, but \(info.name) has \(difference): "
          + "the head is written, and transformers computes with it too")
      return try claim(engine.conditions.subtracting([.tied]).union([.untied]))
    }
    if engine.conditions.contains(.untied), binding.repeats.isEmpty,
      let rule = architecture.leftOut.first(where: { $0.condition == .untied && $0.repeats != nil })
    {
      throw TinctureError(
        .init("tensors.missing", .invalidInput), "the checkpoint lacks the output head",
        place: .init(file: binding.weightsPath, tensor: rule.pattern.text),
        expected: "a head, because config.json unties it from the token embedding",
        advice:
          "set tie_word_embeddings to true if the token embedding is the head, or download all weights"
      )
    }
    if let conflict = engine.tyingConflict, binding.repeats.isEmpty,
      !architecture.tensors.contains(where: {
        $0.role == .output && binding.source(of: $0.to.text) != nil
      })
    {
      throw conflict
    }
    return binding
  }

  /// The weight of a dense module; its file holds nothing else.
  private static func denseTensor(
    _ head: SentenceModules.Dense, _ source: CombinedSource,
    _ coverage: inout [(source: String, outcome: Coverage)]
  ) throws(TinctureError) -> CanonicalTensor {
    let own = source.tensors.filter { $0.name.hasPrefix(head.folder + "/") }
    let expected = head.folder + "/linear.weight"
    guard own.count == 1, let info = own.first, info.name == expected,
      info.shape.dimensions == [head.outputs, head.inputs]
    else {
      throw TinctureError(
        .init("modules.dense", .invalidInput),
        "a dense module's weights are not what its config says",
        place: .init(file: head.source.files.first?.path, tensor: own.first?.name),
        expected: "linear.weight [\(head.outputs), \(head.inputs)]",
        found: own.map { "\($0.name) \($0.shape)" }.joined(separator: ", "))
    }
    let name = head.target + ".weight"
    coverage.append((info.name, .written(as: name)))
    return CanonicalTensor(
      name: name, shape: info.shape, role: .denseHead, layer: nil,
      expression: RowExpression(pieces: [
        .source(
          SourceTensor(info), firstRow: 0, rowCount: info.shape.rowCount, order: .identity,
          scale: 1, add: 0)
      ]))
  }
}
