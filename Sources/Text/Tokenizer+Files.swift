import TinctureCore

extension Tokenizer {
  /// The tokenizer of a checkpoint: of tokenizer.json where there is one, else of tokenizer.model or vocab.txt.
  ///
  /// - Parameter files: read with `wholeJSON`.
  /// - Throws: `tokenizer.normalizer`, `tokenizer.cut`, `tokenizer.model`, `tokenizer.decoder`, `tokenizer.postProcessor`
  ///   (unsupported), each naming the step that is not carried out.
  public init(_ files: TokenizerFiles) throws(TinctureError) {
    guard let json = files.json else {
      try self.init(TokenizerDescription(files))
      return
    }
    guard let trained = json.vocabulary, json.model == .bytePair || json.model == .wordPiece else {
      throw TinctureError(
        .init("tokenizer.model", .unsupported), "this tokenizer model is not carried out",
        place: .init(file: json.path, key: "model"), expected: "BPE or WordPiece",
        found: json.model.rawValue)
    }
    let ids =
      trained.ids.enumerated().allSatisfy { $0.offset == Int($0.element) } ? [] : trained.ids
    let model: Model
    if json.model == .bytePair {
      model = .merges(try Tokenizer.mergeModel(json, trained, ids))
    } else {
      model = .wordPiece(try Tokenizer.wordPieceModel(json, trained, ids))
    }
    var parts = Parts(
      normalizer: try Normalizer(Tokenizer.normalizerSteps(json, files.config), file: json.path),
      model: model, decoder: try TokenDecoder(json.decoder, file: json.path))
    parts.cutting = try Tokenizer.cutting(json)
    try parts.add(Tokenizer.addedTokens(files, trained), to: trained, ids)
    try parts.readPostProcessor(json, files, trained)
    self.init(parts)
  }

  // MARK: Models

  private static func mergeModel(
    _ json: TokenizerJSON, _ trained: TrainedVocabulary, _ ids: [Int32]
  ) throws(TinctureError) -> MergeModel {
    try json.checkUnmarked()
    let merges = trained.merges
    var pairs = PairTable(capacity: merges.count)
    for rank in 0..<merges.count {
      pairs.insert(
        trained.ids[Int(merges.left[rank])], trained.ids[Int(merges.right[rank])], rank: rank,
        result: trained.ids[Int(merges.result[rank])])
    }
    let id = { (text: [UInt8]) in trained.id(of: text).map { Int32(truncatingIfNeeded: $0) } ?? -1 }
    return MergeModel(
      table: trained.table, ids: ids, order: .listed(pairs),
      byteIDs: json.isByteLevel
        ? (0..<256).map { byte in
          var text: [UInt8] = []
          ByteLevel.appendVisible(UInt8(byte), to: &text)
          return id(text)
        } : nil,
      fallbackIDs: json.byteFallback
        ? (0..<256).map { id(Array(ByteLevel.fallbackName(UInt8($0)).utf8)) } : nil,
      unknownID: json.unknownToken.flatMap { trained.id(of: $0) }.map {
        Int32(truncatingIfNeeded: $0)
      },
      fusesUnknown: json.fusesUnknown, ignoresMerges: json.ignoresMerges)
  }

  private static func wordPieceModel(
    _ json: TokenizerJSON, _ trained: TrainedVocabulary, _ ids: [Int32]
  ) throws(TinctureError) -> WordPieceModel {
    guard let name = json.unknownToken, let unknown = trained.id(of: name) else {
      throw TinctureError(
        .init("tokenizer.unknownToken", .invalidInput), "the vocabulary lacks its unknown token",
        place: .init(file: json.path, key: "model.unk_token"),
        expected: "a token of the vocabulary",
        found: json.unknownToken.map { "\"\(String(decoding: $0, as: UTF8.self))\"" } ?? "none")
    }
    return WordPieceModel(
      table: trained.table, ids: ids, prefix: Array(json.continuingPrefix.utf8),
      unknownID: Int32(truncatingIfNeeded: unknown), characterLimit: json.characterLimit)
  }

  /// The normalizer, with the case and accents of tokenizer_config.json, which win in transformers.
  private static func normalizerSteps(
    _ json: TokenizerJSON, _ config: TokenizerConfig
  ) -> [NormalizerStep] {
    guard json.model == .wordPiece else { return json.normalizer }
    return json.normalizer.map { step in
      guard case .bert(let clean, let ideographs, let accents, let lower) = step else {
        return step
      }
      return .bert(
        cleanText: clean, chineseCharacters: ideographs,
        stripAccents: config.stripsAccents ?? accents, lowercase: config.lowercases ?? lower)
    }
  }

  // MARK: Words

  private static func cutting(_ json: TokenizerJSON) throws(TinctureError) -> Cutting {
    let steps = json.preTokenizer
    if json.model == .wordPiece {
      if steps == [.bert] { return .bert }
      throw unknownCut(json)
    }
    if json.isByteLevel { return try byteLevelCutting(json) }
    if steps.isEmpty { return .whole }
    if steps.count == 1 {
      switch steps[0] {
      case .split(.literal(" "), _, invert: false)
      where json.normalizer.contains(.replace(.literal(" "), with: "\u{2581}")):
        // No space is left to cut at.
        return .whole
      case .metaspace(let replacement, let prepend, let splits) where !replacement.isEmpty:
        return .metaspace(
          replacement: Array(replacement.utf8), prepend: prepend, splits: splits)
      default: break
      }
    }
    throw unknownCut(json)
  }

  private static func byteLevelCutting(_ json: TokenizerJSON) throws(TinctureError) -> Cutting {
    let definition = PreTokenizerDefinition(json)
    guard definition.isByteLevel, json.preTokenizer.count == 1 || !definition.addsPrefixSpace else {
      throw unknownCut(json)
    }
    let known = try KnownPreTokenizers.load()
    var cuts: [WordCut] = []
    for cut in definition.cuts {
      guard let name = known.patternName(cut), let scanner = WordCut.named(name) else {
        throw unknownCut(json)
      }
      cuts.append(scanner)
    }
    return .byteLevel(cuts, addsPrefixSpace: definition.addsPrefixSpace)
  }

  private static func unknownCut(_ json: TokenizerJSON) -> TinctureError {
    TinctureError(
      .init("tokenizer.cut", .unsupported), "text is not cut in this way yet",
      place: .init(file: json.path, key: "pre_tokenizer"),
      expected: WordCut.supported, found: PreTokenizerDefinition(json).text)
  }

  // MARK: Added tokens

  /// The added tokens of every file, and tokens of the vocabulary that a file names as special.
  private static func addedTokens(
    _ files: TokenizerFiles, _ trained: TrainedVocabulary
  ) throws(TinctureError) -> [AddedToken] {
    try Vocabulary.checkAgreement(files)
    return try Vocabulary.allAddedTokens(files, files.json?.addedTokens ?? [], trained)
  }
}

extension Tokenizer.Parts {
  /// Adds the texts of the trained vocabulary and the tokens beside it.
  mutating func add(
    _ added: [AddedToken], to trained: TrainedVocabulary, _ ids: [Int32]
  ) throws(TinctureError) {
    texts = trained.texts
    count = max(trained.idLimit, (added.map { $0.id + 1 }).max() ?? 0)
    guard count <= 2 * trained.count + added.count + 65_536 else {
      throw TinctureError(
        .init("tokenizer.id", .invalidInput), "an added token's id lies far beyond the vocabulary",
        expected: "ids near the \(trained.count) tokens of the vocabulary", found: "\(count - 1)")
    }
    var index = (0..<count).map { Int32(truncatingIfNeeded: trained.index(ofID: $0) ?? -1) }
    for token in added where index[token.id] < 0 {
      index[token.id] = Int32(truncatingIfNeeded: texts.count)
      texts.append(token.content)
    }
    let isPlain = index.enumerated().allSatisfy { $0.offset == Int($0.element) }
    if !isPlain { textIndex = index }
    for token in added {
      let id = Int32(truncatingIfNeeded: token.id)
      if token.isSpecial { special.insert(id) }
      insert(token.content, id, token)
    }
  }

  private mutating func insert(_ content: [UInt8], _ id: Int32, _ token: AddedToken) {
    let entry = AddedTokenMatcher.Token(
      id: id, isSpecial: token.isSpecial, stripsLeft: token.stripsLeft,
      stripsRight: token.stripsRight, isWord: token.isWord)
    if token.isNormalized {
      normalizedMatcher.insert(content.withUnsafeBufferPointer(normalizer.apply), entry)
    } else {
      rawMatcher.insert(content, entry)
    }
  }

  // MARK: What stands around a text

  mutating func readPostProcessor(
    _ json: TokenizerJSON, _ files: TokenizerFiles, _ trained: TrainedVocabulary
  ) throws(TinctureError) {
    var byText: [[UInt8]: Int] = [:]
    for token in json.addedTokens { byText[token.content] = token.id }
    let idOf = { (text: [UInt8]) in byText[text] ?? trained.id(of: text) }
    let special = try SpecialTokens(
      files, tokenCount: count, isWordPiece: json.model == .wordPiece, idOf: idOf,
      textOf: { id in textIndex.isEmpty || textIndex[id] >= 0 ? text(id) : nil })
    bosID = special.id(of: .bos).map { Int32(truncatingIfNeeded: $0) }
    eosID = special.id(of: .eos).map { Int32(truncatingIfNeeded: $0) }
    addEnds(special, files, idOf)
    func token(_ name: String) throws(TinctureError) -> Int32 {
      guard let id = idOf(Array(name.utf8)) else {
        throw TinctureError(
          .init("tokenizer.postProcessor", .invalidInput),
          "the post-processor names a token that is not there",
          place: .init(file: json.path, key: "post_processor"), expected: "a token",
          found: "\"\(name)\"")
      }
      return Int32(truncatingIfNeeded: id)
    }
    for step in json.postProcessor {
      switch step {
      case .byteLevel: continue
      case .bert(let separator, let classifier), .roberta(let separator, let classifier):
        prefix = [try token(classifier)] + prefix
        suffix.append(try token(separator))
      case .template(let single, _):
        guard let middle = single.firstIndex(of: .sequence("A")),
          single.filter({ $0 == .sequence("A") || $0 == .sequence("B") }).count == 1
        else {
          throw TinctureError(
            .init("tokenizer.postProcessor", .unsupported),
            "the template does not hold the text once",
            place: .init(file: json.path, key: "post_processor"), expected: "one sequence A")
        }
        var before: [Int32] = []
        for case .special(let name) in single[..<middle] { before.append(try token(name)) }
        prefix = before + prefix
        for case .special(let name) in single[(middle + 1)...] { suffix.append(try token(name)) }
      }
    }
    // Without a post-processor transformers goes by the flags of tokenizer_config.json.
    if json.postProcessor.isEmpty {
      if special.adds[.bos] == true, let bosID { prefix = [bosID] }
      if special.adds[.eos] == true, let eosID { suffix = [eosID] }
    }
  }

  private func text(_ id: Int) -> [UInt8] {
    Array(texts[textIndex.isEmpty ? id : Int(textIndex[id])])
  }

  /// Tokens that end generation: those that files name, and those whose text says so to llama.cpp.
  private mutating func addEnds(
    _ special: SpecialTokens, _ files: TokenizerFiles, _ idOf: ([UInt8]) -> Int?
  ) {
    let named = [SpecialRole.eos, .eot, .eom].compactMap(special.id(of:))
    endOfGeneration = SpecialTokens.ends(
      named: named + (files.modelIDs[.eos]?.ids ?? []) + files.generationEndIDs, keepsNamed: true,
      fillIns: files.json?.model == .wordPiece ? nil : [:], count: count, idOf: idOf)
  }
}
