import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// A head beside a configuration that ties it: its values decide, as in transformers.
@Suite struct TiedHeadTests {
  static let head = "lm_head.weight"

  /// The tiny model tied, with a head that repeats the embedding but for the bytes of `change`.
  static func checkpoint(
    _ model: String, type: String? = nil, change: (inout [UInt8]) -> Void = { _ in }
  ) throws -> EditedCheckpoint {
    var checkpoint = try EditedCheckpoint(model)
    checkpoint.tensors.removeAll { $0.name.hasSuffix(head) }
    let embedding = checkpoint.tensors[try #require(checkpoint.index("embed_tokens.weight"))]
    var bytes = embedding.bytes
    if type == "F32", embedding.type == "BF16" {
      bytes = stride(from: 0, to: bytes.count, by: 2).flatMap { [0, 0, bytes[$0], bytes[$0 + 1]] }
    }
    change(&bytes)
    checkpoint.tensors.append(
      .init(name: head, type: type ?? embedding.type, shape: embedding.shape, bytes: bytes))
    try checkpoint.set(["tie_word_embeddings": "true"])
    try checkpoint.write()
    return checkpoint
  }

  static func bind(_ checkpoint: EditedCheckpoint) throws -> BoundModel {
    try BoundModel.bind(
      source: SafetensorsCheckpoint.open(checkpoint.path), folder: checkpoint.path)
  }

  static let withHead = ["gemma3", "llama", "mistral", "qwen2", "qwen3"]

  @Test(arguments: withHead + ["gemma", "gemma2"]) func theSameHeadIsLeftOut(_ name: String) throws
  {
    let model = try Self.bind(try Self.checkpoint(name))
    #expect(!model.tensors.contains { $0.role == .output })
    #expect(model.notes.contains { $0.contains("1 tensor left out: tie_word_embeddings") })
    #expect(
      model.coverage.contains {
        if case .leftOut = $0.outcome { return $0.source == Self.head }
        return false
      })
  }

  @Test(arguments: withHead) func anotherHeadIsWritten(_ name: String) throws {
    // The very last number alone.
    let checkpoint = try Self.checkpoint(name) { bytes in bytes[bytes.count - 1] ^= 0x01 }
    let model = try Self.bind(checkpoint)
    let output = try #require(model.tensors.first { $0.name == "output.weight" })
    guard case .source(let source, _, _, .identity, 1, 0) = output.expression.pieces.first else {
      Issue.record("the head is not written as it is")
      return
    }
    #expect(source.info.name == Self.head)
    let shape = try #require(checkpoint.tensors.last).shape
    let place = "row \(shape[0] - 1), column \(shape[1] - 1)"
    #expect(
      model.notes.contains { $0.contains(Self.head) && $0.contains(place) }, "\(model.notes)")
    #expect(
      model.coverage.contains {
        $0.source == Self.head && $0.outcome == .written(as: "output.weight")
      })
  }

  @Test(arguments: ["gemma", "gemma2"]) func anotherHeadIsRefused(_ name: String) throws {
    let checkpoint = try Self.checkpoint(name) { bytes in bytes[1] ^= 0x40 }
    let error = try #require(throws: TinctureError.self) { _ = try Self.bind(checkpoint) }
    #expect(error.code.name == "engine.head" && error.code.kind == .unsupported)
    #expect(error.place.file == checkpoint.folder.path("model.safetensors"))
    #expect(error.place.tensor == Self.head)
    #expect(error.found?.contains("row 0, column 0") == true, "\(error)")
  }

  /// Fine-tunes are saved untied at times, with a head that nobody trained.
  @Test(arguments: ["gemma", "gemma2"]) func anUntiedHeadThatRepeatsTheEmbeddingIsLeftOut(
    _ name: String
  ) throws {
    let checkpoint = try Self.checkpoint(name)
    try checkpoint.set(["tie_word_embeddings": "false"])
    let model = try Self.bind(checkpoint)
    #expect(!model.tensors.contains { $0.role == .output })
    #expect(
      model.notes.contains { $0.contains("1 tensor left out: config.json unties the head") },
      "\(model.notes)")
    let tied = try Self.bind(try Self.checkpoint(name))
    #expect(model.tensors == tied.tensors)

    let other = try Self.checkpoint(name) { bytes in bytes[bytes.count - 1] ^= 0x01 }
    try other.set(["tie_word_embeddings": "false"])
    let error = try #require(throws: TinctureError.self) { _ = try Self.bind(other) }
    #expect(error.code.name == "engine.head" && error.place.tensor == Self.head)

    var headless = try Self.checkpoint(name)
    headless.tensors.removeAll { $0.name.hasSuffix(Self.head) }
    try headless.write()
    try headless.set(["tie_word_embeddings": "false"])
    let missing = try #require(throws: TinctureError.self) { _ = try Self.bind(headless) }
    #expect(missing.code.name == "tensors.missing" && missing.place.tensor == Self.head)
  }

  @Test func theStoredTypeDoesNotMatter() throws {
    let same = try Self.bind(try Self.checkpoint("gemma3", type: "F32"))
    #expect(!same.tensors.contains { $0.role == .output })
    // Below the precision of BF16.
    let other = try Self.checkpoint("gemma3", type: "F32") { bytes in bytes[bytes.count - 4] = 1 }
    #expect(try Self.bind(other).tensors.contains { $0.role == .output })
  }

  @Test func twoZerosAreOne() throws {
    var checkpoint = try Self.checkpoint("gemma3")
    let index = try #require(checkpoint.index("embed_tokens.weight"))
    checkpoint.tensors[index].bytes[0] = 0
    checkpoint.tensors[index].bytes[1] = 0
    let head = checkpoint.tensors.count - 1
    checkpoint.tensors[head].bytes[0] = 0
    checkpoint.tensors[head].bytes[1] = 0x80
    try checkpoint.write()
    #expect(try !Self.bind(checkpoint).tensors.contains { $0.role == .output })
  }

  /// The root says one thing, text_config another.
  @Test(arguments: [("false", "true"), ("true", "false")])
  func twoStatements(_ outer: String, _ inner: String) throws {
    var checkpoint = try EditedCheckpoint("gemma3-multimodal-old")
    try checkpoint.set(["tie_word_embeddings": outer])
    try checkpoint.set(["tie_word_embeddings": inner], inside: "text_config")
    try checkpoint.write()
    let error = try #require(throws: TinctureError.self) { _ = try Self.bind(checkpoint) }
    #expect(error.code.name == "config.tied")
    #expect(error.place.key == "text_config.tie_word_embeddings")
    // With a head there is no question.
    let embedding = checkpoint.tensors[try #require(checkpoint.index("embed_tokens.weight"))]
    var head = embedding
    head.name = "language_model.lm_head.weight"
    head.bytes[0] ^= 1
    checkpoint.tensors.append(head)
    try checkpoint.write()
    let model = try Self.bind(checkpoint)
    #expect(model.tensors.contains { $0.name == "output.weight" })
    #expect(model.notes.contains { $0.contains("config.json ties") } == (inner == "true"))
  }
}
