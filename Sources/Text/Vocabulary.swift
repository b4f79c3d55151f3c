import TinctureCore

/// What sort of tokenizer an architecture's checkpoints come with.
public enum VocabularyKind: String, Sendable, CaseIterable {
  /// SentencePiece without a space before the text.
  case gemma
  /// SentencePiece or byte-level BPE.
  case llama
  case qwen
  /// WordPiece.
  case bert
}

/// What a token is; the numbers are GGUF's.
public enum TokenType: Int32, Sendable {
  case normal = 1
  case unknown, control, userDefined, unused, byte
}

/// A checkpoint's vocabulary as llama.cpp wants it: a text, a type and for some kinds a score for every row of the
/// token embedding.
///
/// The decisions are those of llama.cpp's `conversion/base.py` unless a comment says why not.
public struct Vocabulary: Sendable {
  /// The tokenizer that llama.cpp runs; raw values are its names.
  public enum Model: String, Sendable {
    case sentencePiece = "llama"
    case unigram = "t5"
    case bytePair = "gpt2"
    case wordPiece = "bert"
  }

  public internal(set) var model: Model
  /// llama.cpp's name of the pre-tokenizer.
  public internal(set) var preTokenizer: String
  /// One text for each row of the embedding.
  public internal(set) var texts = TokenTexts()
  /// GGUF's token types (raw values of ``TokenType``).
  public internal(set) var types: [Int32] = []
  /// Empty for kinds without scores.
  public internal(set) var scores: [Float] = []
  /// `left right` in order of rank; byte-level BPE only.
  public internal(set) var merges = TokenTexts()
  public internal(set) var addsSpacePrefix: Bool?
  public internal(set) var removesExtraWhitespaces: Bool?
  public internal(set) var precompiledCharacterMap: [UInt8] = []
  public internal(set) var lowercases: Bool?
  public internal(set) var stripsAccents: Bool?
  /// Whether llama.cpp adds a bos token when no key says so.
  public internal(set) var addsBOSByDefault = false
  /// Decisions worth telling, in order.
  public internal(set) var notes: [String] = []

  /// The number of tokens, which is the number of rows that the token embedding must have.
  public var count: Int { texts.count }

  init(model: Model, preTokenizer: String) {
    self.model = model
    self.preTokenizer = preTokenizer
  }

  /// Where a vocabulary comes from and what it must fit.
  struct Request {
    let files: TokenizerFiles
    let kind: VocabularyKind
    let embeddingRows: Int
    /// `vocab_size` of config.json.
    let configuredSize: Int?
    let preTokenizerOverride: String?

    /// The number of tokens to write when ids reach up to `idLimit`.
    ///
    /// Every row gets a token, so that ids and rows stay the same thing; rows beyond both config.json's vocab_size
    /// and the last token are padding of the embedding and are dropped, as Gemma 3's are by llama.cpp's converter.
    func count(idLimit: Int) -> Int {
      guard let configuredSize else { return embeddingRows }
      return min(embeddingRows, max(configuredSize, idLimit))
    }
  }

  /// Decides what the tokens of a checkpoint are.
  ///
  /// - Parameters:
  ///   - embeddingRows: rows of the token embedding.
  ///   - configuredSize: `vocab_size` of config.json; rows beyond it without a token are dropped.
  ///   - preTokenizerOverride: llama.cpp's name of the pre-tokenizer, given by hand.
  /// - Throws: `tokenizer.kind`, `tokenizer.preTokenizer`, `tokenizer.duplicateToken`, `tokenizer.idGap`,
  ///   `tokenizer.tooManyTokens` and others with file and reason.
  public static func make(
    files: TokenizerFiles, kind: VocabularyKind, embeddingRows: Int, configuredSize: Int? = nil,
    preTokenizerOverride: String? = nil
  ) throws(TinctureError) -> Vocabulary {
    let request = Request(
      files: files, kind: kind, embeddingRows: embeddingRows, configuredSize: configuredSize,
      preTokenizerOverride: preTokenizerOverride)
    var vocabulary = try make(request)
    vocabulary.notes += files.json?.differences ?? []
    return vocabulary
  }

  private static func make(_ request: Request) throws(TinctureError) -> Vocabulary {
    let files = request.files
    if request.kind == .bert { return try makeWordPiece(request) }
    if let model = files.sentencePiece { return try makeSentencePiece(request, model) }
    guard let json = files.json else {
      throw wrongKind(files, "tokenizer.model or tokenizer.json", "vocab.txt only")
    }
    guard json.model == .bytePair, let vocabulary = json.vocabulary else {
      throw wrongKind(files, "SentencePiece or byte-level BPE", json.model.rawValue)
    }
    if json.isByteLevel { return try makeBytePair(request, json, vocabulary) }
    guard json.byteFallback else {
      throw wrongKind(
        files, "SentencePiece or byte-level BPE", "a BPE over characters without byte fallback")
    }
    return try makeSentencePiece(request, json, vocabulary)
  }

  static func wrongKind(_ files: TokenizerFiles, _ expected: String, _ found: String)
    -> TinctureError
  {
    TinctureError(
      .init("tokenizer.kind", .unsupported),
      "this architecture is not supported with such a tokenizer",
      place: .init(file: files.json?.path ?? files.folder), expected: expected, found: found,
      advice: "check that the tokenizer files belong to this checkpoint")
  }

  /// Notes flags of added tokens that a GGUF cannot carry.
  mutating func noteFlags(_ added: [AddedToken]) {
    func note(_ words: String, _ holds: (AddedToken) -> Bool) {
      let tokens = added.filter(holds)
      guard !tokens.isEmpty else { return }
      notes.append(
        "\(words), which a GGUF cannot say: " + Vocabulary.list(tokens.map(\.text))
          + " (\(tokens.count))")
    }
    note("added tokens that take the white space before them along (lstrip)") { $0.stripsLeft }
    note("added tokens that take the white space after them along (rstrip)") { $0.stripsRight }
    note("added tokens that are found as whole words only (single_word)") { $0.isWord }
    if model != .wordPiece {
      note("added tokens that are looked for in the normalized text") { token in
        token.isNormalized && token.origin == "tokenizer.json"
      }
    }
  }

  /// Names up to five tokens for a note.
  static func list(_ names: [String]) -> String {
    names.prefix(5).joined(separator: ", ") + (names.count > 5 ? ", …" : "")
  }
}

/// Puts the tokens of a vocabulary in order of id: trained ones, those that replace or extend them, padding.
struct VocabularyAssembly {
  struct Entry {
    let text: [UInt8]
    let type: TokenType
    let score: Float
  }

  let count: Int
  private(set) var entries: [Int: Entry] = [:]
  private var dropped: [(id: Int, text: String)] = []

  init(count: Int) { self.count = count }

  /// Sets the token `id`, unless there is no row for it.
  mutating func set(_ id: Int, _ entry: Entry) {
    if id < count {
      entries[id] = entry
    } else if !dropped.contains(where: { $0.id == id }) {
      dropped.append((id, String(decoding: entry.text, as: UTF8.self)))
    }
  }

  /// Fills `vocabulary`; ids that neither `entries` nor `trained` has become `[PADid]`, unused.
  ///
  /// - Throws: `tokenizer.duplicateToken`: llama.cpp aborts on two tokens of one text.
  func assemble(
    into vocabulary: inout Vocabulary, file: String, padScore: Float?, padPrefix: [UInt8] = [],
    byteCount: Int,
    trained: (Int) -> (text: ArraySlice<UInt8>, type: TokenType, score: Float)?
  ) throws(TinctureError) {
    var table = TokenTable(capacity: count, byteCount: byteCount)
    vocabulary.types.reserveCapacity(count)
    if padScore != nil { vocabulary.scores.reserveCapacity(count) }
    var padding: [Int] = []
    for id in 0..<count {
      let isNew: Bool
      let type: TokenType
      let score: Float
      if let entry = entries[id] {
        isNew = table.insert(entry.text).isNew
        (type, score) = (entry.type, entry.score)
      } else if let token = trained(id) {
        isNew = table.insert(slice: token.text)
        (type, score) = (token.type, token.score)
      } else {
        padding.append(id)
        isNew = table.insert(padPrefix + "[PAD\(id)]".utf8).isNew
        (type, score) = (.unused, padScore ?? 0)
      }
      guard isNew else { throw duplicate(id, trained, table, padPrefix, file) }
      vocabulary.types.append(type.rawValue)
      if padScore != nil { vocabulary.scores.append(score) }
    }
    vocabulary.texts = table.texts
    if let first = padding.first, let last = padding.last {
      vocabulary.notes.append(
        "\(padding.count) rows of the embedding have no token (ids \(first) to \(last)): named [PAD\(first)] "
          + "and so on, unused")
    }
    if !dropped.isEmpty {
      vocabulary.notes.append(
        "\(dropped.count) \(dropped.count == 1 ? "token has" : "tokens have") no row in the embedding of "
          + "\(count) rows and \(dropped.count == 1 ? "is" : "are") left out: "
          + Vocabulary.list(dropped.map { "\($0.text) (\($0.id))" }))
    }
  }

  private func duplicate(
    _ id: Int, _ trained: (Int) -> (text: ArraySlice<UInt8>, type: TokenType, score: Float)?,
    _ table: TokenTable, _ padPrefix: [UInt8], _ file: String
  ) -> TinctureError {
    let bytes =
      entries[id]?.text ?? trained(id).map { Array($0.text) } ?? padPrefix + "[PAD\(id)]".utf8
    let other = table.find(bytes).map { "\($0)" } ?? "another"
    return TinctureError(
      .init("tokenizer.duplicateToken", .invalidInput),
      "two tokens would have the same text, which llama.cpp refuses", place: .init(file: file),
      expected: "distinct texts",
      found: "\"\(String(decoding: bytes, as: UTF8.self))\" as token \(other) and token \(id)",
      advice: "rename one of them in the tokenizer files")
  }
}
