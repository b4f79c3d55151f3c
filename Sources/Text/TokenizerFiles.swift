import TinctureCore

/// Everything in a checkpoint's folder that speaks about tokens. Reading it does not decide anything.
public struct TokenizerFiles: Sendable {
  public let folder: String
  /// `tokenizer.model`.
  public let sentencePiece: SentencePieceModel?
  /// `tokenizer.json`.
  public let json: TokenizerJSON?
  /// `vocab.txt`; beside a `tokenizer.json` it is only held against that.
  public let wordPieces: TrainedVocabulary?
  /// `tokenizer_config.json` with `special_tokens_map.json`; empty when neither exists.
  public let config: TokenizerConfig
  /// `added_tokens.json`.
  public let addedTokens: [AddedToken]
  /// `chat_template.jinja` with `additional_chat_templates/`, or `chat_template.json`.
  public let templateFiles: [NamedTemplate]?
  /// Whether ``templateFiles`` come before the templates of tokenizer_config.json: those of `chat_template.jinja` do, as in
  /// transformers 5.
  public let templateFilesWin: Bool
  /// `bos_token_id` and the like of config.json; a list stays a list.
  public let modelIDs: [SpecialRole: ModelIDs]
  /// `eos_token_id` of generation_config.json.
  public let generationEndIDs: [Int]
  /// `bos_token_id`, `eos_token_id` and `pad_token_id` of generation_config.json.
  package let generationIDs: [SpecialRole: [Int]]
  /// What of these files is left out.
  let notes: [String]

  /// The templates that count: of chat_template.jinja, else of tokenizer_config.json, else of chat_template.json.
  public var templates: [NamedTemplate]? {
    (templateFilesWin ? templateFiles : nil) ?? config.templates ?? templateFiles
  }

  /// Ids that a configuration file gives for a role.
  public struct ModelIDs: Sendable, Hashable {
    public let ids: [Int]
    public let isList: Bool
  }

  /// Parts that were read elsewhere; the rest is as if its file did not exist.
  package init(
    folder: String, sentencePiece: SentencePieceModel? = nil, json: TokenizerJSON? = nil,
    wordPieces: TrainedVocabulary? = nil, config: TokenizerConfig = TokenizerConfig(),
    addedTokens: [AddedToken] = [], templateFiles: [NamedTemplate]? = nil,
    templateFilesWin: Bool = false, modelIDs: [SpecialRole: ModelIDs] = [:],
    generationIDs: [SpecialRole: [Int]] = [:], notes: [String] = []
  ) {
    self.notes = notes
    self.folder = folder
    self.sentencePiece = sentencePiece
    self.json = json
    self.wordPieces = wordPieces
    self.config = config
    self.addedTokens = addedTokens
    self.templateFiles = templateFiles
    self.templateFilesWin = templateFilesWin
    self.modelIDs = modelIDs
    self.generationIDs = generationIDs
    generationEndIDs = generationIDs[.eos] ?? []
  }

  /// Bytes that reading the tokenizer of `folder` and making metadata of it take at most at one time: an estimate from
  /// the sizes of the files and the strings in tokenizer.json.
  ///
  /// Measured as resident memory: Gemma's 262,144 tokens take 82 MB from both files (88 estimated), 84 MB from
  /// tokenizer.json alone (96), 23 MB from tokenizer.model (28); 151,000 byte-level tokens with merges 26 MB (28).
  /// - Complexity: reads tokenizer.json once where its vocabulary is read.
  package static func memoryByteCount(
    folder: String, wholeJSON: Bool = false
  ) throws(TinctureError) -> Int {
    func size(_ name: String) -> Int {
      let count = Folder.byteCount(Folder.join(folder, name)) ?? 0
      return Int(clamping: min(count, UInt64(TokenizerJSON.byteLimit)))
    }
    let model = size("tokenizer.model")
    var json = size("tokenizer.json")
    if model > 0, !wholeJSON {
      json += json * 4 / 5
    } else if json > 0 {
      json += try stringCount(Folder.join(folder, "tokenizer.json"), limit: json) * 48
    }
    return json + model * 6 + size("vocab.txt") * 8
  }

  /// Strings in the first `limit` bytes of a JSON file, or a few more where some hold quotation marks.
  private static func stringCount(_ path: String, limit: Int) throws(TinctureError) -> Int {
    let file = try InputFile(path: path)
    let step = 1 << 20
    var count = 0
    for start in stride(from: 0, to: limit, by: step) {
      let bytes = try file.bytes(at: UInt64(start), count: min(step, limit - start))
      for byte in bytes { count += byte == UInt8(ascii: "\"") ? 1 : 0 }
    }
    return count / 2
  }

  /// Reads the tokenizer files of `folder`. Cost: dominated by `tokenizer.json` (Gemma's 33 MB: about 0.1 s).
  ///
  /// - Parameter wholeJSON: reads the vocabulary of tokenizer.json also beside a tokenizer.model.
  /// - Throws: `tokenizer.missing` when there is neither `tokenizer.model`, `tokenizer.json` nor `vocab.txt`;
  ///   `tokenizer.contradiction` when two of them give an id different texts; the errors of each file's reader; `memory.exhausted` when the system has no room for them.
  public static func open(
    folder: String, wholeJSON: Bool = false
  ) throws(TinctureError) -> TokenizerFiles {
    func bytes(_ name: String, limit: Int) throws(TinctureError) -> [UInt8]? {
      let path = Folder.join(folder, name)
      guard Folder.kind(path) != .missing else { return nil }
      return try InputFile(path: path).contents(limit: limit)
    }
    func path(_ name: String) -> String { Folder.join(folder, name) }
    let small = 32 << 20
    try located(file: folder) { () throws(TinctureError) in
      try Allocation.check(
        memoryByteCount(folder: folder, wholeJSON: wholeJSON), for: "the tokenizer")
    }

    var sentencePiece: SentencePieceModel?
    if let data = try bytes("tokenizer.model", limit: 128 << 20) {
      sentencePiece = try SentencePieceModel(data, file: path("tokenizer.model"))
    }
    var config = TokenizerConfig()
    if let data = try bytes("tokenizer_config.json", limit: small) {
      config = try TokenizerConfig(data, path: path("tokenizer_config.json"))
    }
    if let data = try bytes("special_tokens_map.json", limit: small) {
      try config.merge(specialTokensMap: data, path: path("special_tokens_map.json"))
    }
    var added: [AddedToken] = []
    if let data = try bytes("added_tokens.json", limit: small) {
      added = try readAddedTokens(data, path: path("added_tokens.json"))
    }
    let lines = try bytes("vocab.txt", limit: small)
    var json: TokenizerJSON?
    if let data = try bytes("tokenizer.json", limit: TokenizerJSON.byteLimit) {
      let renamed = added + config.addedTokens
      let hasModel = sentencePiece != nil && !wholeJSON
      json = try TokenizerJSON(
        data, path: path("tokenizer.json"),
        vocabularyUnless: { hasModel && $0 == .bytePair && $1 },
        beside: sentencePiece.map { VocabularyWitness($0, renamed: renamed) }
          ?? lines.map { VocabularyWitness(lines: $0, renamed: renamed) })
    }
    var wordPieces: TrainedVocabulary?
    if json == nil, let lines {
      wordPieces = try TrainedVocabulary(lines: lines, file: path("vocab.txt"))
    }
    guard sentencePiece != nil || json != nil || wordPieces != nil else {
      throw TinctureError(
        .init("tokenizer.missing", .invalidInput), "the folder has no tokenizer",
        place: .init(file: folder),
        expected: "tokenizer.model, tokenizer.json or vocab.txt",
        advice: "copy the tokenizer files of the model it was trained from into the folder; "
          + "for a folder with vocab.json and merges.txt let transformers save a tokenizer.json")
    }
    var modelIDs: [SpecialRole: ModelIDs] = [:]
    var notes: [String] = []
    if let data = try bytes("config.json", limit: small) {
      modelIDs = try readModelIDs(
        JSON.parse(data, file: path("config.json"), code: "config"), &notes)
    }
    var generationIDs: [SpecialRole: [Int]] = [:]
    if let data = try bytes("generation_config.json", limit: small) {
      let root = try JSON.parse(
        data, file: path("generation_config.json"), code: "generation_config")
      _ = try root.object()
      for role in [SpecialRole.bos, .eos, .pad] {
        let key = "\(role.rawValue)_token_id"
        generationIDs[role] =
          try readIDs(root.present(key), "generation_config.json has \(key)", &notes)?.ids
      }
    }
    if let json { added = listed(added, json, sentencePiece, config, &notes) }
    return TokenizerFiles(
      folder: folder, sentencePiece: sentencePiece, json: json, wordPieces: wordPieces,
      config: config, addedTokens: added, templateFiles: try readTemplates(folder),
      templateFilesWin: Folder.kind(Folder.join(folder, "chat_template.jinja")) == .file,
      modelIDs: modelIDs, generationIDs: generationIDs, notes: notes)
  }

  /// Of added_tokens.json what tokenizer.json or tokenizer_config.json has too, and what is a piece of tokenizer.model: beside
  /// a tokenizer.json transformers does not look at the rest.
  private static func listed(
    _ added: [AddedToken], _ json: TokenizerJSON, _ model: SentencePieceModel?,
    _ config: TokenizerConfig, _ notes: inout [String]
  ) -> [AddedToken] {
    var ids = Set((json.addedTokens + config.addedTokens).map(\.id))
    if let vocabulary = json.vocabulary {
      ids.formUnion(added.filter { vocabulary.id(of: $0.content) == $0.id }.map(\.id))
    } else if let model {
      ids.formUnion(json.namedIDs)
      ids.formUnion(
        added.filter { token in
          token.id < model.pieces.count && model.pieces[token.id].elementsEqual(token.content)
        }.map(\.id))
    } else {
      return added
    }
    let rest = added.filter { !ids.contains($0.id) }
    guard !rest.isEmpty else { return added }
    let names = rest.prefix(4).map { "\"\($0.text)\" (\($0.id))" }.joined(separator: ", ")
    notes.append(
      "added_tokens.json has \(rest.count == 1 ? "a token" : "\(rest.count) tokens") that tokenizer.json does not have, "
        + "which transformers does not read then: left out \(names)"
        + (rest.count > 4 ? ", …" : ""))
    let left = Set(rest.map(\.id))
    return added.filter { !left.contains($0.id) }
  }

  /// `{"<image>": 262144}`.
  static func readAddedTokens(_ data: [UInt8], path: String) throws(TinctureError) -> [AddedToken] {
    let root = try JSON.parse(data, file: path, code: "added_tokens")
    var tokens: [AddedToken] = []
    for member in try root.object() {
      let id = try member.value.int()
      guard id >= 0, id <= AddedToken.largestID else {
        throw member.value.error(
          "id", "the token id is out of range", expected: "0 to \(AddedToken.largestID)",
          found: "\(id)")
      }
      let text = try member.key.stringBytes()
      guard !text.isEmpty else { throw member.key.error("emptyToken", "an added token is empty") }
      tokens.append(
        AddedToken(
          id: id, content: text, isSpecial: false, isNormalized: true, origin: "added_tokens.json"))
    }
    return tokens
  }

  /// The ids at the root of a config.json, else those of its `text_config`.
  private static func readModelIDs(
    _ root: JSON, _ notes: inout [String]
  ) throws(TinctureError) -> [SpecialRole: ModelIDs] {
    var result: [SpecialRole: ModelIDs] = [:]
    for role in SpecialRole.named {
      let key = "\(role.rawValue)_token_id"
      let node = root.present(key) ?? root.present("text_config")?.present(key)
      result[role] = try readIDs(node, "config.json has \(key)", &notes)
    }
    return result
  }

  /// One id or a list of them; negative ones are left out, of which -1 means "none" in older files.
  private static func readIDs(
    _ node: JSON?, _ said: String, _ notes: inout [String]
  ) throws(TinctureError) -> ModelIDs? {
    guard let node else { return nil }
    var ids: [Int] = []
    if node.kind == .array {
      for element in node.elements { ids.append(try element.int()) }
    } else {
      ids.append(try node.int())
    }
    for id in ids where id < -1 { notes.append("\(said) \(id), which is no token: left out") }
    ids.removeAll { $0 < 0 }
    return ids.isEmpty ? nil : ModelIDs(ids: ids, isList: node.kind == .array)
  }

  private static func readTemplates(_ folder: String) throws(TinctureError) -> [NamedTemplate]? {
    let limit = 8 << 20
    let jinja = Folder.join(folder, "chat_template.jinja")
    if Folder.kind(jinja) == .file {
      var templates = [
        NamedTemplate(name: "default", text: try readTemplate(jinja, limit))
      ]
      let more = Folder.join(folder, "additional_chat_templates")
      if Folder.kind(more) == .folder {
        for name in try Folder.names(more) where name.hasSuffix(".jinja") {
          templates.append(
            NamedTemplate(
              name: String(name.dropLast(6)),
              text: try readTemplate(Folder.join(more, name), limit)))
        }
      }
      return templates
    }
    let path = Folder.join(folder, "chat_template.json")
    guard Folder.kind(path) == .file else { return nil }
    let root = try JSON.parse(
      InputFile(path: path).contents(limit: limit), file: path, code: "chat_template")
    _ = try root.object()
    guard let template = root.present("chat_template") else { return nil }
    return try TokenizerConfig.readTemplates(template)
  }

  private static func readTemplate(_ path: String, _ limit: Int) throws(TinctureError) -> [UInt8] {
    let text = try InputFile(path: path).contents(limit: limit)
    guard isValidUTF8(text) else {
      throw TinctureError(
        .init("chat_template.utf8", .invalidInput), "the template is not valid UTF-8",
        place: .init(file: path), advice: "download the file again")
    }
    return text
  }
}
