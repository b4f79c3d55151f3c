import TinctureCatalog
import TinctureContainers
import TinctureCore

/// How a model computes: every size, scale and choice of its one transformer block. Pure data, checked against the
/// shapes of the tensors, so nothing of a file's metadata is believed that its tensors contradict.
package struct Graph: Sendable {
  /// How token vectors become one vector (llama.cpp's enum llama_pooling_type).
  package enum Pooling: UInt32, Sendable {
    case mean = 1
    case first = 2
    case last = 3
  }

  package var architecture: String
  package var rule: GraphRule
  package var layerCount, width, feedForward: Int
  package var heads, keyValueHeads, headSize: Int
  /// Positions the model was made for.
  package var contextLength: Int
  /// Rows of the token embedding.
  package var vocabulary: Int
  package var normEpsilon: Float
  /// 0 for none.
  package var attentionSoftCap, finalSoftCap: Float
  /// What q·k is multiplied with.
  package var attentionScale: Float
  /// What embeddings are multiplied with.
  package var embeddingScale: Double
  package var activation: GraphRule.Activation
  /// Positions a windowed layer sees: itself and those before, or half on each side.
  package var window: Int
  package var isWindowed: [Bool]
  /// Rotation of layers without and with window; nil where positions are learned.
  package var rotary, localRotary: Rotary?
  package var pooling: Pooling?
  package var task: GraphRule.Task?
  /// See ``OwnFacts``.
  package var tiesHead, normalizesPooled, normalizesResult: Bool

  /// Whether a position sees itself and those before it only; llama.cpp's llama_encode masks nothing, whatever the file
  /// says.
  package var isCausal: Bool { rule.mask == .causal }
  /// What attention.causal says, which other programs may go by.
  package var saysCausal: Bool
  /// Context length and windows as a GGUF file of the model has them; those of a checkpoint may be more than an engine
  /// computes alike.
  package var deployed: (contextLength: Int, window: Int, isWindowed: [Bool])
  package var queryRows: Int { heads * headSize }
  package var keyValueRows: Int { keyValueHeads * headSize }

  /// The positions that position `p` of `count` attends to in `layer`.
  package func range(of p: Int, count: Int, layer: Int) -> Range<Int> {
    let isWindowed = isWindowed[layer]
    if isCausal { return (isWindowed ? max(0, p + 1 - window) : 0)..<p + 1 }
    guard isWindowed else { return 0..<count }
    return max(0, p - window / 2)..<min(count, p + window / 2 + 1)
  }
}

extension Graph {
  /// Reads the graph of `model`: metadata keys as llama.cpp reads them, facts of the architecture file, and for a
  /// checkpoint what config.json says beyond them.
  ///
  /// - Throws: `runtime.metadata` for a key that is missing, mistyped or out of range.
  init(_ model: BoundModel, facts: RuntimeFacts, vocabulary: Int) throws(TinctureError) {
    let keys = GraphKeys(model)
    architecture = model.architecture
    rule = facts.graph
    self.vocabulary = vocabulary
    layerCount = model.layerCount
    heads = model.headCount
    keyValueHeads = model.keyValueHeadCount
    width = try keys.size("embedding_length")
    feedForward = try keys.size("feed_forward_length")
    if let own = facts.own {
      contextLength = own.contextLength
    } else {
      contextLength = try keys.size("context_length")
    }
    headSize = try keys.size("attention.key_length", fallback: width / heads)
    let valueSize = try keys.size("attention.value_length", fallback: headSize)
    guard valueSize == headSize else {
      throw keys.failure(
        "attention.value_length", "keys and values of different sizes are not computed",
        expected: "\(headSize)")
    }
    let epsilonKey = rule.norm == .rms ? "layer_norm_rms_epsilon" : "layer_norm_epsilon"
    normEpsilon = try keys.number("attention." + epsilonKey, in: 0...1)
    attentionSoftCap = try keys.number(
      "attn_logit_softcapping", in: 0...1e6, fallback: Float(rule.attentionSoftCap ?? 0))
    finalSoftCap = try keys.number(
      "final_logit_softcapping", in: 0...1e6, fallback: Float(rule.finalSoftCap ?? 0))
    // A cap that the architecture does not compute is not read by the engine either.
    if rule.attentionSoftCap == nil { attentionSoftCap = 0 }
    let perHead = facts.queryScale?.layersWithWidthPerHead == layerCount
    attentionScale = Float(1 / Double(perHead ? width / heads : headSize).squareRoot())
    embeddingScale = rule.scalesEmbedding ? Double(width).squareRoot() : 1
    activation = facts.own?.activation ?? facts.graph.activation
    let written = try Self.writtenWindows(keys, facts, layerCount: layerCount)
    deployed = (try keys.size("context_length"), written.0, written.1)
    if let own = facts.own {
      (window, isWindowed) = Self.ownWindows(own, layerCount: layerCount)
    } else {
      (window, isWindowed) = written
    }
    (rotary, localRotary) = try Self.rotations(keys, facts, headSize, contextLength)
    if let number = try keys.optionalInteger("pooling_type"), number != 0 {
      guard let pooling = Pooling(rawValue: UInt32(clamping: number)) else {
        throw keys.failure(
          "pooling_type", "this pooling is not computed", expected: "0, 1 (mean), 2 (cls), 3 (last)"
        )
      }
      self.pooling = pooling
    } else {
      pooling = nil
    }
    task = facts.own?.task
    tiesHead = facts.own?.tiesHead ?? true
    // A GGUF file does not say; llama.cpp's tools give every embedding length 1.
    normalizesPooled = facts.own?.normalizesPooled ?? false
    normalizesResult = facts.own?.normalizesResult ?? true
    let causal = try keys.optionalBool("attention.causal")
    saysCausal = causal ?? (rule.mask == .causal)
    if rule.mask == .causal, causal == false {
      throw keys.failure(
        "attention.causal", "a decoder that attends both ways is not computed", expected: "true")
    }
  }

  private static func ownWindows(_ own: OwnFacts, layerCount: Int) -> (Int, [Bool]) {
    guard let window = own.window, let size = window.size else {
      return (0, [Bool](repeating: false, count: layerCount))
    }
    return (size, window.isWindowed)
  }

  /// As a GGUF file's metadata say them.
  private static func writtenWindows(
    _ keys: GraphKeys, _ facts: RuntimeFacts, layerCount: Int
  ) throws(TinctureError) -> (Int, [Bool]) {
    let none = [Bool](repeating: false, count: layerCount)
    guard let rule = facts.window, rule.engine == .pattern else { return (0, none) }
    let key = "attention.sliding_window"
    let size = try keys.optionalInteger(key) ?? facts.graph.windowSize ?? 0
    guard (0...1 << 30).contains(size) else {
      throw keys.failure(key, "the window is out of range", expected: "0 to 2^30")
    }
    guard size > 0 else { return (0, none) }
    if let flags = try keys.optionalFlags(key + "_pattern", count: layerCount) {
      return (size, flags)
    }
    let period = try keys.optionalInteger(key + "_pattern") ?? rule.period
    guard period >= 0 else {
      throw keys.failure(key + "_pattern", "the period is out of range", expected: "0 or more")
    }
    // llama.cpp, set_swa_pattern: a period of 0 windows every layer.
    return (size, (0..<layerCount).map { period == 0 || $0 % period < period - 1 })
  }

  private static func rotations(
    _ keys: GraphKeys, _ facts: RuntimeFacts, _ headSize: Int, _ contextLength: Int
  ) throws(TinctureError) -> (Rotary?, Rotary?) {
    guard facts.graph.positions != .learned else { return (nil, nil) }
    let turned = try keys.size("rope.dimension_count", fallback: headSize)
    guard turned == headSize, headSize % 2 == 0 else {
      throw keys.failure(
        "rope.dimension_count", "rotation of a part of each head is not computed",
        expected: "\(headSize), an even number")
    }
    let bases: ClosedRange<Float> = 1e-3...1e15
    let base = try keys.number(
      "rope.freq_base", in: bases, fallback: Float(RotaryRule.engineBase))
    var scaling = Rotary.Scaling.none
    let factorKey = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear"
    let factor = try keys.optionalNumber(factorKey, in: 0...1e9) ?? 0
    let type = try keys.optionalString("rope.scaling.type") ?? "linear"
    switch type {
    case "none": break
    case "linear": if factor != 0 { scaling = .linear(factor) }
    case "yarn":
      guard factor != 0 else {
        throw keys.failure("rope.scaling.factor", "yarn needs a factor", expected: "above 0")
      }
      scaling = .yarn(
        factor: factor,
        originalContext: try keys.size(
          "rope.scaling.original_context_length", fallback: contextLength),
        // llama.cpp reads no keys of the range for these architectures (src/llama-hparams.h).
        betaFast: 32, betaSlow: 1)
    default:
      throw keys.failure(
        "rope.scaling.type", "this rotary scaling is not computed", expected: "none, linear, yarn")
    }
    let attentionFactor = try keys.optionalNumber("rope.scaling.attn_factor", in: 0...1e6) ?? 1
    let global = Rotary(
      base: base, size: headSize, scaling: scaling,
      isInterleaved: facts.graph.positions == .rotaryInterleaved, attentionFactor: attentionFactor)
    var localBase = facts.localRotaryBase.map { Float($0) }
    // Gemma 2's layers share one base, unless a key says otherwise.
    if localBase == nil, facts.window?.engine == .pattern, keys.has("rope.freq_base_swa") {
      localBase = base
    }
    guard let localBase else { return (global, nil) }
    // llama.cpp's own for windowed layers is 10000 (src/llama-hparams.h), which is the rule's as well. It scales
    // those of Gemma 2 like the others (src/models/gemma2.cpp), and no other ones.
    let local = Rotary(
      base: try keys.number("rope.freq_base_swa", in: bases, fallback: localBase),
      size: headSize, scaling: facts.localRotaryBase == nil ? scaling : .none,
      isInterleaved: global.isInterleaved, attentionFactor: attentionFactor)
    return (global, local)
  }
}

/// Typed look-ups in a bound model's metadata, keys below the architecture's name.
struct GraphKeys {
  private let architecture: String
  private let file: String?
  private var values: [String: GGUFValue] = [:]

  init(_ model: BoundModel) {
    architecture = model.architecture
    file = model.source.files.first?.path
    let prefix = architecture + "."
    for (key, value) in model.metadata where key.hasPrefix(prefix) {
      values[String(key.dropFirst(prefix.count))] = value
    }
  }

  func has(_ key: String) -> Bool { values[key] != nil }

  /// A size from 1 to 2^30.
  func size(_ key: String, fallback: Int? = nil) throws(TinctureError) -> Int {
    guard let value = try optionalInteger(key) ?? fallback else {
      throw failure(key, "the key is missing", expected: "a number")
    }
    guard (1...1 << 30).contains(value) else {
      throw failure(key, "the size is out of range", expected: "1 to 2^30")
    }
    return value
  }

  func optionalInteger(_ key: String) throws(TinctureError) -> Int? {
    switch values[key] {
    case nil: return nil
    case .uint8(let number): return Int(number)
    case .uint16(let number): return Int(number)
    case .uint32(let number): return Int(number)
    case .int32(let number): return Int(number)
    case .uint64(let number): if let value = Int(exactly: number) { return value }
    case .int64(let number): return Int(number)
    // One number for every layer; the engine takes different ones, this runtime does not.
    case .array(.uint32(let numbers)):
      if let first = numbers.first, Set(numbers).count == 1 { return Int(first) }
    case .array(.int32(let numbers)):
      if let first = numbers.first, Set(numbers).count == 1 { return Int(first) }
    default: break
    }
    throw failure(key, "the key has another type", expected: "one number")
  }

  func number(
    _ key: String, in range: ClosedRange<Float>, fallback: Float? = nil
  ) throws(TinctureError) -> Float {
    guard let value = try optionalNumber(key, in: range) ?? fallback else {
      throw failure(key, "the key is missing", expected: "a number")
    }
    return value
  }

  func optionalNumber(_ key: String, in range: ClosedRange<Float>) throws(TinctureError) -> Float? {
    let value: Float
    switch values[key] {
    case nil: return nil
    case .float32(let number): value = number
    case .float64(let number): value = Float(number)
    default: value = Float(try optionalInteger(key) ?? 0)
    }
    guard range.contains(value) else {
      throw failure(
        key, "the number is out of range", expected: "\(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func optionalString(_ key: String) throws(TinctureError) -> String? {
    switch values[key] {
    case nil: return nil
    case .string(let text): return text.text
    default: throw failure(key, "the key has another type", expected: "a string")
    }
  }

  func optionalBool(_ key: String) throws(TinctureError) -> Bool? {
    switch values[key] {
    case nil: return nil
    case .bool(let value): return value
    default: throw failure(key, "the key has another type", expected: "true or false")
    }
  }

  /// A list of `count` flags; nil when the key is absent or a number.
  func optionalFlags(_ key: String, count: Int) throws(TinctureError) -> [Bool]? {
    guard case .array(let array) = values[key] else { return nil }
    let flags: [Bool]
    switch array {
    case .bool(let items): flags = items
    case .uint8(let items): flags = items.map { $0 != 0 }
    case .uint32(let items): flags = items.map { $0 != 0 }
    case .int32(let items): flags = items.map { $0 != 0 }
    default: throw failure(key, "the key has another type", expected: "a list of flags")
    }
    guard flags.count == count else {
      throw failure(key, "the list does not name every layer", expected: "\(count) flags")
    }
    return flags
  }

  func failure(_ key: String, _ message: String, expected: String) -> TinctureError {
    var found = "nothing"
    if let value = values[key] { found = String("\(value)".prefix(80)) }
    return TinctureError(
      .init("runtime.metadata", .invalidInput), message,
      place: .init(file: file, key: architecture + "." + key), expected: expected, found: found)
  }
}
