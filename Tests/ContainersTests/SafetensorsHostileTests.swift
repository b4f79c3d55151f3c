import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// One case a rule of the safetensors reader: the code and the place of the error are part of the promise.
@Suite struct SafetensorsHostileTests {
  typealias Bytes = FileBytes

  /// A header with one tensor of the given members, before `data` bytes.
  static func one(_ entry: String, data: Int = 8) -> Bytes {
    .safetensors("{\"a\":\(entry)}", data: data)
  }

  static func two(_ a: (Int, Int), _ b: (Int, Int), data: Int) -> Bytes {
    func entry(_ range: (Int, Int)) -> String {
      "{\"dtype\":\"U8\",\"shape\":[\(range.1 - range.0)],\"data_offsets\":[\(range.0),\(range.1)]}"
    }
    return .safetensors("{\"a\":\(entry(a)),\"b\":\(entry(b))}", data: data)
  }

  static let good = "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

  static let headers: [HostileCase] = [
    .init("empty file", Bytes(), "safetensors.tooShort byte 0"),
    .init("seven bytes", Bytes(bytes: [0, 0, 0, 0, 0, 0, 0]), "safetensors.tooShort byte 0"),
    .init(
      "length beyond the file", one(good).patched(UInt64(1000), at: 0),
      "safetensors.header.overrun byte 0"),
    .init(
      "length 2^63", one(good).patched(UInt64(1) << 63, at: 0), "safetensors.header.overrun byte 0"),
    .init(
      "length 2^64-1", one(good).patched(UInt64.max, at: 0), "safetensors.header.overrun byte 0"),
    .init("header empty", .safetensors("", data: 4), "safetensors.header.start byte 8"),
    .init("header an array", .safetensors("[]"), "safetensors.header.start byte 8"),
    .init("header starts with a space", .safetensors(" {}"), "safetensors.header.start byte 8"),
    .init(
      "byte order mark", .safetensors("\u{feff}{}"), "safetensors.header.start byte 8"),
    .init(
      "not UTF-8", one(good).patched(UInt8(0xff), at: 10), "safetensors.header.utf8 byte 10"),
    .init("not JSON", .safetensors("{a:1}"), "safetensors.header.syntax byte 9"),
    .init(
      "trailing comma", .safetensors("{\"a\":\(good),}", data: 8),
      "safetensors.header.syntax byte 62"),
    .init("after the end", .safetensors("{} {}"), "safetensors.header.syntax byte 11"),
    .init(
      "deep nesting",
      .safetensors("{\"a\":" + String(repeating: "[", count: 100_000)),
      "safetensors.header.depth byte 76"),
    .init("NaN", .safetensors("{\"a\":NaN}"), "safetensors.header.syntax byte 13"),
    .init(
      "zero bytes after the header", .safetensors("{}\0\0"), "safetensors.header.syntax byte 10"),
  ]

  static let members: [HostileCase] = [
    .init(
      "tensor twice", .safetensors("{\"a\":\(good),\"a\":\(good)}", data: 8),
      "safetensors.header.duplicateKey byte 63"),
    .init(
      "tensor twice, once escaped", .safetensors("{\"a\":\(good),\"\\u0061\":\(good)}", data: 8),
      "safetensors.header.duplicateKey byte 63"),
    .init(
      "names equal to Unicode",
      .safetensors("{\"\\u00e9\":\(good),\"e\\u0301\":\(good)}", data: 8),
      "safetensors.header.duplicateKey byte 68 tensor e\u{301} key e\\u0301"),
    .init(
      "dtype twice",
      one("{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"),
      "safetensors.header.duplicateKey byte 29"),
    .init("entry a number", one("1"), "safetensors.header.type byte 13 tensor a key a"),
    .init(
      "no dtype", one("{\"shape\":[2],\"data_offsets\":[0,8]}"),
      "safetensors.header.missing byte 13 tensor a key a"),
    .init(
      "no shape", one("{\"dtype\":\"F32\",\"data_offsets\":[0,8]}"),
      "safetensors.header.missing byte 13 tensor a key a"),
    .init(
      "no offsets", one("{\"dtype\":\"F32\",\"shape\":[2]}"),
      "safetensors.header.missing byte 13 tensor a key a"),
    .init(
      "a member more", one("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}"),
      "safetensors.header.member byte 62 tensor a key a.x"),
    .init(
      "metadata of numbers", .safetensors("{\"__metadata__\":{\"n\":1}}"),
      "safetensors.header.metadata byte 29 key __metadata__.n"),
    .init(
      "metadata no object", .safetensors("{\"__metadata__\":\"x\"}"),
      "safetensors.header.metadata byte 25 key __metadata__"),
    .init(
      "metadata nested", .safetensors("{\"__metadata__\":{\"n\":{\"m\":\"x\"}}}"),
      "safetensors.header.metadata byte 29 key __metadata__.n"),
  ]

  static func typed(_ type: String) -> Bytes {
    one("{\"dtype\":\"\(type)\",\"shape\":[2],\"data_offsets\":[0,8]}")
  }

  static func shaped(_ shape: String, _ offsets: String = "[0,8]") -> Bytes {
    one("{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":\(offsets)}")
  }

  static let entries: [HostileCase] = [
    .init("dtype unknown", typed("F31"), "safetensors.header.dtype byte 23 tensor a key a.dtype"),
    .init(
      "dtype in lower case", typed("f32"), "safetensors.header.dtype byte 23 tensor a key a.dtype"),
    .init("dtype F4", typed("F4"), "safetensors.header.dtype byte 23 tensor a key a.dtype"),
    .init(
      "dtype F6_E2M3", typed("F6_E2M3"), "safetensors.header.dtype byte 23 tensor a key a.dtype"),
    .init(
      "dtype F8_E8M0", typed("F8_E8M0"), "safetensors.header.dtype byte 23 tensor a key a.dtype"),
    .init("dtype C64", typed("C64"), "safetensors.header.dtype byte 23 tensor a key a.dtype"),
    .init("shape a number", shaped("2"), "safetensors.header.type byte 36 tensor a key a.shape"),
    .init(
      "dimension negative", shaped("[-2]"),
      "safetensors.header.shape byte 37 tensor a key a.shape[0]"),
    .init(
      "dimension 2.0", shaped("[2.0]"), "safetensors.header.type byte 37 tensor a key a.shape[0]"),
    .init(
      "dimension 2^64", shaped("[18446744073709551616]"),
      "safetensors.header.range byte 37 tensor a key a.shape[0]"),
    .init(
      "shape wraps", shaped("[4294967296,4294967296]"),
      "safetensors.header.shape byte 36 tensor a key a.shape"),
    .init(
      "shape wraps beside a zero", shaped("[4294967296,4294967296,0]"),
      "safetensors.header.shape byte 36 tensor a key a.shape"),
    .init(
      "bytes wrap", shaped("[9223372036854775807]"),
      "safetensors.header.size byte 73 tensor a key a.data_offsets"),
    .init(
      "bytes do not fit the shape", shaped("[3]"),
      "safetensors.header.size byte 55 tensor a key a.data_offsets"),
    .init(
      "one offset", shaped("[2]", "[8]"),
      "safetensors.header.offsets byte 55 tensor a key a.data_offsets"),
    .init(
      "three offsets", shaped("[2]", "[0,4,8]"),
      "safetensors.header.offsets byte 55 tensor a key a.data_offsets"),
    .init(
      "offsets backwards", shaped("[2]", "[8,0]"),
      "safetensors.header.offsets byte 55 tensor a key a.data_offsets"),
    .init(
      "offset negative", shaped("[2]", "[-8,0]"),
      "safetensors.header.range byte 56 tensor a key a.data_offsets[0]"),
    .init(
      "offset as text", shaped("[2]", "[\"0\",8]"),
      "safetensors.header.type byte 57 tensor a key a.data_offsets[0]"),
    .init(
      "offset 1e1", shaped("[2]", "[0,1e1]"),
      "safetensors.header.type byte 58 tensor a key a.data_offsets[1]"),
    .init(
      "offset 2^64-1", shaped("[2]", "[0,18446744073709551615]"),
      "safetensors.header.overrun byte 55 tensor a key a.data_offsets"),
    .init(
      "past the end", shaped("[4]", "[0,16]"),
      "safetensors.header.overrun byte 55 tensor a key a.data_offsets"),
  ]

  static let offsets: [HostileCase] = [
    .init("overlap", two((0, 8), (4, 12), data: 12), "safetensors.overlap byte 62 tensor b"),
    .init(
      "the same bytes twice", two((0, 8), (0, 8), data: 8), "safetensors.overlap byte 62 tensor b"),
    .init("hole", two((0, 8), (9, 12), data: 12), "safetensors.hole byte 62 tensor b"),
    .init("hole at the start", two((4, 8), (8, 12), data: 12), "safetensors.hole byte 10 tensor a"),
    .init(
      "bytes after the last tensor", two((0, 8), (8, 12), data: 13), "safetensors.trailing byte 126"
    ),
    .init("data without tensors", .safetensors("{}", data: 1), "safetensors.trailing byte 10"),
  ]

  @Test(arguments: headers + members + entries + offsets)
  func refused(_ hostile: HostileCase) {
    let error = #expect(throws: TinctureError.self) {
      _ = try SafetensorsFile(InputFile(memory: hostile.bytes, name: "model.safetensors"))
    }
    #expect(snapshot(error) == hostile.expected)
    #expect(error?.place.file == "model.safetensors")
  }

  /// Types the format has and we do not read are another failure than nonsense: exit status 4, not 3.
  @Test func unsupportedTypesAreNamed() {
    for type in ["F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"] {
      let file = SafetensorsHostileTests.typed(type).file()
      let error = #expect(throws: TinctureError.self) { _ = try SafetensorsFile(file) }
      #expect(error?.code.kind == .unsupported)
      #expect(error?.found == type)
    }
  }

  /// The format's limit holds even when the file is as large as its header claims.
  @Test func headerAboveTheLimit() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("large.safetensors")
    let handle = try FileHandle(forWritingTo: created(path))
    try handle.write(contentsOf: FileBytes().patchedLength(100_000_001))
    try handle.truncate(atOffset: 100_000_009)
    try handle.close()
    let error = #expect(throws: TinctureError.self) { _ = try SafetensorsFile.open(path) }
    #expect(snapshot(error) == "safetensors.header.tooLarge byte 0")
  }

  /// Every way to cut a good file short is an error, and never a crash.
  @Test func everyPrefixIsRefused() {
    let good = SafetensorsHostileTests.one(SafetensorsHostileTests.good).bytes
    for count in 0..<good.count {
      #expect(throws: TinctureError.self, "\(count) bytes") {
        _ = try SafetensorsFile(InputFile(memory: Array(good[..<count]), name: "m"))
      }
    }
  }

  private func created(_ path: String) -> URL {
    _ = FileManager.default.createFile(atPath: path, contents: nil)
    return URL(fileURLWithPath: path)
  }
}

extension FileBytes {
  fileprivate func patchedLength(_ length: UInt64) -> Data {
    var file = self
    file.add(length)
    return Data(file.bytes)
  }
}
