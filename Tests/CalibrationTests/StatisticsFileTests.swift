import Foundation
import Testing
import TinctureCalibration
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Importance files: what llama-imatrix has written for a real model, and every way such a file can be wrong.
@Suite struct StatisticsFileTests {
  private struct Expected: Decodable {
    let chunks: Int
    let importance: [String: [UInt32]]
    let legacy: [String: [UInt32]]
  }

  private func expected() throws -> Expected {
    try JSONDecoder().decode(
      Expected.self, from: Repository.contents("golden/containers/imatrix.json"))
  }

  /// The numbers llama-quantize gives to its encoders, to the bit.
  @Test(arguments: ["imatrix.gguf", "imatrix.dat"])
  func realFile(_ name: String) throws {
    let expected = try expected()
    let file = try StatisticsFile.open(Repository.path("golden/containers/" + name))
    let values = name.hasSuffix(".gguf") ? expected.importance : expected.legacy
    #expect(file.form == (name.hasSuffix(".gguf") ? .gguf : .legacy))
    #expect(file.names == values.keys.sorted())
    #expect(file.chunkCount == expected.chunks)
    #expect(file.chunkSize == (name.hasSuffix(".gguf") ? 64 : nil))
    #expect(file.datasets == ["text.txt"])
    #expect(file.unusedTensors.isEmpty)
    for (tensor, bits) in values {
      let length = tensor.contains("ffn_down") ? 2048 : tensor.contains("attn_output") ? 1024 : 640
      let row = try #require(try file.importance(for: tensor, rowLength: length))
      #expect(row.count == length)
      #expect(row.prefix(8).map(\.bitPattern) == bits, "\(tensor)")
    }
    #expect(try file.importance(for: "output.weight", rowLength: 640) == nil)
  }

  @Test func wrongRowLength() throws {
    let file = try StatisticsFile.open(Repository.path("golden/containers/imatrix.gguf"))
    let error = #expect(throws: TinctureError.self) {
      _ = try file.importance(for: "blk.0.attn_q.weight", rowLength: 1152)
    }
    #expect(error?.code.name == "imatrix.rowLength")
    #expect(error?.place.tensor == "blk.0.attn_q.weight")
    #expect(error?.expected == "1152 columns")
    #expect(error?.found == "640")
  }

  private typealias Part = (name: String, type: StoredType, dimensions: [Int], values: [Float])

  private func gguf(_ parts: [Part], metadata: [(key: String, value: GGUFValue)]? = nil) throws
    -> InputFile
  {
    let layout = try GGUFLayout(
      metadata: metadata ?? StatisticsFileTests.metadata,
      tensors: parts.map {
        .init(name: $0.name, type: $0.type, shape: try #require(Shape(checking: $0.dimensions)))
      })
    var bytes = layout.header
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    for (part, info) in zip(parts, layout.tensors) {
      for (index, value) in part.values.enumerated() {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { raw in
          for (k, byte) in raw.enumerated() { bytes[Int(info.byteOffset) + 4 * index + k] = byte }
        }
      }
    }
    return InputFile(memory: bytes, name: "imatrix.gguf")
  }

  private static let metadata: [(key: String, value: GGUFValue)] = [
    ("general.type", .string("imatrix")),
    ("imatrix.datasets", .array(.strings(ByteStrings([[65]])))),
    ("imatrix.chunk_count", .uint32(3)), ("imatrix.chunk_size", .uint32(512)),
  ]

  private func sums(_ values: [Float], name: String = "w") -> Part {
    (name + ".in_sum2", .element(.f32), [values.count], values)
  }

  private func counts(_ values: [Float], name: String = "w") -> Part {
    (name + ".counts", .element(.f32), [values.count], values)
  }

  private func failure(_ file: InputFile) -> String {
    let error = #expect(throws: TinctureError.self) { _ = try StatisticsFile(file) }
    return [error?.code.name, error?.place.tensor, error?.place.key].compactMap { $0 }
      .joined(separator: " ")
  }

  @Test func meanOfSquares() throws {
    let file = try StatisticsFile(gguf([sums([2, 0, 5]), counts([4])]))
    #expect(try file.importance(for: "w", rowLength: 3) == [0.5, 0, 1.25])
  }

  /// Experts: a count each; one that was never called weighs all columns alike.
  @Test func experts() throws {
    let file = try StatisticsFile(
      gguf([
        ("w.in_sum2", .element(.f32), [2, 2], [2, 4, 9, 9]),
        ("w.counts", .element(.f32), [2, 1], [2, 0]),
      ]))
    #expect(try file.importance(for: "w", rowLength: 2, matrixCount: 2) == [1, 2, 1, 1])
    #expect(throws: TinctureError.self) { _ = try file.importance(for: "w", rowLength: 4) }
  }

  @Test func otherTensorsAreSaid() throws {
    let file = try StatisticsFile(
      gguf([sums([1]), counts([1]), ("w.in_sum", .element(.f32), [1], [1])]))
    #expect(file.unusedTensors == ["w.in_sum"])
  }

  @Test func hostileGGUF() throws {
    #expect(try failure(gguf([sums([1])])) == "imatrix.pair w")
    #expect(try failure(gguf([counts([1])])) == "imatrix.pair w")
    #expect(try failure(gguf([("token_embd.weight", .element(.f32), [1], [1])])) == "imatrix.empty")
    #expect(try failure(gguf([])) == "imatrix.empty")
    #expect(try failure(gguf([sums([1, 2]), counts([0])])) == "imatrix.noCalls w")
    #expect(try failure(gguf([sums([1, .nan]), counts([1])])) == "imatrix.value w")
    #expect(try failure(gguf([sums([1, .infinity]), counts([1])])) == "imatrix.value w")
    #expect(try failure(gguf([sums([1, -1]), counts([1])])) == "imatrix.value w")
    #expect(try failure(gguf([sums([1, 2]), counts([.nan])])) == "imatrix.value w")
    #expect(try failure(gguf([sums([1, 2]), counts([1e30])])) == "imatrix.value w")
    #expect(try failure(gguf([sums([1, 2]), counts([1, 1])])) == "imatrix.counts w")
    #expect(
      try failure(gguf([("w.in_sum2", .element(.f16), [1], []), counts([1])]))
        == "imatrix.type w.in_sum2")
    for index in 1..<4 {
      var metadata = StatisticsFileTests.metadata
      let key = metadata.remove(at: index).key
      let file = try gguf([sums([1]), counts([1])], metadata: metadata)
      #expect(failure(file) == "imatrix.metadata \(key)")
    }
  }

  /// The place of a bad value is its own, not its tensor's.
  @Test func placeOfABadValue() throws {
    let file = try gguf([sums([1, 1, .nan]), counts([1])])
    let start = try #require(try GGUFFile(path: "i", files: [file]).tensors.first).byteOffset
    let error = #expect(throws: TinctureError.self) { _ = try StatisticsFile(file) }
    #expect(error?.place.byteOffset == start + 8)
    #expect(error?.place.file == "imatrix.gguf")
  }

  private struct Legacy {
    var bytes: [UInt8] = []

    mutating func add(_ values: Int32...) {
      for value in values { withUnsafeBytes(of: value.littleEndian) { bytes += Array($0) } }
    }

    mutating func add(entry name: String, calls: Int32, _ values: [Float]) {
      add(Int32(name.utf8.count))
      bytes += Array(name.utf8)
      add(calls, Int32(values.count))
      for value in values { add(Int32(bitPattern: value.bitPattern)) }
    }

    var file: InputFile { InputFile(memory: bytes, name: "imatrix.dat") }
  }

  private func legacy(_ make: (inout Legacy) -> Void) -> InputFile {
    var legacy = Legacy()
    make(&legacy)
    return legacy.file
  }

  @Test func legacyWithoutTail() throws {
    let file = try StatisticsFile(
      legacy {
        $0.add(1)
        $0.add(entry: "w", calls: 4, [2, 6])
      })
    #expect(try file.importance(for: "w", rowLength: 2) == [0.5, 1.5])
    #expect(file.chunkCount == nil)
    #expect(file.datasets.isEmpty)
  }

  @Test func hostileLegacy() {
    #expect(failure(InputFile(memory: [], name: "e")) == "imatrix.truncated")
    #expect(failure(legacy { $0.add(0) }) == "imatrix.count")
    #expect(failure(legacy { $0.add(-1) }) == "imatrix.count")
    #expect(failure(legacy { $0.add(.max) }) == "imatrix.count")
    let entry: (inout Legacy, Int32, [Float]) -> Void = { $0.add(entry: "w", calls: $1, $2) }
    func one(_ calls: Int32, _ values: [Float], then more: (inout Legacy) -> Void = { _ in })
      -> InputFile
    {
      legacy {
        $0.add(1)
        entry(&$0, calls, values)
        more(&$0)
      }
    }
    #expect(failure(one(0, [1])) == "imatrix.noCalls w")
    #expect(failure(one(-3, [1])) == "imatrix.calls w")
    #expect(failure(one(1, [])) == "imatrix.count")
    #expect(failure(one(1, [.nan])) == "imatrix.value w")
    #expect(failure(one(1, [-.infinity])) == "imatrix.value w")
    #expect(failure(one(1, [1]) { $0.add(-1) }) == "imatrix.chunks")
    #expect(failure(one(1, [1]) { $0.add(1, 9) }) == "imatrix.text")
    #expect(failure(one(1, [1]) { $0.add(1, 0, 0) }) == "imatrix.trailing")
    #expect(failure(one(1, [1]) { $0.bytes.append(1) }) == "imatrix.truncated")
    let twice = legacy {
      $0.add(2)
      entry(&$0, 1, [1])
      entry(&$0, 1, [1])
    }
    #expect(failure(twice) == "imatrix.duplicate w")
    let namelessLength = legacy {
      $0.add(1, 0, 1, 1, 0, 0)
    }
    #expect(failure(namelessLength) == "imatrix.text")
    let longName = legacy { $0.add(1, .max, 1, 1, 0, 0) }
    #expect(failure(longName) == "imatrix.text")
    let manyValues = legacy {
      $0.add(1, 1)
      $0.bytes.append(UInt8(ascii: "w"))
      $0.add(1, .max, 0, 0)
    }
    #expect(failure(manyValues) == "imatrix.values w")
  }

  /// Cut short anywhere but after a whole field of its tail, the file is refused.
  @Test func legacyCutShort() throws {
    let whole = legacy {
      $0.add(1)
      $0.add(entry: "w", calls: 2, [1, 2, 3])
      $0.add(7, 1)
      $0.bytes.append(65)
    }
    let bytes = try whole.contents(limit: 1000)
    let accepted = (0...bytes.count).filter { count in
      (try? StatisticsFile(InputFile(memory: Array(bytes[..<count]), name: "i"))) != nil
    }
    #expect(accepted == [bytes.count - 9, bytes.count - 5, bytes.count])
  }
}
