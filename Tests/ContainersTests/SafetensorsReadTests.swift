import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Files made by the safetensors library (`tools/golden/containers.py`), read back.
@Suite struct SafetensorsReadTests {
  @Test func everyType() throws {
    let file = try SafetensorsFile.open(Repository.path("golden/containers/types.safetensors"))
    let types: [String: ElementType] = [
      "BOOL": .bool, "U8": .u8, "I8": .i8, "U16": .u16, "I16": .i16, "U32": .u32, "I32": .i32,
      "U64": .u64, "I64": .i64, "F16": .f16, "BF16": .bf16, "F32": .f32, "F64": .f64,
      "F8_E4M3": .f8e4m3, "F8_E5M2": .f8e5m2,
    ]
    #expect(file.tensors.count == types.count + 2)
    for (name, type) in types {
      let tensor = try #require(file.tensors.first { $0.name == "t." + name })
      #expect(tensor.type == .element(type))
      #expect(tensor.shape == Shape(2, 3))
      #expect(tensor.byteCount == UInt64(6 * type.byteCount))
    }
    let metadata = Dictionary(uniqueKeysWithValues: file.metadata.map { ($0.key, $0.value) })
    #expect(metadata == ["note": "h\u{e4}llo"])
  }

  @Test func scalarsAndEmptyTensors() throws {
    let file = try SafetensorsFile.open(Repository.path("golden/containers/types.safetensors"))
    let scalar = try #require(file.tensors.first { $0.name == "scalar" })
    #expect(scalar.shape.rank == 0)
    var value: Float = 0
    try withUnsafeMutableBytes(of: &value) { try file.read(scalar, rows: 0..<1, into: $0) }
    #expect(value == 2.5)
    let empty = try #require(file.tensors.first { $0.name == "empty" })
    #expect(empty.shape.dimensions == [0, 4])
    #expect(empty.byteCount == 0)
  }

  @Test func headerPaddedWithSpacesAndNoTensor() throws {
    #expect(try SafetensorsFile(FileBytes.safetensors("{}      ").file()).tensors.isEmpty)
  }

  /// The header's order is free; tensors come by offset.
  @Test func orderOfOffsets() throws {
    let text = """
      {"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]},\
      "z":{"dtype":"U8","shape":[0],"data_offsets":[3,3]},\
      "a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}
      """
    let file = try SafetensorsFile(FileBytes.safetensors(text, data: 5).file())
    #expect(file.tensors.map(\.name) == ["a", "z", "b"])
  }

  @Test func sharded() throws {
    let folder = Repository.path("golden/containers/sharded")
    let checkpoint = try SafetensorsCheckpoint.open(folder)
    #expect(checkpoint.tensors.map(\.name).sorted() == ["a.weight", "b.weight", "c.weight"])
    #expect(checkpoint.files.count == 2)
    #expect(checkpoint.declaredByteCount == 128 + 64 + 48)
    let c = try #require(checkpoint.tensors.first { $0.name == "c.weight" })
    #expect(c.type == .element(.bf16))
    #expect(c.fileIndex == 1)
    let byIndex = try SafetensorsCheckpoint.open(folder + "/model.safetensors.index.json")
    #expect(byIndex.tensors == checkpoint.tensors)
  }
}
