import Foundation
import Testing
import TinctureCore
import TinctureTestSupport
import TinctureText

/// Ids and texts as the tokenizers and sentencepiece libraries gave them (`tools/golden/token_ids.py`).
@Suite struct TokenizerGoldenTests {
  static func json(_ name: String) throws -> JSON {
    try JSON.parse([UInt8](Repository.contents("golden/tokens/ids/" + name)), file: name)
  }

  static func texts() throws -> [[UInt8]] {
    try json("texts.json").elements.map { try $0.stringBytes() }
  }

  static func ids(_ node: JSON) throws -> [Int32] { try node.elements.map { Int32(try $0.int()) } }

  static let libraryFiles = [
    "models-bert-cased", "models-gemma3", "models-llama", "models-llama3", "models-qwen2",
    "tokens-bert-uncased", "tokens-gemma-spm", "tokens-gpt2-bpe", "tokens-llama-bpe",
    "tokens-llama-json", "tokens-qwen-bpe",
  ]

  static func open(_ folder: String) throws -> Tokenizer {
    try Tokenizer(
      TokenizerFiles.open(folder: Repository.path("golden/" + folder), wholeJSON: true))
  }

  @Test(arguments: libraryFiles) func equalsTheLibrary(_ name: String) throws {
    let expected = try Self.json(name + ".json")
    let tokenizer = try Self.open(expected.member("folder").string())
    let texts = try Self.texts()
    let ids = try expected.member("ids").elements.map(Self.ids)
    let decoded = try expected.member("decoded").elements.map { try $0.stringBytes() }
    var literal: [Int: [Int32]] = [:]
    for member in try expected.member("literal").members {
      literal[try #require(Int(member.key.string()))] = try Self.ids(member.value)
    }
    #expect(texts.count == ids.count && texts.count > 100)
    for (index, text) in texts.enumerated() {
      let shown = String(decoding: text, as: UTF8.self)
      let made = try tokenizer.encode(text)
      #expect(made == ids[index], "\(shown)")
      #expect(tokenizer.encode(shown) == made)
      #expect(
        try tokenizer.encode(text, parseSpecial: false) == literal[index] ?? ids[index], "\(shown)")
      #expect(tokenizer.decode(made, skipSpecial: false) == decoded[index], "\(shown)")
      // Without the tokens around it, the text is what stands between them.
      let bare = try tokenizer.encode(text, addSpecial: false)
      #expect(made.count - bare.count <= 2 && (bare.isEmpty || made.contains(bare[0])))
    }
  }

  @Test(arguments: libraryFiles) func streamedTextIsTheDecodedText(_ name: String) throws {
    let tokenizer = try Self.open(Self.json(name + ".json").member("folder").string())
    for text in try Self.texts() {
      let ids = try tokenizer.encode(text)
      for skips in [true, false] {
        var decoder = tokenizer.streamingDecoder(skipSpecial: skips)
        var whole: [UInt8] = []
        for id in ids {
          let piece = decoder.next(id)
          #expect(String(validating: piece, as: UTF8.self) != nil, "a character is split")
          whole += piece
        }
        whole += decoder.finish()
        #expect(whole == tokenizer.decode(ids, skipSpecial: skips))
      }
    }
  }

  /// Added tokens that take white space along, stand as whole words, or are looked for in normalized text.
  @Test(arguments: ["tokens-flags-bert", "tokens-flags-bpe"])
  func flagsOfAddedTokens(_ name: String) throws {
    let expected = try Self.json(name + ".json")
    let tokenizer = try Self.open(expected.member("folder").string())
    let texts = try expected.member("texts").elements.map { try $0.stringBytes() }
    let ids = try expected.member("ids").elements.map(Self.ids)
    let literal = try expected.member("literal").elements.map(Self.ids)
    #expect(texts.count > 20 && ids != literal)
    for (index, text) in texts.enumerated() {
      let shown = String(decoding: text, as: UTF8.self)
      #expect(try tokenizer.encode(text) == ids[index], "\(shown)")
      #expect(try tokenizer.encode(text, parseSpecial: false) == literal[index], "\(shown)")
    }
  }

  @Test func hostileTexts() throws {
    let tokenizer = try Self.open("models/gemma3")
    for (bytes, offset) in [
      ([0x61, 0xC3], 1), ([0xED, 0xA0, 0x80], 0), ([0x61, 0xF4, 0x90, 0x80, 0x80], 1),
    ] as [([UInt8], UInt64)] {
      do {
        _ = try tokenizer.encode(bytes)
        Issue.record("accepted")
      } catch {
        #expect(error.code.name == "tokenizer.text" && error.place.byteOffset == offset)
      }
    }
    // Long words cost time in proportion to their length, nearly: a million characters take seconds at most.
    let clock = ContinuousClock()
    for text in [
      [UInt8](repeating: 0x61, count: 1 << 20), [UInt8](repeating: 0x20, count: 1 << 20),
    ] {
      for name in ["models/gemma3", "models/qwen2", "models/bert-cased"] {
        let tokenizer = try Self.open(name)
        var ids: [Int32] = []
        let time = try clock.measure { ids = try tokenizer.encode(text) }
        #expect(time < .seconds(20), "\(name)")
        #expect(ids.count <= text.count + 2)
      }
    }
  }

  @Test func equalsSentencePiece() throws {
    let expected = try Self.json("tokens-llama-spm.json")
    let tokenizer = try Self.open(expected.member("folder").string())
    let texts = try Self.texts()
    let ids = try expected.member("ids").elements.map(Self.ids)
    let skipped = Set(try expected.member("skipped").elements.map { try $0.int() })
    #expect(skipped.count < texts.count / 4)
    for (index, text) in texts.enumerated() where !skipped.contains(index) {
      #expect(
        try tokenizer.encode(text) == ids[index], "\(String(decoding: text, as: UTF8.self))")
    }
  }

  /// A tokenizer.json of BERT without the vocabulary's help: what its parts do with every character shows in the words.
  static func bert(_ normalizer: String) throws -> Tokenizer {
    let folder = try folder([
      "tokenizer.json":
        #"{"added_tokens":[],"normalizer":\#(normalizer),"pre_tokenizer":{"type":"BertPreTokenizer"},"#
        + #""decoder":null,"model":{"type":"WordPiece","unk_token":"?","continuing_subword_prefix":"@","#
        + #""vocab":{"?":0,"a":1,"b":2,"@b":3,"ab":4}}}"#
    ])
    return try Tokenizer(TokenizerFiles.open(folder: folder.path, wholeJSON: true))
  }

  static func scalars(_ ranges: JSON) throws -> Set<UInt32> {
    var scalars: Set<UInt32> = []
    let bounds = try ranges.elements.map { UInt32(try $0.int()) }
    for index in stride(from: 0, to: bounds.count, by: 2) {
      scalars.formUnion(bounds[index]...bounds[index + 1])
    }
    return scalars
  }

  @Test func everyCharacterIsTreatedAsBertDoes() throws {
    let expected = try Self.json("characters.json")
    let dropped = try Self.scalars(expected.member("dropped"))
    let spaces = try Self.scalars(expected.member("space"))
    let ideographs = try Self.scalars(expected.member("ideograph"))
    let accents = try Self.scalars(expected.member("accent"))
    let punctuation = try Self.scalars(expected.member("punctuation"))
    let white = try Self.scalars(expected.member("white"))
    let clean = try Self.bert(
      #"{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":false,"strip_accents":false,"lowercase":false}"#
    )
    let apart = try Self.bert(
      #"{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":true,"strip_accents":true,"lowercase":false}"#
    )
    // Their decompositions begin with a letter of the vocabulary or with punctuation.
    let decomposing: Set<UInt32> = [0x1E03, 0x1E05, 0x1E07, 0x1FEF, 0x2260, 0x226E, 0x226F]
    var wrong: [UInt32] = []
    for value in UInt32(0)...0x10FFFF {
      guard let scalar = Unicode.Scalar(value), !("a"..."b").contains(scalar),
        !decomposing.contains(value)
      else { continue }
      let bytes = Array("a".utf8) + Array(String(scalar).utf8) + Array("b".utf8)
      // [ab], [a, b], [a, ?, b] or one unknown word.
      let cleaned: [Int32] =
        dropped.contains(value)
        ? [4]
        : spaces.contains(value) || white.contains(value)
          ? [1, 2] : punctuation.contains(value) ? [1, 0, 2] : [0]
      let stripped: [Int32] =
        accents.contains(value)
        ? [4]
        : white.contains(value)
          ? [1, 2]
          : ideographs.contains(value) || punctuation.contains(value) ? [1, 0, 2] : [0]
      if try clean.encode(bytes) != cleaned || apart.encode(bytes) != stripped {
        wrong.append(value)
      }
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(20).map { String($0, radix: 16) }), \(wrong.count)")
  }
}
