import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureText

/// A metadata key the user sets: `KEY=VALUE` or `KEY:TYPE=VALUE`.
///
/// Types: `str bool u8 i8 u16 i16 u32 i32 u64 i64 f32 f64`, and `str[]` for a list split at commas. A key that
/// engines read has one type only (`formats/config/metadata-types.json5`). Any other key takes, when no type is
/// given, the type it has in the model, or is a string when the model has no such key.
public struct MetadataOverride: Sendable, Hashable {
  public let key: String
  /// The type's name as given, nil for "the key's own".
  public let type: String?
  public let text: String

  /// - Throws: `metadata.syntax`, `metadata.type`, `metadata.key` (usage errors).
  public init(_ words: String) throws(TinctureError) {
    guard let equals = words.firstIndex(of: "=") else {
      throw TinctureError(
        .init("metadata.syntax", .usage), "--metadata needs a key and a value",
        expected: "KEY=VALUE or KEY:TYPE=VALUE", found: words)
    }
    let left = words[..<equals]
    text = String(words[words.index(after: equals)...])
    if let colon = left.firstIndex(of: ":") {
      key = String(left[..<colon])
      let type = String(left[left.index(after: colon)...])
      guard Self.types.contains(type) else {
        throw TinctureError(
          .init("metadata.type", .usage), "--metadata: there is no type \"\(type)\"",
          expected: Self.types.joined(separator: " "), found: words)
      }
      self.type = type
    } else {
      key = String(left)
      type = nil
    }
    let allowed = "abcdefghijklmnopqrstuvwxyz0123456789._-".utf8
    guard !key.isEmpty, key.utf8.count <= 64, key.utf8.allSatisfy(allowed.contains) else {
      throw TinctureError(
        .init("metadata.key", .usage), "--metadata: not a metadata key",
        expected: "1 to 64 lower-case letters, digits, '.', '_' and '-'", found: key)
    }
  }

  /// The words of every `--metadata`, each key once.
  ///
  /// - Throws: `metadata.repeated` for a key that is set twice, and the errors of ``init(_:)``.
  package static func list(_ words: [String]) throws(TinctureError) -> [MetadataOverride] {
    var overrides: [MetadataOverride] = []
    for word in words {
      let override = try MetadataOverride(word)
      if let other = overrides.first(where: { $0.key == override.key }) {
        throw TinctureError(
          .init("metadata.repeated", .usage), "--metadata sets one key twice",
          place: .init(key: override.key), expected: "each key once",
          found: "\"\(other.text)\" and \"\(override.text)\"", advice: "keep one of them")
      }
      overrides.append(override)
    }
    return overrides
  }

  static let types = [
    "str", "bool", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "str[]",
  ]

  /// Keys that describe the file, the tensors or the vocabulary: only the checkpoint decides them.
  private static let structural: Set<String> = [
    "general.architecture", "general.type", "general.alignment", "general.file_type",
    "general.quantization_version", "tokenizer.ggml.model", "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.merges",
    "tokenizer.ggml.token_type_count", "tokenizer.ggml.precompiled_charsmap",
    "tokenizer.ggml.suppress_tokens",
  ]

  /// - Throws: `metadata.structural` when the key is the model's own to decide.
  private func checkAllowed(architecture: String) throws(TinctureError) {
    let isHyperparameter = key.hasPrefix(architecture + ".")
    let isFile = key.hasPrefix("split.") || key.hasPrefix("quantize.")
    guard !Self.structural.contains(key), !isHyperparameter, !isFile else {
      throw TinctureError(
        .init("metadata.structural", .usage), "--metadata cannot set this key",
        place: .init(key: key),
        expected: "general.* names and texts, the tokenizer's settings, or a key of your own",
        advice: "correct the checkpoint's own files if its value is wrong")
    }
  }

  /// The typed value.
  ///
  /// - Parameters:
  ///   - existing: the key's value in the model, if it has one.
  ///   - known: the types of the keys that engines read.
  ///   - tokenCount: size of the vocabulary, nil when the model has none.
  /// - Throws: `metadata.value` when the text is no value of the type; `metadata.keyType` for another type than
  ///   engines read; `metadata.token` for an id beyond the vocabulary; `metadata.structural`;
  ///   `tokenizer.preTokenizerName` for a pre-tokenizer that llama.cpp does not know.
  func value(
    existing: GGUFValue?, architecture: String, known: MetadataTypes, tokenCount: Int?
  ) throws(TinctureError) -> GGUFValue {
    try checkAllowed(architecture: architecture)
    var type = self.type ?? "str"
    if let kind = known.kind(of: key) {
      guard self.type == nil || self.type == kind.typeName else {
        throw TinctureError(
          .init("metadata.keyType", .usage), "--metadata: the key has another type",
          place: .init(key: key), expected: kind.typeName, found: type,
          advice: "leave the type out; llama.cpp would not load the file with another one")
      }
      type = kind.typeName
      if kind == .token, let tokenCount, let id = UInt32(text), Int(id) >= tokenCount {
        throw TinctureError(
          .init("metadata.token", .usage), "--metadata: the vocabulary has no such token",
          place: .init(key: key), expected: "0 to \(tokenCount - 1)", found: text)
      }
    } else if self.type == nil, let existing {
      type = try typeName(existing)
    }
    if key == "tokenizer.ggml.pre" { try KnownPreTokenizers.load().check(text) }
    let value: GGUFValue? =
      switch type {
      case "str": .string(GGUFString(text))
      case "str[]": .array(.strings(ByteStrings(listItems.map { Array($0.utf8) })))
      case "bool": text == "true" ? .bool(true) : text == "false" ? .bool(false) : nil
      case "u8": UInt8(text).map { .uint8($0) }
      case "i8": Int8(text).map { .int8($0) }
      case "u16": UInt16(text).map { .uint16($0) }
      case "i16": Int16(text).map { .int16($0) }
      case "u32": UInt32(text).map { .uint32($0) }
      case "i32": Int32(text).map { .int32($0) }
      case "u64": UInt64(text).map { .uint64($0) }
      case "i64": Int64(text).map { .int64($0) }
      case "f32": Float(text).flatMap { $0.isFinite ? .float32($0) : nil }
      case "f64": Double(text).flatMap { $0.isFinite ? .float64($0) : nil }
      default: nil
      }
    if let value { return value }
    throw TinctureError(
      .init("metadata.value", .usage), "--metadata: the value does not fit its type",
      place: .init(key: key), expected: type, found: text)
  }

  private var listItems: [Substring] {
    text.isEmpty ? [] : text.split(separator: ",", omittingEmptySubsequences: false)
  }

  /// The type's name of a value the model has.
  private func typeName(_ value: GGUFValue) throws(TinctureError) -> String {
    switch value {
    case .string: return "str"
    case .bool: return "bool"
    case .uint8: return "u8"
    case .int8: return "i8"
    case .uint16: return "u16"
    case .int16: return "i16"
    case .uint32: return "u32"
    case .int32: return "i32"
    case .uint64: return "u64"
    case .int64: return "i64"
    case .float32: return "f32"
    case .float64: return "f64"
    case .array(.strings): return "str[]"
    case .array:
      throw TinctureError(
        .init("metadata.value", .usage), "--metadata cannot set a list of numbers",
        place: .init(key: key))
    }
  }
}
