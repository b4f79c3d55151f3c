import TinctureContainers
import TinctureCore

/// How an architecture's sliding window is read from config.json and told to llama.cpp.
package struct WindowRule: Sendable {
  package enum Engine: String, Sendable, CaseIterable {
    /// llama.cpp windows all layers of a period but the last, or those that a key lists
    /// (`load_swa_pattern` in src/llama-model.cpp).
    case pattern
    /// llama.cpp attends to everything.
    case none
  }
  /// Which layers are windowed when config.json has no layer_types.
  package enum Layers: String, Sendable, CaseIterable {
    /// All but each `period`-th one; config.json may give the period in the field `periodKey`.
    case periodic
    /// Every layer, when sliding_window is a number.
    case all
    /// Those from max_window_layers on, when use_sliding_window is true.
    case fromLayer
  }

  package var engine: Engine
  package var layers: Layers
  /// llama.cpp's own period (engine `pattern`).
  package var period: Int
  /// Field of config.json that transformers reads the period from; nil: none.
  package var periodKey: String?
  /// Whether llama.cpp needs the window's size even when no layer uses it.
  package var isSizeAlwaysWritten: Bool
  /// Which kinds of layers llama.cpp needs where there is a window: without them it ends at the file.
  package enum Need: String, Sendable, CaseIterable {
    /// At least one with a window.
    case windowed
    /// At least one with a window and one without.
    case both

    /// What `isWindowed` lacks, in words; nil: nothing.
    func lack(_ isWindowed: [Bool]) -> String? {
      if !isWindowed.contains(true) { return "no layer has a window" }
      return self == .both && !isWindowed.contains(false) ? "every layer has a window" : nil
    }

    var words: String {
      switch self {
      case .windowed: "at least one layer with a window"
      case .both: "at least one layer with a window and one without"
      }
    }
  }

  /// nil: any.
  package var needs: Need?
  /// transformers' window and first windowed layer when config.json has none; nil: none.
  package var size: Int?
  package var firstLayer: Int?
  package var because: String

  /// Which layers llama.cpp windows when no key lists them (`set_swa_pattern` in src/llama-hparams.cpp).
  package static func enginePattern(period: Int, layers: Int) -> [Bool] {
    (0..<layers).map { period == 0 || $0 % period < period - 1 }
  }

  /// Fields of config.json that this rule judges.
  var keys: Set<String> {
    switch layers {
    case .periodic:
      ["sliding_window", "layer_types", "sliding_window_pattern", "_sliding_window_pattern"]
    case .all: ["sliding_window", "layer_types"]
    case .fromLayer: ["sliding_window", "layer_types", "use_sliding_window", "max_window_layers"]
    }
  }
}

/// The sliding window of one checkpoint.
package struct WindowSettings: Sendable, Equatable {
  /// Positions a windowed layer sees; nil when no layer is windowed and no size is given.
  package var size: Int?
  /// Whether each layer is windowed.
  package var isWindowed: [Bool]

  /// - Throws: `config.*`.
  package init(
    _ rule: WindowRule, _ config: CheckpointConfig, layers: Int, notes: inout [String]
  ) throws(TinctureError) {
    size = nil
    if let node = config.present("sliding_window") {
      let value = try node.int()
      guard value >= 0, value <= 1 << 30 else {
        throw node.error(
          "range", "the number is out of range", expected: "0 to 2^30", found: "\(value)")
      }
      size = value == 0 ? nil : value
    } else if let fallback = rule.size, Self.isAbsent("sliding_window", config) {
      size = fallback
      notes.append("config.json has no sliding_window: \(fallback) is used (\(rule.because))")
    }
    if let node = config.present("layer_types") {
      isWindowed = try Self.layerTypes(node, layers: layers)
    } else {
      isWindowed = try Self.pattern(rule, config, layers: layers, hasSize: size != nil, &notes)
    }
    if isWindowed.contains(true), size == nil { throw Self.lacksSize(config) }
  }

  /// Layers are windowed, and sliding_window is 0, null or absent.
  private static func lacksSize(_ config: CheckpointConfig) -> TinctureError {
    let key = "sliding_window"
    let zero = config.present(key)
    let null = config.null(key)
    let message =
      zero == nil
      ? "layers are windowed, but \(config.lack(key))" : "layers are windowed, but \(key) is 0"
    let node = zero ?? null ?? config.present("layer_types") ?? config.text ?? config.root
    return node.error(
      zero == nil ? "missing" : "range", message, expected: "\(key) from 1 to 2^30",
      found: zero?.shortText ?? null?.shortText ?? "no \(key)",
      advice: "take config.json of the original model, or list every layer as full_attention in "
        + "layer_types if it was trained without windows")
  }

  private static func isAbsent(_ key: String, _ config: CheckpointConfig) -> Bool {
    config.root[key] == nil && config.text?[key] == nil
  }

  private static func layerTypes(_ node: JSON, layers: Int) throws(TinctureError) -> [Bool] {
    var result: [Bool] = []
    for element in try node.array() {
      if element.equals("sliding_attention") {
        result.append(true)
      } else if element.equals("full_attention") {
        result.append(false)
      } else {
        throw CheckpointConfig.unsupported(
          element, "layerType", "a layer of a kind that llama.cpp does not compute here",
          expected: "sliding_attention or full_attention", found: element.shortText)
      }
    }
    guard result.count == layers else {
      throw node.error(
        "layerTypes", "layer_types does not list every layer", expected: "\(layers) entries",
        found: "\(result.count)")
    }
    return result
  }

  private static func pattern(
    _ rule: WindowRule, _ config: CheckpointConfig, layers: Int, hasSize: Bool,
    _ notes: inout [String]
  ) throws(TinctureError) -> [Bool] {
    switch rule.layers {
    case .periodic:
      var period = rule.period
      var isNamed = false
      for key in ["sliding_window_pattern", "_sliding_window_pattern"] {
        guard let node = config.present(key) else { continue }
        let value = try node.int()
        guard value > 0, value <= 1024 else {
          throw node.error(
            "range", "the number is out of range", expected: "1 to 1024", found: "\(value)")
        }
        guard key == rule.periodKey || value == period else {
          throw node.error(
            "windowPattern", "transformers does not read the window pattern from this field",
            expected: "\(period), with which transformers computes", found: "\(value)",
            advice: "list every layer in layer_types, or leave the field out")
        }
        period = value
        isNamed = true
      }
      if !isNamed {
        notes.append(
          "config.json names no window pattern: every \(period). layer sees everything (\(rule.because))"
        )
      }
      return (0..<layers).map { ($0 + 1) % period != 0 }
    case .all: return [Bool](repeating: hasSize, count: layers)
    case .fromLayer:
      guard let use = config.present("use_sliding_window"), try use.bool(), hasSize else {
        return [Bool](repeating: false, count: layers)
      }
      var first = rule.firstLayer ?? 0
      if let node = config.present("max_window_layers") {
        first = try node.int()
      } else {
        notes.append("\(config.lack("max_window_layers")): \(first) is used (\(rule.because))")
      }
      return (0..<layers).map { $0 >= first }
    }
  }

  /// The entries llama.cpp needs to window the same layers.
  package func metadata(
    _ rule: WindowRule, architecture: String
  ) -> [(key: String, value: GGUFValue)] {
    guard rule.engine == .pattern else { return [] }
    var entries: [(key: String, value: GGUFValue)] = []
    let anyWindowed = isWindowed.contains(true)
    guard anyWindowed || rule.isSizeAlwaysWritten else { return [] }
    if let size {
      entries.append((architecture + ".attention.sliding_window", .uint32(UInt32(size))))
    }
    let engine = WindowRule.enginePattern(period: rule.period, layers: isWindowed.count)
    if engine != isWindowed {
      entries.append(
        (architecture + ".attention.sliding_window_pattern", .array(.bool(isWindowed))))
    }
    return entries
  }

  /// The same computation with the layers that llama.cpp needs: without windows, a window of the whole context.
  ///
  /// - Throws: `engine.window` where there is none.
  package func forEngine(
    _ rule: WindowRule, contextLength: Int, config: CheckpointConfig, notes: inout [String]
  ) throws(TinctureError) -> WindowSettings {
    guard rule.engine == .pattern, let needs = rule.needs, let lack = needs.lack(isWindowed) else {
      return self
    }
    let all = WindowRule.enginePattern(period: rule.period, layers: isWindowed.count)
    // Without a size that is always written, no window is told to llama.cpp, and it needs no such layers.
    guard isWindowed.contains(true) || rule.isSizeAlwaysWritten else { return self }
    guard needs == .windowed, all.contains(true) else {
      let node = config.present("layer_types") ?? config.root
      throw CheckpointConfig.unsupported(
        node, "window", "llama.cpp ends at a model with such windows",
        expected: needs.words, found: lack,
        advice: "there is no file that llama.cpp would run as this model computes")
    }
    notes.append(
      "\(lack), and llama.cpp needs one: the whole context of \(contextLength) positions is written as window, "
        + "which is the same")
    return WindowSettings(size: contextLength, isWindowed: all)
  }

  private init(size: Int?, isWindowed: [Bool]) {
    self.size = size
    self.isWindowed = isWindowed
  }

  /// The context length up to which an engine without windows computes the same, when that is less than
  /// `contextLength`.
  package func limit(_ rule: WindowRule, contextLength: Int) -> Int? {
    guard rule.engine == .none, isWindowed.contains(true), let size, size < contextLength else {
      return nil
    }
    return size
  }
}

/// How attention scores are scaled in the checkpoint and by llama.cpp; a difference is folded into weights.
package struct QueryScaleRule: Sendable {
  /// Field of config.json: scores are multiplied by its value to the power of -1/2.
  package var key: String
  package var fallback: Double
  package var because: String
  /// llama.cpp's own value is the head size, except with this many layers: width divided by heads.
  package var layersWithWidthPerHead: Int?

  /// What the query is to be multiplied with so that llama.cpp's scale gives the checkpoint's; 1 when
  /// they agree.
  ///
  /// - Throws: `config.*`.
  package func factor(
    _ config: CheckpointConfig, _ hyperparameters: Hyperparameters, notes: inout [String]
  ) throws(TinctureError) -> Float {
    var value = fallback
    if let node = config.present(key) {
      value = try node.double()
      guard value > 0, value <= 1e6 else {
        throw node.error(
          "range", "the number is out of range", expected: "above 0, at most 1e6",
          found: node.shortText)
      }
    } else {
      notes.append(
        "\(config.lack(key)): \(ConfigField.Literal.number(fallback)) is used (\(because))")
    }
    let engine: Int
    if let layersWithWidthPerHead,
      try hyperparameters.require(.layers) == layersWithWidthPerHead
    {
      engine = try hyperparameters.require(.width) / hyperparameters.require(.heads)
    } else {
      engine = try hyperparameters.require(.headSize)
    }
    guard value != Double(engine) else { return 1 }
    let factor = (Double(engine) / value).squareRoot()
    notes.append(
      "\(key) is \(ConfigField.Literal.number(value)) where llama.cpp uses \(engine): the query is "
        + "multiplied by \(Float(factor)) in the weights")
    return Float(factor)
  }
}
