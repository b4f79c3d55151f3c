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
    let layout = try GGUFLayout(metadata: pairs, tensors: requests)
    var bytes = layout.header
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    let file = InputFile(memory: bytes, name: "model.gguf")
    return try BoundModel.bind(gguf: GGUFFile(path: "model.gguf", files: [file]))
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
    var testDescription: String { "\(key) \(value.map { "\($0)" } ?? "missing")" }
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
  ]

  @Test(arguments: changes) func metadataIsHeldAgainstTheModel(_ change: Change) throws {
    let error = try #require(throws: TinctureError.self) {
      _ = try bind(metadata: { pairs in
        pairs.removeAll { $0.key == change.key }
        if let value = change.value { pairs.append((change.key, value)) }
      })
    }
    #expect(error.code.name == change.code, "\(error)")
    #expect(error.place.file == "model.gguf")
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
