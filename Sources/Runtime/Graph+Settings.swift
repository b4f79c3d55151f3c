extension Graph {
  /// A setting that changes what the model computes, in words that do not depend on which file says it.
  package struct Setting: Sendable {
    package let name: String
    package let value: String
    /// The first layer that it changes; nil for one outside the layers.
    package let layer: Int?
  }

  /// Everything that changes the computation, or what the model can be used for, and is no weight, defaults resolved: two
  /// models with the same weights and the same settings compute the same. Of a checkpoint these are the settings of the
  /// file that conversion makes of it.
  package var settings: [Setting] {
    let (contextLength, window, isWindowed) = deployed
    let firstWindowed = isWindowed.firstIndex(of: true)
    let firstWhole = isWindowed.firstIndex(of: false) ?? 0
    let hasWindows = firstWindowed != nil
    var list = [
      Setting(name: "layers", value: "\(layerCount)", layer: 0),
      Setting(name: "context length", value: "\(contextLength)", layer: nil),
      Setting(name: "attention", value: saysCausal ? "causal" : "bidirectional", layer: 0),
      Setting(name: "activation", value: "\(activation)", layer: 0),
      Setting(name: "heads", value: "\(heads)", layer: 0),
      Setting(name: "key-value heads", value: "\(keyValueHeads)", layer: 0),
      Setting(name: "head size", value: "\(headSize)", layer: 0),
      Setting(name: "norm epsilon", value: "\(normEpsilon)", layer: 0),
      Setting(name: "attention soft-cap", value: "\(attentionSoftCap)", layer: 0),
      Setting(name: "attention scale", value: "\(attentionScale)", layer: 0),
      Setting(name: "embedding scale", value: "\(embeddingScale)", layer: nil),
      Setting(name: "final soft-cap", value: "\(finalSoftCap)", layer: nil),
      Setting(
        name: "window", value: hasWindows ? "\(window)" : "none", layer: firstWindowed ?? 0),
      Setting(
        name: "windowed layers", value: hasWindows ? Self.list(isWindowed) : "none",
        layer: firstWindowed ?? 0),
      Setting(name: "pooling", value: pooling.map { "\($0)" } ?? "none", layer: nil),
    ]
    if let rotary {
      list.append(Setting(name: "rotary embedding", value: rotary.text, layer: firstWhole))
    }
    if let localRotary, hasWindows {
      list.append(
        Setting(
          name: "rotary embedding of windowed layers", value: localRotary.text,
          layer: firstWindowed))
    }
    return list
  }

  /// `0-4 6-10`.
  private static func list(_ flags: [Bool]) -> String {
    var runs: [String] = []
    var start: Int?
    for (index, flag) in (flags + [false]).enumerated() {
      if flag {
        start = start ?? index
      } else if let first = start {
        runs.append(first == index - 1 ? "\(first)" : "\(first)-\(index - 1)")
        start = nil
      }
    }
    return runs.joined(separator: " ")
  }
}

extension Rotary {
  /// `base 10000, 64 elements, linear 8`.
  fileprivate var text: String {
    let scaling =
      switch scaling {
      case .none: ""
      case .linear(let factor): ", linear \(factor)"
      case .yarn(let factor, let context, let fast, let slow):
        ", yarn \(factor) of \(context) from \(fast) to \(slow)"
      }
    let factor = attentionFactor == 1 ? "" : ", times \(attentionFactor)"
    return "base \(base), \(size) elements" + scaling + factor
  }
}
