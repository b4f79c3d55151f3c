import Testing
import TinctureContainers
import TinctureCore

/// One case a rule of the GGUF reader: the code and the place of the error are part of the promise.
@Suite struct GGUFHostileTests {
  typealias Bytes = FileBytes

  /// A file with one key of type `type`.
  static func value(_ type: UInt32, _ add: @escaping (inout Bytes) -> Void) -> Bytes {
    .gguf(pairs: [Bytes.pair("k", type, add)])
  }

  static func tensors(_ entries: [(inout Bytes) -> Void], data: Int = 256) -> Bytes {
    .gguf(tensors: entries, data: data)
  }

  static let one = Bytes.gguf(tensors: [Bytes.tensor("a", [8])], data: 32)

  static let headers: [HostileCase] = [
    .init("empty file", Bytes(), "gguf.truncated byte 0"),
    .init("four bytes", Bytes(bytes: Array("GGUF".utf8)), "gguf.truncated byte 4"),
    .init("magic", one.patched(UInt8(0x67), at: 0), "gguf.magic byte 0"),
    .init("magic swapped", one.patched(UInt32(0x4747_5546), at: 0), "gguf.magic byte 0"),
    .init("big-endian", one.patched(UInt32(3).byteSwapped, at: 4), "gguf.byteOrder byte 4"),
    .init("version 0", one.patched(UInt32(0), at: 4), "gguf.version byte 4"),
    .init("version 1", one.patched(UInt32(1), at: 4), "gguf.version byte 4"),
    .init("version 4", one.patched(UInt32(4), at: 4), "gguf.version byte 4"),
    .init("tensor count 2^60", one.patched(UInt64(1) << 60, at: 8), "gguf.count byte 8"),
    .init("tensor count -1", one.patched(Int64(-1), at: 8), "gguf.count byte 8"),
    .init("key count 2^62", one.patched(UInt64(1) << 62, at: 16), "gguf.count byte 16"),
    .init("key count a little high", one.patched(UInt64(5), at: 16), "gguf.count byte 16"),
    .init("one key more", one.patched(UInt64(1), at: 16), "gguf.tensor.name byte 38"),
  ]

  static let keys: [HostileCase] = [
    .init(
      "empty key", .gguf(pairs: [Bytes.pair("", 0) { $0.add(UInt32(0)) }]), "gguf.key.empty byte 24"
    ),
    .init(
      "key of 65,536 bytes",
      .gguf(pairs: [Bytes.pair(String(repeating: "k", count: 65_536), 0) { $0.add(UInt8(0)) }]),
      "gguf.key.tooLong byte 24"),
    .init(
      "key length 2^63", value(0) { $0.add(UInt8(0)) }.patched(UInt64(1) << 63, at: 24),
      "gguf.key.tooLong byte 24"),
    .init(
      "key beyond the end", value(0) { $0.add(UInt8(0)) }.patched(UInt64(60_000), at: 24),
      "gguf.truncated byte 32"),
    .init(
      "key with a zero byte", .gguf(pairs: [Bytes.pair("a\0b", 0) { $0.add(UInt8(0)) }]),
      "gguf.key.text byte 24"),
    .init(
      "key not UTF-8", value(0) { $0.add(UInt8(0)) }.patched(UInt8(0xff), at: 32),
      "gguf.key.text byte 24"),
    .init(
      "key twice",
      .gguf(pairs: [
        Bytes.pair("k", 0) { $0.add(UInt8(0)) }, Bytes.pair("k", 0) { $0.add(UInt8(0)) },
      ]), "gguf.key.duplicate byte 38 key k"),
  ]

  static let values: [HostileCase] = [
    .init("type 13", value(13) { $0.add(UInt64(0)) }, "gguf.value.type byte 33 key k"),
    .init("type -1", value(.max) { $0.add(UInt64(0)) }, "gguf.value.type byte 33 key k"),
    .init("truth value 2", value(7) { $0.add(UInt8(2)) }, "gguf.bool byte 37 key k"),
    .init(
      "string longer than the file", value(8) { $0.add(UInt64(1000)) },
      "gguf.string.length byte 37 key k"),
    .init(
      "string of 2^64-1 bytes", value(8) { $0.add(UInt64.max) },
      "gguf.string.length byte 37 key k"),
    .init(
      "array of type 77",
      value(9) {
        $0.add(UInt32(77))
        $0.add(UInt64(0))
      }, "gguf.value.type byte 37 key k"),
    .init(
      "array longer than the file",
      value(9) {
        $0.add(UInt32(4))
        $0.add(UInt64(100))
      }, "gguf.array.length byte 41 key k"),
    .init(
      "array of 2^61 u64: the size wraps",
      value(9) {
        $0.add(UInt32(10))
        $0.add(UInt64(1) << 61)
      }, "gguf.array.length byte 41 key k"),
    .init(
      "array of strings, the second too long",
      value(9) {
        $0.add(UInt32(8))
        $0.add(UInt64(2))
        $0.add(string: "a")
        $0.add(UInt64(4000))
      }, "gguf.string.length byte 58 key k"),
    .init(
      "array of truth values with a 3",
      value(9) {
        $0.add(UInt32(7))
        $0.add(UInt64(2))
        $0.add(UInt8(1))
        $0.add(UInt8(3))
      }, "gguf.bool byte 50 key k"),
    .init(
      "arrays five deep",
      value(9) { file in
        for _ in 0..<5 {
          file.add(UInt32(9))
          file.add(UInt64(1))
        }
        file.add(UInt32(0))
        file.add(UInt64(0))
      }, "gguf.array.depth byte 73 key k"),
    .init(
      "value cut off", Bytes(bytes: Array(value(10) { $0.add(UInt64(0)) }.bytes[..<41])),
      "gguf.truncated byte 37 key k"),
  ]

  static func alignment(_ type: UInt32, _ add: @escaping (inout Bytes) -> Void) -> Bytes {
    .gguf(pairs: [Bytes.pair("general.alignment", type, add)])
  }

  static let alignments: [HostileCase] = [
    .init(
      "alignment 0", alignment(4) { $0.add(UInt32(0)) }, "gguf.alignment key general.alignment"),
    .init(
      "alignment 3", alignment(4) { $0.add(UInt32(3)) }, "gguf.alignment key general.alignment"),
    .init(
      "alignment 2^31", alignment(4) { $0.add(UInt32(1) << 31) },
      "gguf.alignment key general.alignment"),
    .init(
      "alignment as u64", alignment(10) { $0.add(UInt64(32)) },
      "gguf.alignment key general.alignment"),
    .init(
      "alignment as text", alignment(8) { $0.add(string: "32") },
      "gguf.alignment key general.alignment"),
  ]

  static let names = String(repeating: "n", count: 64)

  static let entries: [HostileCase] = [
    .init("name empty", tensors([Bytes.tensor("", [8])]), "gguf.tensor.name byte 24"),
    .init("name of 64 bytes", tensors([Bytes.tensor(names, [8])]), "gguf.tensor.name byte 24"),
    .init("name with a zero byte", tensors([Bytes.tensor("a\0", [8])]), "gguf.tensor.name byte 24"),
    .init(
      "name not UTF-8", one.patched(UInt8(0xc0), at: 32), "gguf.tensor.name byte 24"),
    .init(
      "tensor twice", tensors([Bytes.tensor("a", [8]), Bytes.tensor("a", [8], offset: 32)]),
      "gguf.tensor.duplicate byte 57 tensor a"),
    .init(
      "five dimensions", tensors([Bytes.tensor("a", [1, 1, 1, 1, 1])]),
      "gguf.tensor.rank byte 33 tensor a"),
    .init("rank 2^32-1", one.patched(UInt32.max, at: 33), "gguf.tensor.rank byte 33 tensor a"),
    .init(
      "dimension 0", tensors([Bytes.tensor("a", [8, 0])]), "gguf.tensor.dimension byte 45 tensor a"),
    .init(
      "dimension -8", tensors([Bytes.tensor("a", [-8])]), "gguf.tensor.dimension byte 37 tensor a"),
    .init(
      "product wraps", tensors([Bytes.tensor("a", [1 << 32, 1 << 32])]),
      "gguf.tensor.size byte 33 tensor a"),
    .init(
      "bytes wrap", tensors([Bytes.tensor("a", [1 << 31, 1 << 31])]),
      "gguf.tensor.size byte 53 tensor a"),
    .init(
      "row's bytes wrap", tensors([Bytes.tensor("a", [1 << 62])]),
      "gguf.tensor.row byte 45 tensor a"),
    .init(
      "type 4, removed", tensors([Bytes.tensor("a", [32], type: 4)]),
      "gguf.tensor.type byte 45 tensor a"),
    .init(
      "type 31, removed", tensors([Bytes.tensor("a", [32], type: 31)]),
      "gguf.tensor.type byte 45 tensor a"),
    .init(
      "type 33, removed", tensors([Bytes.tensor("a", [32], type: 33)]),
      "gguf.tensor.type byte 45 tensor a"),
    .init(
      "type 43, unknown", tensors([Bytes.tensor("a", [32], type: 43)]),
      "gguf.tensor.type byte 45 tensor a"),
    .init(
      "type -1", tensors([Bytes.tensor("a", [32], type: .max)]), "gguf.tensor.type byte 45 tensor a"
    ),
    .init(
      "Q8_0 row of 33", tensors([Bytes.tensor("a", [33], type: 8)]),
      "gguf.tensor.row byte 45 tensor a"),
    .init(
      "Q4_K row of 128", tensors([Bytes.tensor("a", [128], type: 12)]),
      "gguf.tensor.row byte 45 tensor a"),
  ]

  static let offsets: [HostileCase] = [
    .init(
      "misaligned", tensors([Bytes.tensor("a", [8], offset: 4)]),
      "gguf.tensor.misaligned byte 49 tensor a"),
    .init(
      "hole before the first", tensors([Bytes.tensor("a", [8], offset: 32)]),
      "gguf.tensor.hole byte 49 tensor a"),
    .init(
      "overlap", tensors([Bytes.tensor("a", [16]), Bytes.tensor("b", [8], offset: 32)]),
      "gguf.tensor.overlap byte 82 tensor b"),
    .init(
      "hole", tensors([Bytes.tensor("a", [8]), Bytes.tensor("b", [8], offset: 64)]),
      "gguf.tensor.hole byte 82 tensor b"),
    .init(
      "out of order", tensors([Bytes.tensor("a", [8], offset: 32), Bytes.tensor("b", [8])]),
      "gguf.tensor.hole byte 49 tensor a"),
    .init(
      "offset near 2^64",
      tensors([Bytes.tensor("a", [8]), Bytes.tensor("b", [8], offset: .max - 31)]),
      "gguf.tensor.hole byte 82 tensor b"),
    .init(
      "past the end", tensors([Bytes.tensor("a", [8])], data: 31),
      "gguf.tensor.overrun byte 49 tensor a"),
    .init(
      "exabytes in a small file", tensors([Bytes.tensor("a", [1 << 60])]),
      "gguf.tensor.overrun byte 49 tensor a"),
    .init(
      "no data at all", Bytes(bytes: Array(one.bytes[..<57])),
      "gguf.tensor.overrun byte 49 tensor a"),
    .init(
      "entry cut off", Bytes(bytes: Array(one.bytes[..<56])), "gguf.truncated byte 49 tensor a"),
  ]

  @Test(arguments: headers + keys + values + alignments + entries + offsets)
  func refused(_ hostile: HostileCase) {
    let file = InputFile(memory: hostile.bytes, name: "model.gguf")
    let error = #expect(throws: TinctureError.self) {
      _ = try GGUFFile(path: "model.gguf", files: [file])
    }
    #expect(snapshot(error) == hostile.expected)
    #expect(error?.place.file == "model.gguf")
  }

  /// Every way to cut a good file short is an error, and never a crash.
  @Test func everyPrefixIsRefused() {
    let good = GGUFHostileTests.one.bytes
    for count in 0..<good.count {
      #expect(throws: TinctureError.self, "\(count) bytes") {
        let file = InputFile(memory: Array(good[..<count]), name: "model.gguf")
        _ = try GGUFFile(path: "model.gguf", files: [file])
      }
    }
  }
}
