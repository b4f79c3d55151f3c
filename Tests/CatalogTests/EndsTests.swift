import Foundation
import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport
import TinctureText

/// Which ids end generation, held against an unmodified llama.cpp (`golden/gguf/ends.json`).
@Suite struct EndsTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name, model: String
    let keys: [(key: String, id: UInt32)]
    let texts: [(id: Int, text: [UInt8])]
    let type: Int32
    let ends: [Int32]
    var testDescription: String { "\(model): \(name)" }
  }

  static let cases: [Case] = {
    let path = Repository.path("golden/gguf/ends.json")
    let root = try? JSON.parse(
      Array(Data(contentsOf: URL(fileURLWithPath: path))), file: path, code: "test")
    return (try? root?.array().map(read)) ?? []
  }()

  private static func read(_ node: JSON) throws -> Case {
    Case(
      name: try node.member("name").string(), model: try node.member("model").string(),
      keys: try node.present("set")?.object().map {
        (try $0.0.string(), UInt32(try $0.1.int()))
      } ?? [],
      texts: try node.present("texts")?.object().map {
        (try #require(Int(try $0.0.string())), Array(try $0.1.string().utf8))
      } ?? [],
      type: Int32(try node.present("type")?.int() ?? 0),
      ends: try node.member("ends").array().map { Int32(try $0.int()) })
  }

  /// The tiny models, bound from their checkpoints once.
  static let models: [String: (bound: BoundModel, tokenizer: Tokenizer)] = {
    var models: [String: (bound: BoundModel, tokenizer: Tokenizer)] = [:]
    for name in Set(cases.map(\.model)) {
      let folder = Repository.path("golden/models/" + name)
      if let source = try? SafetensorsCheckpoint.open(folder),
        let bound = try? BoundModel.bind(source: source, folder: folder),
        let files = try? TokenizerFiles.open(folder: folder, wholeJSON: true),
        let tokenizer = try? Tokenizer(files)
      {
        models[name] = (bound, tokenizer)
      }
    }
    return models
  }()

  @Test func theAnswersAreThere() {
    #expect(Self.cases.count > 100 && Self.models.count == 6)
  }

  @Test(arguments: cases) func endsAreThoseOfLlamaCpp(_ change: Case) throws {
    let model = try #require(Self.models[change.model])
    var pairs = model.bound.metadata + change.keys.map { ($0.key, GGUFValue.uint32($0.id)) }
    func set(_ key: String, _ value: GGUFValue) {
      pairs = pairs.map { $0.key == key ? (key, value) : $0 }
    }
    func value(_ name: String) -> GGUFArray? {
      pairs.first { $0.key == "tokenizer.ggml." + name }?.value.array
    }
    if !change.texts.isEmpty {
      guard case .strings(let strings)? = value("tokens"),
        case .int32(var types)? = value("token_type")
      else {
        Issue.record("no tokens")
        return
      }
      var texts = (0..<strings.count).map { Array(strings[$0]) }
      for (id, text) in change.texts {
        texts[id] = text
        types[id] = change.type
      }
      set("tokenizer.ggml.tokens", .array(.strings(ByteStrings(texts))))
      set("tokenizer.ggml.token_type", .array(.int32(types)))
      // Those of the tokens that have another text now would name none.
      set("tokenizer.ggml.merges", .array(.strings(ByteStrings([]))))
    }
    let layout = try GGUFLayout(metadata: pairs, tensors: [])
    let bytes =
      layout.header
      + [UInt8](repeating: 0, count: Int(layout.byteCount) - layout.header.count)
    let file = try GGUFFile(
      path: "model.gguf", files: [InputFile(memory: bytes, name: "model.gguf")])
    let tokenizer = try Tokenizer(gguf: file)
    #expect(tokenizer.endOfGeneration == change.ends)
    // A checkpoint and the file made of it end alike.
    if change.name == "unchanged" {
      #expect(model.tokenizer.endOfGeneration == change.ends)
    }
  }

  @Test func idsBeyondTheVocabularyAreNone() {
    let ends = SpecialTokens.ends(
      named: [2, 9, -1], keepsNamed: true, fillIns: [.padding: 9, .separator: 3], count: 5,
      idOf: { ["<|fim_pad|>": 4, "</s>": 7][String(decoding: $0, as: UTF8.self)] })
    #expect(ends == [2, 3, 4])
  }

  /// Nothing generates with a WordPiece vocabulary, whose [PAD] would be one.
  @Test func anEncodersPaddingIsNoEnd() {
    let ends = SpecialTokens.ends(
      named: [1], keepsNamed: true, fillIns: nil, count: 5,
      idOf: { $0 == Array("[PAD]".utf8) ? 0 : nil })
    #expect(ends == [1])
  }

  /// The library goes on ending where its files say so.
  @Test func whatFilesNameStaysAnEndForALibrary() {
    for keeps in [true, false] {
      let ends = SpecialTokens.ends(
        named: [2], keepsNamed: keeps, fillIns: [:], count: 5,
        idOf: {
          ["<|return|>": 0, "<|call|>": 1, "<|end|>": 2][String(decoding: $0, as: UTF8.self)]
        })
      #expect(ends == (keeps ? [0, 1, 2] : [0, 1]))
    }
  }
}
