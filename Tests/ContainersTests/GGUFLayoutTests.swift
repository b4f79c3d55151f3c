import Foundation
import Testing
import TinctureBlocks
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Headers we lay out: byte for byte gguf-py's, readable again, and refused where llama.cpp would refuse.
@Suite struct GGUFLayoutTests {
  private func requests(_ file: GGUFFile) -> [GGUFLayout.Request] {
    file.tensors.map { .init(name: $0.name, type: $0.type, shape: $0.shape) }
  }

  @Test(arguments: ["aligned64", "whole"])
  func headerEqualsTheLibrarys(_ name: String) throws {
    let path = "golden/containers/\(name).gguf"
    let file = try GGUFFile.open(Repository.path(path))
    let layout = try GGUFLayout(metadata: file.metadata, tensors: requests(file))
    let bytes = Array(try Repository.contents(path))
    #expect(layout.header == Array(bytes.prefix(layout.header.count)))
    #expect(layout.byteCount == UInt64(bytes.count))
    #expect(layout.tensors == file.tensors)
  }

  /// Every metadata type but nested arrays, which llama.cpp does not read.
  @Test func everyTypeOfValue() throws {
    let file = try GGUFFile.open(Repository.path("golden/containers/types.gguf"))
    let metadata = file.metadata.filter { $0.key != "test.nested" }
    let layout = try GGUFLayout(metadata: metadata, tensors: requests(file))
    let data = [UInt8](repeating: 1, count: Int(layout.byteCount) - layout.header.count)
    let again = try GGUFFile(
      path: "again", files: [InputFile(memory: layout.header + data, name: "again")])
    #expect(again.metadata.map(\.key) == metadata.map(\.key))
    #expect(again.metadata.map(\.value) == metadata.map(\.value))
    #expect(again.tensors == layout.tensors)
    let error = #expect(throws: TinctureError.self) {
      _ = try GGUFLayout(metadata: file.metadata, tensors: [])
    }
    #expect(snapshot(error) == "gguf.write.nestedArray key test.nested")
  }

  @Test func wideIntegerArrays() throws {
    let metadata: [(key: String, value: GGUFValue)] = [
      ("a", .array(.uint8([1]))), ("b", .array(.int8([-1]))), ("c", .array(.uint16([2]))),
      ("d", .array(.int16([-2]))), ("e", .array(.uint32([3]))), ("f", .array(.uint64([.max]))),
      ("g", .array(.int64([.min]))), ("h", .array(.float64([0.1]))),
      ("i", .array(.strings(ByteStrings()))),
    ]
    let layout = try GGUFLayout(metadata: metadata, tensors: [])
    let file = try GGUFFile(path: "m", files: [InputFile(memory: layout.header, name: "m")])
    #expect(file.metadata.map(\.value) == metadata.map(\.value))
  }

  @Test func alignmentIsWrittenWhenNotTheUsual() throws {
    let tensors = [GGUFLayout.Request(name: "a", type: .element(.f32), shape: Shape(3))]
    #expect(try GGUFLayout(metadata: [], tensors: tensors, alignment: 32).metadata.isEmpty)
    let wide = try GGUFLayout(metadata: [], tensors: tensors, alignment: 4096)
    #expect(wide.metadata.map(\.key) == ["general.alignment"])
    #expect(wide.tensors[0].byteOffset % 4096 == 0)
    #expect(wide.byteCount % 4096 == 0)
  }

  static let f32 = StoredType.element(.f32)

  @Test(arguments: [
    ("gguf.write.name", GGUFLayout.Request(name: "", type: f32, shape: Shape(1))),
    ("gguf.write.name", .init(name: String(repeating: "n", count: 64), type: f32, shape: Shape(1))),
    ("gguf.write.name", .init(name: "a\0", type: f32, shape: Shape(1))),
    ("gguf.write.shape", .init(name: "a", type: f32, shape: Shape(1, 1, 1, 1, 1))),
    ("gguf.write.shape", .init(name: "a", type: f32, shape: Shape(3, 0))),
    ("gguf.write.type", .init(name: "a", type: .element(.u8), shape: Shape(3))),
    ("gguf.write.type", .init(name: "a", type: .element(.f8e4m3), shape: Shape(3))),
    ("gguf.write.row", .init(name: "a", type: .block(.q8_0), shape: Shape(2, 33))),
    ("gguf.write.size", .init(name: "a", type: f32, shape: Shape(1 << 31, 1 << 30))),
  ])
  func tensorsRefused(_ code: String, _ tensor: GGUFLayout.Request) {
    let error = #expect(throws: TinctureError.self) {
      _ = try GGUFLayout(metadata: [], tensors: [tensor])
    }
    #expect(error?.code.name == code)
    #expect(error?.place.tensor == tensor.name)
  }

  @Test(
    arguments: [
      ("gguf.write.key", "", 1, GGUFValue.bool(true)),
      ("gguf.write.key", LongText(String(repeating: "k", count: 65_536)), 1, .bool(true)),
      ("gguf.write.duplicateKey", "a", 2, .bool(true)),
      ("gguf.write.splitKey", "split.count", 1, .uint16(1)),
      ("gguf.write.alignment", "general.alignment", 1, .uint32(24)),
      ("gguf.write.alignment", "general.alignment", 1, .uint64(32)),
    ] as [(String, LongText, Int, GGUFValue)])
  func metadataRefused(_ code: String, _ key: LongText, _ times: Int, _ value: GGUFValue) {
    let error = #expect(throws: TinctureError.self) {
      let pairs = [(key: String, value: GGUFValue)](repeating: (key.text, value), count: times)
      _ = try GGUFLayout(metadata: pairs, tensors: [])
    }
    #expect(error?.code.name == code)
  }

  @Test func scalarIsARowOfOne() throws {
    let layout = try GGUFLayout(
      metadata: [], tensors: [.init(name: "a", type: GGUFLayoutTests.f32, shape: Shape())])
    #expect(layout.tensors[0].shape == Shape(1))
    let bytes = layout.header + [UInt8](repeating: 0, count: 32)
    let file = try GGUFFile(path: "m", files: [InputFile(memory: bytes, name: "m")])
    #expect(file.tensors == layout.tensors)
  }

  @Test func tensorTwice() {
    let tensor = GGUFLayout.Request(name: "a", type: GGUFLayoutTests.f32, shape: Shape(1))
    let error = #expect(throws: TinctureError.self) {
      _ = try GGUFLayout(metadata: [], tensors: [tensor, tensor])
    }
    #expect(snapshot(error) == "gguf.write.duplicateTensor tensor a")
  }
}
