import TinctureContainers
import TinctureCore
import TinctureText

extension Tokenizer {
  /// The tokenizer that a GGUF file describes.
  ///
  /// - Throws: `gguf.metadata` for missing or mistyped keys; the errors of a description that is not carried out or
  ///   contradicts itself.
  /// - Complexity: one pass over the vocabulary; Gemma's 262,144 tokens take about 20 ms.
  public init(gguf: GGUFFile) throws(TinctureError) {
    try self.init(TokenizerDescription(gguf))
  }
}

extension TokenizerDescription {
  /// The `tokenizer.*` keys of a GGUF file.
  init(_ gguf: GGUFFile) throws(TinctureError) {
    let keys = TokenizerKeys(file: gguf)
    let name = try keys.string("tokenizer.ggml.model")
    guard let model = Vocabulary.Model(rawValue: name) else {
      throw keys.failure(
        "tokenizer.ggml.model", "no such tokenizer is known", expected: "llama, gpt2 or bert")
    }
    let tokens = try keys.strings("tokenizer.ggml.tokens")
    var types = [Int32](repeating: TokenType.normal.rawValue, count: tokens.count)
    switch gguf.value("tokenizer.ggml.token_type") {
    case .array(.int32(let list)): types = list
    case .array(.uint32(let list)): types = list.map { Int32(truncatingIfNeeded: $0) }
    case nil: break
    default:
      throw keys.failure(
        "tokenizer.ggml.token_type", "the key has another type", expected: "an array of integers")
    }
    self.init(
      model: model, preTokenizer: try keys.optionalString("tokenizer.ggml.pre") ?? "default",
      texts: TokenTexts(storage: tokens.storage, ends: tokens.ends), types: types, file: gguf.path)
    if case .array(.float32(let list))? = gguf.value("tokenizer.ggml.scores") { scores = list }
    if model == .bytePair {
      let lines = try keys.strings("tokenizer.ggml.merges")
      merges = TokenTexts(storage: lines.storage, ends: lines.ends)
    }
    addsSpacePrefix = try keys.flag("tokenizer.ggml.add_space_prefix")
    lowercases = try keys.flag("tokenizer.ggml.normalizer.lowercase")
    stripsAccents = try keys.flag("tokenizer.ggml.normalizer.strip_accents")
    for (role, key) in TokenizerKeys.roles {
      special[role] = try keys.integer("tokenizer.ggml.\(key)_token_id")
    }
    // Where the file names none, llama.cpp has ids of its own.
    let known = try EngineTokenizers.load().entries.first { $0.name == name }
    for (key, id) in known?.ids ?? [] where id < tokens.count {
      for (role, named) in TokenizerKeys.roles where named == key && special[role] == nil {
        special[role] = id
      }
    }
    for role in [SpecialRole.bos, .eos, .sep] {
      adds[role] = try keys.flag("tokenizer.ggml.add_\(role.rawValue)_token")
    }
    for part in SpecialTokens.FillIn.allCases {
      fillIns[part] = try keys.integer(part.key)
    }
    if let ids = gguf.value("tokenizer.ggml.eos_token_ids"), case .array(.int32(let list)) = ids {
      ends = list.map(Int.init)
    }
  }
}

/// Reads metadata of a file with errors that name the key.
private struct TokenizerKeys {
  let file: GGUFFile

  /// Key names of GGUF; `seperator` is spelled so.
  static let roles: [(SpecialRole, String)] = [
    (.bos, "bos"), (.eos, "eos"), (.unk, "unknown"), (.sep, "seperator"), (.pad, "padding"),
    (.cls, "cls"), (.mask, "mask"), (.eot, "eot"), (.eom, "eom"),
  ]

  func string(_ key: String) throws(TinctureError) -> String {
    guard let text = try optionalString(key) else {
      throw failure(
        key, "the file has no tokenizer that can be read", expected: "a string")
    }
    return text
  }

  func optionalString(_ key: String) throws(TinctureError) -> String? {
    switch file.value(key) {
    case nil: return nil
    case .string(let text): return text.text
    default: throw failure(key, "the key has another type", expected: "a string")
    }
  }

  func strings(_ key: String) throws(TinctureError) -> ByteStrings {
    guard case .array(.strings(let strings))? = file.value(key) else {
      throw failure(
        key, "the key is missing or no list of strings", expected: "an array of strings")
    }
    return strings
  }

  func flag(_ key: String) throws(TinctureError) -> Bool? {
    switch file.value(key) {
    case nil: return nil
    case .bool(let flag): return flag
    default: throw failure(key, "the key has another type", expected: "true or false")
    }
  }

  func integer(_ key: String) throws(TinctureError) -> Int? {
    switch file.value(key) {
    case nil: return nil
    case .uint32(let number): return Int(number)
    case .int32(let number): return Int(number)
    case .uint64(let number): return Int(exactly: number)
    case .int64(let number): return Int(exactly: number)
    default: throw failure(key, "the key has another type", expected: "an integer")
    }
  }

  func failure(_ key: String, _ message: String, expected: String) -> TinctureError {
    TinctureError(
      .init("gguf.metadata", .invalidInput), message, place: .init(file: file.path, key: key),
      expected: expected, found: file.value(key)?.summary ?? "nothing")
  }
}
