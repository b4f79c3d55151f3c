import TinctureCore

/// What a `tokenizer.json` of the tokenizers library says.
///
/// Source: huggingface/tokenizers, the serialization of `Tokenizer` and of its models.
public struct TokenizerJSON: Sendable {
  public enum Model: String, Sendable {
    case bytePair = "BPE"
    case wordPiece = "WordPiece"
    case unigram = "Unigram"
    case wordLevel = "WordLevel"
  }

  public let path: String
  public let model: Model
  /// BPE: bytes without a token become `<0xHH>` tokens, SentencePiece's way.
  public let byteFallback: Bool
  /// BPE: a word that is a token is taken whole, merges or not.
  public let ignoresMerges: Bool
  public let unknownToken: [UInt8]?
  /// BPE: whether characters without a token that follow each other give one unknown token.
  public let fusesUnknown: Bool
  /// WordPiece: words of more characters are unknown.
  public let characterLimit: Int
  /// WordPiece: what marks a token inside a word.
  public let continuingPrefix: String
  /// BPE: what marks the end of a word.
  public let wordEnd: String
  /// The trained vocabulary; nil when the caller did not ask for it.
  public let vocabulary: TrainedVocabulary?
  public let addedTokens: [AddedToken]
  public let normalizer: [NormalizerStep]
  public let preTokenizer: [PreTokenizerStep]
  public let postProcessor: [PostProcessorStep]
  public let decoder: [DecoderStep]
  /// The ids that the post-processor gives its special tokens, which must be those of their texts.
  let specialIDs: [StepReader.SpecialIDs]
  /// Where the vocabulary is not kept: ids of tokens of added_tokens.json that it has.
  let namedIDs: Set<Int>
  /// In what the file differs, without consequence, from the tokenizer.model or vocab.txt beside it.
  let differences: [String]

  /// Files larger than this are no tokenizers.
  public static let byteLimit = 192 << 20

  /// Whether its vocabulary is bytes spelled as visible characters (GPT-2's way).
  public var isByteLevel: Bool {
    decoder.contains(.byteLevel)
      || preTokenizer.contains {
        if case .byteLevel = $0 { return true }
        return false
      }
  }

  /// Whether the normalizer or the pre-tokenizer writes spaces as SentencePiece does.
  var marksSpaces: Bool {
    normalizer.contains(.replace(.literal(" "), with: "\u{2581}"))
      || normalizer.contains(.replace(.regex(" "), with: "\u{2581}"))
      || preTokenizer.contains {
        if case .metaspace(replacement: "\u{2581}", _, _) = $0 { return true }
        return false
      }
  }

  /// - Throws: `tokenizer.model` (unsupported) for a BPE that marks parts of words, as no engine here does.
  func checkUnmarked() throws(TinctureError) {
    guard continuingPrefix.isEmpty, wordEnd.isEmpty else {
      throw TinctureError(
        .init("tokenizer.model", .unsupported),
        "a BPE that marks parts of words is not carried out, neither here nor by llama.cpp, which would cut text "
          + "into other tokens",
        place: .init(file: path, key: "model"),
        expected: "no continuing_subword_prefix, no end_of_word_suffix",
        found: "\"\(continuingPrefix)\", \"\(wordEnd)\"")
    }
  }

  /// Parses the bytes of a `tokenizer.json`.
  ///
  /// - Parameter vocabularyUnless: says, from the kind of model and its byte fallback, that the trained vocabulary
  ///   and the merges are not needed; reading them is two thirds of the cost.
  /// - Throws: `tokenizer.json.*` with byte offset and key path.
  package init(_ bytes: [UInt8], path: String) throws(TinctureError) {
    try self.init(bytes, path: path, beside: nil)
  }

  /// Parses the bytes of a `tokenizer.json` that stands beside another vocabulary.
  ///
  /// - Parameters:
  ///   - witness: the other one, for a model of kinds that such a file goes with.
  /// - Throws: also `tokenizer.contradiction`.
  init(
    _ bytes: [UInt8], path: String,
    vocabularyUnless isSuperfluous: (Model, _ byteFallback: Bool) -> Bool = { _, _ in false },
    beside witness: VocabularyWitness?
  ) throws(TinctureError) {
    let root = try JSON.parse(bytes, file: path, code: "tokenizer.json")
    self.path = path
    let node = try root.member("model")
    model = try TokenizerJSON.readModel(node)
    byteFallback = try StepReader.flag(node, "byte_fallback", false)
    ignoresMerges = try StepReader.flag(node, "ignore_merges", false)
    unknownToken =
      model == .unigram ? nil : try node.present("unk_token")?.stringBytes()
    fusesUnknown = try StepReader.flag(node, "fuse_unk", false)
    characterLimit = try node.present("max_input_chars_per_word")?.int() ?? 100
    continuingPrefix = try node.present("continuing_subword_prefix")?.string() ?? ""
    wordEnd = try node.present("end_of_word_suffix")?.string() ?? ""
    normalizer = try StepReader.flatten(
      root["normalizer"], list: "normalizers", StepReader.normalizer)
    preTokenizer = try StepReader.flatten(
      root["pre_tokenizer"], list: "pretokenizers", StepReader.preTokenizer)
    postProcessor = try StepReader.flatten(
      root["post_processor"], list: "processors", StepReader.postProcessor)
    specialIDs = try StepReader.flatten(
      root["post_processor"], list: "processors", StepReader.specialIDs
    ).flatMap { $0 }
    decoder = try StepReader.flatten(root["decoder"], list: "decoders", StepReader.decoder)
    if model == .unigram || isSuperfluous(model, byteFallback) {
      vocabulary = nil
    } else {
      vocabulary = try TrainedVocabulary(
        model: node, hasMerges: model == .bytePair)
    }
    addedTokens = try TokenizerJSON.readAddedTokens(root, vocabulary)
    let listed = Set(addedTokens.map(\.id))
    namedIDs =
      vocabulary == nil
      ? try TokenizerJSON.ids(
        of: (witness?.renamed ?? []).filter {
          $0.origin == "added_tokens.json" && !listed.contains($0.id)
        }, in: node) : []
    differences =
      try witness?.check(node, kind: model, added: addedTokens, path: path) ?? []
  }

  /// Ids of those of `tokens` that `model.vocab` has, id and text. Cost: one pass over the vocabulary, none without tokens.
  private static func ids(
    of tokens: [AddedToken], in node: JSON
  ) throws(TinctureError) -> Set<Int> {
    guard !tokens.isEmpty else { return [] }
    let texts = Dictionary(tokens.map { ($0.id, $0.content) }, uniquingKeysWith: { $1 })
    var found: Set<Int> = []
    let vocabulary = try node.member("vocab")
    if vocabulary.kind == .array {
      for (id, entry) in try vocabulary.array().enumerated() {
        guard let content = texts[id] else { continue }
        guard let text = entry.elements.first(where: { _ in true }) else { continue }
        if try text.stringBytes() == content { found.insert(id) }
      }
    } else {
      for (key, value) in try vocabulary.object() {
        let id = try value.int()
        if let content = texts[id], try key.stringBytes() == content { found.insert(id) }
      }
    }
    return found
  }

  private static func readModel(_ node: JSON) throws(TinctureError) -> Model {
    if let type = node.present("type") {
      guard let model = Model(rawValue: try type.string()) else {
        throw type.error(
          "model", "unknown type of model", expected: "BPE, WordPiece, Unigram or WordLevel",
          found: type.shortText)
      }
      return model
    }
    // Files older than tokenizers 0.8 do not name the model; only BPE has merges.
    guard node.present("merges") != nil else {
      throw node.error("model", "the type of the model is missing")
    }
    return .bytePair
  }

  private static func readAddedTokens(
    _ root: JSON, _ vocabulary: TrainedVocabulary?
  ) throws(TinctureError) -> [AddedToken] {
    guard let list = root.present("added_tokens") else { return [] }
    var tokens: [AddedToken] = []
    var texts = TokenTable(capacity: list.count)
    var ids: Set<Int> = []
    for node in try list.array() {
      let token = try AddedToken.read(node, id: try node.member("id"), origin: "tokenizer.json")
      guard texts.insert(token.content).isNew else {
        throw node.error("duplicateToken", "the added token \"\(token.text)\" occurs twice")
      }
      guard ids.insert(token.id).inserted else {
        throw node.error("duplicateID", "two added tokens have the id \(token.id)")
      }
      if let vocabulary { try check(token, against: vocabulary, node) }
      tokens.append(token)
    }
    return tokens
  }

  /// An added token that the vocabulary has too must have the same id there, and no other token may have its id.
  private static func check(
    _ token: AddedToken, against vocabulary: TrainedVocabulary, _ node: JSON
  ) throws(TinctureError) {
    if let id = vocabulary.id(of: token.content) {
      guard id == token.id else {
        throw node.error(
          "addedTokenID", "the added token \"\(token.text)\" has another id in the vocabulary",
          expected: "\(id)", found: "\(token.id)")
      }
    } else if let index = vocabulary.index(ofID: token.id) {
      throw node.error(
        "addedTokenID", "the id of the added token \"\(token.text)\" belongs to another token",
        expected: "an id of its own",
        found: "\(token.id), the id of \"\(vocabulary.texts.text(index))\"")
    }
  }
}
