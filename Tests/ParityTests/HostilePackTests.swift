import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureTestSupport

/// Damaged and lying packs: one clear error each.
@Suite("Hostile packs")
struct HostilePackTests {
  /// Opens the pack and reads every frame; returns what was read.
  @discardableResult
  static func readAll(_ bytes: [UInt8]) throws(TinctureError) -> [String] {
    let pack = try ParityPack(try PackFile(InputFile(memory: bytes, name: "test.pack")))
    var contents = [String(decoding: pack.file.index, as: UTF8.self)]
    contents += pack.prompts.map { "\($0.ids) \($0.pieces)" }
    for entry in pack.index.logits {
      let frame = try pack.logits(entry)
      contents.append("\(frame.summaries) \(frame.ids) \(frame.values)")
    }
    for entry in pack.index.tails { contents.append("\(try pack.tails(entry))") }
    for entry in pack.index.weights {
      contents.append(
        try entry.isWhole ? "\(pack.wholeWeights(entry))" : "\(pack.weights(entry))")
    }
    for entry in pack.index.vectors { contents.append("\(try pack.vectors(entry))") }
    for entry in pack.index.stages { contents.append("\(try pack.stage(entry))") }
    return contents
  }

  static func code(_ bytes: [UInt8]) -> String? {
    do throws(TinctureError) {
      try readAll(bytes)
      return nil
    } catch {
      return error.place.file == "test.pack" ? error.code.name : "no file: \(error)"
    }
  }

  static func good() throws -> [UInt8] {
    try SyntheticRows(vocabulary: 200, width: 8, lengths: [3, 40]).pack(top: 20, layers: true).bytes
  }

  @Test func theGoodOneIsRead() throws { #expect(Self.code(try Self.good()) == nil) }

  /// A few bits of a zstd frame may be one or the other for the same content.
  @Test("a flipped bit is an error or changes nothing that is read")
  func flips() throws {
    let good = try Self.good()
    let expected = try Self.readAll(good)
    var refused = 0
    for at in stride(from: 0, to: good.count, by: 7) {
      var bytes = good
      bytes[at] ^= 0x10
      if Self.code(bytes) != nil {
        refused += 1
      } else {
        #expect(try Self.readAll(bytes) == expected)
      }
    }
    #expect(refused > good.count / 7 * 9 / 10)
  }

  @Test("every cut is an error")
  func cuts() throws {
    let good = try Self.good()
    for count in stride(from: 0, to: good.count, by: 13) {
      #expect(Self.code(Array(good[..<count])) != nil, "\(count) of \(good.count) bytes")
    }
  }

  @Test("the version is checked first")
  func version() throws {
    var bytes = try Self.good()
    bytes[16] = 2
    #expect(Self.code(bytes) == "pack.version")
  }

  /// A pack whose index is `edit` of a good one's; the frames stay.
  static func lying(_ edit: (String) -> String) throws -> [UInt8] {
    let good = try good()
    let file = try PackFile(InputFile(memory: good, name: "test.pack"))
    let text = String(decoding: file.index, as: UTF8.self)
    let changed = edit(text)
    #expect(changed != text, "the edit does nothing")
    return try PackBytes.withIndex(
      Array(changed.utf8), after: Array(good[..<Int(file.framesEnd)]))
  }

  static let lies: [(String, String, String, String)] = [
    ("a later schema", "\"schemaVersion\":3", "\"schemaVersion\":4", "pack.schema"),
    ("an earlier schema", "\"schemaVersion\":3", "\"schemaVersion\":0", "pack.schema"),
    ("version 1 with a tokenizer", "\"schemaVersion\":3", "\"schemaVersion\":1", "pack.unknownKey"),
    ("version 2 with parts of rows", "\"schemaVersion\":3", "\"schemaVersion\":2", "pack.value"),
    ("longer runs", "\"run\":32", "\"run\":4128", "pack.range"),
    ("runs of no weights", "\"run\":32", "\"run\":0", "pack.range"),
    ("runs of no whole blocks", "\"run\":32", "\"run\":33", "pack.range"),
    ("more signs", "\"signs\":16", "\"signs\":24", "pack.value"),
    ("absurdly many signs", "\"signs\":16", "\"signs\":4000000000", "pack.range"),
    ("no signs", "\"signs\":16", "\"signs\":0", "pack.range"),
    ("signs that fill no bytes", "\"signs\":16", "\"signs\":17", "pack.range"),
    ("runs without signs", ",\"signs\":16", "", "pack.missing"),
    ("signs without runs", ",\"run\":32", "", "pack.missing"),
    ("no parts of rows", ",\"run\":32,\"signs\":16", "", "pack.value"),
    ("an unknown fact", "\"tokenizer\":null", "\"tokenizer\":{\"mood\":\"\"}", "pack.unknownKey"),
    ("a fact that is no word", "\"tokenizer\":null", "\"tokenizer\":{\"pre\":1}", "pack.type"),
    ("an unknown form", "\"form\":null", "\"form\":\"poem\"", "pack.value"),
    ("a form without a text", "\"form\":null", "\"form\":\"text\"", "pack.value"),
    ("no word about cutting", "\"cut\":false,", "", "pack.missing"),
    ("an unknown member", "\"top\":20", "\"top\":20,\"tip\":1", "pack.unknownKey"),
    ("a missing member", "\"top\":20,", "", "pack.value"),
    ("a smaller top", "\"top\":20", "\"top\":19", "pack.value"),
    ("another vocabulary", "\"size\":200", "\"size\":20", "pack.value"),
    ("a tiny vocabulary", "\"size\":200", "\"size\":21", "pack.tokens"),
    ("no vocabulary", "\"size\":200", "\"size\":null", "pack.value"),
    ("an absurd vocabulary", "\"size\":200", "\"size\":4000000000", "pack.range"),
    ("an empty prompt", "\"tokenCount\":3", "\"tokenCount\":0", "pack.range"),
    ("a longer prompt", "\"tokenCount\":3", "\"tokenCount\":4", "pack.order"),
    ("rows twice", "\"first\":32", "\"first\":31", "pack.order"),
    ("rows of nobody", "\"prompt\":1,\"first\":32", "\"prompt\":2,\"first\":32", "pack.range"),
    ("more rows", "\"rows\":8", "\"rows\":9", "pack.order"),
    ("fewer rows", "\"rows\":8", "\"rows\":7", "pack.value"),
    ("a frame before the file", "\"at\":24", "\"at\":0", "pack.frame"),
    ("a frame past the end", "\"at\":24", "\"at\":18446744073709551615", "pack.frame"),
    ("another width", "\"width\":8", "\"width\":0", "pack.range"),
    ("another number of sums", "\"projections\":16", "\"projections\":17", "pack.value"),
    ("more layers than stages", "\"layers\":3", "\"layers\":5", "pack.order"),
    ("fewer layers than stages", "\"layers\":3", "\"layers\":2", "pack.range"),
    ("another number of buckets", "\"buckets\":256", "\"buckets\":248", "pack.value"),
    ("buckets that are no multiple of 8", "\"buckets\":256", "\"buckets\":255", "pack.range"),
    (
      "tails of nothing", "\"tailSketch\":{\"buckets\":256,\"seed\":2}", "\"tailSketch\":null",
      "pack.value"
    ),
    (
      "tails of other rows", "\"tails\":[{\"prompt\":0,\"first\":0",
      "\"tails\":[{\"prompt\":0,\"first\":1", "pack.order"
    ),
    (
      "rows of weights twice", "\"first\":2,\"rows\":2,\"columns\":5",
      "\"first\":1,\"rows\":2,\"columns\":5", "pack.order"
    ),
    (
      "other columns of a tensor", "\"first\":2,\"rows\":2,\"columns\":5",
      "\"first\":2,\"rows\":2,\"columns\":6", "pack.order"
    ),
    (
      "more rows of weights", "\"first\":2,\"rows\":2,\"columns\":5",
      "\"first\":2,\"rows\":3,\"columns\":5", "pack.value"
    ),
    (
      "more columns of weights than blocks", "\"first\":0,\"rows\":2,\"columns\":5",
      "\"first\":0,\"rows\":2,\"columns\":33", "pack.value"
    ),
    (
      "absurdly many columns of weights", "\"first\":0,\"rows\":2,\"columns\":5",
      "\"first\":0,\"rows\":2,\"columns\":4000000000", "pack.range"
    ),
    (
      "absurdly many rows of weights", "\"first\":2,\"rows\":2,\"columns\":5",
      "\"first\":2,\"rows\":4000000000,\"columns\":5", "pack.range"
    ),
    (
      "a whole tensor of two rows", "\"first\":0,\"rows\":1,\"columns\":3,\"whole\":true",
      "\"first\":0,\"rows\":2,\"columns\":3,\"whole\":true", "pack.value"
    ),
    (
      "more weights of a whole tensor", "\"first\":0,\"rows\":1,\"columns\":3,\"whole\":true",
      "\"first\":0,\"rows\":1,\"columns\":4,\"whole\":true", "pack.value"
    ),
    (
      "a sketch said to be whole", "\"columns\":3,\"whole\":true", "\"columns\":3,\"whole\":false",
      "pack.value"
    ),
    (
      "weights of nothing",
      "\"weightSketch\":{\"projections\":8,\"seed\":3,\"run\":32,\"signs\":16}",
      "\"weightSketch\":null", "pack.value"
    ),
    ("stages out of order", "{\"stage\":1", "{\"stage\":2", "pack.order"),
    ("a digest of another length", "\"sha256\":\"", "\"sha256\":\"00", "pack.value"),
    ("not JSON", "\"top\":20", "\"top\":", "pack.syntax"),
  ]

  @Test("a lie in the index is found", arguments: lies.indices)
  func lie(index: Int) throws {
    let (name, from, to, code) = Self.lies[index]
    let bytes = try Self.lying { text in
      guard let range = text.range(of: from) else { return text }
      return text.replacingCharacters(in: range, with: to)
    }
    #expect(Self.code(bytes) == code, "\(name)")
  }

  @Test("a frame that is not what the index says")
  func frames() throws {
    let rows = SyntheticRows(vocabulary: 200, width: 8, lengths: [3])
    let about = rows.description(top: 20)
    var frame = LogitFrame()
    let summary = LogitSummary(
      normalizer: 1, restMass: 0.5, restMean: 0, mean: 0, variance: 1, next: 0)
    frame.summaries = [summary]
    frame.ids = (0..<20).map { UInt32($0) * 2 }
    frame.values = (0..<20).map { Float($0) }
    let good = frame.encoded(keptCount: 20)
    #expect(try LogitFrame(good, rows: 1, about).ids == frame.ids)
    #expect(try LogitFrame(good, rows: 1, about).values == frame.values)
    func refused(_ edit: (inout LogitFrame) -> Void) {
      var bad = frame
      edit(&bad)
      let bytes = bad.encoded(keptCount: 20)
      let error = #expect(throws: TinctureError.self) { try LogitFrame(bytes, rows: 1, about) }
      #expect(error?.code.name == "pack.logits")
    }
    refused { $0.ids[19] = 200 }
    refused { $0.ids[3] = $0.ids[2] }
    refused { $0.values[0] = .infinity }
    refused { $0.summaries[0].restMass = 1.5 }
    refused { $0.summaries[0].normalizer = .nan }
    refused { $0.summaries[0].variance = -1 }
  }
}
