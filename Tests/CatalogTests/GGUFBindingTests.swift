import Foundation
import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// GGUF files as a source: what their metadata must say before anything is made of them.
@Suite struct GGUFBindingTests {
  @Test func aFileOfNoKnownModelIsRefused() throws {
    let path = Repository.path("golden/containers/whole.gguf")
    let file = try GGUFFile.open(path)
    let error = try #require(throws: TinctureError.self) { _ = try BoundModel.bind(gguf: file) }
    #expect(error.place.file == path)
    #expect(error.code.kind == .unsupported || error.code.kind == .invalidInput)
  }

  typealias Pairs = [(key: String, value: GGUFValue)]

  /// Binds the tiny made-up model with other metadata and tensors.
  private func bind(
    metadata: (inout Pairs) -> Void = { _ in },
    tensors: (inout [GGUFLayout.Request]) -> Void = { _ in }
  ) throws -> BoundModel {
    let model = SyntheticModel.tiny
    var pairs = model.metadata
    metadata(&pairs)
    var requests = model.tensors
    tensors(&requests)
    return try BoundModel.bind(gguf: Self.file(pairs, requests))
  }

  @Test func theUnchangedModelIsBound() throws {
    let model = try bind()
    #expect(model.layerCount == 1 && model.headCount == 8 && model.keyValueHeadCount == 4)
    #expect(model.tensors.count == SyntheticModel.tiny.tensors.count)
  }

  struct Change: Sendable, CustomTestStringConvertible {
    let key: String
    let value: GGUFValue?
    let code: String
    var testDescription: String {
      "\(key) \(value.map { String("\($0)".prefix(60)) } ?? "missing")"
    }
  }

  static let changes: [Change] = [
    Change(key: "general.architecture", value: nil, code: "gguf.metadata"),
    Change(key: "general.architecture", value: .uint32(1), code: "gguf.metadata"),
    Change(key: "general.architecture", value: .string("mamba"), code: "architecture.unknown"),
    Change(key: "general.type", value: .string("adapter"), code: "gguf.metadata"),
    Change(key: "general.type", value: .uint8(1), code: "gguf.metadata"),
    Change(key: "llama.block_count", value: nil, code: "gguf.metadata"),
    Change(key: "llama.block_count", value: .string("1"), code: "gguf.metadata"),
    Change(key: "llama.block_count", value: .uint32(0), code: "gguf.metadata"),
    Change(key: "llama.block_count", value: .int32(-1), code: "gguf.metadata"),
    Change(key: "llama.block_count", value: .uint64(.max), code: "gguf.metadata"),
    Change(key: "llama.block_count", value: .int64(.min), code: "gguf.metadata"),
    Change(key: "llama.block_count", value: .float32(1), code: "gguf.metadata"),
    Change(key: "llama.block_count", value: .uint32(2), code: "tensors.missing"),
    Change(key: "llama.attention.head_count", value: nil, code: "gguf.metadata"),
    Change(key: "llama.attention.head_count", value: .uint32(0), code: "gguf.metadata"),
    Change(key: "llama.attention.head_count", value: .int64(.min), code: "gguf.metadata"),
    Change(
      key: "llama.attention.head_count", value: .array(.uint32([8, 4])), code: "gguf.metadata"),
    Change(key: "llama.attention.head_count", value: .array(.uint32([])), code: "gguf.metadata"),
    Change(key: "llama.attention.head_count_kv", value: .uint32(0), code: "gguf.metadata"),
    Change(key: "llama.attention.head_count_kv", value: .uint32(3), code: "gguf.metadata"),
    Change(key: "llama.attention.head_count_kv", value: .int32(-4), code: "gguf.metadata"),
    // Numbers that the tensors contradict.
    Change(key: "llama.embedding_length", value: .uint32(128), code: "gguf.metadata"),
    Change(key: "llama.embedding_length", value: .uint32(0), code: "gguf.metadata"),
    Change(key: "llama.embedding_length", value: .uint64(64), code: "gguf.metadata"),
    Change(key: "llama.embedding_length", value: nil, code: "gguf.metadata"),
    Change(key: "llama.feed_forward_length", value: .uint32(64), code: "tensors.shape"),
    Change(key: "llama.feed_forward_length", value: nil, code: "gguf.metadata"),
    Change(
      key: "llama.feed_forward_length", value: .array(.uint32([128, 128])), code: "gguf.metadata"),
    Change(key: "llama.attention.head_count_kv", value: .uint32(2), code: "tensors.shape"),
    Change(key: "llama.attention.head_count_kv", value: nil, code: "tensors.shape"),
    Change(key: "llama.attention.key_length", value: .uint32(16), code: "gguf.metadata"),
    Change(key: "llama.attention.value_length", value: .uint32(16), code: "gguf.metadata"),
    Change(key: "llama.attention.key_length_swa", value: .uint32(4), code: "gguf.metadata"),
    Change(key: "llama.rope.dimension_count", value: .uint32(4), code: "gguf.metadata"),
    Change(key: "llama.context_length", value: .uint32(0), code: "gguf.metadata"),
    Change(key: "llama.context_length", value: nil, code: "gguf.metadata"),
    Change(key: "llama.attention.layer_norm_rms_epsilon", value: nil, code: "gguf.metadata"),
    Change(
      key: "llama.attention.layer_norm_rms_epsilon", value: .float64(1e-5), code: "gguf.metadata"),
    Change(
      key: "llama.attention.layer_norm_rms_epsilon", value: .float32(0), code: "gguf.metadata"),
    Change(
      key: "llama.attention.layer_norm_rms_epsilon", value: .float32(.infinity),
      code: "gguf.metadata"),
    Change(key: "llama.rope.freq_base", value: .float32(0), code: "gguf.metadata"),
    Change(key: "llama.rope.freq_base", value: .float32(.nan), code: "gguf.metadata"),
    Change(key: "llama.rope.freq_base", value: .uint32(10000), code: "gguf.metadata"),
    Change(key: "llama.rope.scaling.type", value: .string("ntk"), code: "gguf.metadata"),
    Change(key: "llama.rope.scaling.factor", value: .float32(-2), code: "gguf.metadata"),
    Change(
      key: "llama.rope.scaling.original_context_length", value: .uint32(0), code: "gguf.metadata"),
    Change(key: "llama.expert_count", value: .uint32(8), code: "gguf.metadata"),
    Change(key: "llama.nextn_predict_layers", value: .uint32(1), code: "gguf.metadata"),
    Change(key: "llama.embedding_length_out", value: .uint32(32), code: "gguf.metadata"),
    Change(key: "llama.attention.causal", value: .uint32(1), code: "gguf.metadata"),
    Change(key: "llama.pooling_type", value: .uint32(5), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.bos_token_id", value: .int32(1), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.add_bos_token", value: .uint32(1), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.tokens", value: .uint32(1), code: "gguf.metadata"),
    Change(
      key: "tokenizer.ggml.tokens", value: .array(.strings(ByteStrings([]))), code: "gguf.metadata"),
  ]

  /// Keys of which llama.cpp reads nothing for this architecture, and values that say what holds anyway.
  @Test(arguments: [
    Change(key: "llama.attention.sliding_window", value: .uint32(0), code: ""),
    Change(key: "llama.attention.sliding_window_pattern", value: .string("any"), code: ""),
    Change(key: "llama.expert_count", value: .uint32(0), code: ""),
    Change(key: "llama.attention.key_length", value: .uint32(8), code: ""),
    Change(key: "llama.attention.head_count_kv", value: .array(.int32([4])), code: ""),
    Change(key: "llama.feed_forward_length", value: .array(.uint32([128])), code: ""),
    Change(key: "llama.pooling_type", value: .uint32(4), code: ""),
    Change(key: "llama.rope.dimension_count", value: nil, code: ""),
    Change(key: "llama.vocab_size", value: .uint32(7), code: ""),
  ]) func whatChangesNothingIsTaken(_ change: Change) throws {
    #expect(try bind(metadata: { Self.apply(change, &$0) }).layerCount == 1)
  }

  private static func apply(_ change: Change, _ pairs: inout Pairs) {
    pairs.removeAll { $0.key == change.key }
    if let value = change.value { pairs.append((change.key, value)) }
  }

  /// The metadata of a vocabulary of `count` tokens.
  private static func vocabulary(_ count: Int) -> Pairs {
    [
      ("tokenizer.ggml.model", .string("llama")),
      (
        "tokenizer.ggml.tokens",
        .array(.strings(ByteStrings((0..<count).map { Array("t\($0)".utf8) })))
      ),
      ("tokenizer.ggml.scores", .array(.float32([Float](repeating: 0, count: count)))),
      ("tokenizer.ggml.token_type", .array(.int32([Int32](repeating: 1, count: count)))),
    ]
  }

  static let vocabularyChanges: [Change] = [
    Change(key: "tokenizer.ggml.bos_token_id", value: .uint32(2304), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.eos_token_id", value: .uint32(.max), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.padding_token_id", value: .uint32(2304), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.fim_pre_token_id", value: .uint32(9999), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.model", value: nil, code: "gguf.metadata"),
    Change(
      key: "tokenizer.ggml.scores", value: .array(.float32([0, 1])), code: "gguf.metadata"),
    Change(
      key: "tokenizer.ggml.scores", value: .array(.float64([0])), code: "gguf.metadata"),
    Change(
      key: "tokenizer.ggml.token_type", value: .array(.int32([1, 1])), code: "gguf.metadata"),
    Change(
      key: "tokenizer.ggml.merges", value: .array(.int32([1, 1])), code: "gguf.metadata"),
    Change(key: "tokenizer.ggml.model", value: .string("nosuch"), code: "gguf.metadata"),
  ]

  @Test func aByteLevelBPEHasMergesAndSaysHowItCuts() throws {
    func failingKey(_ extra: Pairs) -> String? {
      do {
        _ = try bind(metadata: { pairs in
          pairs += Self.vocabulary(2304)
          Self.apply(
            Change(key: "tokenizer.ggml.model", value: .string("gpt2"), code: ""), &pairs)
          pairs += extra
        })
        return nil
      } catch {
        return (error as? TinctureError)?.place.key ?? "\(error)"
      }
    }
    let merges = (
      "tokenizer.ggml.merges", GGUFValue.array(.strings(ByteStrings([Array("a b".utf8)])))
    )
    #expect(failingKey([]) == "tokenizer.ggml.merges")
    #expect(failingKey([merges]) == "tokenizer.ggml.pre")
    #expect(failingKey([merges, ("tokenizer.ggml.pre", .string("llama-bpe"))]) == nil)
  }

  @Test(arguments: vocabularyChanges)
  func theVocabularyIsHeldAgainstTheModel(_ change: Change) throws {
    let whole = try bind(metadata: { $0 += Self.vocabulary(2304) })
    #expect(!whole.notes.contains { $0.contains("no vocabulary") })
    #expect(whole.notes.contains { $0.contains("no piece <0x00>") })
    let error = try #require(throws: TinctureError.self) {
      _ = try bind(metadata: { pairs in
        pairs += Self.vocabulary(2304)
        Self.apply(change, &pairs)
      })
    }
    #expect(error.code.name == change.code, "\(error)")
    #expect(error.place.key == change.key && error.place.file == "model.gguf")
  }

  @Test func theVocabularyIsAsLongAsTheEmbedding() throws {
    for count in [2303, 2305] {
      let error = try #require(throws: TinctureError.self) {
        _ = try bind(metadata: { $0 += Self.vocabulary(count) })
      }
      #expect(error.code.name == "tensors.shape" && error.place.tensor == "token_embd.weight")
      #expect(error.expected?.contains("tokenizer.ggml.tokens") == true, "\(error)")
    }
    #expect(try bind().notes.contains { $0.contains("no vocabulary") })
  }

  /// A wrong id can be set right on the way.
  @Test func aKeyThatTheUserSetsIsNotJudged() throws {
    let pairs =
      SyntheticModel.tiny.metadata + Self.vocabulary(2304)
      + [("tokenizer.ggml.eos_token_id", .uint32(5000))]
    let file = try Self.file(pairs, SyntheticModel.tiny.tensors)
    var options = BindingOptions()
    #expect(throws: TinctureError.self) { _ = try BoundModel.bind(gguf: file, options: options) }
    options.decidedKeys = ["tokenizer.ggml.eos_token_id"]
    #expect(try BoundModel.bind(gguf: file, options: options).layerCount == 1)
  }

  private static func file(_ pairs: Pairs, _ requests: [GGUFLayout.Request]) throws -> GGUFFile {
    let layout = try GGUFLayout(metadata: pairs, tensors: requests)
    var bytes = layout.header
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    return try GGUFFile(
      path: "model.gguf", files: [InputFile(memory: bytes, name: "model.gguf")])
  }

  // MARK: every architecture

  static let models = [
    "bert-uncased", "embedding-gemma", "gemma", "gemma2", "gemma3", "gemma3-head", "llama",
    "llama3",
    "mistral", "qwen2", "qwen3",
  ]

  /// What a checkpoint of each architecture becomes is taken as a source; no number of it can be another one.
  @Test(arguments: models) func everyNumberIsHeldAgainstTheTensors(_ name: String) throws {
    let folder = Repository.path("golden/models/" + name)
    let model = try BoundModel.bind(source: SafetensorsCheckpoint.open(folder), folder: folder)
    let requests = model.tensors.map {
      GGUFLayout.Request(name: $0.name, type: .element(.f32), shape: $0.shape)
    }
    let again = try BoundModel.bind(gguf: Self.file(model.metadata, requests))
    #expect(again.headCount == model.headCount && again.notes == [])
    #expect(again.keyValueHeadCount == model.keyValueHeadCount)
    let prefix = model.architecture + "."
    // What no tensor says; learned positions are a tensor.
    var free = ["\(prefix)vocab_size", "\(prefix)attention.sliding_window"]
    if model.architecture != "bert" { free.append("\(prefix)context_length") }
    for (key, value) in model.metadata where key.hasPrefix(prefix) && !free.contains(key) {
      guard case .uint32(let number) = value else { continue }
      if key.hasSuffix("pooling_type") || key.hasSuffix("original_context_length") { continue }
      for other in [GGUFValue.uint32(number + 1), .uint32(number * 2), .int64(Int64(number))] {
        // Nothing says how BERT's heads share the width.
        if key == "bert.attention.head_count", other != .int64(Int64(number)) { continue }
        let change = Change(key: key, value: other, code: "")
        var pairs = model.metadata
        Self.apply(change, &pairs)
        let error = #expect(throws: TinctureError.self, "\(change)") {
          _ = try BoundModel.bind(gguf: Self.file(pairs, requests))
        }
        let codes = ["gguf.metadata", "tensors.shape", "tensors.missing"]
        #expect(error.map { codes.contains($0.code.name) } == true, "\(change): \(error as Any)")
      }
    }
    // A row more or less, in any tensor whatever.
    for index in requests.indices {
      var changed = requests
      let sizes = requests[index].shape.dimensions
      changed[index] = GGUFLayout.Request(
        name: requests[index].name, type: .element(.f32),
        shape: try #require(Shape(checking: [sizes[0] + 1] + sizes[1...])))
      let error = #expect(throws: TinctureError.self, "\(requests[index].name)") {
        _ = try BoundModel.bind(gguf: Self.file(model.metadata, changed))
      }
      #expect(error?.code.name == "tensors.shape")
    }
  }

  /// Window keys are read for these architectures.
  @Test(arguments: ["gemma2", "gemma3", "embedding-gemma"]) func windowKeys(_ name: String) throws {
    let folder = Repository.path("golden/models/" + name)
    let model = try BoundModel.bind(source: SafetensorsCheckpoint.open(folder), folder: folder)
    let requests = model.tensors.map {
      GGUFLayout.Request(name: $0.name, type: .element(.f32), shape: $0.shape)
    }
    func code(_ suffix: String, _ value: GGUFValue?) throws -> String? {
      var pairs = model.metadata
      Self.apply(Change(key: model.architecture + suffix, value: value, code: ""), &pairs)
      do {
        _ = try BoundModel.bind(gguf: Self.file(pairs, requests))
        return nil
      } catch {
        return (error as? TinctureError)?.code.name
      }
    }
    let size = ".attention.sliding_window"
    let flags = [Bool](repeating: true, count: model.layerCount)
    // llama.cpp ends at an EmbeddingGemma without both kinds of layers, and at a window that no layer has.
    let all = name == "embedding-gemma" ? "engine.window" : nil
    #expect(try code(size + "_pattern", .array(.bool(flags))) == all)
    #expect(try code(size + "_pattern", .array(.uint32(flags.map { $0 ? 1 : 0 }))) == all)
    #expect(try code(size + "_pattern", .array(.bool(flags.map { !$0 }))) == "engine.window")
    #expect(try code(size + "_pattern", .uint32(1)) == "engine.window")
    #expect(try code(size + "_pattern", .uint32(2)) == nil)
    #expect(try code(size + "_pattern", .array(.bool(flags + [true]))) == "gguf.metadata")
    #expect(try code(size + "_pattern", .array(.bool([]))) == "gguf.metadata")
    #expect(try code(size + "_pattern", .array(.float32([1]))) == "gguf.metadata")
    #expect(try code(size + "_pattern", .string("5:1")) == "gguf.metadata")
    #expect(try code(size, .uint64(512)) == "gguf.metadata")
    #expect(try code(size, .uint32(0)) == (name == "gemma3" ? nil : "gguf.metadata"))
    #expect(try code(size, nil) == (name == "embedding-gemma" ? "gguf.metadata" : nil))
  }

  @Test(arguments: changes) func metadataIsHeldAgainstTheModel(_ change: Change) throws {
    let error = try #require(throws: TinctureError.self) {
      _ = try bind(metadata: { Self.apply(change, &$0) })
    }
    #expect(error.code.name == change.code, "\(error)")
    #expect(error.place.file == "model.gguf")
    // Words, no text of the language's debugger.
    #expect(error.found?.contains("(") != true, "\(error)")
  }

  @Test func tensorsAreHeldAgainstTheArchitecture() throws {
    func code(_ change: (inout [GGUFLayout.Request]) -> Void) throws -> String {
      let error = try #require(throws: TinctureError.self) { _ = try bind(tensors: change) }
      #expect(error.place.file == "model.gguf")
      return error.code.name
    }
    func other(_ name: String) -> GGUFLayout.Request {
      GGUFLayout.Request(name: name, type: .element(.f32), shape: Shape(64))
    }
    #expect(try code { $0.append(other("blk.0.strange.weight")) } == "tensors.unknown")
    #expect(try code { $0.append(other("blk.1.attn_norm.weight")) } == "tensors.layer")
    #expect(
      try code { $0.append(other("blk.9999999999999999999.attn_norm.weight")) } == "tensors.unknown"
    )
    #expect(try code { $0.removeAll { $0.name == "blk.0.attn_v.weight" } } == "tensors.missing")
    #expect(try code { $0.removeAll { $0.name == "token_embd.weight" } } == "tensors.missing")
    // A tied model has no head.
    let tied = try bind(tensors: { $0.removeAll { $0.name == "output.weight" } })
    #expect(!tied.tensors.contains { $0.role == .output })
  }
}
