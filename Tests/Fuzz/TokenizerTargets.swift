import TinctureCore
import TinctureText

extension FuzzTarget {
  static let wordPieceJSON = #"""
    {"added_tokens":[{"id":0,"content":"[PAD]","special":true,"normalized":false}],
    "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,
    "strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},
    "post_processor":{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]},
    "decoder":{"type":"WordPiece","prefix":"##"},"model":{"type":"WordPiece","unk_token":"[UNK]",
    "continuing_subword_prefix":"##","vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"walk":4,"##ing":5}}}
    """#
  private static let byteLevelJSON = #"""
    {"added_tokens":[{"id":5,"content":"<|im_end|>","special":false,"normalized":false}],
    "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"}]},
    "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{N}"},
    "behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|im_end|>"}},
    {"Sequence":{"id":"A"}}],"pair":[{"Sequence":{"id":"A"}},{"Sequence":{"id":"B"}}]},
    "decoder":{"type":"ByteLevel"},"model":{"type":"BPE","ignore_merges":false,
    "vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b",["ab","c"]]}}
    """#
  static let sentencePieceJSON = #"""
    {"added_tokens":[{"id":0,"content":"<unk>","special":true,"normalized":false}],
    "normalizer":{"type":"Replace","pattern":{"String":" "},"content":"\u2581"},
    "pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious"},
    "decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"}]},
    "model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>",
    "vocab":{"<unk>":0,"<0x0A>":1,"\u2581":2,"t":3,"\u2581t":4},"merges":[["\u2581","t"]]}}
    """#
  private static let configJSON = #"""
    {"bos_token":"<s>","eos_token":{"content":"</s>"},"add_bos_token":true,"do_lower_case":false,
    "added_tokens_decoder":{"0":{"content":"<s>","special":true},"7":{"content":"\u2581\u2581"}},
    "additional_special_tokens":["<a>"],"chat_template":[{"name":"default","template":"{{ x }}"}]}
    """#

  static let tokenizerJSON = FuzzTarget(
    name: "tokenizer.json",
    seeds: warm([wordPieceJSON, byteLevelJSON, sentencePieceJSON].map { Array($0.utf8) }),
    words: [
      "\"", "{", "}", "[", "]", ",", "\"id\":", "-1", "99999999999", "null", "\"type\":",
      "\"merges\":", "\"vocab\":", "\"a b\"", "\"Sequence\"", "[PAD9]", "<0x41>",
    ],
    // A list of rows and a table beside the texts.
    memoryFactor: 64, fixedMemory: 1 << 16,
    run: { bytes throws(TinctureError) in
      let json = try TokenizerJSON(bytes, path: "fuzz")
      return vocabularies(TokenizerFiles(folder: "fuzz", json: json))
    })

  static let sentencePiece = FuzzTarget(
    name: "tokenizer.model",
    seeds: warm([
      [0x0A, 0x0E, 0x0A, 0x05] + Array("<unk>".utf8) + [0x15, 0, 0, 0, 0, 0x18, 0x02]
        + [0x0A, 0x08, 0x0A, 0x01, 0x61, 0x15, 0, 0, 0x80, 0xBF]
        + [0x0A, 0x0C, 0x0A, 0x03, 0xE2, 0x96, 0x81, 0x15, 0, 0, 0, 0xC0, 0x18, 0x04]
        + [0x12, 0x02, 0x18, 0x02, 0x1A, 0x04, 0x18, 0, 0x20, 1]
    ]),
    words: ["\u{2581}", "\u{0A}", "\u{15}", "\u{18}", "<0x0A>"],
    memoryFactor: 64, fixedMemory: 1 << 16,
    run: { bytes throws(TinctureError) in
      let model = try SentencePieceModel(bytes, file: "fuzz")
      return vocabularies(TokenizerFiles(folder: "fuzz", sentencePiece: model))
    })

  static let tokenizerConfig = FuzzTarget(
    name: "tokenizer_config.json", seeds: warm([Array(configJSON.utf8)]),
    words: ["\"", "{", "}", "null", "\"content\":", "\"special\":true", "-1", "4294967296"],
    memoryFactor: 64, fixedMemory: 1 << 16,
    run: { bytes throws(TinctureError) in
      let config = try TokenizerConfig(bytes, path: "fuzz")
      let json = try TokenizerJSON(Array(byteLevelJSON.utf8), path: "fuzz")
      return vocabularies(TokenizerFiles(folder: "fuzz", json: json, config: config))
    })

  static let vocabularyText = FuzzTarget(
    name: "vocab.txt",
    seeds: warm([
      Array("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##ing\nThe\n".utf8),
      Array("[UNK]\r\nthe\r\ncaf\u{E9}".utf8),
    ]),
    words: ["\n", "\r\n", "##", "[PAD]", "[PAD9]"],
    memoryFactor: 64, fixedMemory: 1 << 16,
    run: { bytes throws(TinctureError) in
      let lines = try TrainedVocabulary(lines: bytes, file: "fuzz")
      return vocabularies(TokenizerFiles(folder: "fuzz", wordPieces: lines))
    })

  /// The seeds; reads the bundled table of pre-tokenizers, whose memory is no input's.
  private static func warm(_ seeds: [[UInt8]]) -> [[UInt8]] {
    _ = try? KnownPreTokenizers.load()
    _ = try? tokenizing.run([0x61, 0xC3, 0xA9])
    return seeds
  }

  /// Makes a vocabulary of each kind; tells which came out.
  private static func vocabularies(_ files: TokenizerFiles) -> Int {
    var outcome = 0
    if let tokenizer = try? Tokenizer(files) {
      let ids = tokenizer.encode("walking \u{2581}t <s>abc\n")
      precondition(
        String(validating: tokenizer.decode(ids), as: UTF8.self) != nil,
        "the text is not well-formed")
      outcome = 32
    }
    for (bit, kind) in VocabularyKind.allCases.enumerated() {
      guard
        let made = try? Vocabulary.make(
          files: files, kind: kind, embeddingRows: 12, configuredSize: 10,
          preTokenizerOverride: bit == 1 ? "default" : nil)
      else { continue }
      guard
        let special = try? SpecialTokens(
          files, tokenCount: made.count, isWordPiece: made.model == .wordPiece,
          idOf: { $0.count % 5 == 4 ? nil : 1 }, textOf: { Array(made.texts[$0]) })
      else { continue }
      outcome |= 1 << bit | (special.ids.isEmpty ? 0 : 16)
    }
    return outcome
  }
}
