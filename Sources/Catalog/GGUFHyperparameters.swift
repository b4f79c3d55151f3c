import TinctureContainers
import TinctureCore

/// The numbers of a GGUF file's metadata, read with the types, fallbacks and contradictions that llama.cpp knows.
///
/// Sources: llama.cpp `src/llama-model.cpp` (load_hparams, load_swa_pattern), `src/models/NAME.cpp`
/// (load_arch_hparams).
struct GGUFHyperparameters {
  let keys: GGUFKeys
  let architecture: Architecture
  private(set) var values = Hyperparameters()
  /// What the file does not say and llama.cpp has a value for, or says in keys that it does not read.
  private(set) var notes: [String] = []

  /// - Parameter tokenCount: size of the vocabulary.
  /// - Throws: `gguf.metadata` for a key that is missing, mistyped, out of range, or says another thing than a second
  ///   key.
  init(
    _ keys: GGUFKeys, _ architecture: Architecture, tokenCount: Int
  ) throws(TinctureError) {
    self.keys = keys
    self.architecture = architecture
    let layers = try required(.layers, "block_count", layers: nil)
    try required(.width, "embedding_length", layers: nil)
    try required(.contextLength, "context_length", layers: nil)
    try required(.heads, "attention.head_count", layers: layers)
    try required(.feedForward, "feed_forward_length", layers: layers)
    values.set(.vocabulary, integer: tokenCount)
    try readKeyValueHeads(layers: layers)
    try readHeadSize()
    try readNumbers()
    let types = "tokenizer.ggml.token_type_count"
    if let count = try keys.optionalInteger(types) {
      values.set(.tokenTypes, integer: count)
    } else if architecture.tensors.contains(where: { $0.shape.contains(.tokenTypes) }) {
      throw keys.missing(types, "a uint32")
    }
    try readClasses()
    try checkZeros()
    try checkTypes()
    try checkRotary()
    try checkWindow(layers: layers)
    try checkMask()
    let pooling = try keys.optionalInteger(key("pooling_type"))
    // A language model gives logits; only an encoder is asked how it pools.
    let isEncoder = architecture.graph.output == .hidden
    if pooling == nil, isEncoder, architecture.sentenceModules != .ignored {
      noteDefault("pooling_type", "none, and gives a vector for each token")
    }
    if let pooling, pooling > 4 {
      throw keys.failure(
        key("pooling_type"), "there is no such pooling",
        expected: "0 (none), 1 (mean), 2 (cls), 3 (last) or 4 (rank)")
    }
  }

  /// What llama.cpp takes where the file has no such key.
  private mutating func noteDefault(_ suffix: String, _ meaning: String) {
    notes.append("the file has no \(key(suffix)): llama.cpp takes \(meaning)")
  }

  /// Keys that decide nothing here, but of which llama.cpp takes one type only.
  private func checkTypes() throws(TinctureError) {
    let engine = try EngineKeys.load()
    let integers = [
      "vocab_size", "expert_group_count", "expert_group_used_count", "classifier.pooling_type",
      "dense_2_feat_in", "dense_2_feat_out", "dense_3_feat_in", "dense_3_feat_out",
    ]
    for suffix in integers where engine.contains(key(suffix), for: architecture.name) {
      _ = try keys.optionalInteger(key(suffix))
    }
    _ = try keys.optionalNumber(key("rope.scaling.alpha"))
  }

  /// An encoder attends both ways in llama.cpp whatever the key says: llama_encode masks nothing.
  private mutating func checkMask() throws(TinctureError) {
    let flag = try keys.optionalFlag(key("attention.causal"))
    if flag == true, architecture.graph.mask != .causal {
      notes.append(
        "\(key("attention.causal")) is true, and llama.cpp attends both ways all the same")
    }
  }

  private func key(_ name: String) -> String { architecture.name + "." + name }

  /// The bounds that config.json's field of that meaning has.
  private func limits(_ name: Hyperparameter) -> (minimum: Double, maximum: Double) {
    for field in architecture.fields {
      if case .hyperparameter(name, let minimum, let maximum) = field.meaning {
        return (minimum, maximum)
      }
    }
    return (name.kind == .integer ? 1 : 0, Double(1 << 30))
  }

  @discardableResult
  private mutating func required(
    _ name: Hyperparameter, _ suffix: String, layers: Int?
  ) throws(TinctureError) -> Int {
    let key = key(suffix)
    let value =
      if let layers { try keys.optionalLayered(key, layers: layers) } else {
        try keys.optionalInteger(key)
      }
    guard let value else { throw keys.missing(key, "a uint32") }
    try check(value, name, key)
    values.set(name, integer: value)
    return value
  }

  private func check(_ value: Int, _ name: Hyperparameter, _ key: String) throws(TinctureError) {
    let (minimum, maximum) = limits(name)
    guard Double(value) >= minimum, Double(value) <= maximum else {
      throw keys.failure(
        key, "the number is out of range", expected: "\(Int(minimum)) to \(Int(maximum))")
    }
  }

  /// As many as heads when the file does not say.
  private mutating func readKeyValueHeads(layers: Int) throws(TinctureError) {
    let heads = try values.require(.heads)
    let key = key("attention.head_count_kv")
    let value = try keys.optionalLayered(key, layers: layers) ?? heads
    try check(value, .keyValueHeads, key)
    guard heads % value == 0 else {
      throw keys.failure(
        key, "the heads cannot be shared out evenly", expected: "a number that divides \(heads)")
    }
    values.set(.keyValueHeads, integer: value)
  }

  /// Keys, values and the rotation of all layers have one size: width over heads when the file does not say.
  private mutating func readHeadSize() throws(TinctureError) {
    let width = try values.require(.width)
    let heads = try values.require(.heads)
    let keySize = key("attention.key_length")
    let own = try keys.optionalInteger(keySize)
    if own == nil, width % heads != 0 {
      throw keys.failure(
        key("attention.head_count"), "the heads cannot share the width evenly",
        expected: "a number that divides \(width), or \(keySize)")
    }
    let size = own ?? width / heads
    try check(size, .headSize, keySize)
    values.set(.headSize, integer: size)
    // Queries as wide as the model, whatever the heads: qwen2.cpp, bert.cpp.
    let query = architecture.tensors.first { $0.role == .attnQ }
    if query?.shape.first == .width, values.size(.queryRows) != width {
      throw keys.failure(
        key("attention.head_count"), "the heads together are not as wide as the model",
        expected: "\(width) divided by \(keySize), which is \(size)")
    }
    let valueSize = key("attention.value_length")
    if try keys.optionalInteger(valueSize) == nil, size != width / heads {
      throw keys.failure(
        valueSize, "the key is missing, and llama.cpp computes with width over heads in its place",
        expected: "\(size), as \(keySize)")
    }
    for suffix in [
      "attention.value_length", "attention.key_length_swa", "attention.value_length_swa",
    ] {
      guard let other = try keys.optionalInteger(key(suffix)), other != size else { continue }
      throw keys.failure(
        key(suffix), "keys and values of different sizes are not computed for this architecture",
        expected: "\(size), as \(own == nil ? "width over heads" : keySize)")
    }
  }

  private mutating func readNumbers() throws(TinctureError) {
    for rule in architecture.metadata {
      guard case .hyperparameter(let name) = rule.source, name.kind == .number else { continue }
      let key = EngineLedger.key(rule.key, architecture.name)
      guard let value = try keys.optionalNumber(key) else {
        if name == .normEpsilon { throw keys.missing(key, "a float32") }
        let cap =
          name == .attentionSoftCap
          ? architecture.graph.attentionSoftCap : architecture.graph.finalSoftCap
        if let cap { notes.append("the file has no \(key): llama.cpp takes \(cap)") }
        continue
      }
      // Where the engine has no cap of its own, 0 is none.
      let hasNoCap =
        name == .finalSoftCap && architecture.graph.finalSoftCap == nil
        || name == .attentionSoftCap && architecture.graph.attentionSoftCap == nil
      if hasNoCap, value == 0 { continue }
      let (minimum, maximum) = limits(name)
      guard Float(value) >= Float(minimum), Float(value) <= Float(maximum) else {
        throw keys.failure(
          key, "the number is out of range", expected: "\(minimum) to \(maximum)")
      }
      values.set(name, number: value)
    }
  }

  /// Classes of a classifier: as many as labels, one without any.
  private mutating func readClasses() throws(TinctureError) {
    let key = key("classifier.output_labels")
    switch keys.file.value(key) {
    case nil: values.set(.classes, integer: 1)
    case .array(.strings(let labels)): values.set(.classes, integer: max(1, labels.count))
    default:
      throw keys.failure(key, "the key has another type", expected: "an array of strings")
    }
  }

  /// What would make another model of it: experts, prediction layers, rows of another width.
  private func checkZeros() throws(TinctureError) {
    for suffix in ["expert_count", "expert_used_count", "nextn_predict_layers"] {
      guard let count = try keys.optionalInteger(key(suffix)), count != 0 else { continue }
      throw keys.failure(
        key(suffix), "the tensors are those of a model without experts and prediction layers",
        expected: "0, or no such key")
    }
    let width = try values.require(.width)
    if let output = try keys.optionalInteger(key("embedding_length_out")), output != width {
      throw keys.failure(
        key("embedding_length_out"), "no tensor makes rows of that length", expected: "\(width)")
    }
  }

  private mutating func checkRotary() throws(TinctureError) {
    let size = try values.require(.headSize)
    let isRotated = architecture.rotary != nil
    for suffix in ["rope.dimension_count", "rope.dimension_count_swa"] {
      let turned = try keys.optionalInteger(key(suffix))
      guard isRotated, (turned ?? size) != size || size % 2 != 0 else { continue }
      throw keys.failure(
        key(suffix), "these models turn all of each head, in pairs",
        expected: size % 2 == 0 ? "\(size)" : "heads of an even size, not \(size)")
    }
    try checkBases()
    for suffix in ["rope.scaling.factor", "rope.scale_linear", "rope.scaling.attn_factor"] {
      if let factor = try keys.optionalNumber(key(suffix)), factor < 0 {
        throw keys.failure(key(suffix), "the factor is out of range", expected: "0 or more")
      }
    }
    try checkScaling()
    let original = key("rope.scaling.original_context_length")
    if let context = try keys.optionalInteger(original), context == 0 {
      throw keys.failure(original, "the length is out of range", expected: "1 or more")
    }
    _ = try keys.optionalFlag(key("rope.scaling.finetuned"))
    guard isRotated else { return }
    let engine = try EngineKeys.load()
    for (name, _) in keys.file.metadata
    where name.hasPrefix(key("rope.")) && !engine.contains(name, for: architecture.name) {
      notes.append("llama.cpp does not read \(name) for this architecture: it changes nothing")
    }
  }

  /// Bases of the rotation. Where none is written, llama.cpp takes 10000 (load_hparams, `src/llama-hparams.h`), which is
  /// Gemma 1's and 2's, but few others'.
  private mutating func checkBases() throws(TinctureError) {
    for suffix in ["rope.freq_base", "rope.freq_base_swa"] {
      if let base = try keys.optionalNumber(key(suffix)), base <= 0 {
        throw keys.failure(key(suffix), "the base is out of range", expected: "above 0")
      }
    }
    guard let rule = architecture.rotary else { return }
    if rule.isBaseAlwaysWritten, keys.file.value(key("rope.freq_base")) == nil {
      noteDefault("rope.freq_base", "\(RotaryRule.engineBase)")
    }
    if rule.localBase != nil, keys.file.value(key("rope.freq_base_swa")) == nil {
      noteDefault("rope.freq_base_swa", "\(RotaryRule.engineBase)")
    }
  }

  private func checkScaling() throws(TinctureError) {
    let scaling = key("rope.scaling.type")
    guard let type = try keys.optionalString(scaling) else { return }
    let types = ["none", "linear", "yarn"]
    guard !types.contains(type) else { return }
    guard type != "longrope" || architecture.rotary == nil else {
      throw keys.failure(
        scaling, "factors for long contexts are not carried over for this architecture",
        expected: types.joined(separator: ", "),
        advice:
          "llama.cpp would divide every angle by rope.scaling.factor, as with linear; convert the model's checkpoint"
      )
    }
    guard type == "longrope" else {
      throw keys.failure(
        scaling, "llama.cpp knows no such scaling, and ends",
        expected: types.joined(separator: ", "))
    }
  }

  /// Only where llama.cpp windows layers at all; elsewhere it does not look at the keys.
  private mutating func checkWindow(layers: Int) throws(TinctureError) {
    guard let rule = architecture.window, rule.engine == .pattern else { return }
    let sizeKey = key("attention.sliding_window")
    let written = try keys.optionalInteger(sizeKey)
    guard let size = written ?? architecture.graph.windowSize else {
      if rule.isSizeAlwaysWritten { throw keys.missing(sizeKey, "a uint32") }
      noteDefault("attention.sliding_window", "no window, and every layer sees everything")
      return
    }
    if written == nil { noteDefault("attention.sliding_window", "\(size)") }
    guard size <= 1 << 30, size > 0 || !rule.isSizeAlwaysWritten else {
      throw keys.failure(
        sizeKey, "the window is out of range",
        expected: "\(rule.isSizeAlwaysWritten ? 1 : 0) to 2^30")
    }
    let patternKey = sizeKey + "_pattern"
    let isWindowed: [Bool]
    switch keys.file.value(patternKey) {
    case .array(.bool(let flags)): isWindowed = Array(flags)
    case .array(.uint32(let flags)): isWindowed = flags.map { $0 != 0 }
    case .array(.int32(let flags)): isWindowed = flags.map { $0 != 0 }
    case nil: isWindowed = WindowRule.enginePattern(period: rule.period, layers: layers)
    case .uint32(let period):
      isWindowed = WindowRule.enginePattern(period: Int(period), layers: layers)
    default:
      throw keys.failure(
        patternKey, "the key has another type", expected: "a uint32, or a flag for each layer")
    }
    guard isWindowed.count == layers else {
      throw keys.failure(
        patternKey, "the list does not name every layer", expected: "\(layers) flags",
        advice: "llama.cpp would let the layers that are not named see everything; correct the list"
      )
    }
    if size > 0, let needs = rule.needs, let lack = needs.lack(isWindowed) {
      throw TinctureError(
        .init("engine.window", .unsupported), "llama.cpp ends at a model with such windows",
        place: .init(file: keys.file.path, key: patternKey), expected: needs.words, found: lack,
        advice: "correct the pattern: llama.cpp does not run this file either")
    }
  }
}

extension GGUFHyperparameters {
  /// A dimension's size and the keys that say it, for errors.
  func size(_ dimension: Dimension) -> (size: Int?, keys: [String]) {
    let names: [String] =
      switch dimension {
      case .vocabulary: ["tokenizer.ggml.tokens"]
      case .width: [key("embedding_length")]
      case .feedForward: [key("feed_forward_length")]
      case .headSize, .rotaryPairs: [headSizeKey]
      case .contextLength: [key("context_length")]
      case .tokenTypes: ["tokenizer.ggml.token_type_count"]
      case .queryRows: [key("attention.head_count"), headSizeKey]
      case .keyValueRows: [key("attention.head_count_kv"), headSizeKey]
      case .queryKeyValueRows:
        [key("attention.head_count"), key("attention.head_count_kv"), headSizeKey]
      case .classes: [key("classifier.output_labels")]
      case .any: []
      }
    return (values.size(dimension), names)
  }

  private var headSizeKey: String { key("attention.key_length") }

  /// Holds a tensor's shape against the metadata.
  ///
  /// - Throws: `tensors.shape` with the keys that say the shape.
  func check(_ info: TensorInfo, _ rule: TensorRule, file: String) throws(TinctureError) {
    var shape = rule.shape.map { (name: $0.rawValue, value: size($0)) }
    if rule.role == .denseHead { shape = try denseShape(rule.to.text) }
    guard !shape.isEmpty else { return }
    let expected = shape.map { $0.value.size ?? 0 }
    guard info.shape.dimensions != expected else { return }
    var names: [String] = []
    for key in shape.flatMap(\.value.keys) where !names.contains(key) { names.append(key) }
    throw TinctureError(
      .init("tensors.shape", .invalidInput),
      "the tensor's shape is not what the file's metadata says",
      place: .init(file: file, tensor: info.name),
      expected: "\(expected) (\(shape.map(\.name).joined(separator: " × ")), from "
        + names.joined(separator: ", ") + ")",
      found: info.shape.description,
      advice: "convert the model from its checkpoint again")
  }

  /// The keys that say the sizes of a dense head.
  func sizeKeys(_ rule: TensorRule) -> [String] {
    guard rule.role == .denseHead else { return [] }
    let head = rule.to.text.prefix { $0 != "." }
    return ["in", "out"].map { key("\(head)_feat_\($0)") }
  }

  /// Dense heads give their sizes in keys of their own: outputs × inputs, of which the model's side is its width.
  private func denseShape(
    _ name: String
  ) throws(TinctureError) -> [(name: String, value: (size: Int?, keys: [String]))] {
    let head = String(name.prefix { $0 != "." })
    let width = try values.require(.width)
    var sizes: [(name: String, value: (size: Int?, keys: [String]))] = []
    for (side, isModel) in [("out", head == "dense_3"), ("in", head == "dense_2")] {
      let key = key("\(head)_feat_\(side)")
      guard let size = try keys.optionalInteger(key) else { throw keys.missing(key, "a uint32") }
      guard !isModel || size == width else {
        throw keys.failure(
          key, "the head does not fit the model", expected: "\(width), the model's width")
      }
      if side == "in", head == "dense_3",
        let before = try keys.optionalInteger(self.key("dense_2_feat_out")), before != size
      {
        throw keys.failure(
          key, "the dense heads do not fit each other", expected: "\(before), as dense_2_feat_out")
      }
      sizes.append((side + "puts", (size, [key])))
    }
    return sizes
  }
}
