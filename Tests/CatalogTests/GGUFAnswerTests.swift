import Foundation
import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport
import TinctureText

/// Odd GGUF files, held against what an unmodified llama.cpp makes of them (`golden/gguf/answers.json`): what it does not
/// load is refused, and where it takes a value that the file does not say, a note says so.
@Suite struct GGUFAnswerTests {
  typealias Pairs = [(key: String, value: GGUFValue)]

  struct Case: Sendable, CustomTestStringConvertible {
    let name, model, answer, output: String
    let drop, dropTensors: [String]
    let set: [(key: String, value: GGUFValue)]
    let addTensors: [(name: String, shape: [Int])]
    var testDescription: String { "\(model): \(name)" }
  }

  static let root = try? JSON.parse(
    Array(Data(contentsOf: URL(fileURLWithPath: Repository.path("golden/gguf/answers.json")))),
    file: "answers.json", code: "test")
  static let cases = (try? root?.member("cases").array().map(read)) ?? []

  static func strings(_ node: JSON?) throws -> [String] {
    try node?.array().map { try $0.string() } ?? []
  }

  private static func read(_ node: JSON) throws -> Case {
    var set: Pairs = []
    if let list = node.present("set") {
      for (key, typed) in try list.object() {
        let parts = Array(try typed.array())
        set.append((try key.string(), try value(parts[0].string(), parts[1])))
      }
    }
    var added: [(name: String, shape: [Int])] = []
    if let list = node.present("addTensors") {
      for (name, shape) in try list.object() {
        added.append((try name.string(), try shape.array().map { try $0.int() }))
      }
    }
    return Case(
      name: try node.member("name").string(), model: try node.member("model").string(),
      answer: try node.member("answer").string(), output: try node.member("output").string(),
      drop: try strings(node.present("drop")),
      dropTensors: try strings(node.present("dropTensors")), set: set, addTensors: added)
  }

  private static func value(_ type: String, _ node: JSON) throws -> GGUFValue {
    switch type {
    case "string": return .string(GGUFString(try node.string()))
    case "uint32": return .uint32(UInt32(try node.int()))
    case "int32": return .int32(Int32(try node.int()))
    case "float32": return .float32(Float(try node.double()))
    case "bool": return .bool(try node.bool())
    case "string[]":
      return .array(.strings(ByteStrings(try node.array().map { Array(try $0.string().utf8) })))
    case "int32[]": return .array(.int32(try node.array().map { Int32(try $0.int()) }))
    case "uint32[]": return .array(.uint32(try node.array().map { UInt32(try $0.int()) }))
    case "float32[]": return .array(.float32(try node.array().map { Float(try $0.double()) }))
    case "bool[]": return .array(.bool(try node.array().map { try $0.bool() }))
    default: throw node.error("type", "no such type", found: type)
    }
  }

  /// The tiny models, bound from their checkpoints once.
  static let models: [String: BoundModel] = {
    var models: [String: BoundModel] = [:]
    for name in Set(cases.map(\.model)) {
      let folder = Repository.path("golden/models/" + name)
      if let source = try? SafetensorsCheckpoint.open(folder) {
        models[name] = try? BoundModel.bind(source: source, folder: folder)
      }
    }
    return models
  }()

  /// What becomes of a model's GGUF with the changes: an error, or the notes.
  private func bind(_ change: Case) throws -> (error: TinctureError?, notes: [String]) {
    let model = try #require(Self.models[change.model])
    let gone = Set(change.drop + change.set.map(\.key))
    let pairs = model.metadata.filter { !gone.contains($0.key) } + change.set
    let names = Set(change.dropTensors + change.addTensors.map(\.name))
    var requests = model.tensors.filter { !names.contains($0.name) }.map {
      GGUFLayout.Request(name: $0.name, type: .element(.f32), shape: $0.shape)
    }
    for (name, shape) in change.addTensors {
      let shape = try #require(Shape(checking: shape))
      requests.append(.init(name: name, type: .element(.f32), shape: shape))
    }
    let layout = try GGUFLayout(metadata: pairs, tensors: requests)
    let bytes =
      layout.header
      + [UInt8](repeating: 0, count: Int(layout.byteCount) - layout.header.count)
    let file = try GGUFFile(
      path: "model.gguf", files: [InputFile(memory: bytes, name: "model.gguf")])
    do {
      return (nil, try BoundModel.bind(gguf: file).notes)
    } catch {
      return (error, [])
    }
  }

  @Test func theAnswersAreThere() throws {
    #expect(Self.cases.count > 100 && Self.models.count == 9)
    #expect(Self.cases.contains { $0.answer == "ended" })
  }

  /// Files without a vocabulary are bound for what they are; a note says that llama.cpp does not load them.
  static let noted = ["no tokens", "no tokenizer"]

  /// What llama.cpp loads and we refuse: it computes another model than the one that was meant.
  static let refused: Set<String> = [
    "dense_2 alone", "dense_2 alone, keys of both", "dense keys without tensors",
    "llama: rope.scaling.type longrope", "gemma3: rope.scaling.type longrope", "a base of zero",
    "half of each head turned (gemma3)", "a byte-level BPE without pre-tokenizer",
    "a byte-level BPE with an empty pre-tokenizer", "Kimi's without merges",
    "scores: +1 to the vocabulary", "token_type: +1 to the vocabulary",
    "a token id beyond the vocabulary", "a cls token id as int32", "no context",
    "heads that cannot be shared out", "an epsilon of zero", "rows of another width", "no window",
    "a pattern for no layer", "a norm of one row",
  ]

  @Test(arguments: cases) func whatLlamaCppDoesNotLoadIsRefused(_ change: Case) throws {
    let (error, notes) = try bind(change)
    if Self.noted.contains(change.name) {
      #expect(change.answer == "refused" && notes.contains { $0.contains("does not load") })
    } else if change.answer != "loads" || Self.refused.contains(change.name) {
      let error = try #require(error)
      #expect(error.code.kind == .invalidInput || error.code.kind == .unsupported)
      #expect(error.place.key != nil || error.place.tensor != nil, "\(error)")
      #expect(error.place.file == "model.gguf" && error.expected != nil || error.found != nil)
      let words = "\(error.message) \(error.advice ?? "")"
      #expect(
        change.answer != "loads" || !words.contains("not load") && !words.contains("refuse"),
        "\(words)")
    } else {
      #expect(error == nil, "\(error as Any)")
    }
  }

  /// Names of changes, and what the note says.
  static let notes: [(name: String, note: String)] = [
    (
      "gemma3 with a tokenizer of kind gpt2",
      "kind gpt2, where models of this architecture have llama"
    ),
    ("gemma3 with a tokenizer of kind t5", "kind t5"),
    ("bert-uncased with a tokenizer of kind gpt2", "kind gpt2"),
    ("bert-uncased with a tokenizer of kind llama", "kind llama"),
    (
      "qwen2 with a tokenizer of kind llama",
      "kind llama, where models of this architecture have gpt2"
    ),
    ("no vocabulary (none)", "no vocabulary"), ("no vocabulary (no_vocab)", "no vocabulary"),
    ("without attention.sliding_window", "llama.cpp takes"),
    ("without attn_logit_softcapping", "llama.cpp takes 50.0"),
    ("without final_logit_softcapping", "llama.cpp takes 30.0"),
    ("without rope.freq_base", "llama.cpp takes 10000.0"),
    ("without rope.freq_base_swa", "llama.cpp takes 10000.0"),
    ("with attention.causal true", "attention.causal is true"),
    ("a range of YaRN", "does not read llama.rope.scaling.yarn_beta_fast"),
  ]

  @Test func aNoteSaysWhatTheFileDoesNot() throws {
    for (name, note) in Self.notes {
      for change in Self.cases where change.name.lowercased() == name.lowercased() {
        #expect(change.answer == "loads")
        let (error, notes) = try bind(change)
        #expect(error == nil && notes.contains { $0.contains(note) }, "\(change): \(notes)")
      }
    }
    for change in Self.cases where change.name == "unchanged" {
      #expect(try bind(change).notes == [])
    }
  }

  /// The words of notes and errors, where llama.cpp's numbers show that they are true.
  @Test(arguments: [
    ("without rope.freq_base", "with rope.freq_base 10000.0"),
    ("without rope.freq_base_swa", "with rope.freq_base_swa 10000.0"),
    ("without attention.causal", "unchanged"), ("with attention.causal True", "unchanged"),
    ("without attention.sliding_window", "no window (gemma3)"),
    ("llama: rope.scaling.type longrope", "llama: rope.scaling.type linear"),
    ("gemma3: rope.scaling.type longrope", "gemma3: rope.scaling.type linear"),
    ("a range of YaRN", "llama: rope.scaling.type yarn"),
    ("dense keys without tensors", "no dense head"),
  ]) func twoChangesAreOneModel(_ one: String, _ other: String) {
    for first in Self.cases where first.name == one {
      for second in Self.cases where second.name == other && second.model == first.model {
        #expect(first.output == second.output && !first.output.isEmpty)
      }
    }
  }

  @Test(arguments: ["llama: rope.scaling.type yarn", "a factor of the rotation's magnitude"])
  func whatChangesTheModel(_ name: String) {
    let change = Self.cases.first { $0.name == name }
    let plain = Self.cases.first { $0.name == "unchanged" && $0.model == change?.model }
    #expect(change?.output != plain?.output)
  }

  // MARK: types and missing keys

  private func change(_ model: String, drop: [String] = [], set: Pairs = []) -> Case {
    Case(
      name: "", model: model, answer: "", output: "", drop: drop, dropTensors: [], set: set,
      addTensors: [])
  }

  @Test func keysOfAnotherTypeThatLlamaCppRefusesAreRefused() throws {
    let table = try #require(try Self.root?.member("mistyped").object())
    for (model, answers) in table {
      let model = try model.string()
      let keys = try Self.strings(answers.member("refused"))
      #expect(keys.count > 50)
      for key in keys {
        let isList = key.contains("token_type") || key.contains("sliding_window_pattern")
        let wrong = isList ? GGUFValue.string("1") : .float64(1)
        let error = try bind(change(model, set: [(key, wrong)])).error
        #expect(error?.place.key == key, "\(model) \(key): \(error as Any)")
      }
    }
  }

  /// Keys whose absence says nothing that the tensors do not confirm, or that is what every file of the kind means.
  static let quiet = [
    "head_count_kv", "key_length", "value_length", "rope.dimension_count", "vocab_size",
    "attention.causal", "add_eos_token", "add_sep_token", "eot_token_id",
  ]

  @Test func missingKeysAreRefusedOrNoted() throws {
    let table = try #require(try Self.root?.member("missing").object())
    for (model, answers) in table {
      let model = try model.string()
      for key in try Self.strings(answers.member("refused")) {
        let (error, notes) = try bind(change(model, drop: [key]))
        let isNoted = notes.contains { $0.contains("does not load") }
        #expect(error != nil || isNoted && key == "tokenizer.ggml.tokens", "\(model) \(key)")
      }
      for key in try Self.strings(answers.member("loads"))
      where !Self.quiet.contains(where: key.hasSuffix) {
        let (error, notes) = try bind(change(model, drop: [key]))
        if key == "tokenizer.ggml.pre", model != "llama3", !model.hasPrefix("qwen") { continue }
        // A token that has no id by default is not there without the key.
        let isNone =
          key.hasSuffix("padding_token_id") && model != "bert-uncased"
          || key.hasSuffix("eos_token_id") && model == "bert-uncased"
        // The vocabularies are shorter than the ids that llama.cpp would take, which it then leaves out.
        let isBeyond = model == "bert-uncased" && key.hasSuffix("_token_id")
        if isNone || isBeyond { continue }
        #expect(
          error?.place.key == key || notes.contains { $0.contains(key) },
          "\(model) \(key): \(notes)")
      }
    }
  }

  @Test func preTokenizersThatLlamaCppAcceptsAreTaken() throws {
    let table = try #require(try Self.root?.member("preTokenizers").object())
    #expect(table.count > 85)
    for (name, answer) in table {
      #expect(try answer.string() == "loads")
      let set: Pairs = [("tokenizer.ggml.pre", .string(GGUFString(try name.string())))]
      #expect(try bind(change("llama3", set: set)).error == nil, "\(name)")
    }
  }

  /// Ids that the file does not name are those that llama.cpp takes.
  @Test func idsByDefault() throws {
    let model = try #require(Self.models["llama"])
    let pairs = model.metadata.filter { !$0.key.hasSuffix("os_token_id") }
    let layout = try GGUFLayout(metadata: pairs, tensors: [])
    let file = try GGUFFile(
      path: "model.gguf", files: [InputFile(memory: layout.header, name: "model.gguf")])
    let tokenizer = try Tokenizer(gguf: file)
    #expect(tokenizer.bosID == 1 && tokenizer.eosID == 2)
  }
}
