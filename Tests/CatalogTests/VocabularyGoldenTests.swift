import Foundation
import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport
import TinctureText

/// What `tools/golden/vocabularies.py` recorded of llama.cpp's converter for one folder.
private struct ExpectedVocabulary {
  let kind: VocabularyKind
  let rows: Int
  let metadata: [String: JSON]

  init(_ path: String, kind: VocabularyKind? = nil, rows: Int? = nil) throws {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let root = try JSON.parse(bytes, file: path)
    self.kind = try kind ?? #require(VocabularyKind(rawValue: root.member("kind").string()))
    self.rows = try rows ?? root.member("rows").int()
    var metadata: [String: JSON] = [:]
    for member in (root["metadata"] ?? root).members {
      metadata[try member.key.string()] = member.value
    }
    self.metadata = metadata
  }
}

/// The converter's form of a value: `["[int32]", [1, 2]]`.
private func matches(_ value: GGUFValue, _ expected: JSON) throws -> Bool {
  let parts = Array(expected.elements)
  let type = try parts[0].string()
  let node = parts[1]
  switch value {
  case .string(let text): return type == "string" && node.equals(text.text)
  case .uint32(let number): return try type == "uint32" && node.uint64() == UInt64(number)
  case .bool(let flag): return try type == "bool" && node.bool() == flag
  case .array(.strings(let strings)):
    guard type == "[string]", node.count == strings.count else { return false }
    for (index, element) in node.elements.enumerated() {
      guard try element.stringBytes().elementsEqual(strings[index]) else { return false }
    }
    return true
  case .array(.int32(let numbers)):
    guard type == "[int32]", node.count == numbers.count else { return false }
    for (index, element) in node.elements.enumerated() {
      guard try element.int() == Int(numbers[index]) else { return false }
    }
    return true
  case .array(.float32(let numbers)):
    guard type == "[float32]", node.count == numbers.count else { return false }
    for (index, element) in node.elements.enumerated() {
      guard try Float(element.double()) == numbers[index] else { return false }
    }
    return true
  default: return false
  }
}

/// Keys whose value, presence or absence differs.
private func differences(
  _ made: VocabularyMetadata, _ expected: ExpectedVocabulary
) throws -> Set<String> {
  var keys = Set(expected.metadata.keys)
  for (key, value) in made.metadata {
    if let other = expected.metadata[key], try matches(value, other) {
      keys.remove(key)
    } else {
      keys.insert(key)
    }
  }
  return keys
}

@Suite struct VocabularyGoldenTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    /// Intended differences (formats/spec/vocabulary.md), all of them.
    var differs: Set<String> = []
    var testDescription: String { name }
  }

  static let cases = [
    Case(name: "llama-spm", differs: ["tokenizer.ggml.unknown_token_id"]),
    Case(name: "gemma-spm"),
    Case(name: "llama-json", differs: ["tokenizer.ggml.scores"]),
    Case(name: "llama-bpe"),
    Case(name: "qwen-bpe"),
    Case(name: "gpt2-bpe"),
    Case(
      name: "bert-uncased"),
    Case(name: "bert-cased"),
    Case(
      name: "bert-vocab-txt",
      differs: [
        "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.seperator_token_id",
        "tokenizer.ggml.mask_token_id", "tokenizer.ggml.normalizer.lowercase",
      ]),
  ]

  @Test(arguments: cases) func equalsTheConvertersKeys(_ test: Case) throws {
    let folder = Repository.path("golden/tokens/" + test.name)
    let expected = try ExpectedVocabulary(folder + "/expected.json")
    let made = try VocabularyMetadata.make(
      files: TokenizerFiles.open(folder: folder), kind: expected.kind,
      embeddingRows: expected.rows, tokenTypeCount: expected.kind == .bert ? 2 : nil)
    #expect(made.tokenCount == expected.rows)
    let found = try differences(made, expected)
    #expect(found == test.differs)
  }

  @Test func scoresOfMergesKeepTheOrderOfTheModel() throws {
    let folder = Repository.path("golden/tokens/llama-json")
    let made = try VocabularyMetadata.make(
      files: TokenizerFiles.open(folder: folder), kind: .llama, embeddingRows: 420)
    let bytes = [UInt8](try Repository.contents("golden/tokens/llama-json/scores.json"))
    let model = try JSON.parse(bytes, file: nil).elements.map { try $0.double() }
    guard
      case .array(.float32(let scores))? =
        made.metadata.first(where: { $0.key == "tokenizer.ggml.scores" })?.value
    else {
      Issue.record("no scores")
      return
    }
    // Pieces 260 on are made by merges up to the single characters, whose scores are lowest.
    let merged = (0..<420).filter { scores[$0] < 0 && scores[$0] != -1000 }
    #expect(merged.count > 50)
    for (one, two) in zip(merged, merged.dropFirst()) {
      #expect((model[one] < model[two]) == (scores[one] < scores[two]))
    }
  }
}
