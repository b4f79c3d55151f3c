import TinctureCore

/// Carries out the `normalizer` of a tokenizer: text in, text out, both well-formed UTF-8.
///
/// Source: huggingface/tokenizers `tokenizers/src/normalizers`.
struct Normalizer: Sendable {
  enum Step: Sendable {
    case replace([UInt8], with: [UInt8])
    case prepend([UInt8])
    case strip(left: Bool, right: Bool)
    case bert(clean: Bool, ideographs: Bool, accents: Bool, lower: Bool)
    case lowercase
    case accents
    case composed, decomposed
  }

  let steps: [Step]
  private let forms: CanonicalForms?

  /// Whether text stays as it is.
  var isIdentity: Bool { steps.isEmpty }

  init(_ steps: [Step]) throws(TinctureError) {
    self.steps = steps
    var needsForms = false
    for step in steps {
      switch step {
      case .bert(_, _, let accents, _): needsForms = needsForms || accents
      case .composed, .decomposed: needsForms = true
      default: break
      }
    }
    forms = needsForms ? try CanonicalForms.load() : nil
  }

  /// The steps of a tokenizer.json.
  ///
  /// - Throws: `tokenizer.normalizer` (unsupported) naming the step that is not carried out.
  init(_ steps: [NormalizerStep], file: String) throws(TinctureError) {
    var list: [Step] = []
    for step in steps {
      switch step {
      case .bert(let clean, let ideographs, let accents, let lower):
        list.append(
          .bert(clean: clean, ideographs: ideographs, accents: accents ?? lower, lower: lower))
      case .lowercase: list.append(.lowercase)
      case .stripAccents: list.append(.accents)
      case .unicode("NFC"): list.append(.composed)
      case .unicode("NFD"): list.append(.decomposed)
      case .replace(.literal(let text), with: let other) where !text.isEmpty:
        list.append(.replace(Array(text.utf8), with: Array(other.utf8)))
      case .prepend(let text): list.append(.prepend(Array(text.utf8)))
      case .strip(let left, let right): list.append(.strip(left: left, right: right))
      case .unicode, .replace, .byteLevel, .precompiled:
        throw TinctureError(
          .init("tokenizer.normalizer", .unsupported),
          "this normalizer is not carried out", place: .init(file: file, key: "normalizer"),
          expected:
            "BertNormalizer, Lowercase, StripAccents, NFC, NFD, Prepend, Strip, Replace of a text",
          found: PreTokenizerDefinition.name(step))
      }
    }
    try self.init(list)
  }

  func apply(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    var bytes: [UInt8]?
    for step in steps {
      let input = bytes
      bytes =
        input?.withUnsafeBufferPointer { apply(step, $0) } ?? apply(step, text)
    }
    return bytes ?? Array(text)
  }

  private func apply(_ step: Step, _ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    switch step {
    case .replace(let old, let new): return Normalizer.replace(text, old, new)
    case .prepend(let prefix): return text.isEmpty ? [] : prefix + text
    case .strip(let left, let right): return Normalizer.strip(text, left, right)
    case .bert(let clean, let ideographs, let accents, let lower):
      if let plain = Normalizer.bertASCII(text, clean: clean, lower: lower) { return plain }
      return bert(text, clean: clean, ideographs: ideographs, accents: accents, lower: lower)
    case .lowercase:
      return Normalizer.encoded(Normalizer.lowercased(Normalizer.scalars(text)))
    case .accents:
      return Normalizer.encoded(Normalizer.scalars(text).filter { !Normalizer.isMark($0) })
    case .composed:
      // Nothing below U+0300 composes or has another form.
      guard let forms, text.contains(where: { $0 >= 0xCC }) else { return Array(text) }
      return Normalizer.encoded(forms.composed(Normalizer.scalars(text)))
    case .decomposed:
      guard let forms, text.contains(where: { $0 >= 0x80 }) else { return Array(text) }
      return Normalizer.encoded(forms.decomposed(Normalizer.scalars(text)))
    }
  }

  // MARK: Text

  static func replace(
    _ text: UnsafeBufferPointer<UInt8>, _ old: [UInt8], _ new: [UInt8]
  ) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 4 * max(0, new.count - old.count) + 8)
    guard let first = old.first else { return Array(text) }
    var index = 0
    var kept = 0
    while index < text.count {
      if text[index] == first, index + old.count <= text.count,
        old.count == 1
          || UnsafeBufferPointer(rebasing: text[index..<index + old.count])
            .elementsEqual(old)
      {
        result.append(contentsOf: UnsafeBufferPointer(rebasing: text[kept..<index]))
        result.append(contentsOf: new)
        index += old.count
        kept = index
      } else {
        index += 1
      }
    }
    result.append(contentsOf: UnsafeBufferPointer(rebasing: text[kept...]))
    return result
  }

  private static func strip(
    _ text: UnsafeBufferPointer<UInt8>, _ left: Bool, _ right: Bool
  ) -> [UInt8] {
    let all = scalars(text)
    var list = all[...]
    if left { list = list.drop { UnicodeClasses.flags($0).contains(.space) } }
    if right {
      while let last = list.last, UnicodeClasses.flags(last).contains(.space) { list.removeLast() }
    }
    return encoded(list)
  }

  static func scalars(_ text: UnsafeBufferPointer<UInt8>) -> [UInt32] {
    var list: [UInt32] = []
    list.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      let (scalar, length) = UTF8Text.scalar(text, at: index)
      list.append(scalar)
      index += length
    }
    return list
  }

  static func encoded(_ scalars: some Sequence<UInt32>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(scalars.underestimatedCount * 2)
    for scalar in scalars { UTF8Text.append(scalar, to: &bytes) }
    return bytes
  }

  /// Each character's own lower case; no context, so a final sigma is a sigma.
  static func lowercased(_ scalars: some Sequence<UInt32>) -> [UInt32] {
    var list: [UInt32] = []
    list.reserveCapacity(scalars.underestimatedCount)
    for scalar in scalars {
      if scalar < 0x80 {
        list.append((0x41...0x5A).contains(scalar) ? scalar + 0x20 : scalar)
      } else if let known = Unicode.Scalar(scalar) {
        for part in known.properties.lowercaseMapping.unicodeScalars { list.append(part.value) }
      }
    }
    return list
  }

  private static func isMark(_ scalar: UInt32) -> Bool {
    UnicodeClasses.flags(scalar).contains(.mark)
      && Unicode.Scalar(scalar).map { !UnicodeClasses.isYounger($0, than: 9) } == true
  }

  // MARK: BERT

  /// What stays of an ASCII text; nil when there are other characters.
  private static func bertASCII(
    _ text: UnsafeBufferPointer<UInt8>, clean: Bool, lower: Bool
  ) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    for byte in text {
      guard byte < 0x80 else { return nil }
      if clean {
        switch byte {
        case 9, 10, 13: result.append(0x20)
        case 0..<0x20, 0x7F: continue
        default:
          result.append(lower && (0x41...0x5A).contains(byte) ? byte + 0x20 : byte)
        }
      } else {
        result.append(lower && (0x41...0x5A).contains(byte) ? byte + 0x20 : byte)
      }
    }
    return result
  }

  /// Source: `normalizers/bert.rs`: clean, set ideographs apart, strip accents, lowercase, in this order.
  private func bert(
    _ text: UnsafeBufferPointer<UInt8>, clean: Bool, ideographs: Bool, accents: Bool, lower: Bool
  ) -> [UInt8] {
    var list: [UInt32] = []
    list.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      let (value, length) = UTF8Text.scalar(text, at: index)
      index += length
      guard let scalar = Unicode.Scalar(value) else { continue }
      if clean, UnicodeClasses.isDroppedByBert(scalar) { continue }
      if clean, UnicodeClasses.flags(value).contains(.space) {
        list.append(0x20)
      } else if ideographs, UnicodeClasses.isBertIdeograph(value) {
        list.append(0x20)
        list.append(value)
        list.append(0x20)
      } else {
        list.append(value)
      }
    }
    if accents, let forms {
      list = forms.decomposed(list)
      list.removeAll { scalar in
        scalar >= 0x300 && Unicode.Scalar(scalar).map(UnicodeClasses.isBertAccent) == true
      }
    }
    return Normalizer.encoded(lower ? Normalizer.lowercased(list) : list)
  }
}
