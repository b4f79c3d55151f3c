import TinctureCore

/// A tokenizer in the words of GGUF's metadata, wherever it comes from.
package struct TokenizerDescription: Sendable {
  package var model: Vocabulary.Model
  package var preTokenizer: String
  /// One text for each id, as GGUF spells them.
  package var texts: TokenTexts
  /// GGUF's token types, one for each id.
  package var types: [Int32]
  /// SentencePiece only.
  package var scores: [Float] = []
  /// `left right` in order of rank; byte-level BPE only.
  package var merges = TokenTexts()
  package var addsSpacePrefix: Bool?
  package var lowercases: Bool?
  package var stripsAccents: Bool?
  package var special: [SpecialRole: Int] = [:]
  package var adds: [SpecialRole: Bool] = [:]
  /// Further ids that end generation.
  package var ends: [Int] = []
  /// Ids of the tokens for filling in the middle that end generation, as far as keys name them.
  package var fillIns: [SpecialTokens.FillIn: Int] = [:]
  /// Whether ``ends`` and the special tokens are what a checkpoint's library goes by, not llama.cpp.
  package var isLibrary = false
  package var notes: [String] = []
  /// The file, for errors.
  package var file: String

  package init(
    model: Vocabulary.Model, preTokenizer: String, texts: TokenTexts, types: [Int32], file: String
  ) {
    self.model = model
    self.preTokenizer = preTokenizer
    self.texts = texts
    self.types = types
    self.file = file
  }

  /// The description of a checkpoint without tokenizer.json.
  init(_ files: TokenizerFiles) throws(TinctureError) {
    let vocabulary = try Vocabulary.make(
      files: files, kind: files.sentencePiece == nil ? .bert : .llama, embeddingRows: .max,
      configuredSize: 0)
    self.init(
      model: vocabulary.model, preTokenizer: vocabulary.preTokenizer, texts: vocabulary.texts,
      types: vocabulary.types, file: files.folder)
    scores = vocabulary.scores
    addsSpacePrefix = vocabulary.addsSpacePrefix
    lowercases = vocabulary.lowercases
    stripsAccents = vocabulary.stripsAccents
    if let model = files.sentencePiece,
      !model.precompiledCharacterMap.isEmpty || model.removesExtraWhitespaces
    {
      throw TinctureError(
        .init("tokenizer.normalizer", .unsupported),
        "the normalizer of this tokenizer.model is not carried out",
        place: .init(file: Folder.join(files.folder, "tokenizer.model")),
        expected: "no character map, extra white space kept",
        found: "\(model.normalizerName), remove_extra_whitespaces \(model.removesExtraWhitespaces)",
        advice: "put the model's tokenizer.json beside it")
    }
    let table = TokenTable(vocabulary.texts) { _ in true }
    let special = try SpecialTokens(
      files, tokenCount: vocabulary.count, isWordPiece: vocabulary.model == .wordPiece,
      idOf: { table.find($0) },
      textOf: { Array(vocabulary.texts[$0]) })
    for (role, id) in special.ids { self.special[role] = id }
    adds = special.adds
    ends = (files.modelIDs[.eos]?.ids ?? []) + files.generationEndIDs
    isLibrary = true
    notes = vocabulary.notes + special.notes
  }

  func type(_ id: Int) -> TokenType { TokenType(rawValue: types[id]) ?? .normal }

  /// The id of a role, when it is one.
  func id(_ role: SpecialRole) -> Int32? {
    guard let id = special[role], id >= 0, id < texts.count else { return nil }
    return Int32(truncatingIfNeeded: id)
  }

  func error(
    _ code: String, _ message: String, kind: TinctureError.Kind = .invalidInput, key: String,
    expected: String, found: String? = nil, advice: String? = nil
  ) -> TinctureError {
    TinctureError(
      .init("tokenizer." + code, kind), message, place: .init(file: file, key: key),
      expected: expected, found: found, advice: advice)
  }
}

extension Tokenizer {
  /// The tokenizer that a GGUF's metadata describe.
  ///
  /// - Throws: `tokenizer.model`, `tokenizer.cut` (unsupported); `tokenizer.types`, `tokenizer.scores`,
  ///   `tokenizer.mergeToken`, `tokenizer.unknownToken` when the metadata contradict themselves.
  /// - Complexity: one pass over the tokens; Gemma's 262,144 take about 20 ms.
  package init(_ description: TokenizerDescription) throws(TinctureError) {
    let count = description.texts.count
    guard count > 0, description.types.count == count, count < MergeModel.impliedLimit else {
      throw description.error(
        "types", "the lists of tokens and of their types do not fit",
        key: "tokenizer.ggml.token_type",
        expected:
          "one type for each of the tokens, of which there are 1 to \(MergeModel.impliedLimit - 1)",
        found: "\(count) tokens, \(description.types.count) types")
    }
    var parts: Parts
    switch description.model {
    case .sentencePiece: parts = try Tokenizer.sentencePiece(description)
    case .bytePair: parts = try Tokenizer.bytePair(description)
    case .wordPiece: parts = try Tokenizer.wordPiece(description)
    case .unigram:
      throw description.error(
        "model", "this tokenizer model is not carried out", kind: .unsupported,
        key: "tokenizer.ggml.model", expected: "llama, gpt2 or bert", found: "t5")
    }
    parts.count = count
    parts.notes = description.notes
    parts.bosID = description.id(.bos)
    parts.eosID = description.id(.eos)
    parts.findEnds(description)
    self.init(parts)
  }

  private static let space: [UInt8] = [0xE2, 0x96, 0x81]

  private static func sentencePiece(_ given: TokenizerDescription) throws(TinctureError) -> Parts {
    let count = given.texts.count
    guard given.scores.count == count else {
      throw given.error(
        "scores", "the lists of tokens and of their scores do not fit",
        key: "tokenizer.ggml.scores",
        expected: "\(count) scores", found: "\(given.scores.count)")
    }
    // Runs of spaces are written as spaces where the vocabulary has ▁.
    var replaced: [Int: [UInt8]] = [:]
    var fallback = [Int32](repeating: -1, count: 256)
    for id in 0..<count {
      switch given.type(id) {
      case .userDefined:
        let text = given.texts[id]
        if text.allSatisfy({ $0 == 0x20 }) {
          replaced[id] = Array((0..<text.count).map { _ in space }.joined())
        }
      default: break
      }
      // llama.cpp finds bytes by their text, whatever their type.
      let text = given.texts[id]
      guard text.count == 6 else { continue }
      let byte = given.type(id) == .byte ? TokenDecoder.byte(text) : BytePieces.byte(of: text)
      if let byte { fallback[Int(byte)] = Int32(truncatingIfNeeded: id) }
    }
    let texts = given.texts.replacing(replaced)
    let table = TokenTable(texts) { given.type($0) == .normal || replaced[$0] != nil }
    let priority = (0..<count).map { id -> UInt32 in
      if replaced[id] != nil { return 0 }
      // Ascending with falling scores; both zeros are one.
      let bits = (-given.scores[id] + 0).bitPattern
      return bits & 0x8000_0000 != 0 ? ~bits : bits | 0x8000_0000
    }
    let unknown =
      given.id(.unk)
      ?? (0..<count).first { given.type($0) == .unknown }.map { Int32(truncatingIfNeeded: $0) }
    let model = MergeModel(
      table: table, ids: [], order: .implied(priority: priority), byteIDs: nil,
      fallbackIDs: fallback, unknownID: unknown, fusesUnknown: true, ignoresMerges: false)
    let addsPrefix = given.addsSpacePrefix ?? true
    var steps: [Normalizer.Step] = [.replace([0x20], with: space)]
    if addsPrefix { steps.insert(.prepend(space), at: 0) }
    var pieces = TokenDecoder.SentencePiece()
    pieces.replacements = [(space, [0x20])]
    pieces.joinsBytes = true
    pieces.strips = [0x20]
    pieces.stripCount = addsPrefix ? 1 : 0
    var parts = Parts(
      normalizer: try Normalizer(steps), model: .merges(model),
      decoder: TokenDecoder(.sentencePiece(pieces)))
    parts.texts = texts
    parts.addTokens(given) { texts[$0] }
    if given.adds[.bos] ?? true, let bos = given.id(.bos) { parts.prefix = [bos] }
    if given.adds[.eos] ?? false, let eos = given.id(.eos) { parts.suffix = [eos] }
    return parts
  }

  private static func bytePair(_ given: TokenizerDescription) throws(TinctureError) -> Parts {
    let known = try KnownPreTokenizers.load()
    guard let entry = known.entry(named: given.preTokenizer) else {
      throw given.error(
        "cut", "text is not cut in this way yet", kind: .unsupported, key: "tokenizer.ggml.pre",
        expected: WordCut.supported, found: given.preTokenizer)
    }
    var cuts: [WordCut] = []
    for name in entry.cutNames {
      guard let cut = WordCut.named(name) else {
        throw given.error(
          "cut", "text is not cut in this way yet", kind: .unsupported, key: "tokenizer.ggml.pre",
          expected: WordCut.supported, found: given.preTokenizer)
      }
      cuts.append(cut)
    }
    let table = TokenTable(given.texts) { given.type($0) != .unused }
    let pairs = try pairs(given, table)
    let model = MergeModel(
      table: table, ids: [], order: .listed(pairs),
      byteIDs: (0..<256).map { byte in
        var text: [UInt8] = []
        ByteLevel.appendVisible(UInt8(byte), to: &text)
        return table.find(text).map { Int32(truncatingIfNeeded: $0) } ?? -1
      }, fallbackIDs: nil, unknownID: nil, fusesUnknown: false,
      ignoresMerges: entry.ignoresMerges ?? false)
    var parts = Parts(
      normalizer: try Normalizer(entry.normalizes == "NFC" ? [.composed] : []),
      model: .merges(model), decoder: TokenDecoder(.byteLevel))
    parts.cutting = .byteLevel(cuts, addsPrefixSpace: false)
    parts.texts = given.texts
    parts.addTokens(given) { given.texts[$0] }
    if given.adds[.bos] ?? known.addsBOSByDefault(given.preTokenizer), let bos = given.id(.bos) {
      parts.prefix = [bos]
    }
    if given.adds[.eos] ?? false, let eos = given.id(.eos) { parts.suffix = [eos] }
    return parts
  }

  private static func pairs(
    _ given: TokenizerDescription, _ table: TokenTable
  ) throws(TinctureError) -> PairTable {
    let merges = given.merges
    var pairs = PairTable(capacity: merges.count)
    var whole: [UInt8] = []
    for rank in 0..<merges.count {
      let line = merges[rank]
      // A token may start with the separator only if it is one character.
      let split = line.dropFirst().firstIndex(of: 0x20) ?? line.endIndex
      whole.removeAll(keepingCapacity: true)
      whole.append(contentsOf: line[..<split])
      whole.append(contentsOf: line[split...].dropFirst())
      guard split < line.endIndex, let left = table.find(line[..<split]),
        let right = table.find(line[split...].dropFirst()), let result = table.find(whole)
      else {
        throw given.error(
          "mergeToken", "merge \(rank) names a token that the vocabulary lacks",
          key: "tokenizer.ggml.merges", expected: "two tokens whose text together is a token",
          found: "\"\(merges.text(rank))\"",
          advice: "convert the model anew from its checkpoint, or download the file again")
      }
      pairs.insert(
        Int32(truncatingIfNeeded: left), Int32(truncatingIfNeeded: right), rank: rank,
        result: Int32(truncatingIfNeeded: result))
    }
    return pairs
  }

  private static func wordPiece(_ given: TokenizerDescription) throws(TinctureError) -> Parts {
    var texts = TokenTexts()
    texts.reserve(count: given.texts.count, byteCount: given.texts.storage.count)
    for id in 0..<given.texts.count {
      let text = given.texts[id]
      switch given.type(id) {
      case .userDefined:
        texts.append(text.starts(with: space) ? text.dropFirst(3) : text)
      case .normal, .unused, .byte:
        // GGUF marks the start of a word, BERT its inside.
        if text.starts(with: space) {
          texts.append(text.dropFirst(3))
        } else {
          texts.append(Array("##".utf8) + text)
        }
      case .control, .unknown: texts.append(text)
      }
    }
    let table = TokenTable(texts) { given.type($0) != .unused }
    let unknown = given.id(.unk) ?? table.find("[UNK]".utf8).map { Int32(truncatingIfNeeded: $0) }
    guard let unknown else {
      throw given.error(
        "unknownToken", "the vocabulary has no unknown token",
        key: "tokenizer.ggml.unknown_token_id", expected: "the id of a token")
    }
    let lower = given.lowercases ?? true
    let model = WordPieceModel(
      table: table, ids: [], prefix: Array("##".utf8), unknownID: unknown, characterLimit: 100)
    var parts = Parts(
      normalizer: try Normalizer([
        .bert(clean: true, ideographs: true, accents: given.stripsAccents ?? lower, lower: lower)
      ]), model: .wordPiece(model),
      decoder: TokenDecoder(.wordPiece(prefix: Array("##".utf8), cleansUp: true)))
    parts.cutting = .bert
    parts.texts = texts
    parts.addTokens(given) { texts[$0] }
    if let bos = given.id(.bos) ?? given.id(.cls) { parts.prefix = [bos] }
    if let separator = given.id(.sep) ?? given.id(.eos) { parts.suffix = [separator] }
    return parts
  }
}

extension Tokenizer.Parts {
  /// Tokens that are found as they stand: control tokens, and those that the user defined.
  ///
  /// A GGUF does not keep the flags of the tokenizers library: BERT's ordinary added tokens are looked for in normalized
  /// text, all others in raw text, none takes white space along.
  fileprivate mutating func addTokens(
    _ given: TokenizerDescription, _ text: (Int) -> ArraySlice<UInt8>
  ) {
    for id in 0..<given.texts.count {
      let type = given.type(id)
      guard type == .control || type == .userDefined || type == .unknown else { continue }
      let content = text(id)
      // Gemma's reserve is written as control tokens for its name; the library takes it for ordinary text.
      let isSpecial = type != .userDefined && !content.starts(with: "<unused".utf8)
      let number = Int32(truncatingIfNeeded: id)
      if isSpecial { special.insert(number) }
      let token = AddedTokenMatcher.Token(
        id: number, isSpecial: isSpecial, stripsLeft: false, stripsRight: false, isWord: false)
      if type == .userDefined, given.model == .wordPiece {
        normalizedMatcher.insert(content.withUnsafeBufferPointer(normalizer.apply), token)
      } else {
        rawMatcher.insert(content, token)
      }
    }
  }

  /// Tokens that end generation: those that keys name, and those whose text says so, whatever their type.
  fileprivate mutating func findEnds(_ given: TokenizerDescription) {
    let texts = TokenTexts(SpecialTokens.endTexts)
    let names = TokenTable(texts) { _ in true }
    let longest = SpecialTokens.endTexts.map(\.utf8.count).max() ?? 0
    var found: [[UInt8]: Int] = [:]
    for id in 0..<given.texts.count {
      let text = given.texts[id]
      guard text.count <= longest, let first = text.first, Self.beginnings.contains(first),
        names.find(text) != nil
      else { continue }
      found[Array(text)] = found[Array(text)] ?? id
    }
    let named = [SpecialRole.eos, .eot, .eom].compactMap { given.id($0).map(Int.init) }
    endOfGeneration = SpecialTokens.ends(
      named: named + given.ends, keepsNamed: given.isLibrary,
      fillIns: given.model == .wordPiece ? nil : given.fillIns, count: given.texts.count,
      idOf: { found[$0] })
  }

  /// What texts that decide begin with.
  private static let beginnings = Set(SpecialTokens.endTexts.compactMap(\.utf8.first))
}
