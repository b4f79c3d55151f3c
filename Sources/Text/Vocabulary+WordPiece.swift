import TinctureCore

extension Vocabulary {
  /// A BERT vocabulary, from tokenizer.json or from vocab.txt alone.
  ///
  /// llama.cpp marks the start of a word, BERT its inside: `##ing` becomes `ing` and `walk` becomes `▁walk`.
  static func makeWordPiece(_ request: Request) throws(TinctureError) -> Vocabulary {
    let files = request.files
    try checkAgreement(files)
    let known = try KnownPreTokenizers.load()
    var vocabulary = Vocabulary(model: .wordPiece, preTokenizer: known.wordPieceName)
    vocabulary.addsBOSByDefault = true
    if let name = request.preTokenizerOverride {
      try known.check(name)
      vocabulary.preTokenizer = name
    }
    let trained: TrainedVocabulary
    let file: String
    if let json = files.json {
      guard json.model == .wordPiece, let vocabulary = json.vocabulary else {
        throw wrongKind(files, "WordPiece", json.model.rawValue)
      }
      trained = vocabulary
      file = json.path
    } else if let lines = files.wordPieces {
      trained = lines
      file = Folder.join(files.folder, "vocab.txt")
      try checkStandardTokens(files, lines, file)
    } else {
      throw wrongKind(files, "WordPiece (tokenizer.json or vocab.txt)", "tokenizer.model only")
    }
    if try vocabulary.setPreparation(request, trained, file: file) {
      vocabulary.noteOverride(
        request.preTokenizerOverride, recognised: known.wordPieceName,
        file: Folder.split(file).name)
    }

    let added = try allAddedTokens(
      files, standardTokens(files, trained), trained)
    let limit = max(trained.idLimit, (added.map(\.id).max() ?? -1) + 1)
    var assembly = VocabularyAssembly(count: request.count(idLimit: limit))
    try checkIDs(trained, added, count: assembly.count, file: file)
    var hidden: [String] = []
    for token in added {
      let entry = entry(of: token)
      // llama.cpp looks for the text of added tokens as it stands, so an ordinary one has no mark of a word's start
      // unless that would be the text of a part of a word.
      let isHidden = entry.type != .control && trained.id(of: "##".utf8 + entry.text) != nil
      if isHidden { hidden.append(token.text) }
      assembly.set(
        token.id,
        .init(text: isHidden ? phantom(entry.text[...]) : entry.text, type: entry.type, score: 0))
    }
    if !hidden.isEmpty {
      vocabulary.notes.append(
        "added tokens that llama.cpp will not find in a text, because a part of a word has their text: "
          + list(hidden))
    }
    let capitals = added.filter { token in
      token.isNormalized && token.content.contains { (0x41...0x5A).contains($0) }
    }
    if vocabulary.lowercases == true, !capitals.isEmpty {
      vocabulary.notes.append(
        "text is lowercased, yet llama.cpp finds these added tokens only as they are written: "
          + list(capitals.map(\.text)))
    }
    vocabulary.noteFlags(added)
    let texts = trained.texts
    var scratch: [UInt8] = []
    try assembly.assemble(
      into: &vocabulary, file: file, padScore: nil, padPrefix: wordStart,
      byteCount: texts.storage.count * 2
    ) { id in
      guard let index = trained.index(ofID: id) else { return nil }
      scratch = phantom(texts[index])
      return (scratch[...], .normal, 0)
    }
    return vocabulary
  }

  private static let wordStart: [UInt8] = [0xE2, 0x96, 0x81]

  private static func phantom(_ text: ArraySlice<UInt8>) -> [UInt8] {
    text.starts(with: "##".utf8) ? Array(text.dropFirst(2)) : wordStart + text
  }

  /// tokenizer.json's added tokens; without that file BERT's own special tokens, which transformers adds.
  private static func standardTokens(
    _ files: TokenizerFiles, _ trained: TrainedVocabulary
  ) -> [AddedToken] {
    if let json = files.json { return json.addedTokens }
    var tokens: [AddedToken] = []
    for name in ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"] {
      guard let id = trained.id(of: name.utf8) else { continue }
      tokens.append(
        AddedToken(
          id: id, content: Array(name.utf8), isSpecial: true, isNormalized: false,
          origin: "vocab.txt"))
    }
    return tokens
  }

  /// - Throws: `tokenizer.specialToken` when a vocab.txt lacks a token that every text needs: llama.cpp would take the
  ///   ids 101, 102 and 100 whatever they are.
  private static func checkStandardTokens(
    _ files: TokenizerFiles, _ trained: TrainedVocabulary, _ file: String
  ) throws(TinctureError) {
    for (role, standard) in [(SpecialRole.cls, "[CLS]"), (.sep, "[SEP]"), (.unk, "[UNK]")] {
      let name = files.config.names[role] ?? Array(standard.utf8)
      let isAdded = (files.config.addedTokens + files.addedTokens).contains { $0.content == name }
      guard trained.id(of: name) == nil, !isAdded else { continue }
      throw TinctureError(
        .init("tokenizer.specialToken", .invalidInput),
        "the vocabulary lacks a token that every BERT tokenizer needs", place: .init(file: file),
        expected: "a line \(String(decoding: name, as: UTF8.self))", found: "none",
        advice: "check that vocab.txt is whole and belongs to this checkpoint")
    }
  }

  // MARK: Preparation of the text

  /// llama.cpp's procedure: control characters out, accents and case by keys, words at spaces, punctuation and
  /// Chinese characters alone. A tokenizer that does otherwise is refused unless the name is given by hand.
  ///
  /// - Returns: whether the tokenizer does as llama.cpp.
  private mutating func setPreparation(
    _ request: Request, _ trained: TrainedVocabulary, file: String
  ) throws(TinctureError) -> Bool {
    let files = request.files
    guard let json = files.json else {
      try setCase(files, trained, file: file)
      return true
    }
    var problem: String?
    var lowercase = false
    var strip: Bool? = false
    for step in json.normalizer {
      switch step {
      case .bert(let clean, let chinese, let accents, let lower):
        (lowercase, strip) = (lower, accents)
        if !clean { problem = "clean_text is off" }
        if !chinese { problem = "handle_chinese_chars is off" }
      case .lowercase: lowercase = true
      case .stripAccents: strip = true
      case .unicode("NFD") where json.normalizer.contains(.stripAccents): continue
      case .unicode("NFC"):
        notes.append("llama.cpp does not apply the normalizer NFC")
      default: problem = "a normalizer that llama.cpp does not apply"
      }
    }
    if json.preTokenizer != [.bert] { problem = "another pre-tokenizer than BertPreTokenizer" }
    if json.continuingPrefix != "##" {
      problem = "continuing_subword_prefix \"\(json.continuingPrefix)\" instead of \"##\""
    }
    if json.characterLimit != 100 {
      notes.append(
        "words of more than \(json.characterLimit) characters are unknown by tokenizer.json "
          + "(max_input_chars_per_word); llama.cpp has no limit and cuts them into pieces"
      )
    }
    if json.postProcessor.isEmpty {
      notes.append(
        "tokenizer.json puts no token before and after a text (no post_processor), llama.cpp always puts [CLS] and "
          + "[SEP] there")
    }
    let engineUnknown = files.config.names[.unk] ?? Array("[UNK]".utf8)
    if let unknown = json.unknownToken, unknown != engineUnknown {
      notes.append(
        "unknown words become \(String(decoding: unknown, as: UTF8.self)) by tokenizer.json, "
          + "\(String(decoding: engineUnknown, as: UTF8.self)) in llama.cpp")
    }
    if let problem, request.preTokenizerOverride == nil {
      throw TinctureError(
        .init("tokenizer.preTokenizer", .unsupported),
        "llama.cpp cannot prepare text for this WordPiece tokenizer: \(problem)",
        place: .init(file: json.path, key: "normalizer, pre_tokenizer"),
        expected: "BertNormalizer with clean_text and handle_chinese_chars, BertPreTokenizer, ##",
        found: PreTokenizerDefinition(json).text,
        advice: "accept the difference with --pre-tokenizer \(preTokenizer)")
    }
    if files.config.splitsChineseCharacters == false { noteChineseCharacters() }
    settleCase(files.config, &lowercase, &strip)
    lowercases = lowercase
    // llama.cpp's accents follow its case, as BertNormalizer's do when it says null.
    stripsAccents = strip
    return problem == nil
  }

  /// tokenizer.json and tokenizer_config.json about case and accents.
  ///
  /// transformers' BertTokenizer takes what tokenizer_config.json says, and its own defaults where that says nothing;
  /// PreTrainedTokenizerFast takes tokenizer.json whole. Rule: what a file says counts, before a default of the library;
  /// a note tells where that is another thing than transformers does, or where the files disagree.
  private mutating func settleCase(
    _ config: TokenizerConfig, _ lowercase: inout Bool, _ strip: inout Bool?
  ) {
    func word(_ value: Bool?) -> String { value.map { "\($0)" } ?? "null" }
    if config.takesTokenizerJSON {
      for (key, own, given) in [
        ("do_lower_case", lowercase, config.lowercases),
        ("strip_accents", strip, config.stripsAccents),
      ] where given != nil && given != own {
        notes.append(
          "tokenizer_config.json has \(key) \(word(given)), tokenizer.json \(word(own)): the latter counts, as in "
            + "transformers for this tokenizer_class")
      }
      return
    }
    if let given = config.lowercases, given != lowercase {
      notes.append(
        "tokenizer.json has lowercase \(lowercase), tokenizer_config.json do_lower_case \(given): the latter "
          + "counts, as in transformers")
      lowercase = given
    } else if config.lowercases == nil, !lowercase {
      notes.append(
        "tokenizer.json does not lowercase text and tokenizer_config.json has no do_lower_case: text is not "
          + "lowercased, though transformers' BertTokenizer lowercases unless it is told otherwise")
    }
    if let given = config.stripsAccents, given != strip {
      notes.append(
        "tokenizer.json has strip_accents \(word(strip)), tokenizer_config.json \(given): "
          + "the latter counts, as in transformers")
      strip = given
    } else if config.stripsAccents == nil, let own = strip, own != lowercase {
      notes.append(
        "tokenizer.json has strip_accents \(own) and tokenizer_config.json none: that counts, though transformers' "
          + "BertTokenizer then \(lowercase ? "takes accents off with the case" : "leaves accents")"
      )
    }
  }

  private mutating func noteChineseCharacters() {
    notes.append("tokenize_chinese_chars is off, but llama.cpp always splits Chinese characters")
  }

  /// Smallest share of tokens with capital letters in a cased vocabulary: one in `casedShare` tokens.
  ///
  /// The published cased BERT vocabularies have one in three; uncased ones none.
  private static let casedShare = 100

  /// The case of a vocab.txt: what tokenizer_config.json says; else what the vocabulary shows.
  ///
  /// Rule: without a token that has an ASCII capital letter (bracketed ones aside) it is uncased; with at least one such
  /// token in a hundred it is cased and text must not be lowercased, whatever transformers' default; in between it is
  /// an error.
  private mutating func setCase(
    _ files: TokenizerFiles, _ trained: TrainedVocabulary, file: String
  ) throws(TinctureError) {
    if files.config.splitsChineseCharacters == false { noteChineseCharacters() }
    stripsAccents = files.config.stripsAccents
    if let given = files.config.lowercases {
      lowercases = given
      return
    }
    var capitals = 0
    var example = ""
    for index in 0..<trained.count {
      let text = trained.texts[index]
      guard text.first != UInt8(ascii: "["), text.contains(where: { (0x41...0x5A).contains($0) })
      else { continue }
      if capitals == 0 { example = trained.texts.text(index) }
      capitals += 1
    }
    guard capitals == 0 || capitals * Vocabulary.casedShare >= trained.count else {
      throw TinctureError(
        .init("tokenizer.case", .invalidInput),
        "nothing says whether this vocabulary is for lowercased text", place: .init(file: file),
        expected:
          "do_lower_case in tokenizer_config.json, or a vocabulary that is clearly cased or uncased",
        found:
          "\(capitals) of \(trained.count) tokens with capital letters, such as \"\(example)\"",
        advice: "write {\"do_lower_case\": true} or false into tokenizer_config.json")
    }
    lowercases = capitals == 0
    notes.append(
      capitals == 0
        ? "no tokenizer_config.json says whether text is lowercased; no token has a capital letter: lowercased"
        : "no tokenizer_config.json says whether text is lowercased; \(capitals) of \(trained.count) tokens have "
          + "capital letters: not lowercased (transformers' own default would lowercase)")
  }
}
