import TinctureContainers
import TinctureCore

/// How an architecture's rotary embedding is read from config.json and told to llama.cpp.
package struct RotaryRule: Sendable {
  package enum Scaling: String, Sendable, CaseIterable { case linear, yarn, llama3 }

  /// Base of the frequencies when config.json has none.
  package var base: Double
  /// Base of windowed layers when config.json has none; nil when all layers share one base.
  package var localBase: Double?
  /// Where the fallbacks come from.
  package var because: String
  /// Scalings that llama.cpp computes for this architecture.
  package var scalings: [Scaling]
  /// Whether the base is written even when it is llama.cpp's own 10000.
  package var isBaseAlwaysWritten: Bool

  /// Fields of config.json that this rule judges.
  static let keys: Set<String> = [
    "rope_theta", "rope_scaling", "rope_parameters", "rope_local_base_freq",
    "partial_rotary_factor",
    "original_max_position_embeddings",
  ]

  /// llama.cpp's base when the file has no key (`src/llama-model.cpp`, load_hparams).
  package static let engineBase = 10000.0
}

/// The rotary embedding of one checkpoint.
package struct RotarySettings: Sendable, Equatable {
  package struct Llama3: Sendable, Equatable {
    package var factor, lowFrequencyFactor, highFrequencyFactor: Double
    package var originalContext: Int
  }
  package struct Yarn: Sendable, Equatable {
    package var factor: Double
    package var originalContext: Int
  }
  package enum Scaling: Sendable, Equatable {
    case none
    case linear(Double)
    case llama3(Llama3)
    case yarn(Yarn)
  }

  package var base: Double
  package var localBase: Double?
  package var scaling: Scaling
  package var isBaseWritten: Bool

  /// Reads `rope_theta`, `rope_scaling` (transformers 4) and `rope_parameters` (transformers 5) as transformers
  /// 5.14 does: `rope_scaling` stands before `rope_parameters`; with windowed layers of their own base it changes
  /// those of the other layers. Sources: modeling_rope_utils.py and models/gemma3/configuration_gemma3.py,
  /// convert_rope_params_to_dict.
  ///
  /// - Throws: `config.*`, among them `config.rotary` for parameters that transformers would not use as they are
  ///   written; `engine.rotary` for a scaling that llama.cpp does not compute.
  package init(
    _ rule: RotaryRule, _ config: CheckpointConfig, contextLength: Int, notes: inout [String]
  ) throws(TinctureError) {
    let stored = try Self.parameters("rope_parameters", config)
    let older = try Self.parameters("rope_scaling", config)
    var reader = Reader(rule: rule, config: config, contextLength: contextLength)
    let top = config.present("rope_theta")
    if let fallback = rule.localBase {
      let isNested = stored.map(Self.isNested) ?? true
      let full = isNested ? stored?.present("full_attention") : nil
      let local = isNested ? stored?.present("sliding_attention") : nil
      if let stored, isNested { try Self.refuseBeside(stored) }
      if let older { try Self.refuseUnused(older, beside: isNested ? nil : stored) }
      base = try reader.base(
        older?.present("rope_theta") == nil ? full : older, top, fallback: rule.base,
        named: "rope_theta")
      scaling = try reader.scaling(full)
      if let older {
        let newer = try reader.scaling(older)
        guard scaling == .none || scaling == newer else {
          throw older.error(
            "rotary", "rope_scaling and rope_parameters ask for different scalings",
            found: older.shortText, advice: "leave the one that the model was trained with")
        }
        scaling = newer
      }
      if let stored, !isNested { try Self.refuseFlat(stored, base: base) }
      localBase = try reader.base(
        local, config.present("rope_local_base_freq"), fallback: fallback,
        named: "rope_local_base_freq")
      if try reader.scaling(local) != .none, let local {
        throw Self.unsupported(
          local, "scaling of the windowed layers; llama.cpp scales the others only")
      }
    } else {
      let parameters = older ?? stored
      if let parameters, Self.isNested(parameters) {
        throw Self.unsupported(parameters, "rotary parameters of their own for kinds of layers")
      }
      if older != nil, stored != nil {
        notes.append(
          "config.json has rope_scaling and rope_parameters: rope_scaling is used, as in transformers"
        )
      }
      base = try reader.base(parameters, top, fallback: rule.base, named: "rope_theta")
      scaling = try reader.scaling(parameters)
      localBase = nil
    }
    notes += reader.notes
    isBaseWritten = rule.isBaseAlwaysWritten || base != RotaryRule.engineBase
    if let node = config.present("partial_rotary_factor"), try node.double() != 1 {
      throw Self.unsupported(node, "rotation of a part of each head; llama.cpp rotates all of it")
    }
  }

  /// Entries in the order llama.cpp's converter writes them. Sources: conversion/base.py,
  /// set_gguf_parameters.
  package func metadata(architecture: String) -> [(key: String, value: GGUFValue)] {
    var entries: [(key: String, value: GGUFValue)] = []
    func add(_ key: String, _ value: GGUFValue) {
      entries.append((architecture + "." + key, value))
    }
    switch scaling {
    case .none, .llama3: break
    case .linear(let factor):
      add("rope.scaling.type", .string("linear"))
      add("rope.scaling.factor", .float32(Float(factor)))
    case .yarn(let yarn):
      add("rope.scaling.type", .string("yarn"))
      add("rope.scaling.factor", .float32(Float(yarn.factor)))
      add("rope.scaling.original_context_length", .uint32(UInt32(yarn.originalContext)))
    }
    if isBaseWritten { add("rope.freq_base", .float32(Float(base))) }
    if let localBase { add("rope.freq_base_swa", .float32(Float(localBase))) }
    return entries
  }

  /// llama3 scaling as factors that divide the frequencies, one for each of `headSize / 2` pairs.
  ///
  /// Source: transformers modeling_rope_utils.py, _compute_llama3_parameters; computed in single
  /// precision as
  /// llama.cpp's converter does (conversion/llama.py, generate_extra_tensors).
  package func llama3Factors(headSize: Int) -> [Float]? {
    guard case .llama3(let settings) = scaling else { return nil }
    let context = Float(settings.originalContext)
    let low = Float(settings.lowFrequencyFactor)
    let high = Float(settings.highFrequencyFactor)
    let factor = Float(settings.factor)
    return (0..<headSize / 2).map { pair in
      let exponent = Float(2 * pair) / Float(headSize)
      let frequency = 1 / Float(Elementary.power(base, Double(exponent)))
      let wavelength = Float(2 * Double.pi) / frequency
      if wavelength < context / high { return 1 }
      if wavelength > context / low { return factor }
      let smooth = (context / wavelength - low) / (high - low)
      return 1 / ((1 - smooth) / factor + smooth)
    }
  }

  /// The object of that name; nil when it is absent, null or empty.
  private static func parameters(
    _ key: String, _ config: CheckpointConfig
  ) throws(TinctureError) -> JSON? {
    guard let node = config.present(key) else { return nil }
    _ = try node.object()
    for _ in node.members { return node }
    return nil
  }

  /// Whether the object holds one object for each kind of layer.
  private static func isNested(_ node: JSON) -> Bool {
    node["full_attention"] != nil || node["sliding_attention"] != nil
  }

  /// Refuses what stands beside the objects of the two kinds of layers.
  private static func refuseBeside(_ stored: JSON) throws(TinctureError) {
    for (key, value) in stored.members
    where !key.equals("full_attention") && !key.equals("sliding_attention") {
      // transformers 5 also writes these two beside them.
      if value.kind == .null || (key.equals("rope_type") && value.equals("default")) { continue }
      throw unsupported(value, "rotary parameters for another kind of layer")
    }
  }

  /// Refuses a `rope_scaling` that Gemma3TextConfig would not use as it is written.
  private static func refuseUnused(_ older: JSON, beside flat: JSON?) throws(TinctureError) {
    if isNested(older) {
      throw older.error(
        "rotary", "transformers does not read kinds of layers in rope_scaling",
        expected: "one object for the layers without window", found: older.shortText,
        advice: "write them as rope_parameters")
    }
    if let flat {
      throw flat.error(
        "rotary",
        "rope_parameters beside rope_scaling names no kinds of layers; transformers cannot read it",
        expected: "full_attention and sliding_attention", found: flat.shortText,
        advice: "leave the one that the model was trained with")
    }
    if older.present("rope_type") == nil, let node = older.present("type"),
      !node.equals("default")
    {
      throw node.error(
        "rotary", "transformers 5 does not read the type of rope_scaling from this field here",
        expected: "rope_type", found: node.shortText,
        advice: "name the field rope_type if the model was trained with this scaling")
    }
  }

  /// Refuses a `rope_parameters` without kinds of layers, which Gemma3TextConfig ignores, unless it says what
  /// transformers computes anyway.
  private static func refuseFlat(_ stored: JSON, base: Double) throws(TinctureError) {
    for (key, value) in stored.members where value.kind != .null {
      if key.equals("rope_type") || key.equals("type"), value.equals("default") { continue }
      if key.equals("rope_theta"), try value.double() == base { continue }
      throw value.error(
        "rotary", "transformers does not read rope_parameters that names no kinds of layers here",
        expected: "full_attention and sliding_attention", found: value.shortText,
        advice:
          "transformers would compute with the base \(base) and no scaling; a llama.cpp that follows this "
          + "field would compute something else")
    }
  }

  fileprivate static func unsupported(_ node: JSON, _ what: String) -> TinctureError {
    CheckpointConfig.unsupported(
      node, "rotary", "config.json asks for \(what)", found: node.shortText,
      advice: "a stock llama.cpp would run the model with other positions, so nothing is written")
  }
}

extension RotarySettings {
  /// Reads one object of rotary parameters; refuses members it does not know.
  private struct Reader {
    let rule: RotaryRule
    let config: CheckpointConfig
    let contextLength: Int
    var notes: [String] = []

    init(rule: RotaryRule, config: CheckpointConfig, contextLength: Int) {
      self.rule = rule
      self.config = config
      self.contextLength = contextLength
    }

    mutating func base(
      _ object: JSON?, _ top: JSON?, fallback: Double, named name: String
    ) throws(TinctureError) -> Double {
      guard let node = object?.present("rope_theta") ?? top else {
        notes.append("\(config.lack(name)): \(fallback) is used (\(rule.because))")
        return fallback
      }
      let value = try node.double()
      guard value > 0, value < 1e12 else {
        throw node.error(
          "range", "the number is out of range", expected: "above 0, below 1e12",
          found: node.shortText)
      }
      return value
    }

    mutating func scaling(_ object: JSON?) throws(TinctureError) -> RotarySettings.Scaling {
      guard let object else { return .none }
      _ = try object.object()
      let named = try (object.present("rope_type") ?? object.present("type"))?.string()
      let kind = named ?? "default"
      if kind == "default" {
        try refuseOthers(object, ["factor", "original_max_position_embeddings"])
        if let factor = object.present("factor") {
          notes.append(
            "\(factor.path) is \(factor.shortText), but "
              + (named == nil ? "no rope_type says how to scale" : "the rope_type is default")
              + ": it is ignored, as in transformers")
        }
        return .none
      }
      guard let known = RotaryRule.Scaling(rawValue: kind), rule.scalings.contains(known) else {
        let can = ["default"] + rule.scalings.map(\.rawValue)
        throw CheckpointConfig.unsupported(
          object.present("rope_type") ?? object, "rotary",
          "llama.cpp does not compute this rotary scaling for this architecture",
          expected: can.joined(separator: ", "), found: kind,
          advice:
            "a stock llama.cpp would run the model with other positions, so nothing is written")
      }
      let factor = try positive(object.member("factor"))
      switch known {
      case .linear:
        try refuseOthers(object, ["factor", "original_max_position_embeddings"])
        return .linear(factor)
      case .llama3:
        try refuseOthers(
          object,
          ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"])
        let low = try positive(object.member("low_freq_factor"))
        let high = try positive(object.member("high_freq_factor"))
        guard high > low else {
          throw try object.member("high_freq_factor").error(
            "range", "high_freq_factor is not above low_freq_factor", expected: "above \(low)",
            found: "\(high)")
        }
        let original = try context(object) ?? contextLength
        return .llama3(
          .init(
            factor: factor, lowFrequencyFactor: low, highFrequencyFactor: high,
            originalContext: original))
      case .yarn:
        try refuseOthers(
          object,
          [
            "factor", "original_max_position_embeddings", "attention_factor", "attn_factor",
            "extrapolation_factor", "beta_fast", "beta_slow", "truncate",
          ])
        return .yarn(try yarn(object, factor))
      }
    }

    /// llama.cpp computes the attention factor itself, 0.1·ln(factor) + 1, as transformers does by default
    /// (src/llama-context.cpp; modeling_rope_utils.py, _compute_yarn_parameters). The graphs of these architectures
    /// read no key for beta_fast and beta_slow: 32 and 1 hold (src/llama-hparams.h).
    private func yarn(_ object: JSON, _ factor: Double) throws(TinctureError) -> Yarn {
      let attention = factor <= 1 ? 1 : 0.1 * Elementary.logarithm(factor) + 1
      for key in ["attention_factor", "attn_factor"] {
        if let node = object.present(key), abs(try node.double() - attention) > 1e-4 {
          throw RotarySettings.unsupported(
            node, "an attention factor; llama.cpp computes \(attention) itself")
        }
      }
      if let node = object.present("extrapolation_factor"), try node.double() != 1 {
        throw RotarySettings.unsupported(
          node, "an extrapolation factor, which transformers ignores")
      }
      if let node = object.present("truncate"), try !node.bool() {
        throw RotarySettings.unsupported(
          node, "an untruncated range; llama.cpp always truncates it")
      }
      for (key, engine) in [("beta_fast", 32.0), ("beta_slow", 1.0)] {
        if let node = object.present(key), try positive(node) != engine {
          throw RotarySettings.unsupported(
            node, "another \(key); llama.cpp computes with \(engine) for this architecture")
        }
      }
      return Yarn(factor: factor, originalContext: try context(object) ?? contextLength)
    }

    private func context(_ object: JSON) throws(TinctureError) -> Int? {
      let key = "original_max_position_embeddings"
      guard let node = object.present(key) ?? config.present(key) else { return nil }
      let value = try node.int()
      if let other = config.present(key), try other.int() != value {
        throw node.error(
          "rotary", "config.json says two original context lengths", expected: other.shortText,
          found: "\(value)", advice: "transformers computes with \(other.shortText)")
      }
      guard value > 0, value <= 1 << 30 else {
        throw node.error(
          "range", "the number is out of range", expected: "1 to 2^30", found: "\(value)")
      }
      return value
    }

    private func positive(_ node: JSON) throws(TinctureError) -> Double {
      let value = try node.double()
      guard value > 0, value <= 1e9 else {
        throw node.error(
          "range", "the number is out of range", expected: "above 0, at most 1e9",
          found: node.shortText)
      }
      return value
    }

    private func refuseOthers(_ object: JSON, _ keys: Set<String>) throws(TinctureError) {
      let general: Set<String> = ["rope_type", "type", "rope_theta", "partial_rotary_factor"]
      for (key, value) in object.members where value.kind != .null {
        let name = try key.string()
        if name == "partial_rotary_factor", try value.double() != 1 {
          throw RotarySettings.unsupported(value, "rotation of a part of each head")
        }
        guard general.contains(name) || keys.contains(name) else {
          throw RotarySettings.unsupported(
            value, "the rotary parameter \(name), which is not known")
        }
      }
    }
  }
}
