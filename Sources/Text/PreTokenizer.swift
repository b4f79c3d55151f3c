import TinctureCore

/// How a byte-level BPE cuts text before merging, reduced to what changes the result: the definition by which a
/// pre-tokenizer is recognised, whatever its vocabulary and added tokens.
///
/// The steps of tokenizer.json have several spellings of one meaning: ByteLevel's own cut is the GPT-2 pattern,
/// Digits is a pattern of digits, an isolating Split is its pattern. All become patterns here.
public struct PreTokenizerDefinition: Sendable, Hashable {
  /// One cut: the pattern, and how it is applied when it is not simply "each match is a word of its own".
  public struct Cut: Sendable, Hashable {
    public let pattern: String
    /// Empty, or e.g. `MergedWithPrevious`.
    public let manner: String
  }

  /// Unicode normalizations and the like, as tokenizer.json names them.
  public let normalizers: [String]
  public let cuts: [Cut]
  /// Whether words become visible characters, a byte each.
  public let isByteLevel: Bool
  public let addsPrefixSpace: Bool
  public let ignoresMerges: Bool

  /// ByteLevel's cut when `use_regex` is set.
  ///
  /// Source: huggingface/tokenizers `pre_tokenizers/byte_level.rs`.
  static let byteLevelPattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  public init(_ json: TokenizerJSON) {
    var cuts: [Cut] = []
    var isByteLevel = false
    var addsPrefixSpace = false
    for step in json.preTokenizer {
      switch step {
      case .byteLevel(let prefix, let usesRegex):
        isByteLevel = true
        if prefix { addsPrefixSpace = true }
        if usesRegex {
          cuts.append(Cut(pattern: PreTokenizerDefinition.byteLevelPattern, manner: ""))
        }
      case .split(.regex(let pattern), "Isolated", false):
        cuts.append(Cut(pattern: PreTokenizerDefinition.visible(pattern), manner: ""))
      case .split(.regex(let pattern), "Removed", true) where pattern.hasSuffix(#"|\s+"#):
        // The pattern matches every text, so keeping its matches only is cutting at them.
        cuts.append(Cut(pattern: PreTokenizerDefinition.visible(pattern), manner: ""))
      case .split(.regex(let pattern), let behavior, let invert):
        cuts.append(Cut(pattern: pattern, manner: behavior + (invert ? " inverted" : "")))
      case .split(.literal(let text), let behavior, let invert):
        cuts.append(
          Cut(pattern: text, manner: "text " + behavior + (invert ? " inverted" : "")))
      case .digits(let individual):
        cuts.append(Cut(pattern: individual ? #"\p{N}"# : #"\p{N}+"#, manner: ""))
      case .punctuation(let behavior):
        cuts.append(Cut(pattern: "punctuation", manner: behavior))
      case .metaspace(let replacement, let prepend, let splits):
        cuts.append(
          Cut(pattern: "Metaspace \(replacement) \(prepend)", manner: splits ? "split" : "whole"))
      case .delimiter(let text): cuts.append(Cut(pattern: text, manner: "delimiter"))
      case .bert: cuts.append(Cut(pattern: "BertPreTokenizer", manner: "step"))
      case .whitespace: cuts.append(Cut(pattern: "Whitespace", manner: "step"))
      case .whitespaceSplit: cuts.append(Cut(pattern: "WhitespaceSplit", manner: "step"))
      case .unicodeScripts: cuts.append(Cut(pattern: "UnicodeScripts", manner: "step"))
      case .fixedLength(let length):
        cuts.append(Cut(pattern: "FixedLength \(length)", manner: "step"))
      }
    }
    self.cuts = cuts
    self.isByteLevel = isByteLevel
    self.addsPrefixSpace = addsPrefixSpace
    normalizers = json.normalizer.map(PreTokenizerDefinition.name)
    ignoresMerges = json.ignoresMerges
  }

  /// The pattern with line ends written as escapes, so that both spellings are one.
  private static func visible(_ pattern: String) -> String {
    var text = String.UnicodeScalarView()
    for scalar in pattern.unicodeScalars {
      switch scalar {
      case "\r": text.append(contentsOf: #"\r"#.unicodeScalars)
      case "\n": text.append(contentsOf: #"\n"#.unicodeScalars)
      default: text.append(scalar)
      }
    }
    return String(text)
  }

  static func name(_ step: NormalizerStep) -> String {
    switch step {
    case .bert(let clean, let chinese, let strip, let lower):
      "BertNormalizer(clean_text \(clean), handle_chinese_chars \(chinese), strip_accents "
        + "\(strip.map { "\($0)" } ?? "null"), lowercase \(lower))"
    case .lowercase: "Lowercase"
    case .stripAccents: "StripAccents"
    case .unicode(let form): form
    case .replace(.literal(let text), let replacement): "Replace(\"\(text)\" → \"\(replacement)\")"
    case .replace(.regex(let text), let replacement): "Replace(/\(text)/ → \"\(replacement)\")"
    case .prepend(let text): "Prepend(\"\(text)\")"
    case .strip(let left, let right): "Strip(left \(left), right \(right))"
    case .byteLevel: "ByteLevel"
    case .precompiled: "Precompiled"
    }
  }

  /// The definition for people, one line.
  public var text: String {
    var parts = normalizers.map { "normalizer \($0)" }
    parts += cuts.map { "cut \"\($0.pattern)\"" + ($0.manner.isEmpty ? "" : " (\($0.manner))") }
    if isByteLevel { parts.append("bytes as characters") }
    if addsPrefixSpace { parts.append("a space before the text") }
    parts.append(ignoresMerges ? "merges ignored for whole words" : "merges always")
    return parts.joined(separator: "; ")
  }
}

/// The pre-tokenizers that llama.cpp knows: `formats/pretokenizers/`.
public struct KnownPreTokenizers: Sendable {
  struct Entry: Sendable {
    let name: String
    /// Names of patterns, and the spellings of each.
    let cutNames: [String]
    let cuts: [[String]]
    let ignoresMerges: Bool?
    let normalizers: Set<String>
    /// The normalizer of the published tokenizers of this name; a GGUF does not say it.
    let normalizes: String?
  }

  let entries: [Entry]
  /// Spellings of a cut, by its name.
  let patterns: [String: [String]]
  /// Every name that llama.cpp accepts for a BPE.
  let names: Set<String>
  /// Further names that it accepts, of BPEs that are not byte-level.
  let otherNames: Set<String>
  /// The name written for WordPiece, where llama.cpp has one procedure for every name.
  let wordPieceName: String
  /// Names for which llama.cpp adds a bos token unless the file says otherwise.
  let bosNames: Set<String>

  /// The table, read once in a process.
  ///
  /// - Throws: errors of the bundled file (`pretokenizers.*`).
  public static func load() throws(TinctureError) -> KnownPreTokenizers { try loaded.get() }

  private static let loaded = Result { () throws(TinctureError) in try read() }

  private static func read() throws(TinctureError) -> KnownPreTokenizers {
    var entries: [Entry] = []
    var names: Set<String> = []
    var otherNames: Set<String> = []
    var bosNames: Set<String> = []
    var wordPieceName = "default"
    var allPatterns: [String: [String]] = [:]
    for file in try BundledFile.all(in: "pretokenizers") {
      let root = try JSON.parse(
        file.bytes, file: file.path, mode: .lenient, code: "pretokenizers")
      var patterns: [String: [String]] = [:]
      for member in try root.member("patterns").object() {
        patterns[try member.key.string()] = try strings(member.value)
      }
      allPatterns.merge(patterns) { first, _ in first }
      for node in try root.member("definitions").array() {
        entries.append(try entry(node, patterns))
      }
      names.formUnion(try strings(root.member("names")))
      otherNames.formUnion(try strings(root.member("otherNames")))
      bosNames.formUnion(try strings(root.member("addsBOS")))
      wordPieceName = try root.member("wordPiece").string()
    }
    return KnownPreTokenizers(
      entries: entries, patterns: allPatterns, names: names, otherNames: otherNames,
      wordPieceName: wordPieceName,
      bosNames: bosNames)
  }

  private static func entry(
    _ node: JSON, _ patterns: [String: [String]]
  ) throws(TinctureError) -> Entry {
    var cuts: [[String]] = []
    var cutNames: [String] = []
    for cut in try node.member("cuts").array() {
      cutNames.append(try cut.string())
      guard let spellings = patterns[try cut.string()] else {
        throw cut.error("pattern", "no such pattern", found: cut.shortText)
      }
      cuts.append(spellings)
    }
    return Entry(
      name: try node.member("name").string(), cutNames: cutNames, cuts: cuts,
      ignoresMerges: try node.present("ignoreMerges")?.bool(),
      normalizers: Set(try node.present("normalizers").map(strings) ?? []),
      normalizes: try node.present("normalizes")?.string())
  }

  private static func strings(_ node: JSON) throws(TinctureError) -> [String] {
    var list: [String] = []
    for element in try node.array() { list.append(try element.string()) }
    return list
  }

  /// llama.cpp's name of a byte-level BPE's pre-tokenizer.
  ///
  /// - Throws: `tokenizer.preTokenizer` (unsupported), which shows the definition.
  public func name(
    of definition: PreTokenizerDefinition, file: String
  ) throws(TinctureError) -> (name: String, notes: [String]) {
    var nearest: String?
    if definition.isByteLevel, !definition.addsPrefixSpace {
      for entry in entries where matches(entry, definition) {
        guard entry.ignoresMerges == nil || entry.ignoresMerges == definition.ignoresMerges else {
          nearest = "\(entry.name), which differs in ignore_merges"
          continue
        }
        let unknown = definition.normalizers.filter { !entry.normalizers.contains($0) }
        guard unknown.isEmpty else {
          nearest = "\(entry.name), which has no normalizer \(unknown.joined(separator: ", "))"
          continue
        }
        let notes =
          definition.normalizers.isEmpty
          ? []
          : [
            "llama.cpp does not apply the normalizer \(definition.normalizers.joined(separator: ", ")): a "
              + "text that is not in that form becomes other tokens than in transformers"
          ]
        return (entry.name, notes)
      }
    }
    throw TinctureError(
      .init("tokenizer.preTokenizer", .unsupported),
      "llama.cpp has no name for this pre-tokenizer",
      place: .init(file: file, key: "pre_tokenizer"),
      expected: nearest.map { "a known definition; the nearest is \($0)" }
        ?? "one of the definitions in formats/pretokenizers/", found: definition.text,
      advice: "name the one that cuts text the same way with --pre-tokenizer NAME")
  }

  private func matches(_ entry: Entry, _ definition: PreTokenizerDefinition) -> Bool {
    entry.cuts.count == definition.cuts.count
      && zip(entry.cuts, definition.cuts).allSatisfy { spellings, cut in
        spellings.contains { spelling in
          cut.manner.isEmpty
            ? spelling.utf8.elementsEqual(cut.pattern.utf8)
            : spelling.utf8.elementsEqual("\(cut.manner): \(cut.pattern)".utf8)
        }
      }
  }

  /// The name of the pattern that a cut is, whatever its spelling.
  func patternName(_ cut: PreTokenizerDefinition.Cut) -> String? {
    guard cut.manner.isEmpty else { return nil }
    return patterns.first { $0.value.contains { $0.utf8.elementsEqual(cut.pattern.utf8) } }?.key
  }

  /// The first definition of a name; llama.cpp has two more names for Llama 3's.
  func entry(named name: String) -> Entry? {
    let name = ["llama3", "llama-v3"].contains(name) ? "llama-bpe" : name
    return entries.first { $0.name == name }
  }

  /// Whether llama.cpp loads a BPE with this name.
  package func isKnown(_ name: String) -> Bool {
    names.contains(name) || otherNames.contains(name)
  }

  /// Checks a name given by hand.
  ///
  /// - Throws: `tokenizer.preTokenizerName` (usage) when llama.cpp has no such name.
  public func check(_ name: String) throws(TinctureError) {
    guard names.contains(name) || name == wordPieceName else {
      throw TinctureError(
        .init("tokenizer.preTokenizerName", .usage), "llama.cpp knows no such pre-tokenizer",
        expected: names.sorted().joined(separator: ", "), found: name)
    }
  }

  public func addsBOSByDefault(_ name: String) -> Bool { bosNames.contains(name) }
}
