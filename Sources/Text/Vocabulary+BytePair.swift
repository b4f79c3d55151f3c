import TinctureCore

extension Vocabulary {
  /// A byte-level BPE: the vocabulary of tokenizer.json with its merges.
  static func makeBytePair(
    _ request: Request, _ json: TokenizerJSON, _ trained: TrainedVocabulary
  ) throws(TinctureError) -> Vocabulary {
    let files = request.files
    try checkAgreement(files)
    try json.checkUnmarked()
    let known = try KnownPreTokenizers.load()
    var vocabulary = Vocabulary(model: .bytePair, preTokenizer: "")
    if let name = request.preTokenizerOverride {
      try known.check(name)
      vocabulary.preTokenizer = name
      if let found = recognised(json, known) {
        vocabulary.noteOverride(name, recognised: found.name, file: "tokenizer.json")
        vocabulary.notes += found.notes
      }
    } else {
      let found = try known.name(of: PreTokenizerDefinition(json), file: json.path)
      vocabulary.preTokenizer = found.name
      vocabulary.notes += found.notes
    }
    vocabulary.addsBOSByDefault = known.addsBOSByDefault(vocabulary.preTokenizer)
    guard trained.merges.count > 0 else {
      throw TinctureError(
        .init("tokenizer.noMerges", .invalidInput), "a byte-level BPE without merges",
        place: .init(file: json.path, key: "model.merges"),
        expected: "at least one merge: llama.cpp refuses a file without", found: "none",
        advice: "download tokenizer.json again")
    }
    // llama.cpp's converter writes it for the Llama architecture whatever the tokenizer.
    if request.kind == .llama { vocabulary.addsSpacePrefix = files.config.addsPrefixSpace }

    let added = try allAddedTokens(files, json.addedTokens, trained)
    vocabulary.noteFlags(added)
    let limit = max(trained.idLimit, (added.map(\.id).max() ?? -1) + 1)
    var assembly = VocabularyAssembly(count: request.count(idLimit: limit))
    try checkIDs(trained, added, count: assembly.count, file: json.path)
    for token in added {
      let decoded = AddedToken(
        id: token.id,
        content: token.isNormalized ? token.content : decodeByteLevel(token.content),
        isSpecial: token.isSpecial, isNormalized: token.isNormalized, origin: token.origin)
      assembly.set(token.id, entry(of: decoded))
    }
    let texts = trained.texts
    try assembly.assemble(
      into: &vocabulary, file: json.path, padScore: nil, byteCount: texts.storage.count
    ) { id in
      trained.index(ofID: id).map { (texts[$0], .normal, 0) }
    }
    vocabulary.merges = mergeLines(trained)
    return vocabulary
  }

  /// The pre-tokenizer of the file and its notes; nil when llama.cpp has no name for it.
  private static func recognised(
    _ json: TokenizerJSON, _ known: KnownPreTokenizers
  ) -> (name: String, notes: [String])? {
    do throws(TinctureError) {
      return try known.name(of: PreTokenizerDefinition(json), file: json.path)
    } catch {
      return nil
    }
  }

  /// Notes a pre-tokenizer given by hand where the files were recognised as having another.
  mutating func noteOverride(_ name: String?, recognised: String, file: String) {
    guard let name, name != recognised else { return }
    notes.append(
      "the pre-tokenizer of \(file) is llama.cpp's \(recognised), but \(name) is written, as --pre-tokenizer says: "
        + "llama.cpp may cut a text into other tokens than transformers")
  }

  /// Added tokens of every file, and tokens of the vocabulary that a configuration file names as special.
  ///
  /// transformers makes the latter added tokens when it loads them, and llama.cpp's converter asks transformers.
  static func allAddedTokens(
    _ files: TokenizerFiles, _ listed: [AddedToken], _ trained: TrainedVocabulary
  ) throws(TinctureError) -> [AddedToken] {
    var byID: [Int: AddedToken] = [:]
    for token in listed + files.config.addedTokens + files.addedTokens
    where byID[token.id] == nil {
      let index = trained.index(ofID: token.id)
      let other = trained.id(of: token.content)
      guard other ?? token.id == token.id, index == nil || other != nil else {
        throw TinctureError(
          .init("tokenizer.addedTokens", .invalidInput),
          "an added token contradicts the trained vocabulary",
          place: .init(file: Folder.join(files.folder, token.origin)),
          expected: index.map { "\"\(trained.texts.text($0))\" with id \(token.id)" }
            ?? "\"\(token.text)\" with id \(other ?? token.id)",
          found: "\"\(token.text)\" with id \(token.id)", advice: "make the tokenizer files agree")
      }
      byID[token.id] = token
    }
    for name in files.config.names.values + files.config.additionalNames {
      guard let id = trained.id(of: name), byID[id] == nil else { continue }
      byID[id] = AddedToken(
        id: id, content: name, isSpecial: true, isNormalized: false,
        origin: "tokenizer_config.json")
    }
    return byID.values.sorted { $0.id < $1.id }
  }

  /// What the library's byte-level decoder makes of a token that is decoded alone: its bytes, if every character
  /// stands for one, else the text itself.
  ///
  /// llama.cpp expects tokens beside the trained ones as they appear in text. Source: huggingface/tokenizers
  /// `pre_tokenizers/byte_level.rs`, decode_chain.
  static func decodeByteLevel(_ content: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    for scalar in String(decoding: content, as: UTF8.self).unicodeScalars {
      guard let byte = byte(ofVisible: scalar.value) else { return content }
      bytes.append(byte)
    }
    return Array(String(decoding: bytes, as: UTF8.self).utf8)
  }

  /// GPT-2's spelling of bytes: printable Latin-1 characters stand for themselves, the other 68 for U+0100 on.
  static func byte(ofVisible scalar: UInt32) -> UInt8? {
    switch scalar {
    case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: UInt8(scalar)
    case 0x100...0x120: UInt8(scalar - 0x100)
    case 0x121...0x142: UInt8(scalar - 0x121 + 0x7F)
    case 0x143: 0xAD
    default: nil
    }
  }

  /// `left right`; spaces inside a token become U+0120, as llama.cpp's converter writes them.
  private static func mergeLines(_ trained: TrainedVocabulary) -> TokenTexts {
    let merges = trained.merges
    let texts = trained.texts
    var lines = TokenTexts()
    lines.reserve(count: merges.count, byteCount: merges.count * 12)
    texts.storage.withUnsafeBufferPointer { storage in
      for rank in 0..<merges.count {
        let left = UnsafeBufferPointer(rebasing: storage[texts.range(Int(merges.left[rank]))])
        let right = UnsafeBufferPointer(rebasing: storage[texts.range(Int(merges.right[rank]))])
        if left.contains(0x20) || right.contains(0x20) {
          lines.append(visible(left) + [0x20] + visible(right))
        } else {
          lines.append(left, separator: 0x20, right)
        }
      }
    }
    return lines
  }

  private static func visible(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    text.flatMap { $0 == 0x20 ? [0xC4, 0xA0] : [$0] }
  }
}
