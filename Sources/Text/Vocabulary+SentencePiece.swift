import TinctureCore

extension Vocabulary {
  /// Scores of tokens that are not trained.
  ///
  /// Source: llama.cpp `conversion/base.py`, _create_vocab_sentencepiece.
  static let addedScore: Float = -1000
  static let padScore: Float = -10_000
  private static let space: [UInt8] = [0xE2, 0x96, 0x81]

  // MARK: tokenizer.model

  /// The pieces of a `tokenizer.model`, then the added tokens of the other files over them.
  ///
  /// One difference from llama.cpp's converter: pieces that the model itself marks as user-defined keep that type also
  /// when tokenizer_config.json does not repeat them.
  static func makeSentencePiece(
    _ request: Request, _ model: SentencePieceModel
  ) throws(TinctureError) -> Vocabulary {
    try checkSentencePieceName(request)
    let files = request.files
    try checkFollowed(request, model)
    let pieces = model.pieces
    let added = try addedTokens(files)
    let limit = max(pieces.count, (added.map(\.id).max() ?? -1) + 1)
    var assembly = VocabularyAssembly(count: request.count(idLimit: limit))
    let isUnigram = model.algorithm == .unigram
    var vocabulary = Vocabulary(
      model: isUnigram ? .unigram : .sentencePiece, preTokenizer: "default")
    for id in 0..<pieces.count where model.types[id] == .userDefined {
      assembly.set(
        id,
        .init(text: withSpaces(pieces[id]), type: .userDefined, score: model.scores[id]))
    }
    var replaced: [String] = []
    for token in added {
      try checkReplaced(token, model, files)
      if token.id < pieces.count, !pieces[token.id].elementsEqual(token.content) {
        replaced.append("\(pieces.text(token.id)) → \(token.text)")
      }
      assembly.set(token.id, entry(of: token))
    }
    // Of tokenizer.json only what no other file says: the library's own list of added tokens.
    let listed = Set(added.map(\.id))
    for token in files.json?.addedTokens ?? [] where !listed.contains(token.id) {
      if token.id < pieces.count, pieces[token.id].elementsEqual(token.content),
        model.types[token.id] != .normal || token.isSpecial
      {
        continue
      }
      if token.id < pieces.count, !pieces[token.id].elementsEqual(token.content) {
        replaced.append("\(pieces.text(token.id)) → \(token.text)")
      }
      assembly.set(token.id, entry(of: token))
    }
    try assembly.assemble(
      into: &vocabulary, file: files.folder, padScore: padScore,
      byteCount: pieces.storage.count
    ) { id in
      guard id < pieces.count else { return nil }
      return (
        pieces[id], TokenType(rawValue: Int32(model.types[id].rawValue)) ?? .normal,
        model.scores[id]
      )
    }
    if pieces.count > vocabulary.count {
      vocabulary.notes.append(
        "the last \(pieces.count - vocabulary.count) pieces of tokenizer.model have no row in the "
          + "embedding and are left out")
    }
    if !replaced.isEmpty {
      vocabulary.notes.append(
        "\(replaced.count) pieces of tokenizer.model are renamed by the added tokens: "
          + list(replaced))
    }
    vocabulary.addsBOSByDefault = !isUnigram
    vocabulary.noteFlags(added + (files.json?.addedTokens ?? []).filter { !added.contains($0) })
    vocabulary.setPreparation(request, model)
    if let json = files.json { vocabulary.notePreparation(of: json, model) }
    return vocabulary
  }

  /// What llama.cpp does not do with text, whatever the model says.
  ///
  /// - Throws: `tokenizer.preTokenizer` (unsupported).
  private static func checkFollowed(
    _ request: Request, _ model: SentencePieceModel
  ) throws(TinctureError) {
    let hasJSON = request.files.json != nil
    let problem: String? =
      if model.algorithm == .unigram, model.types.contains(.byte) {
        "a unigram model with pieces for bytes (byte_fallback): llama.cpp gives characters without a piece the unknown token"
      } else if model.marksSpacesAfterWords {
        "treat_whitespace_as_suffix: llama.cpp marks spaces before words"
      } else if !model.escapesWhitespaces, !hasJSON {
        "escape_whitespaces is off: llama.cpp writes spaces as \u{2581} all the same"
      } else {
        nil
      }
    guard let problem, request.preTokenizerOverride == nil else { return }
    throw TinctureError(
      .init("tokenizer.preTokenizer", .unsupported),
      "llama.cpp cuts text otherwise than this tokenizer.model",
      place: .init(file: Folder.join(request.files.folder, "tokenizer.model")), found: problem,
      advice: "accept the difference with --pre-tokenizer default")
  }

  /// Without a tokenizer.json, whose `model.vocab` is held against the model when it is read, an added token may take
  /// the place of a spare or control piece only.
  private static func checkReplaced(
    _ token: AddedToken, _ model: SentencePieceModel, _ files: TokenizerFiles
  ) throws(TinctureError) {
    guard files.json == nil, token.id < model.pieces.count,
      !model.isReplaceable(token.id),
      !model.pieces[token.id].elementsEqual(token.content)
    else { return }
    throw token.contradiction(
      Array(model.pieces[token.id]), "tokenizer.model", folder: files.folder)
  }

  private mutating func setPreparation(_ request: Request, _ model: SentencePieceModel) {
    switch request.kind {
    case .gemma: addsSpacePrefix = false
    case .llama: addsSpacePrefix = request.files.config.addsPrefixSpace
    case .qwen, .bert: break
    }
    if self.model == .unigram {
      addsSpacePrefix = addsSpacePrefix ?? model.addsDummyPrefix
      removesExtraWhitespaces = model.removesExtraWhitespaces
      precompiledCharacterMap = model.precompiledCharacterMap
      return
    }
    // llama.cpp adds the prefix unless told otherwise.
    if addsSpacePrefix == nil, !model.addsDummyPrefix { addsSpacePrefix = false }
    if model.removesExtraWhitespaces, request.files.json == nil {
      notes.append(
        "tokenizer.model takes runs of spaces for one (remove_extra_whitespaces); llama.cpp, as transformers, does not"
      )
    }
    if !model.precompiledCharacterMap.isEmpty {
      notes.append(
        "tokenizer.model normalizes text (\(model.normalizerName)); llama.cpp does not for this kind: a text "
          + "that is not in that form becomes other tokens")
    }
  }

  /// Notes what a tokenizer.json beside the model does otherwise with text, so that transformers cuts it otherwise.
  private mutating func notePreparation(of json: TokenizerJSON, _ model: SentencePieceModel) {
    if model.algorithm == .bytePair, !json.byteFallback, model.types.contains(.byte) {
      notes.append(
        "tokenizer.json has byte_fallback false, tokenizer.model has pieces for bytes: transformers "
          + "gives a character without a token the unknown token, llama.cpp its bytes")
    }
    if model.escapesWhitespaces, !json.marksSpaces {
      notes.append(
        "tokenizer.json does not write spaces as \u{2581}, tokenizer.model does: transformers cuts text "
          + "with spaces into other tokens than llama.cpp")
    }
  }

  /// The added tokens of added_tokens.json and, stronger, of tokenizer_config.json, which must not contradict
  /// tokenizer.json.
  private static func addedTokens(_ files: TokenizerFiles) throws(TinctureError) -> [AddedToken] {
    try checkAgreement(files)
    var byID: [Int: AddedToken] = [:]
    for token in files.addedTokens { byID[token.id] = token }
    for token in files.config.addedTokens { byID[token.id] = token }
    return byID.values.sorted { $0.id < $1.id }
  }

  /// No id may have two texts among the files that list added tokens.
  static func checkAgreement(_ files: TokenizerFiles) throws(TinctureError) {
    var byID: [Int: AddedToken] = [:]
    let all = (files.json?.addedTokens ?? []) + files.config.addedTokens + files.addedTokens
    for token in all {
      guard let other = byID[token.id] else {
        byID[token.id] = token
        continue
      }
      guard other.content == token.content else {
        throw TinctureError(
          .init("tokenizer.addedTokens", .invalidInput),
          "two files give token \(token.id) different texts",
          place: .init(file: Folder.join(files.folder, token.origin)),
          expected: "\"\(other.text)\" (\(other.origin))", found: "\"\(token.text)\"",
          advice: "make the files agree")
      }
    }
  }

  /// A token beside the trained vocabulary: control when it is marked so or looks so, else matched as it stands.
  static func entry(of token: AddedToken) -> VocabularyAssembly.Entry {
    // added_tokens.json alone says nothing about a token, and llama.cpp's converter does not guess there.
    let isControl =
      token.isSpecial || (token.origin != "added_tokens.json" && token.looksSpecial)
    return .init(
      text: isControl || token.origin == "added_tokens.json"
        ? token.content : withSpaces(token.content[...]),
      type: isControl ? .control : .userDefined, score: addedScore)
  }

  /// SentencePiece's visible space as the space that llama.cpp looks for in user-defined tokens.
  static func withSpaces(_ text: ArraySlice<UInt8>) -> [UInt8] {
    guard text.contains(0xE2) else { return Array(text) }
    var result: [UInt8] = []
    var rest = text
    while let first = rest.first {
      if rest.starts(with: space) {
        result.append(0x20)
        rest = rest.dropFirst(3)
      } else {
        result.append(first)
        rest = rest.dropFirst()
      }
    }
    return result
  }

  // MARK: tokenizer.json

  /// A SentencePiece BPE in the form of the tokenizers library: merges instead of scores.
  ///
  /// llama.cpp's converter gives every token the score -1000, which leaves the order of merging open. Here a token's
  /// score is the rank of the merges that make it, so llama.cpp merges in the order of the library.
  static func makeSentencePiece(
    _ request: Request, _ json: TokenizerJSON, _ trained: TrainedVocabulary
  ) throws(TinctureError) -> Vocabulary {
    let files = request.files
    try checkAgreement(files)
    try json.checkUnmarked()
    let added = json.addedTokens
    let limit = max(trained.idLimit, (added.map(\.id).max() ?? -1) + 1)
    var assembly = VocabularyAssembly(count: request.count(idLimit: limit))
    var vocabulary = Vocabulary(model: .sentencePiece, preTokenizer: "default")
    vocabulary.addsBOSByDefault = true
    try vocabulary.setPreparation(request, json)
    try checkIDs(trained, added, count: assembly.count, file: json.path)
    vocabulary.noteFlags(added)
    for token in added { assembly.set(token.id, entry(of: token)) }
    var isAdded = [Bool](repeating: false, count: trained.count)
    for token in added {
      if let index = trained.index(ofID: token.id) { isAdded[index] = true }
    }
    if request.preTokenizerOverride == nil {
      try checkMergesComplete(trained, isAdded, json.path)
    }
    let scores = mergeScores(trained)
    let texts = trained.texts
    let unknown = json.unknownToken
    try assembly.assemble(
      into: &vocabulary, file: json.path, padScore: padScore, byteCount: texts.storage.count
    ) { id in
      guard let index = trained.index(ofID: id) else { return nil }
      let text = texts[index]
      let type: TokenType =
        isByteToken(text) ? .byte : unknown?.elementsEqual(text) == true ? .unknown : .normal
      return (text, type, scores[index])
    }
    return vocabulary
  }

  private static func checkSentencePieceName(_ request: Request) throws(TinctureError) {
    guard let name = request.preTokenizerOverride, name != "default" else { return }
    throw TinctureError(
      .init("tokenizer.preTokenizerName", .usage),
      "llama.cpp knows one pre-tokenizer for SentencePiece", expected: "default", found: name,
      advice: "leave out --pre-tokenizer")
  }

  private mutating func setPreparation(
    _ request: Request, _ json: TokenizerJSON
  ) throws(TinctureError) {
    try Self.checkSentencePieceName(request)
    var prefix = false
    var isKnown = true
    // llama.cpp replaces spaces whatever the file says.
    var replacesSpaces = false
    for step in json.normalizer {
      switch step {
      case .replace(.literal(" "), with: "\u{2581}"): replacesSpaces = true
      case .prepend("\u{2581}"): prefix = true
      default: isKnown = false
      }
    }
    for step in json.preTokenizer {
      switch step {
      case .split(.literal(" "), behavior: "MergedWithPrevious", invert: false): continue
      case .metaspace(replacement: "\u{2581}", let prepend, splits: _):
        replacesSpaces = true
        if prepend != "never" { prefix = true }
      default: isKnown = false
      }
    }
    guard isKnown && replacesSpaces || request.preTokenizerOverride != nil else {
      throw TinctureError(
        .init("tokenizer.preTokenizer", .unsupported),
        "llama.cpp cannot prepare text for this SentencePiece tokenizer",
        place: .init(file: json.path, key: "normalizer, pre_tokenizer"),
        expected: "spaces replaced by \u{2581}, with or without one before the text",
        found: PreTokenizerDefinition(json).text,
        advice: "accept the difference with --pre-tokenizer default")
    }
    addsSpacePrefix = prefix ? nil : false
    if request.kind == .gemma { addsSpacePrefix = false }
    if request.kind == .llama, let given = request.files.config.addsPrefixSpace {
      addsSpacePrefix = given
    }
  }

  /// `<0x0A>`.
  private static func isByteToken(_ text: ArraySlice<UInt8>) -> Bool {
    guard text.count == 6, text.starts(with: "<0x".utf8), text.last == UInt8(ascii: ">") else {
      return false
    }
    return text.dropFirst(3).dropLast().allSatisfy {
      (0x30...0x39).contains($0) || (0x41...0x46).contains($0 & 0xDF)
    }
  }
}
