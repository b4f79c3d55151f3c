import TinctureCore

/// What decides how a model reads texts, each fact as a short word or a SHA-256, so that two models can be compared
/// without their tokenizers at hand (formats/spec/parity-pack.md).
package struct TokenizerFacts: Sendable, Equatable {
  /// The facts, in the order of a pack.
  package enum Key: String, Sendable, CaseIterable {
    case model, pre, scores, types, merges, spacePrefix, lowercase, stripAccents
    case before, after, unknown, ends
    case bos, eos, unk, sep, pad, cls, mask, eot, eom
    case addBOS, addEOS, addSEP
    case chatTemplate

    /// What people call it.
    var title: String {
      switch self {
      case .model: "kind of tokenizer"
      case .pre: "pre-tokenizer"
      case .scores: "scores"
      case .types: "token types"
      case .merges: "merges"
      case .spacePrefix: "space before a text"
      case .lowercase: "lower case"
      case .stripAccents: "accents taken off"
      case .before: "tokens put before a text"
      case .after: "tokens put after a text"
      case .unknown: "token for what is unknown"
      case .ends: "tokens that end a text"
      case .bos, .eos, .unk, .sep, .pad, .cls, .mask, .eot, .eom: "\(rawValue) token"
      case .addBOS: "flag that adds bos"
      case .addEOS: "flag that adds eos"
      case .addSEP: "flag that adds sep"
      case .chatTemplate: "chat template"
      }
    }

    /// Whether its value is a digest, which nobody wants to read.
    var isDigest: Bool {
      switch self {
      case .scores, .types, .merges, .chatTemplate: true
      default: false
      }
    }

    /// Whether a side that lacks it says nothing: programs that write GGUF files leave such keys out, and what follows
    /// from them is compared by `before`, `after`, `unknown` and `ends`.
    var isOptional: Bool {
      switch self {
      case .bos, .eos, .unk, .sep, .pad, .cls, .mask, .eot, .eom, .addBOS, .addEOS, .addSEP: true
      default: false
      }
    }

    /// Whether a tokenizer of this kind (GGUF's word for it) makes no use of it.
    func isIdle(model: String?) -> Bool { self == .pre && model != "gpt2" }
  }

  private var values: [Key: String] = [:]

  package init() {}

  package subscript(key: Key) -> String? {
    get { values[key] }
    set { values[key] = newValue }
  }

  // MARK: In a pack

  /// The member `tokenizer` of a pack's index.
  var json: JSONValue {
    .object(
      Key.allCases.compactMap { key in values[key].map { (key.rawValue, .string($0)) } })
  }

  /// - Throws: `pack.unknownKey`, `pack.type`.
  init(_ json: JSON) throws(TinctureError) {
    for (name, value) in try json.object() {
      guard let key = Key(rawValue: try name.string()) else {
        throw name.error(
          "unknownKey", "not a fact about a tokenizer",
          expected: Key.allCases.map(\.rawValue).joined(separator: ", "), found: name.shortText)
      }
      values[key] = try value.string()
    }
  }

  // MARK: Comparing

  /// In which facts two tokenizers differ, the chat template aside; `isIdle` ones change no token.
  static func differences(
    reference: TokenizerFacts, candidate: TokenizerFacts
  ) -> [(text: String, isIdle: Bool)] {
    var found: [(text: String, isIdle: Bool)] = []
    for key in Key.allCases where key != .chatTemplate {
      let (theirs, own) = (reference[key], candidate[key])
      if theirs == own || key.isOptional && (theirs == nil || own == nil) { continue }
      var text = key.title
      if key.isDigest, theirs != nil, own != nil {
        text += text.hasSuffix("s") ? " differ" : " differs"
      } else if key.isDigest {
        text += theirs == nil ? ": only the model has them" : ": the model has none"
      } else {
        text += " \(shown(own)), in the reference \(shown(theirs))"
      }
      found.append((text, key.isIdle(model: candidate[.model])))
    }
    return found
  }

  private static func shown(_ value: String?) -> String {
    guard let value, !value.isEmpty else { return "none" }
    return value.utf8.count > 40 ? String(value.prefix(40)) + "…" : value
  }
}
