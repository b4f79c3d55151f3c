import TinctureContainers
import TinctureCore
import TinctureText

/// A checkpoint's tokenizer as GGUF metadata: the keys that llama.cpp reads.
///
/// Sources: llama.cpp `conversion/base.py` and `gguf-py/gguf/vocab.py` (what is written), `src/llama-vocab.cpp` (what is
/// read). Intended differences from the former are listed in `formats/spec/vocabulary.md`.
public struct VocabularyMetadata: Sendable {
  /// In order of writing.
  public let metadata: [(key: String, value: GGUFValue)]
  /// Decisions worth telling, in order.
  public let notes: [String]
  /// Number of tokens: the rows that the token embedding must have in the output (its first ones).
  public let tokenCount: Int

  /// Makes the metadata. Pure; cost linear in the vocabulary (Gemma's 262,144 tokens: about 30 ms).
  ///
  /// - Parameters:
  ///   - files: the tokenizer files of the checkpoint's folder.
  ///   - kind: from the architecture file.
  ///   - embeddingRows: rows of the checkpoint's token embedding. Rows without a token get one named `[PADn]`; tokens
  ///     without a row are left out when they are added ones, and an error when they are trained ones of a BPE or
  ///     WordPiece.
  ///   - configuredSize: `vocab_size` of config.json; rows beyond it and beyond the last token are dropped.
  ///   - tokenTypeCount: `type_vocab_size` of a BERT; written when given.
  ///   - specialTokens: ids that the architecture fixes (Gemma 1's end of turn).
  ///   - preTokenizerOverride: the name given with `--pre-tokenizer`.
  /// - Throws: errors of ``Vocabulary/make(files:kind:embeddingRows:configuredSize:preTokenizerOverride:)``;
  ///   `tokenizer.bytes` for a SentencePiece vocabulary without a piece for every byte.
  public static func make(
    files: TokenizerFiles, kind: VocabularyKind, embeddingRows: Int,
    preTokenizerOverride: String? = nil, configuredSize: Int? = nil, tokenTypeCount: Int? = nil,
    specialTokens: [SpecialRole: Int] = [:]
  ) throws(TinctureError) -> VocabularyMetadata {
    let vocabulary = try Vocabulary.make(
      files: files, kind: kind, embeddingRows: embeddingRows, configuredSize: configuredSize,
      preTokenizerOverride: preTokenizerOverride)
    try vocabulary.checkBytes(files)
    var writer = Writer()
    if let tokenTypeCount {
      writer.add("token_type_count", .uint32(UInt32(clamping: tokenTypeCount)))
    }
    writer.addTokens(vocabulary)
    let lookup = TokenLookup(vocabulary)
    let special = try SpecialTokens(
      files, tokenCount: vocabulary.count, isWordPiece: vocabulary.model == .wordPiece,
      addsBOSByDefault: vocabulary.addsBOSByDefault,
      idOf: { lookup.id(of: $0) }, textOf: { Array(vocabulary.texts[$0]) })
    writer.addSpecial(special, fixed: specialTokens, vocabulary)
    let templates = writer.addTemplates(files)
    return VocabularyMetadata(
      metadata: writer.entries, notes: vocabulary.notes + special.notes + templates,
      tokenCount: vocabulary.count)
  }

  /// Finds a token by its text as the files spell it.
  private struct TokenLookup {
    let vocabulary: Vocabulary

    init(_ vocabulary: Vocabulary) { self.vocabulary = vocabulary }

    /// Special tokens are control tokens, whose text is written as it is; at most a few names are looked up.
    func id(of name: [UInt8]) -> Int? {
      (0..<vocabulary.count).first {
        vocabulary.texts.range($0).count == name.count
          && vocabulary.texts[$0].elementsEqual(name)
      }
    }
  }

  private struct Writer {
    private(set) var entries: [(key: String, value: GGUFValue)] = []

    mutating func add(_ name: String, _ value: GGUFValue) {
      entries.append(("tokenizer.ggml." + name, value))
    }

    mutating func addTokens(_ vocabulary: Vocabulary) {
      add("model", .string(GGUFString(vocabulary.model.rawValue)))
      add("pre", .string(GGUFString(vocabulary.preTokenizer)))
      add("tokens", .array(.strings(Writer.strings(vocabulary.texts))))
      if !vocabulary.scores.isEmpty { add("scores", .array(.float32(vocabulary.scores))) }
      add("token_type", .array(.int32(vocabulary.types)))
      if vocabulary.merges.count > 0 {
        add("merges", .array(.strings(Writer.strings(vocabulary.merges))))
      }
      if let value = vocabulary.addsSpacePrefix { add("add_space_prefix", .bool(value)) }
      if let value = vocabulary.removesExtraWhitespaces {
        add("remove_extra_whitespaces", .bool(value))
      }
      if !vocabulary.precompiledCharacterMap.isEmpty {
        add("precompiled_charsmap", .array(.uint8(vocabulary.precompiledCharacterMap)))
      }
      if let value = vocabulary.lowercases { add("normalizer.lowercase", .bool(value)) }
      if let value = vocabulary.stripsAccents { add("normalizer.strip_accents", .bool(value)) }
    }

    private static func strings(_ texts: TokenTexts) -> ByteStrings {
      var strings = ByteStrings()
      strings.reserve(count: texts.count, byteCount: texts.storage.count)
      for index in 0..<texts.count { strings.append(texts[index]) }
      return strings
    }

    /// Key names of GGUF; `seperator` is spelled so. llama.cpp reads no id of a cls token: it takes bos.
    private static let idKeys: [SpecialRole: String] = [
      .bos: "bos", .eos: "eos", .unk: "unknown", .sep: "seperator", .pad: "padding",
      .mask: "mask", .eot: "eot", .eom: "eom",
    ]

    mutating func addSpecial(
      _ special: SpecialTokens, fixed: [SpecialRole: Int], _ vocabulary: Vocabulary
    ) {
      for role in SpecialRole.allCases {
        guard let key = Writer.idKeys[role] else { continue }
        guard let id = fixed[role] ?? special.id(of: role), id < vocabulary.count else { continue }
        add(key + "_token_id", .uint32(UInt32(clamping: id)))
      }
      for role in [SpecialRole.bos, .eos, .sep] {
        if let value = special.adds[role] {
          add("add_\(role.rawValue)_token", .bool(value))
        } else if role == .bos, vocabulary.addsBOSByDefault, vocabulary.model == .bytePair {
          // The library adds what the post-processor says; llama.cpp would add one for this pre-tokenizer.
          add("add_bos_token", .bool(false))
        }
      }
    }

    /// The templates of chat_template.jinja, else of tokenizer_config.json, else of chat_template.json; notes.
    mutating func addTemplates(_ files: TokenizerFiles) -> [String] {
      var notes: [String] = []
      if let configured = files.config.templates, let other = files.templateFiles,
        configured != other
      {
        notes.append(
          files.templateFilesWin
            ? "chat_template.jinja differs from the chat template of tokenizer_config.json: the former is written, "
              + "as transformers 5 takes it"
            : "the chat template of tokenizer_config.json differs from chat_template.json: the former is written"
        )
      }
      guard let templates = files.templates else { return notes }
      var standard: [UInt8]?
      var named: [(name: String, text: [UInt8])] = []
      for template in templates {
        let name = String(
          template.name.unicodeScalars.map { scalar -> Character in
            let isPlain =
              ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
              || ("0"..."9").contains(scalar)
            return isPlain ? Character(scalar) : "_"
          })
        if name == "default" {
          standard = template.text
        } else if !name.isEmpty, !named.contains(where: { $0.name == name }) {
          named.append((name, template.text))
        } else {
          notes.append(
            "a chat template named \"\(template.name)\" is left out: the name is taken or empty")
        }
      }
      named.sort { $0.name < $1.name }
      for entry in named {
        entries.append(
          ("tokenizer.chat_template." + entry.name, .string(GGUFString(bytes: entry.text))))
      }
      if !named.isEmpty {
        entries.append(
          (
            "tokenizer.chat_templates",
            .array(.strings(ByteStrings(named.map { Array($0.name.utf8) })))
          ))
      }
      if let standard {
        entries.append(("tokenizer.chat_template", .string(GGUFString(bytes: standard))))
      }
      return notes
    }
  }
}
