import TinctureCore

/// The parts of a model's name, as llama.cpp's converter reads them: organisation, base name, size,
/// fine-tune,
/// version. Source: llama.cpp gguf-py/gguf/metadata.py, get_model_id_components.
package struct ModelName: Equatable {
  package var fullName: String?
  package var organization: String?
  package var baseName: String?
  package var fineTune: String?
  package var version: String?
  package var sizeLabel: String?

  private enum Kind: Hashable { case baseName, sizeLabel, fineTune, version, type }

  private struct Part {
    var text: String
    var kinds: Set<Kind> = []
  }

  /// - Parameters:
  ///   - id: `ORGANISATION/NAME-OF-MODEL` or a plain name.
  ///   - parameterCount: number of weights, to tell a size from a context length.
  package init(_ id: String, parameterCount: Int) {
    guard !id.contains(" ") else {
      fullName = id
      return
    }
    let halves = id.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let name = halves.count == 2 ? halves[1] : halves[0]
    fullName = String(name)
    if halves.count == 2, !halves[0].hasPrefix(".") { organization = String(halves[0]) }
    var parts = name.split(separator: "-").map { Part(text: String($0)) }
    for index in parts.indices {
      Self.annotate(&parts[index], isFirst: index == 0, parameterCount)
    }
    Self.settle(&parts)
    func joined(_ kind: Kind, without other: Kind? = nil) -> String? {
      let texts = parts.filter { part in
        part.kinds.contains(kind) && other.map { !part.kinds.contains($0) } ?? true
      }.map(\.text)
      return texts.isEmpty ? nil : texts.joined(separator: "-")
    }
    baseName = joined(.baseName)
    var sizes: [String] = []
    for part in parts where part.kinds.contains(.sizeLabel) && !sizes.contains(part.text) {
      sizes.append(part.text)
    }
    sizeLabel = sizes.isEmpty ? nil : sizes.joined(separator: "-")
    fineTune = joined(.fineTune)
    version = joined(.version, without: .baseName)
    if sizeLabel == nil, fineTune == nil, version == nil { baseName = nil }
  }

  private static func annotate(_ part: inout Part, isFirst: Bool, _ parameterCount: Int) {
    let text = part.text
    if text.wholeMatch(of: /(v|iter)?\d+([.]\d+)*/.ignoresCase()) != nil {
      part.kinds.insert(.version)
    } else if text.wholeMatch(of: /i?q\d(_\w)*|b?fp?(16|32)/.ignoresCase()) != nil {
      part.kinds.insert(.type)
      part.text = text.uppercased()
    } else if !isFirst, isSize(text) {
      annotateSize(&part, parameterCount)
    } else if !isFirst, text.wholeMatch(of: /chat|instruct|vision|lora/.ignoresCase()) != nil {
      part.kinds.insert(.fineTune)
    }
  }

  private static func isSize(_ text: String) -> Bool {
    let pattern =
      /(([A]|\d+[x])?\d+([._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl)/.ignoresCase()
    return text.wholeMatch(of: pattern) != nil
  }

  private static func annotateSize(_ part: inout Part, _ parameterCount: Int) {
    var text = part.text.map { $0 == "_" ? "." : $0 }
    // 7b1 is 7.1b.
    if let last = text.last, last.isWholeNumber, text.count > 1 {
      let unit = text[text.count - 2]
      text = Array(text.dropLast(2)) + [".", last, unit]
    }
    if text.count > 1, text[text.count - 2].isWholeNumber, let unit = text.last,
      "kmbt".contains(unit)
    {
      text[text.count - 1] = Character(unit.uppercased())
    }
    let powers: [Character: Double] = ["K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12]
    if parameterCount > 0, let unit = text.last, let number = Double(String(text.dropLast())) {
      // An unknown unit counts as a thousandth, as str.find's -1 does there.
      let label = number * (powers[unit] ?? 1e-3)
      if abs(label - Double(parameterCount)) > Double(7 * parameterCount / 8) {
        // Likely a context length.
        part.kinds.insert(.fineTune)
        text[text.count - 1] = Character(unit.lowercased())
      }
    }
    if part.kinds.isEmpty { part.kinds.insert(.sizeLabel) }
    part.text = String(text)
  }

  private static func settle(_ parts: inout [Part]) {
    let hasNumber = parts.contains { part in
      part.kinds.contains(.sizeLabel) && part.text.contains(where: \.isWholeNumber)
    }
    if hasNumber {
      for index in parts.indices
      where parts[index].kinds.contains(.sizeLabel) && parts[index].text.allSatisfy(\.isLetter) {
        parts[index].kinds.remove(.sizeLabel)
      }
    }
    var atStart = true
    for index in parts.indices {
      let kinds = parts[index].kinds
      let startsWithLetter = parts[index].text.first?.isLetter ?? false
      if atStart, (kinds.isEmpty && startsWithLetter) || kinds.contains(.version) {
        parts[index].kinds.insert(.baseName)
      } else {
        atStart = false
        if kinds.isEmpty { parts[index].kinds.insert(.fineTune) }
      }
    }
    for index in parts.indices.reversed() {
      guard parts[index].kinds.contains(.baseName), parts[index].kinds.count > 1 else { break }
      parts[index].kinds.remove(.baseName)
    }
  }

  /// `some-model-7b` → `Some Model 7b`: words get a capital unless they are versions or mixed.
  package static func title(_ id: String) -> String {
    let words = id.map { $0 == "-" ? " " : $0 }.split(whereSeparator: \.isWhitespace)
    return words.map { word -> String in
      let text = String(word)
      let isLower = text.contains(where: \.isLowercase) && !text.contains(where: \.isUppercase)
      let isVersion =
        text.wholeMatch(of: /v\d+(?:\.\d+)*/) != nil || text.first?.isWholeNumber == true
      guard isLower, !isVersion else { return text }
      var result = ""
      var afterLetter = false
      for character in text {
        result += afterLetter ? character.lowercased() : character.uppercased()
        afterLetter = character.isLetter
      }
      return result
    }.joined(separator: " ")
  }

  /// A size class for people: 268098176 → `268M`, 1543714304 → `1.5B`.
  ///
  /// Source: llama.cpp gguf-py/gguf/utility.py, model_weight_count_rounded_notation.
  package static func sizeLabel(parameterCount: Int) -> String {
    let count = Double(parameterCount)
    let (scaled, suffix): (Double, String) =
      switch count {
      case let x where x > 1e12: (x * 1e-12, "T")
      case let x where x > 1e9: (x * 1e-9, "B")
      case let x where x > 1e6: (x * 1e-6, "M")
      default: (count * 1e-3, "K")
      }
    let whole = Int(scaled.rounded(.toNearestOrEven))
    let digits = max(2 - (whole == 0 ? 0 : String(whole).count), 0)
    guard digits > 0 else { return "\(whole)\(suffix)" }
    let factor = digits == 1 ? 10 : 100
    let units = Int((scaled * Double(factor)).rounded(.toNearestOrEven))
    var fraction = String(units % factor)
    while fraction.count < digits { fraction = "0" + fraction }
    return "\(units / factor).\(fraction)\(suffix)"
  }
}
