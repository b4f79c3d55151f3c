import Foundation
import Testing
import TinctureCore
import TinctureTestSupport
import TinctureText

/// Malformed tokenizer files: each is refused with the code that names the fault.
@Suite struct HostileTokenizerTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let code: String
    let text: String
    var testDescription: String { name }
  }

  /// A small byte-level BPE with parts replaced.
  static func json(
    vocab: String = #""a":0,"b":1,"ab":2"#, merges: String = #"["a","b"]"#, added: String = "",
    normalizer: String = "null",
    preTokenizer: String = #"{"type":"ByteLevel","add_prefix_space":false}"#,
    model: String = #""type":"BPE""#, rest: String = ""
  ) -> String {
    #"{"added_tokens":[\#(added)],"normalizer":\#(normalizer),"pre_tokenizer":\#(preTokenizer),"#
      + #""decoder":{"type":"ByteLevel"},"model":{\#(model),"vocab":{\#(vocab)},"merges":[\#(merges)]}\#(rest)}"#
  }

  static func added(_ id: Int, _ text: String) -> String {
    #"{"id":\#(id),"content":"\#(text)","special":true,"normalized":false}"#
  }

  static let readerCases: [Case] = [
    Case(
      name: "duplicate id", code: "tokenizer.json.duplicateID",
      text: json(vocab: #""a":0,"b":0"#, merges: "")),
    Case(name: "negative id", code: "tokenizer.json.id", text: json(vocab: #""a":-1"#, merges: "")),
    Case(
      name: "huge id", code: "tokenizer.json.id", text: json(vocab: #""a":4000000000"#, merges: "")),
    Case(
      name: "fractional id", code: "tokenizer.json.type", text: json(vocab: #""a":1.5"#, merges: "")
    ),
    Case(
      name: "empty token", code: "tokenizer.json.emptyToken",
      text: json(vocab: #""":0"#, merges: "")),
    Case(
      name: "empty vocabulary", code: "tokenizer.json.noTokens", text: json(vocab: "", merges: "")),
    Case(
      name: "duplicate token", code: "tokenizer.json.duplicateKey",
      text: json(vocab: #""a":0,"a":1"#, merges: "")),
    Case(
      name: "duplicate token, escaped", code: "tokenizer.json.duplicateKey",
      text: json(vocab: #""a":0,"\u0061":1"#, merges: "")),
    Case(
      name: "lone surrogate", code: "tokenizer.json.syntax",
      text: json(vocab: #""\ud800":0"#, merges: "")),
    Case(
      name: "merge of unknown", code: "tokenizer.json.mergeToken", text: json(merges: #"["a","c"]"#)
    ),
    Case(
      name: "merge into unknown", code: "tokenizer.json.mergeToken",
      text: json(merges: #"["b","a"]"#)),
    Case(
      name: "merge of three", code: "tokenizer.json.merge", text: json(merges: #"["a","b","c"]"#)),
    Case(name: "merge of one", code: "tokenizer.json.merge", text: json(merges: #"["a"]"#)),
    Case(
      name: "merge line without space", code: "tokenizer.json.merge", text: json(merges: #""ab""#)),
    Case(
      name: "merge line with two spaces", code: "tokenizer.json.merge",
      text: json(merges: #""a  b""#)),
    Case(name: "merge is a number", code: "tokenizer.json.type", text: json(merges: "1")),
    Case(
      name: "unknown normalizer", code: "tokenizer.json.unknownStep",
      text: json(normalizer: #"{"type":"Magic"}"#)),
    Case(
      name: "normalizer without type", code: "tokenizer.json.missing", text: json(normalizer: "{}")),
    Case(
      name: "unknown pre-tokenizer", code: "tokenizer.json.unknownStep",
      text: json(preTokenizer: #"{"type":"Magic"}"#)),
    Case(
      name: "unknown post-processor", code: "tokenizer.json.unknownStep",
      text: json(rest: #","post_processor":{"type":"Magic"}"#)),
    Case(
      name: "unknown model", code: "tokenizer.json.model", text: json(model: #""type":"Magic""#)),
    Case(
      name: "added token twice", code: "tokenizer.json.duplicateToken",
      text: json(added: added(3, "x") + "," + added(4, "x"))),
    Case(
      name: "added id twice", code: "tokenizer.json.duplicateID",
      text: json(added: added(3, "x") + "," + added(3, "y"))),
    Case(
      name: "added token with another id", code: "tokenizer.json.addedTokenID",
      text: json(added: added(3, "ab"))),
    Case(
      name: "added token takes an id", code: "tokenizer.json.addedTokenID",
      text: json(added: added(2, "x"))),
    Case(
      name: "added token out of range", code: "tokenizer.json.id",
      text: json(added: added(3_000_000_000, "x"))),
    Case(
      name: "empty added token", code: "tokenizer.json.emptyToken", text: json(added: added(3, ""))),
  ]

  @Test(arguments: readerCases) func tokenizerJSON(_ test: Case) throws {
    let folder = try folder(["tokenizer.json": test.text])
    #expect(code { try TokenizerFiles.open(folder: folder.path) } == test.code)
  }

  @Test func theUndamagedFileIsRead() throws {
    let folder = try folder(["tokenizer.json": HostileTokenizerTests.json()])
    let made = try Vocabulary.make(
      files: TokenizerFiles.open(folder: folder.path), kind: .llama, embeddingRows: 4)
    #expect(made.preTokenizer == "gpt-2")
    #expect((0..<4).map { made.texts.text($0) } == ["a", "b", "ab", "[PAD3]"])
    #expect(made.types == [1, 1, 1, 5])
    #expect(made.merges.text(0) == "a b")
  }

  static let makeCases: [Case] = [
    Case(name: "id gap", code: "tokenizer.idGap", text: json(vocab: #""a":0,"b":1,"ab":3"#)),
    Case(
      name: "id beyond the rows", code: "tokenizer.tooManyTokens",
      text: json(vocab: #""a":0,"b":1,"ab":2,"c":3,"d":4,"e":5,"f":6"#)),
    Case(name: "no merges", code: "tokenizer.noMerges", text: json(merges: "")),
    Case(
      name: "unknown definition", code: "tokenizer.preTokenizer",
      text: json(
        preTokenizer:
          #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#
      )),
    Case(
      name: "prefix space", code: "tokenizer.preTokenizer",
      text: json(preTokenizer: #"{"type":"ByteLevel","add_prefix_space":true}"#)),
    Case(
      name: "ignored merges", code: "tokenizer.preTokenizer",
      text: json(model: #""type":"BPE","ignore_merges":true"#)),
    Case(
      name: "token named like padding", code: "tokenizer.duplicateToken",
      text: json(vocab: #""a":0,"b":1,"ab":2,"[PAD5]":3"#)),
    Case(
      name: "WordPiece in a Llama", code: "tokenizer.kind",
      text: json(model: #""type":"WordPiece""#)),
    Case(
      name: "Unigram", code: "tokenizer.kind",
      text: #"{"model":{"type":"Unigram","vocab":[["a",0.0]]}}"#),
  ]

  @Test(arguments: makeCases) func vocabulary(_ test: Case) throws {
    let folder = try folder(["tokenizer.json": test.text])
    let files = try TokenizerFiles.open(folder: folder.path)
    #expect(code { try Vocabulary.make(files: files, kind: .llama, embeddingRows: 6) } == test.code)
  }

  @Test func anUnknownDefinitionIsShownAndANameDecides() throws {
    let folder = try folder([
      "tokenizer.json": HostileTokenizerTests.json(
        preTokenizer:
          #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#
      )
    ])
    let files = try TokenizerFiles.open(folder: folder.path)
    do {
      _ = try Vocabulary.make(files: files, kind: .llama, embeddingRows: 3)
      Issue.record("accepted")
    } catch {
      #expect(error.found?.contains("cut \"x+\"") == true)
      #expect(error.advice?.contains("--pre-tokenizer") == true)
    }
    let made = try Vocabulary.make(
      files: files, kind: .llama, embeddingRows: 3, preTokenizerOverride: "qwen2")
    #expect(made.preTokenizer == "qwen2")
    #expect(
      code {
        try Vocabulary.make(
          files: files, kind: .llama, embeddingRows: 3, preTokenizerOverride: "magic")
      } == "tokenizer.preTokenizerName")
  }

  /// A name given by hand that is not the one the files are recognised by is told; the same one is not.
  @Test func aNameOverARecognisedPreTokenizerIsTold() throws {
    func notes(_ tokens: String, _ kind: VocabularyKind, _ name: String) throws -> [String] {
      let folder = Repository.path("golden/tokens/" + tokens)
      return try Vocabulary.make(
        files: TokenizerFiles.open(folder: folder), kind: kind, embeddingRows: .max,
        configuredSize: 0, preTokenizerOverride: name
      ).notes.filter { $0.contains("--pre-tokenizer") }
    }
    let told = try notes("qwen-bpe", .qwen, "gpt-2")
    #expect(told.count == 1 && told[0].contains("qwen2") && told[0].contains("gpt-2"), "\(told)")
    #expect(try notes("qwen-bpe", .qwen, "qwen2") == [])
    #expect(try notes("flags-bert", .bert, "qwen2").count == 1)
  }

  /// SentencePiece has one pre-tokenizer, whichever file the vocabulary is from.
  @Test(arguments: ["gemma", "gemma3-json"]) func otherNamesForSentencePiece(_ model: String) throws
  {
    let files = try TokenizerFiles.open(folder: Repository.path("golden/models/" + model))
    #expect(
      code {
        try Vocabulary.make(
          files: files, kind: .gemma, embeddingRows: .max, configuredSize: 0,
          preTokenizerOverride: "qwen2")
      } == "tokenizer.preTokenizerName")
  }

  @Test func otherFiles() throws {
    let good = HostileTokenizerTests.json()
    let cases: [(files: [String: String], code: String)] = [
      ([:], "tokenizer.missing"),
      (["tokenizer.json": good, "tokenizer_config.json": "[]"], "tokenizer_config.type"),
      (
        ["tokenizer.json": good, "tokenizer_config.json": #"{"bos_token":3}"#],
        "tokenizer_config.type"
      ),
      (
        [
          "tokenizer.json": good,
          "tokenizer_config.json": #"{"added_tokens_decoder":{"x":{"content":"y"}}}"#,
        ], "tokenizer_config.id"
      ),
      (
        ["tokenizer.json": good, "tokenizer_config.json": #"{"chat_template":[{"name":"a"}]}"#],
        "tokenizer_config.missing"
      ),
      (["tokenizer.json": good, "added_tokens.json": #"{"x":-1}"#], "added_tokens.id"),
      (["tokenizer.json": good, "config.json": #"{"eos_token_id":"2"}"#], "config.type"),
      (
        ["tokenizer.json": good, "generation_config.json": #"{"eos_token_id":[1,null]}"#],
        "generation_config.type"
      ),
      (["vocab.txt": "[UNK]\n\nthe\n"], "vocab.txt.emptyToken"),
      (["vocab.txt": "[UNK]\nthe\nthe\n"], "vocab.txt.duplicateToken"),
      (["vocab.txt": ""], "vocab.txt.noTokens"),
    ]
    for (files, expected) in cases {
      let folder = try folder(files)
      #expect(code { try TokenizerFiles.open(folder: folder.path) } == expected, "\(files)")
    }
    let contradiction = try folder([
      "tokenizer.json": good,
      "tokenizer_config.json": #"{"added_tokens_decoder":{"3":{"content":"x","special":true}}}"#,
      "added_tokens.json": #"{"y":3}"#,
    ])
    let files = try TokenizerFiles.open(folder: contradiction.path)
    #expect(
      code { try Vocabulary.make(files: files, kind: .llama, embeddingRows: 9) }
        == "tokenizer.addedTokens")
  }
}
