import TinctureContainers
import TinctureCore
import TinctureText

/// The vocabulary of a GGUF file as far as tensors and other keys must agree with it.
struct GGUFVocabulary {
  /// Number of tokens; nil when the file has no vocabulary.
  let tokenCount: Int?
  /// Whether the file says itself that it has none.
  private(set) var isDeclaredAbsent = false
  /// What the report says.
  private(set) var notes: [String] = []

  /// Checks the tokenizer's keys.
  ///
  /// - Parameters:
  ///   - kind: the tokenizer that models of the architecture have.
  ///   - decided: keys that the user sets, whose values in the file do not matter.
  /// - Throws: `gguf.metadata` for a mistyped key, lists of another length than the vocabulary, and ids beyond it,
  ///   tokenizers and pre-tokenizers that llama.cpp does not know, tokens of the same text.
  /// - Complexity: O(keys).
  init(
    _ keys: GGUFKeys, kind: VocabularyKind, decided: Set<String>
  ) throws(TinctureError) {
    let listKey = "tokenizer.ggml.tokens"
    switch keys.file.value(listKey) {
    case nil: tokenCount = nil
    case .array(.strings(let tokens)) where tokens.count > 0: tokenCount = tokens.count
    default:
      throw keys.failure(
        listKey, "the vocabulary is no list of tokens", expected: "an array of strings")
    }
    let known = try MetadataTypes.load()
    for (key, _) in keys.file.metadata where key.hasPrefix("tokenizer.") && !decided.contains(key) {
      switch known.kind(of: key) {
      case .token: try checkToken(key, keys)
      case .bool: _ = try keys.optionalFlag(key)
      case .str: _ = try keys.optionalString(key)
      case .u32, .i32, .f32, .strings, nil: break
      }
    }
    guard tokenCount != nil else {
      try readAbsence(keys)
      return
    }
    try readModel(keys, kind: kind, decided: decided)
    try checkLists(keys)
    try checkTexts(keys)
  }

  /// A file without tokens: llama.cpp loads it when it says so and how many there would be.
  private mutating func readAbsence(_ keys: GGUFKeys) throws(TinctureError) {
    guard let model = try keys.optionalString(Self.modelKey),
      ["none", "no_vocab"].contains(model)
    else {
      notes.append("the file has no vocabulary: llama.cpp does not load it, and neither the output")
      return
    }
    isDeclaredAbsent = true
    notes.append("the file says that it has no vocabulary: llama.cpp takes token ids, and no text")
  }

  private static let modelKey = "tokenizer.ggml.model"
  private static let preKey = "tokenizer.ggml.pre"

  /// The kind of the tokenizer, how it cuts, and what llama.cpp takes where the file says nothing.
  private mutating func readModel(
    _ keys: GGUFKeys, kind: VocabularyKind, decided: Set<String>
  ) throws(TinctureError) {
    let model = try keys.string(Self.modelKey)
    let known = try EngineTokenizers.load().entries
    guard let entry = known.first(where: { $0.name == model }) else {
      guard !decided.contains(Self.modelKey) else { return }
      throw keys.failure(
        Self.modelKey, "llama.cpp knows no such tokenizer",
        expected: known.map(\.name).joined(separator: ", "))
    }
    if !kind.engineModels.contains(model) {
      notes.append(
        "the tokenizer is of kind \(model), where models of this architecture have "
          + "\(kind.engineModels.joined(separator: " or ")): it is kept as it is")
    }
    if entry.isBytePair { try checkBytePair(keys, decided: decided) }
    if !entry.takesBytes, case .array(.int32(let types)) = keys.file.value(Self.typesKey),
      let index = types.firstIndex(of: TokenType.byte.rawValue)
    {
      throw keys.failure(
        Self.typesKey, "a tokenizer of kind \(model) has no tokens that stand for a byte",
        expected: "no type \(TokenType.byte.rawValue)",
        advice: "token \(index) is one, at which llama.cpp stops; correct \(Self.modelKey)")
    }
    try noteDefaults(entry, keys, kind: kind, decided: decided)
  }

  private static let typesKey = "tokenizer.ggml.token_type"

  /// llama.cpp src/llama-vocab.cpp, llama_vocab::impl::load: what a byte-level BPE must have.
  private func checkBytePair(_ keys: GGUFKeys, decided: Set<String>) throws(TinctureError) {
    if keys.file.value("tokenizer.ggml.merges") == nil {
      throw keys.failure(
        "tokenizer.ggml.merges", "a byte-level BPE without merges", expected: "a list of merges")
    }
    guard !decided.contains(Self.preKey) else { return }
    guard let name = try keys.optionalString(Self.preKey), !name.isEmpty else {
      throw keys.failure(
        Self.preKey, "a byte-level BPE that does not say how text is cut into words",
        expected: "the name of a pre-tokenizer",
        advice:
          "llama.cpp would take its default; say which one with --metadata \(Self.preKey)=NAME")
    }
    guard try KnownPreTokenizers.load().isKnown(name) else {
      throw keys.failure(
        Self.preKey, "llama.cpp knows no such pre-tokenizer, and does not load the file",
        expected: "a name of formats/pretokenizers/",
        advice: "name the one that cuts text the same way with --metadata \(Self.preKey)=NAME")
    }
  }

  /// What the file does not say and llama.cpp has a value for.
  private mutating func noteDefaults(
    _ entry: EngineTokenizers.Entry, _ keys: GGUFKeys, kind: VocabularyKind, decided: Set<String>
  ) throws(TinctureError) {
    func isMissing(_ key: String) -> Bool { keys.file.value(key) == nil && !decided.contains(key) }
    let ids = entry.ids.filter { role, id in
      id < tokenCount ?? 0 && isMissing("tokenizer.ggml.\(role)_token_id")
    }
    if !ids.isEmpty {
      notes.append(
        "the file does not name every special token: llama.cpp takes "
          + ids.map { "\($0.id) for tokenizer.ggml.\($0.role)_token_id" }.joined(separator: ", "))
    }
    let flags: [(name: String, default: Bool)] = [
      ("add_bos_token", try addsBOS(entry, keys)),
      ("add_space_prefix", entry.name == Vocabulary.Model.sentencePiece.rawValue),
      ("normalizer.lowercase", entry.name == Vocabulary.Model.wordPiece.rawValue),
    ]
    // SentencePiece of Llama begins with a space, which no file says; what the others say has to be said.
    for flag in flags where isMissing("tokenizer.ggml." + flag.name) {
      let isOwn = flag.name != "add_bos_token" && (!flag.default || kind == .llama)
      if isOwn { continue }
      notes.append("the file has no tokenizer.ggml.\(flag.name): llama.cpp takes \(flag.default)")
    }
    if isMissing(Self.typesKey) {
      notes.append(
        "the file has no \(Self.typesKey): llama.cpp takes every token for text, special ones too")
    }
    if entry.name == Vocabulary.Model.sentencePiece.rawValue, isMissing("tokenizer.ggml.scores") {
      notes.append(
        "the file has no tokenizer.ggml.scores: llama.cpp takes 0 for every token, and cuts text accordingly"
      )
    }
  }

  /// Whether llama.cpp begins a text with a bos token when the file does not say.
  private func addsBOS(
    _ entry: EngineTokenizers.Entry, _ keys: GGUFKeys
  ) throws(TinctureError) -> Bool {
    guard entry.isBytePair else {
      return ["llama", "bert"].contains(entry.name)
    }
    guard let name = try keys.optionalString(Self.preKey) else { return false }
    return try KnownPreTokenizers.load().addsBOSByDefault(name)
  }

  private func checkLists(_ keys: GGUFKeys) throws(TinctureError) {
    guard let tokenCount else { return }
    // llama.cpp reads as many as there are tokens (src/llama-vocab.cpp, llama_vocab::impl::load).
    try check(keys, "scores", "numbers", tokenCount) { list in
      switch list {
      case .float32(let scores): scores.count
      case .int32(let scores): scores.count
      default: nil
      }
    }
    try check(keys, "token_type", "int32", tokenCount) { list in
      if case .int32(let types) = list { types.count } else { nil }
    }
    if let merges = keys.file.value("tokenizer.ggml.merges") {
      guard case .array(.strings) = merges else {
        throw keys.failure(
          "tokenizer.ggml.merges", "the key has another type", expected: "an array of strings")
      }
    }
    if let suppressed = keys.file.value("tokenizer.ggml.suppress_tokens") {
      guard case .array(.int32) = suppressed else {
        throw keys.failure(
          "tokenizer.ggml.suppress_tokens", "the key has another type",
          expected: "an array of int32")
      }
    }
  }

  /// llama.cpp ends when two tokens have one text, empty ones being named [EMPTY_0] and so on.
  private mutating func checkTexts(_ keys: GGUFKeys) throws(TinctureError) {
    let key = "tokenizer.ggml.tokens"
    guard case .array(.strings(let list))? = keys.file.value(key) else { return }
    var texts = TokenTexts(storage: list.storage, ends: list.ends)
    var names: [Int: [UInt8]] = [:]
    for index in 0..<texts.count where texts.range(index).isEmpty {
      names[index] = Array("[EMPTY_\(index)]".utf8)
    }
    texts = texts.replacing(names)
    try noteBytes(keys, texts)
    guard let (index, first) = TokenTable(texts, where: { _ in true }).repeated else { return }
    throw keys.failure(
      key, "two tokens have the same text, which ends llama.cpp", expected: "distinct texts",
      found: "\"\(texts.text(index).prefix(80))\" as token \(first) and token \(index)")
  }

  /// SentencePiece cuts text without a token into bytes. llama.cpp loads a vocabulary that has not all of them, so it is
  /// kept as it is, and told.
  private mutating func noteBytes(_ keys: GGUFKeys, _ texts: TokenTexts) throws(TinctureError) {
    guard try keys.optionalString(Self.modelKey) == Vocabulary.Model.sentencePiece.rawValue,
      let byte = BytePieces.firstMissing(in: texts)
    else { return }
    notes.append(
      "the vocabulary has no piece \(BytePieces.name(byte)): llama.cpp loads it, and ends at a character that has no "
        + "token and needs that byte")
  }

  private func checkToken(_ key: String, _ keys: GGUFKeys) throws(TinctureError) {
    guard let id = try keys.optionalInteger(key), let tokenCount, id >= tokenCount else { return }
    throw keys.failure(
      key, "the vocabulary has no such token", expected: "0 to \(tokenCount - 1)",
      advice:
        "llama.cpp would use another token in its place; set the right one with --metadata \(key)=ID"
    )
  }

  private func check(
    _ keys: GGUFKeys, _ name: String, _ items: String, _ tokenCount: Int,
    _ count: (GGUFArray) -> Int?
  ) throws(TinctureError) {
    let key = "tokenizer.ggml." + name
    guard let value = keys.file.value(key) else { return }
    guard case .array(let list) = value, let found = count(list) else {
      throw keys.failure(
        key, "the key has another type", expected: "an array of \(items), one for each token")
    }
    guard found == tokenCount else {
      throw keys.failure(
        key, "the list is not as long as the vocabulary", expected: "\(tokenCount) \(items)")
    }
  }
}
