import TinctureContainers
import TinctureCore
import TinctureText

/// Choices of the user that binding needs.
public struct BindingOptions: Sendable {
  /// llama.cpp's name of the pre-tokenizer, when the tokenizer's own definition is not recognised.
  public var preTokenizer: String?

  public init(preTokenizer: String? = nil) { self.preTokenizer = preTokenizer }
}

extension BoundModel {
  /// Binds a checkpoint: decides name, shape, role and making of every tensor of the GGUF, and its
  /// metadata.
  ///
  /// Reads config.json, tokenizer files, model card and modules of `folder`; no weights.
  /// - Parameters:
  ///   - source: the checkpoint's tensors.
  ///   - folder: where its other files stand.
  /// - Throws: `config.*`, `engine.*` (llama.cpp would compute something else), `tensors.*` (a tensor is
  /// missing,
  ///   unknown, twice there or of another shape), and the tokenizer's errors.
  /// - Complexity: linear in headers and tokenizer files.
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
    var binding = Binding(
      architecture: architecture, hyperparameters: engine.hyperparameters,
      conditions: engine.conditions, queryFactor: engine.queryFactor,
      rotaryFactors: engine.rotaryFactors, configPath: Folder.join(folder, "config.json"))
    try binding.claim(source.tensors)
    let vocabulary = try VocabularyMetadata.make(
      files: TokenizerFiles.open(folder: folder), kind: architecture.tokenizer,
      embeddingRows: binding.embeddingRows(), preTokenizerOverride: options.preTokenizer,
      configuredSize: engine.hyperparameters.integer(.vocabulary),
      tokenTypeCount: engine.hyperparameters.integer(.tokenTypes))
    notes += vocabulary.notes
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
    model.runtime = RuntimeFacts(
      architecture, own: engine.own, heads: try binding.heads(source.tensors))
    return model
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
