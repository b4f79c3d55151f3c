import TinctureCore

/// One step of the `normalizer` of a `tokenizer.json`, sequences flattened.
///
/// Source: huggingface/tokenizers `tokenizers/src/normalizers`. Every type of the library has a case, so an unknown
/// one is an error and never stepped over.
public enum NormalizerStep: Sendable, Hashable {
  /// `BertNormalizer`. `stripAccents` nil follows `lowercase`.
  case bert(cleanText: Bool, chineseCharacters: Bool, stripAccents: Bool?, lowercase: Bool)
  case lowercase, stripAccents
  /// `NFC`, `NFD`, `NFKC`, `NFKD`, `Nmt`.
  case unicode(String)
  case replace(TextPattern, with: String)
  case prepend(String)
  case strip(left: Bool, right: Bool)
  case byteLevel
  /// `Precompiled`: SentencePiece's own character map.
  case precompiled
}

/// What a step looks for: a literal text or a regular expression.
public enum TextPattern: Sendable, Hashable {
  case literal(String)
  case regex(String)
}

/// One step of the `pre_tokenizer` of a `tokenizer.json`, sequences flattened.
///
/// Source: huggingface/tokenizers `tokenizers/src/pre_tokenizers`.
public enum PreTokenizerStep: Sendable, Hashable {
  case byteLevel(addsPrefixSpace: Bool, usesRegex: Bool)
  case split(TextPattern, behavior: String, invert: Bool)
  case digits(individual: Bool)
  case punctuation(behavior: String)
  case metaspace(replacement: String, prepend: String, splits: Bool)
  case delimiter(String)
  case bert, whitespace, whitespaceSplit, unicodeScripts
  case fixedLength(Int)
}

/// One step of the `post_processor` of a `tokenizer.json`, sequences flattened.
public enum PostProcessorStep: Sendable, Hashable {
  /// A piece of a template: a special token's name, or the sequence "A" or "B".
  public enum Piece: Sendable, Hashable {
    case special(String)
    case sequence(String)
  }

  case byteLevel
  case bert(separator: String, classifier: String)
  case roberta(separator: String, classifier: String)
  case template(single: [Piece], pair: [Piece])
}

/// One step of the `decoder` of a `tokenizer.json`, sequences flattened.
public enum DecoderStep: Sendable, Hashable {
  case byteLevel
  case wordPiece(prefix: String, cleansUp: Bool)
  case replace(TextPattern, with: String)
  case metaspace(replacement: String, prepend: String)
  /// `<0xHH>` tokens become bytes.
  case byteFallback
  /// All texts become one.
  case fuse
  /// At most so many `content` characters at each end are dropped.
  case strip(content: String, start: Int, stop: Int)
  /// `BPEDecoder` and `CTC`, of families not in scope.
  case other(String)
}

/// Reads the steps of a tokenizer.json.
enum StepReader {
  /// Longest list of steps; real files have at most a dozen.
  private static let limit = 64

  static func flatten<Step>(
    _ node: JSON?, list: String, _ read: (JSON) throws(TinctureError) -> Step
  ) throws(TinctureError) -> [Step] {
    guard let node, node.kind != .null else { return [] }
    var steps: [Step] = []
    try flatten(node, list: list, into: &steps, depth: 0, read)
    return steps
  }

  private static func flatten<Step>(
    _ node: JSON, list: String, into steps: inout [Step], depth: Int,
    _ read: (JSON) throws(TinctureError) -> Step
  ) throws(TinctureError) {
    guard try node.member("type").equals("Sequence") else {
      steps.append(try read(node))
      guard steps.count <= limit else {
        throw node.error("tooManySteps", "more than \(limit) steps")
      }
      return
    }
    for child in try node.member(list).array() {
      try flatten(child, list: list, into: &steps, depth: depth + 1, read)
    }
  }

  static func normalizer(_ node: JSON) throws(TinctureError) -> NormalizerStep {
    let type = try node.member("type").string()
    switch type {
    case "BertNormalizer":
      let strip = try node.present("strip_accents").map { (x) throws(TinctureError) in try x.bool()
      }
      return .bert(
        cleanText: try flag(node, "clean_text", true),
        chineseCharacters: try flag(node, "handle_chinese_chars", true), stripAccents: strip,
        lowercase: try flag(node, "lowercase", true))
    case "Lowercase": return .lowercase
    case "StripAccents": return .stripAccents
    case "NFC", "NFD", "NFKC", "NFKD", "Nmt": return .unicode(type)
    case "Replace":
      return .replace(try pattern(node), with: try node.member("content").string())
    case "Prepend": return .prepend(try node.member("prepend").string())
    case "Strip":
      return .strip(
        left: try flag(node, "strip_left", true), right: try flag(node, "strip_right", true))
    case "ByteLevel": return .byteLevel
    case "Precompiled": return .precompiled
    default: throw unknown(node, "normalizer", type)
    }
  }

  static func preTokenizer(_ node: JSON) throws(TinctureError) -> PreTokenizerStep {
    let type = try node.member("type").string()
    switch type {
    case "ByteLevel":
      return .byteLevel(
        addsPrefixSpace: try flag(node, "add_prefix_space", true),
        usesRegex: try flag(node, "use_regex", true))
    case "Split":
      return .split(
        try pattern(node), behavior: try node.member("behavior").string(),
        invert: try flag(node, "invert", false))
    case "Digits": return .digits(individual: try flag(node, "individual_digits", false))
    case "Punctuation":
      return .punctuation(behavior: try node.present("behavior")?.string() ?? "Isolated")
    case "Metaspace":
      return .metaspace(
        replacement: try node.member("replacement").string(), prepend: try prependScheme(node),
        splits: try flag(node, "split", true))
    case "CharDelimiterSplit": return .delimiter(try node.member("delimiter").string())
    case "BertPreTokenizer": return .bert
    case "Whitespace": return .whitespace
    case "WhitespaceSplit": return .whitespaceSplit
    case "UnicodeScripts": return .unicodeScripts
    case "FixedLength": return .fixedLength(try node.member("length").int())
    default: throw unknown(node, "pre_tokenizer", type)
    }
  }

  /// Metaspace's scheme; older files have the flag `add_prefix_space` instead.
  private static func prependScheme(_ node: JSON) throws(TinctureError) -> String {
    if let scheme = node.present("prepend_scheme") { return try scheme.string() }
    return try flag(node, "add_prefix_space", true) ? "always" : "never"
  }

  static func postProcessor(_ node: JSON) throws(TinctureError) -> PostProcessorStep {
    let type = try node.member("type").string()
    switch type {
    case "ByteLevel": return .byteLevel
    case "BertProcessing":
      return .bert(separator: try name(node, "sep"), classifier: try name(node, "cls"))
    case "RobertaProcessing":
      return .roberta(separator: try name(node, "sep"), classifier: try name(node, "cls"))
    case "TemplateProcessing":
      return .template(single: try pieces(node, "single"), pair: try pieces(node, "pair"))
    default: throw unknown(node, "post_processor", type)
    }
  }

  /// Ids that a post-processor gives the special tokens which it puts around a text.
  struct SpecialIDs {
    let name: String
    let ids: [Int]
  }

  static func specialIDs(_ node: JSON) throws(TinctureError) -> [SpecialIDs] {
    switch try postProcessor(node) {
    case .byteLevel: return []
    case .bert, .roberta: return [try specialID(node, "sep"), try specialID(node, "cls")]
    case .template(let single, let pair):
      guard let list = node.present("special_tokens") else { return [] }
      var result: [SpecialIDs] = []
      for (key, value) in try list.object() {
        let name = try key.string()
        guard (single + pair).contains(.special(name)), let ids = value.present("ids") else {
          continue
        }
        result.append(SpecialIDs(name: name, ids: try integers(ids)))
      }
      return result
    }
  }

  private static func specialID(_ node: JSON, _ key: String) throws(TinctureError) -> SpecialIDs {
    let pair = try node.member(key)
    var ids: [Int] = []
    for (place, element) in pair.elements.enumerated() where place == 1 {
      ids.append(try element.int())
    }
    return SpecialIDs(name: try name(node, key), ids: ids)
  }

  private static func integers(_ node: JSON) throws(TinctureError) -> [Int] {
    var numbers: [Int] = []
    for element in try node.array() { numbers.append(try element.int()) }
    return numbers
  }

  /// The text of a `["[SEP]", 102]` pair.
  private static func name(_ node: JSON, _ key: String) throws(TinctureError) -> String {
    let pair = try node.member(key)
    guard let first = pair.elements.first(where: { _ in true }) else {
      throw pair.error("type", "a pair of a token and its id is missing", expected: "[text, id]")
    }
    return try first.string()
  }

  private static func pieces(
    _ node: JSON, _ key: String
  ) throws(TinctureError) -> [PostProcessorStep.Piece] {
    guard let list = node.present(key) else { return [] }
    var pieces: [PostProcessorStep.Piece] = []
    for element in try list.array() {
      if let special = element.present("SpecialToken") {
        pieces.append(.special(try special.member("id").string()))
      } else if let sequence = element.present("Sequence") {
        pieces.append(.sequence(try sequence.member("id").string()))
      } else {
        throw element.error(
          "templatePiece", "unknown piece of a template", expected: "SpecialToken or Sequence")
      }
      guard pieces.count <= limit else {
        throw node.error("tooManySteps", "a template of more than \(limit) pieces")
      }
    }
    return pieces
  }

  static func decoder(_ node: JSON) throws(TinctureError) -> DecoderStep {
    let type = try node.member("type").string()
    switch type {
    case "ByteLevel": return .byteLevel
    case "WordPiece":
      return .wordPiece(
        prefix: try node.present("prefix")?.string() ?? "##",
        cleansUp: try flag(node, "cleanup", true))
    case "Replace":
      return .replace(try pattern(node), with: try node.member("content").string())
    case "Metaspace":
      return .metaspace(
        replacement: try node.member("replacement").string(), prepend: try prependScheme(node))
    case "ByteFallback": return .byteFallback
    case "Fuse": return .fuse
    case "Strip":
      return .strip(
        content: try node.member("content").string(), start: try node.member("start").int(),
        stop: try node.member("stop").int())
    case "BPEDecoder", "CTC": return .other(type)
    default: throw unknown(node, "decoder", type)
    }
  }

  private static func pattern(_ node: JSON) throws(TinctureError) -> TextPattern {
    let pattern = try node.member("pattern")
    if let text = pattern.present("String") { return .literal(try text.string()) }
    if let text = pattern.present("Regex") { return .regex(try text.string()) }
    throw pattern.error("pattern", "unknown pattern", expected: "String or Regex")
  }

  static func flag(
    _ node: JSON, _ key: String, _ ifMissing: Bool
  ) throws(TinctureError) -> Bool {
    try node.present(key)?.bool() ?? ifMissing
  }

  private static func unknown(_ node: JSON, _ part: String, _ type: String) -> TinctureError {
    let error = node.error("unknownStep", "unknown type of \(part)", found: type)
    return TinctureError(
      .init(error.code.name, .unsupported), error.message, place: error.place,
      expected: "a type of the tokenizers library", found: type,
      advice: "save the tokenizer with a released version of transformers, or report the type")
  }
}
