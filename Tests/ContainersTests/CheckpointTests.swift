import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Which file of a folder is read, and whether index and shards agree.
@Suite struct CheckpointTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func put(_ name: String, _ bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: folder.path(name)))
  }

  private func shard(_ names: String...) -> [UInt8] {
    let entries = names.enumerated().map { index, name in
      "\"\(name)\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[\(4 * index),\(4 * index + 4)]}"
    }
    return FileBytes.safetensors("{" + entries.joined(separator: ",") + "}", data: 4 * names.count)
      .bytes
  }

  private func index(_ map: String) throws {
    try put("model.safetensors.index.json", Array("{\"weight_map\":\(map)}".utf8))
  }

  private func failure(_ path: String? = nil) -> String {
    let error = #expect(throws: TinctureError.self) {
      _ = try SafetensorsCheckpoint.open(path ?? folder.path)
    }
    return snapshot(error)
  }

  @Test func oneFile() throws {
    try put("model.safetensors", shard("a"))
    try put("training_args.bin", [1])
    #expect(try SafetensorsCheckpoint.open(folder.path).tensors.map(\.name) == ["a"])
    #expect(try SafetensorsCheckpoint.open(folder.path("model.safetensors")).tensors.count == 1)
  }

  @Test func shards() throws {
    try put("one.safetensors", shard("a", "b"))
    try put("two.safetensors", shard("c"))
    try put("unused.safetensors", shard("z"))
    try index("{\"c\":\"two.safetensors\",\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}")
    let checkpoint = try SafetensorsCheckpoint.open(folder.path)
    #expect(checkpoint.tensors.map(\.name) == ["a", "b", "c"])
    #expect(checkpoint.tensors.map(\.fileIndex) == [0, 0, 1])
    #expect(
      checkpoint.files.map(\.path) == [
        folder.path("one.safetensors"), folder.path("two.safetensors"),
      ])
  }

  /// What stands beside the weights is told, and so is a wrong sum.
  @Test func notesOfTheFolder() throws {
    try put("one.safetensors", shard("a", "b"))
    try put("two.safetensors", shard("c"))
    let map = "{\"c\":\"two.safetensors\",\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}"
    func notes(_ metadata: String) throws -> [String] {
      try put(
        "model.safetensors.index.json", Array("{\(metadata)\"weight_map\":\(map)}".utf8))
      return try SafetensorsCheckpoint.open(folder.path).notes
    }
    #expect(try notes("") == [])
    #expect(try notes("\"metadata\":{\"total_size\":12},") == [])
    let wrong = try notes("\"metadata\":{\"total_size\":13},")
    #expect(wrong.count == 1 && wrong[0].contains("13 bytes") && wrong[0].contains("take 12"))
    for odd in ["-1", "1.5", "\"12\"", "true"] {
      let told = try notes("\"metadata\":{\"total_size\":\(odd)},")
      #expect(told.count == 1 && told[0].contains("which is no number of bytes"), "\(odd)")
    }
    #expect(try notes("\"metadata\":{\"total_size\":null},") == [])
    try put("stray.safetensors", shard("z"))
    try put("adapter_model.safetensors", shard("z"))
    let stray = try notes("")
    #expect(
      stray == [
        "stray.safetensors beside the shards, not named by model.safetensors.index.json: not read"
      ])
  }

  @Test func aFileBesideAWholeModelIsTold() throws {
    try put("model.safetensors", shard("a"))
    try put("consolidated.safetensors", shard("a"))
    #expect(
      try SafetensorsCheckpoint.open(folder.path).notes == [
        "consolidated.safetensors beside model.safetensors: not read"
      ])
  }

  /// One shard is not the model: the error says what to name instead.
  @Test func oneShardOfSeveral() throws {
    try put("one.safetensors", shard("a"))
    try put("two.safetensors", shard("b"))
    try index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}")
    let error = try #require(throws: TinctureError.self) {
      _ = try SafetensorsCheckpoint.open(folder.path("two.safetensors"))
    }
    #expect(error.code.name == "checkpoint.shard")
    #expect(error.place.file == folder.path("two.safetensors"))
    #expect(error.advice?.contains(folder.path("model.safetensors.index.json")) == true)
    // A file that the index does not name, or an index that cannot be read, is no reason.
    try put("other.safetensors", shard("a"))
    #expect(try SafetensorsCheckpoint.open(folder.path("other.safetensors")).tensors.count == 1)
    try put("model.safetensors.index.json", Array("{".utf8))
    #expect(try SafetensorsCheckpoint.open(folder.path("two.safetensors")).tensors.count == 1)
  }

  @Test func weightsOfOtherNames() throws {
    try put("weights.safetensors", shard("a"))
    #expect(try SafetensorsCheckpoint.open(folder.path).tensors.count == 1)
    try put("weights2.safetensors", shard("a"))
    #expect(failure() == "checkpoint.ambiguous")
  }

  @Test func bothFileAndIndex() throws {
    try put("model.safetensors", shard("a"))
    try index("{\"a\":\"model.safetensors\"}")
    #expect(failure() == "checkpoint.ambiguous")
    #expect(try SafetensorsCheckpoint.open(folder.path("model.safetensors")).tensors.count == 1)
  }

  @Test func picklesOnly() throws {
    try put("pytorch_model.bin", [1, 2, 3])
    let error = #expect(throws: TinctureError.self) {
      _ = try SafetensorsCheckpoint.open(folder.path)
    }
    #expect(error?.code.name == "checkpoint.noWeights")
    #expect(error?.found == "pytorch_model.bin")
    #expect(error?.advice?.contains("save_pretrained") == true)
    #expect(failure(folder.path("pytorch_model.bin")) == "checkpoint.kind")
  }

  @Test func nothingThere() throws {
    #expect(failure() == "checkpoint.noWeights")
    #expect(failure(folder.path("no-such-folder")) == "file.read")
    #expect(failure(folder.path("no.safetensors")) == "file.read")
  }

  @Test func adapterOnly() throws {
    try put("adapter_model.safetensors", shard("a"))
    #expect(failure() == "checkpoint.adapter")
  }

  @Test(arguments: [
    "../model.safetensors", "/etc/model.safetensors", "a/b.safetensors", "..\\\\b.safetensors",
    "", ".safetensors", "model.bin", "a\\u0000.safetensors", "x\\n.safetensors",
  ])
  func shardOutsideTheFolder(_ name: String) throws {
    try index("{\"a\":\"\(name)\"}")
    #expect(failure() == "index.shard byte 20 tensor a key weight_map.a")
  }

  @Test func shardMissing() throws {
    try put("one.safetensors", shard("a"))
    try index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}")
    let error = #expect(throws: TinctureError.self) {
      _ = try SafetensorsCheckpoint.open(folder.path)
    }
    #expect(error?.code.name == "index.missingShard")
    #expect(error?.place.file == folder.path("two.safetensors"))
  }

  @Test func tensorAbsentFromItsShard() throws {
    try put("one.safetensors", shard("a"))
    try index("{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}")
    #expect(failure() == "index.absent tensor b")
  }

  @Test func tensorTheIndexDoesNotName() throws {
    try put("one.safetensors", shard("a", "b"))
    try index("{\"a\":\"one.safetensors\"}")
    #expect(failure() == "index.extra tensor b")
  }

  @Test func tensorInAnotherShard() throws {
    try put("one.safetensors", shard("a", "b"))
    try put("two.safetensors", shard("c"))
    try index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\",\"c\":\"two.safetensors\"}")
    #expect(failure() == "index.wrongShard tensor b")
  }

  @Test func tensorInTwoShards() throws {
    try put("one.safetensors", shard("a"))
    try put("two.safetensors", shard("a", "b"))
    try index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}")
    #expect(failure() == "index.wrongShard tensor a")
  }

  @Test(arguments: [
    ("{}", "index.missing byte 0"), ("[]", "index.type byte 0"),
    ("{\"weight_map\":[]}", "index.type byte 14 key weight_map"),
    ("{\"weight_map\":{}}", "index.empty byte 14 key weight_map"),
    ("{\"weight_map\":{\"a\":1}}", "index.type byte 19 tensor a key weight_map.a"),
    (
      "{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}}",
      "index.duplicateKey byte 36"
    ),
    (
      "{\"metadata\":3,\"weight_map\":{\"a\":\"x.safetensors\"}}", "index.type byte 12 key metadata"
    ),
    ("{\"weight_map\"", "index.syntax byte 13"),
  ])
  func indexMalformed(_ text: String, _ expected: String) throws {
    try put("model.safetensors.index.json", Array(text.utf8))
    #expect(failure() == expected)
  }

  /// A file cut off after it was opened is an error that names the tensor, not a signal.
  @Test func truncatedWhileRead() throws {
    try put("model.safetensors", shard("a", "b"))
    let checkpoint = try SafetensorsCheckpoint.open(folder.path)
    let path = folder.path("model.safetensors")
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: UInt64(shard("a", "b").count - 2))
    try handle.close()
    var buffer = [UInt8](repeating: 0, count: 4)
    try buffer.withUnsafeMutableBytes {
      try checkpoint.read(checkpoint.tensors[0], rows: 0..<1, into: $0)
    }
    #expect(buffer == [7, 7, 7, 7])
    let error = #expect(throws: TinctureError.self) {
      try buffer.withUnsafeMutableBytes {
        try checkpoint.read(checkpoint.tensors[1], rows: 0..<1, into: $0)
      }
    }
    #expect(error?.code.name == "file.truncated")
    #expect(error?.place.tensor == "b")
    #expect(error?.place.file == path)
  }

  /// Offsets beyond 4 GiB and more than 2^31 elements in a tensor, in a file that is mostly holes.
  @Test func largeTensors() throws {
    let rows = (1 << 31) / 1024 + 1
    let large = UInt64(rows) * 1024 * 2
    let header =
      "{\"large\":{\"dtype\":\"BF16\",\"shape\":[\(rows),1024],\"data_offsets\":[0,\(large)]},"
      + "\"last\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[\(large),\(large + 8)]}}"
    let path = folder.path("model.safetensors")
    try put("model.safetensors", FileBytes.safetensors(header).bytes)
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    let start = UInt64(8 + header.utf8.count)
    try handle.seek(toOffset: start + large - 2)
    try handle.write(contentsOf: Data([0x80, 0x3F, 1, 2, 3, 4, 5, 6, 7, 8]))
    try handle.close()
    let checkpoint = try SafetensorsCheckpoint.open(folder.path)
    #expect(checkpoint.tensors[0].shape.elementCount > 1 << 31)
    var row = [UInt8](repeating: 0, count: 2048)
    try row.withUnsafeMutableBytes {
      try checkpoint.read(checkpoint.tensors[0], rows: rows - 1..<rows, into: $0)
    }
    #expect(Array(row.suffix(2)) == [0x80, 0x3F])
    var last = [UInt8](repeating: 0, count: 8)
    try last.withUnsafeMutableBytes {
      try checkpoint.read(checkpoint.tensors[1], rows: 0..<1, into: $0)
    }
    #expect(last == [1, 2, 3, 4, 5, 6, 7, 8])
  }
}
