import Foundation
import Testing
import TinctureCore
import TinctureTestSupport
import TinctureText

/// What a GGUF cannot say of added tokens is told, and llama.cpp finds those that it can.
@Suite struct AddedTokenNotesTests {
  static func vocabulary(_ name: String, _ kind: VocabularyKind) throws -> Vocabulary {
    let folder = Repository.path("golden/tokens/" + name)
    return try Vocabulary.make(
      files: TokenizerFiles.open(folder: folder), kind: kind, embeddingRows: .max, configuredSize: 0
    )
  }

  @Test func flagsAreNoted() throws {
    for (name, kind) in [("flags-bert", VocabularyKind.bert), ("flags-bpe", .qwen)] {
      let notes = try Self.vocabulary(name, kind).notes.joined(separator: "\n")
      for word in ["(lstrip)", "(rstrip)", "(single_word)", "<w>", "<l>", "<r>"] {
        #expect(notes.contains(word), "\(name): \(word)")
      }
    }
    let plain = try Self.vocabulary("qwen-bpe", .qwen).notes.joined()
    #expect(!plain.contains("strip)") && !plain.contains("single_word"))
  }

  /// llama.cpp looks for the text of user-defined tokens as it stands in the vocabulary.
  @Test func ordinaryTokensOfBERTStandAsTheyAreFound() throws {
    let made = try Self.vocabulary("flags-bert", .bert)
    let texts = (0..<made.count).map { made.texts.text($0) }
    for text in ["plain", "pla", "<w>"] {
      let id = try #require(texts.firstIndex(of: text))
      #expect(made.types[id] == TokenType.userDefined.rawValue)
      #expect(!texts.contains("\u{2581}" + text))
    }
    #expect(made.notes.contains { $0.contains("lowercased") && $0.contains("NORM") })
  }

  /// llama.cpp's WordPiece (src/llama-vocab.cpp, llm_tokenizer_wpm_session) cuts words of any length.
  @Test func theLimitOfWordsIsTold() throws {
    func told(_ limit: Int?) throws -> [String] {
      let checkpoint = try EditedCheckpoint("bert-uncased")
      try checkpoint.set(
        ["max_input_chars_per_word": limit.map { "\($0)" }], inside: "model",
        file: "tokenizer.json")
      return try Vocabulary.make(
        files: TokenizerFiles.open(folder: checkpoint.path), kind: .bert, embeddingRows: .max,
        configuredSize: 0
      ).notes.filter { $0.contains("characters") }
    }
    #expect(
      try told(20) == [
        "words of more than 20 characters are unknown by tokenizer.json (max_input_chars_per_word); llama.cpp has no "
          + "limit and cuts them into pieces"
      ])
    #expect(try told(100) == [] && told(nil) == [])
  }

  @Test func aTemplateFileComesBeforeTheConfiguration() throws {
    let json = HostileTokenizerTests.json()
    let config = #"{"chat_template":"of the configuration"}"#
    let jinja = try folder([
      "tokenizer.json": json, "tokenizer_config.json": config, "chat_template.jinja": "of the file",
    ])
    let old = try folder([
      "tokenizer.json": json, "tokenizer_config.json": config,
      "chat_template.json": #"{"chat_template":"of the file"}"#,
    ])
    func chosen(_ folder: TemporaryFolder) throws -> String? {
      try TokenizerFiles.open(folder: folder.path).templates.map {
        String(decoding: $0[0].text, as: UTF8.self)
      }
    }
    #expect(try chosen(jinja) == "of the file")
    #expect(try chosen(old) == "of the configuration")
  }
}
