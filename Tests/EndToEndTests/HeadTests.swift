import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Tensors behind the layers: an output head that only one of the two has, and the dense heads of an embedding model.
@Suite("Heads that a file has, lacks, or holds in another order")
struct HeadTests {
  /// A checkpoint, a pack of it with layers, and its GGUF.
  final class Model: Sendable {
    let folder: TemporaryFolder
    let checkpoint, prompts, pack, file: String

    init(_ name: String) throws {
      folder = try TemporaryFolder()
      checkpoint = TinyModels.path(name)
      prompts = folder.path("prompts.jsonl")
      pack = folder.path("ref.pack")
      file = folder.path("good.gguf")
      let ids = (0..<60).map { "\(3 + ($0 * 37) % 300)" }.joined(separator: ", ")
      try Data("{\"ids\": [2, \(ids)]}".utf8).write(to: URL(fileURLWithPath: prompts))
      for words in [
        ["convert", checkpoint, "-o", file, "--type", "f32"],
        ["record", checkpoint, "--prompts", prompts, "-o", pack, "--layers"],
      ] {
        let result = try Tool.run(words)
        try #require(result.status == 0, "\(words): \(result.errors)")
      }
    }

    /// What `verify` says of the file with other tensors, against the pack and against the checkpoint.
    func verdicts(_ edit: (inout [(name: String, info: TensorInfo, bytes: [UInt8])]) throws -> Void)
      throws -> [(status: Int32, json: JSON)]
    {
      let source = try GGUFFile.open(file)
      let all = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
      var tensors = source.tensors.map { info in
        (
          name: info.name, info: info,
          bytes: Array(all[Int(info.byteOffset)..<Int(info.byteOffset + info.byteCount)])
        )
      }
      try edit(&tensors)
      let layout = try GGUFLayout(
        metadata: source.metadata,
        tensors: tensors.map { .init(name: $0.name, type: $0.info.type, shape: $0.info.shape) })
      var bytes = layout.header
      bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
      for (tensor, place) in zip(tensors, layout.tensors) {
        bytes.replaceSubrange(
          Int(place.byteOffset)..<Int(place.byteOffset) + tensor.bytes.count, with: tensor.bytes)
      }
      let path = folder.path("copy-\(UInt64.random(in: 0 ... .max)).gguf")
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      defer { try? FileManager.default.removeItem(atPath: path) }
      return try [[pack], [checkpoint, "--prompts", prompts]].map { reference in
        let result = try Tool.run(
          [
            "verify", path, "--json", "--min-positions", "10", "--against",
          ] + reference)
        try #require(result.status <= 1, "\(result.output) \(result.errors)")
        return (result.status, try object(result))
      }
    }

    func expectRed(_ verdicts: [(status: Int32, json: JSON)], names place: String) throws {
      for (status, json) in verdicts {
        #expect(status == 1)
        #expect(try json.member("departure").string() == place)
      }
    }
  }

  static func swapRows(_ bytes: inout [UInt8], _ info: TensorInfo) {
    let row = info.rowByteCount
    MutationTests.swap(17 * row..<18 * row, 33 * row..<34 * row, &bytes)
  }

  /// The reference uses its embedding as head; the file has a head beside it.
  @Test func aHeadBesideATiedReferenceIsHeldAgainstTheEmbedding() throws {
    let model = try Model("gemma3")
    for isSwapped in [false, true] {
      let verdicts = try model.verdicts { tensors in
        var head = try #require(tensors.first { $0.name == "token_embd.weight" })
        head.name = "output.weight"
        if isSwapped { Self.swapRows(&head.bytes, head.info) }
        tensors.append(head)
      }
      if isSwapped {
        try model.expectRed(verdicts, names: "output head")
      } else {
        for verdict in verdicts { #expect(verdict.status == 0) }
      }
    }
  }

  /// Without a head an engine takes the embedding.
  @Test func aLostHeadIsNamed() throws {
    let model = try Model("llama")
    let verdicts = try model.verdicts { $0.removeAll { $0.name == "output.weight" } }
    try model.expectRed(verdicts, names: "output head")
  }

  @Test func aDenseHeadIsNoInput() throws {
    let model = try Model("embedding-gemma")
    let verdicts = try model.verdicts { tensors in
      let index = try #require(tensors.firstIndex { $0.name == "dense_3.weight" })
      Self.swapRows(&tensors[index].bytes, tensors[index].info)
    }
    try model.expectRed(verdicts, names: "output head")
  }
}
