import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureRuntime

/// A model on disk as `record` and `verify` need it: bound, ready to run, with its tokenizer.
struct ParityModel {
  let checkpoint: Checkpoint
  let bound: BoundModel
  let runtime: RuntimeModel
  let text: PromptText

  /// - Throws: what binding and reading how the model computes throw.
  init(_ checkpoint: Checkpoint, binding: BindingOptions) throws(TinctureError) {
    try InstructionSet.check()
    self.checkpoint = checkpoint
    bound = try checkpoint.bind(binding)
    runtime = try RuntimeModel(bound)
    text = PromptText(checkpoint, bound, runtime)
  }

  /// Whether llama.cpp has its own form of the activation for this architecture and the model is a GGUF file, which
  /// is computed as llama.cpp would (BERT's GELU).
  var computesEnginesActivation: Bool {
    guard case .gguf = checkpoint.container else { return false }
    return runtime.graph.rule.ownActivation != nil
  }

  /// Whether it continues conversations, by a chat template of its own.
  var speaks: Bool { runtime.isDecoder && text.facts?[.chatTemplate] != nil }

  /// The last part of the path.
  var name: String {
    var path = checkpoint.path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return Folder.split(path).name
  }

  /// The stored tensors that it computes with; what is left out (position numbers, a vision tower) is none of them.
  var computed: [TensorInfo] {
    var names: Set<String> = []
    for tensor in runtime.tensors.values {
      for case .source(let source, _, _, _, _, _) in tensor.expression.pieces {
        names.insert(source.info.name)
      }
    }
    return checkpoint.source.tensors.filter { names.contains($0.name) }
  }

  /// How the matrices are stored, the most frequent first.
  var storedTypes: [String] {
    var counts: [(name: String, count: UInt64)] = []
    for tensor in computed where tensor.shape.rank > 1 {
      let name = tensor.type.description
      if let index = counts.firstIndex(where: { $0.name == name }) {
        counts[index].count += tensor.byteCount
      } else {
        counts.append((name, tensor.byteCount))
      }
    }
    return counts.sorted { ($1.count, $0.name) < ($0.count, $1.name) }.map(\.name)
  }

  /// SHA-256 over the vocabulary's tokens; nil when the model has none.
  var vocabularyDigest: String? {
    guard
      case .array(.strings(let tokens)) = bound.metadata.first(where: {
        $0.key == "tokenizer.ggml.tokens"
      })?.value
    else { return nil }
    return TokenizerFacts.digest(tokens)
  }

  func digest(_ resources: Resources) throws(TinctureError) -> String {
    try ModelDigest.make(
      checkpoint.source, threads: resources.threads, memory: resources.memory,
      cancellation: resources.cancellation)
  }

  /// What a pack of this model says about itself.
  func description(
    arithmetic: Arithmetic, top: Int?, withLayers: Bool, digest: String?, withWeights: Bool = false
  ) -> PackDescription {
    PackDescription(
      producer: "tincture \(Version.text)", arithmetic: arithmetic.rawValue,
      instructionSet: InstructionSet.name, modelName: name, architecture: bound.architecture,
      storedTypes: storedTypes, modelDigest: digest,
      vocabularySize: runtime.isDecoder ? runtime.vocabularySize : nil,
      vocabularyDigest: vocabularyDigest, top: runtime.isDecoder ? top : nil,
      stages: withLayers
        ? StageDescription(layerCount: runtime.layerCount, width: runtime.width) : nil,
      tokenizer: text.facts, settings: runtime.graph.settings.map { ($0.name, $0.value) },
      weights: withWeights ? WeightSketchDescription() : nil)
  }

  // MARK: Running

  /// Runs the prompts and hands out what comes.
  func run(
    _ prompts: [PackPrompt], arithmetic: Arithmetic, withLayers: Bool, _ resources: Resources,
    stage: @escaping (StageRows) throws(TinctureError) -> Void,
    output: (OutputRows) throws(TinctureError) -> Void
  ) throws(TinctureError) {
    let walk = LayerMajor(
      runtime, arithmetic: arithmetic, threads: resources.threads, memory: resources.memory,
      cancellation: resources.cancellation)
    if withLayers {
      try walk.run(sequences: prompts.map(\.ids), stage: stage, output: output)
    } else {
      try walk.run(sequences: prompts.map(\.ids), output: output)
    }
  }

  /// Records the prompts with `recorder`.
  func record(
    _ prompts: [PackPrompt], arithmetic: Arithmetic, withLayers: Bool, into recorder: PackRecorder,
    _ resources: Resources
  ) throws(TinctureError) {
    try run(
      prompts, arithmetic: arithmetic, withLayers: withLayers, resources,
      stage: { (rows) throws(TinctureError) in
        try recorder.stage(rows.stage, prompt: rows.sequence, states: rows.values)
      },
      output: { (rows) throws(TinctureError) in
        if let kind = VectorKind(rows.kind) {
          try recorder.vectors(kind, prompt: rows.sequence, columns: rows.width, rows: rows.values)
        } else {
          try recorder.logits(
            prompt: rows.sequence, first: rows.firstPosition, rows: rows.values)
        }
      })
  }

  /// Holds what the model says about a pack's prompts against the pack.
  func compare(
    with comparison: Comparison, arithmetic: Arithmetic, _ resources: Resources
  ) throws(TinctureError) {
    try run(
      comparison.pack.prompts, arithmetic: arithmetic,
      withLayers: comparison.pack.description.stages != nil, resources,
      stage: { (rows) throws(TinctureError) in
        try comparison.stage(rows.stage, prompt: rows.sequence, states: rows.values)
      },
      output: { (rows) throws(TinctureError) in
        if let kind = VectorKind(rows.kind) {
          try comparison.vectors(
            kind, prompt: rows.sequence, columns: rows.width, rows: rows.values)
        } else {
          try comparison.logits(
            prompt: rows.sequence, first: rows.firstPosition, rows: rows.values)
        }
      })
  }

  /// Whether it reads the pack's texts as they were read; no weight is needed.
  ///
  /// - Parameter conversations: messages of prompts, where they are known, for its own chat template.
  func reading(of pack: ParityPack, _ conversations: BuiltInConversations) -> [ReadingCheck] {
    ReadingCheck.all(
      pack, facts: text.facts, spelling: { text.spelling($0) },
      encode: { (given, form) throws(TinctureError) in try text.ids(given, form) },
      speak: { (number) throws(TinctureError) in
        guard let messages = conversations.messages[number] else { return nil }
        return try text.ids(messages, now: conversations.now)
      })
  }

  /// The activation that is computed.
  var activation: String { "\(runtime.graph.activation)" }

  /// Why the model cannot be held against what `about` describes; nil when it can.
  func obstacle(to about: PackDescription) -> String? {
    guard (about.vocabularySize != nil) == runtime.isDecoder else {
      return runtime.isDecoder
        ? "the model gives logits, the reference hidden states"
        : "the model gives hidden states, the reference logits"
    }
    if let size = about.vocabularySize, size != runtime.vocabularySize {
      return
        "the vocabulary has \(runtime.vocabularySize) tokens, in the reference \(size)"
    }
    if let digest = about.vocabularyDigest, let own = vocabularyDigest, digest != own {
      return "the vocabulary has other tokens than the reference's, or in another order"
    }
    if let stages = about.stages,
      stages.layerCount != runtime.layerCount || stages.width != runtime.width
    {
      return
        "the model has \(runtime.layerCount) layers of width \(runtime.width), the reference \(stages.layerCount) of \(stages.width)"
    }
    return nil
  }

  /// The same of an error of running the model on the reference's prompts.
  static func obstacle(_ error: TinctureError) -> String {
    var words: [String] = []
    if let expected = error.expected { words.append("expected \(expected)") }
    if let found = error.found { words.append("found \(found)") }
    return error.message + (words.isEmpty ? "" : " (\(words.joined(separator: ", ")))")
  }
}

extension VectorKind {
  /// The kind of an encoder's output; nil for logits.
  fileprivate init?(_ kind: OutputKind) {
    switch kind {
    case .logits: return nil
    case .hidden: self = .hidden
    case .pooled: self = .pooled
    case .pooler: self = .pooler
    case .scores: self = .scores
    }
  }
}
