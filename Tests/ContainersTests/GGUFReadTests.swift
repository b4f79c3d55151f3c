import Foundation
import Testing
import TinctureBlocks
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Files made by gguf-py and gguf-split (`tools/golden/containers.py`), read back.
@Suite struct GGUFReadTests {
  private struct Description: Decodable {
    struct Tensor: Decodable {
      let name: String
      let type: String
      let shape: [Int]
      let offset: UInt64
      let bytes: UInt64
      let sum: UInt64
    }
    let tensors: [Tensor]
  }

  private func golden(_ name: String) -> String { Repository.path("golden/containers/" + name) }

  private func sum(_ source: some TensorSource, _ tensor: TensorInfo) throws -> UInt64 {
    var buffer = [UInt8](repeating: 0, count: Int(tensor.byteCount))
    try buffer.withUnsafeMutableBytes {
      try source.read(tensor, rows: 0..<tensor.shape.rowCount, into: $0)
    }
    return buffer.reduce(0) { $0 + UInt64($1) }
  }

  @Test(arguments: ["types", "aligned64", "whole"])
  func tensors(_ name: String) throws {
    let all = try JSONDecoder().decode(
      [String: Description].self, from: Repository.contents("golden/containers/gguf.json"))
    let expected = try #require(all[name]).tensors
    let file = try GGUFFile.open(golden(name + ".gguf"))
    #expect(file.tensors.count == expected.count)
    for (tensor, want) in zip(file.tensors, expected) {
      #expect(tensor.name == want.name)
      #expect(tensor.type.description == want.type, "\(want.name)")
      #expect(tensor.shape.dimensions == want.shape, "\(want.name)")
      #expect(tensor.byteOffset == want.offset, "\(want.name)")
      #expect(tensor.byteCount == want.bytes, "\(want.name)")
      #expect(try sum(file, tensor) == want.sum, "\(want.name)")
    }
    #expect(file.alignment == (name == "aligned64" ? 64 : 32))
  }

  @Test func metadata() throws {
    let file = try GGUFFile.open(golden("types.gguf"))
    let expected: [(String, GGUFValue)] = [
      ("general.architecture", .string("llama")), ("test.uint8", .uint8(200)),
      ("test.int8", .int8(-100)), ("test.uint16", .uint16(60000)), ("test.int16", .int16(-30000)),
      ("test.uint32", .uint32(4_000_000_000)), ("test.int32", .int32(-2_000_000_000)),
      ("test.float32", .float32(1.5)), ("test.bool", .bool(true)),
      ("test.string", .string("h\u{e4}llo")), ("test.uint64", .uint64(1 << 63 + 1)),
      ("test.int64", .int64(-(1 << 62))), ("test.float64", .float64(-0.1)),
      (
        "test.strings",
        .array(
          .strings(
            ByteStrings(
              ["", "a", "\u{2581}the", String(repeating: "b", count: 300)].map { Array($0.utf8) })))
      ),
      ("test.ints", .array(.int32([1, -2, 3]))), ("test.floats", .array(.float32([0.25, -1]))),
      ("test.bools", .array(.bool([true, false, true]))),
      ("test.nested", .array(.arrays([.int32([1, 2]), .int32([3])]))),
    ]
    #expect(file.metadata.map(\.key) == expected.map(\.0))
    for (pair, want) in zip(file.metadata, expected) {
      #expect(pair.value == want.1, "\(pair.key)")
    }
    #expect(file.version == 3)
    #expect(file.value("test.uint8")?.unsigned == 200)
    #expect(file.value("test.int8")?.unsigned == nil)
    #expect(file.value("test.float32")?.real == 1.5)
    #expect(file.value("absent") == nil)
  }

  @Test func versionTwoReadsLikeThree() throws {
    var bytes = Array(try Repository.contents("golden/containers/whole.gguf"))
    bytes[4] = 2
    let two = try GGUFFile(path: "v2", files: [InputFile(memory: bytes, name: "v2")])
    let three = try GGUFFile.open(golden("whole.gguf"))
    #expect(two.version == 2)
    #expect(two.tensors == three.tensors)
  }

  @Test(arguments: [1, 2])
  func setOpenedByAnyPart(_ part: Int) throws {
    let whole = try GGUFFile.open(golden("whole.gguf"))
    let set = try GGUFFile.open(golden("parts-0000\(part)-of-00002.gguf"))
    #expect(set.files.count == 2)
    #expect(set.tensors.map(\.name) == whole.tensors.map(\.name))
    #expect(set.tensors.map(\.fileIndex) == [0, 0, 0, 1, 1, 1])
    #expect(set.metadata.map(\.key) == whole.metadata.map(\.key))
    for (tensor, original) in zip(set.tensors, whole.tensors) {
      #expect(tensor.shape == original.shape)
      #expect(try sum(set, tensor) == sum(whole, original))
    }
  }

  @Test func emptyFileOfMetadata() throws {
    let file = FileBytes.gguf().file()
    #expect(try GGUFFile(path: "m", files: [file]).tensors.isEmpty)
  }

  /// The last tensor's padding may be missing or whole; what comes after it is counted.
  @Test(arguments: [(32, 0), (40, 0), (64, 0), (65, 1), (100, 36)])
  func bytesAfterTheLastTensor(_ data: Int, _ unclaimed: UInt64) throws {
    let file = FileBytes.gguf(tensors: [FileBytes.tensor("a", [8])], data: 0)
    var bytes = file.bytes
    bytes += [UInt8](repeating: 0, count: data)
    let wide = FileBytes(bytes: bytes).patched(UInt64(data > 32 ? 10 : 8), at: 37)
    let read = try GGUFFile(path: "m", files: [wide.file()])
    #expect(read.unclaimedByteCount == unclaimed)
  }

  @Test func blockFormatsOfEveryKnownType() throws {
    for format in BlockFormat.known {
      let row = format.elementsPerBlock
      let bytes = FileBytes.gguf(
        tensors: [FileBytes.tensor("t", [Int64(row), 3], type: format.id)],
        data: 3 * format.bytesPerBlock)
      let file = try GGUFFile(path: "m", files: [bytes.file()])
      #expect(file.tensors[0].byteCount == UInt64(3 * format.bytesPerBlock), "\(format.name)")
      #expect(file.tensors[0].type.description == format.name)
      #expect(file.tensors[0].type.ggmlID == format.id)
    }
  }

  /// Strings, arrays and integers that lie across the end of the reader's window.
  @Test func valuesAcrossTheWindow() throws {
    let long = String(repeating: "x", count: 300_000)
    let words = (0..<60_000).map { "word\($0)" }
    let numbers = (0..<100_000).map { Int32($0) }
    let bytes = FileBytes.gguf(pairs: [
      FileBytes.pair("long", 8) { $0.add(string: long) },
      FileBytes.pair("words", 9) { file in
        file.add(UInt32(8))
        file.add(UInt64(words.count + 1))
        for word in words { file.add(string: word) }
        file.add(string: long)
      },
      FileBytes.pair("numbers", 9) { file in
        file.add(UInt32(5))
        file.add(UInt64(numbers.count))
        for number in numbers { file.add(number) }
      },
    ])
    let file = try GGUFFile(path: "m", files: [bytes.file()])
    #expect(file.value("long") == .string(GGUFString(long)))
    #expect(file.value("numbers") == .array(.int32(numbers)))
    guard case .array(.strings(let read)) = file.value("words") else {
      Issue.record("words are no strings")
      return
    }
    #expect(read.count == words.count + 1)
    #expect(read[words.count].elementsEqual(long.utf8))
    #expect(words.indices.allSatisfy { read[$0].elementsEqual(words[$0].utf8) })
  }
}
