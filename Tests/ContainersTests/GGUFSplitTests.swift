import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Sets of parts: what does not belong together is refused; what we cut is what gguf-split cuts.
@Suite struct GGUFSplitTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func part(
    _ number: UInt16, of count: UInt16, tensors: Int32, name: String, pairs: Bool = true
  ) -> FileBytes {
    FileBytes.gguf(
      pairs: pairs
        ? [
          FileBytes.pair("split.no", 2) { $0.add(number) },
          FileBytes.pair("split.tensors.count", 5) { $0.add(tensors) },
          FileBytes.pair("split.count", 2) { $0.add(count) },
        ] : [],
      tensors: [FileBytes.tensor(name, [8])], data: 32)
  }

  private func put(_ name: String, _ file: FileBytes) throws {
    try Data(file.bytes).write(to: URL(fileURLWithPath: folder.path(name)))
  }

  private func failure(_ name: String = "m-00001-of-00002.gguf") -> String {
    let error = #expect(throws: TinctureError.self) { _ = try GGUFFile.open(folder.path(name)) }
    return snapshot(error)
  }

  @Test func whole() throws {
    try put("m-00001-of-00002.gguf", part(0, of: 2, tensors: 2, name: "a"))
    try put("m-00002-of-00002.gguf", part(1, of: 2, tensors: 2, name: "b"))
    #expect(
      try GGUFFile.open(folder.path("m-00002-of-00002.gguf")).tensors.map(\.name) == ["a", "b"])
  }

  @Test func missingPart() throws {
    try put("m-00001-of-00002.gguf", part(0, of: 2, tensors: 2, name: "a"))
    #expect(failure() == "gguf.split.missing")
  }

  @Test func partUnderAnotherName() throws {
    try put("renamed.gguf", part(0, of: 2, tensors: 2, name: "a"))
    #expect(failure("renamed.gguf") == "gguf.split.name")
  }

  @Test func samePartTwice() throws {
    try put("m-00001-of-00002.gguf", part(0, of: 2, tensors: 2, name: "a"))
    try put("m-00002-of-00002.gguf", part(0, of: 2, tensors: 2, name: "b"))
    #expect(failure() == "gguf.split.mixed key split.no")
  }

  @Test func partOfALargerSet() throws {
    try put("m-00001-of-00002.gguf", part(0, of: 2, tensors: 2, name: "a"))
    try put("m-00002-of-00002.gguf", part(1, of: 3, tensors: 2, name: "b"))
    #expect(failure() == "gguf.split.mixed key split.count")
  }

  @Test func partWithoutKeys() throws {
    try put("m-00001-of-00002.gguf", part(0, of: 2, tensors: 2, name: "a"))
    try put("m-00002-of-00002.gguf", part(1, of: 2, tensors: 2, name: "b", pairs: false))
    #expect(failure() == "gguf.split.mixed key split.count")
  }

  @Test func tensorsDoNotAddUp() throws {
    try put("m-00001-of-00002.gguf", part(0, of: 2, tensors: 3, name: "a"))
    try put("m-00002-of-00002.gguf", part(1, of: 2, tensors: 3, name: "b"))
    #expect(failure() == "gguf.split.mixed key split.tensors.count")
  }

  @Test func tensorInTwoParts() throws {
    try put("m-00001-of-00002.gguf", part(0, of: 2, tensors: 2, name: "a"))
    try put("m-00002-of-00002.gguf", part(1, of: 2, tensors: 2, name: "a"))
    #expect(failure() == "gguf.tensor.duplicate tensor a")
  }

  @Test(arguments: [
    (0, 0, "gguf.split.value key split.count"), (2, 2, "gguf.split.value key split.no"),
    (65_535, 2, "gguf.split.value key split.no"),
  ])
  func impossibleNumbers(_ number: Int, _ count: Int, _ expected: String) throws {
    try put("m.gguf", part(UInt16(number), of: UInt16(count), tensors: 1, name: "a"))
    #expect(failure("m.gguf") == expected)
  }

  @Test func setOfOne() throws {
    try put("any-name.gguf", part(0, of: 1, tensors: 1, name: "a"))
    #expect(try GGUFFile.open(folder.path("any-name.gguf")).tensors.count == 1)
  }

  private struct Expected: Decodable {
    struct Part: Decodable {
      let name: String
      let bytes: UInt64
      let header: String
    }
    let limit: UInt64
    let rows: [Int]
    let parts: [Part]
  }

  /// The same parts, headers byte for byte, as llama.cpp's gguf-split makes of the same model.
  @Test func cutLikeGGUFSplit() throws {
    let expected = try JSONDecoder().decode(
      Expected.self, from: Repository.contents("golden/containers/size-split.json"))
    let tensors = try expected.rows.enumerated().map { index, count in
      GGUFLayout.Request(
        name: "t\(index).weight", type: .element(.f32),
        shape: try #require(Shape(checking: count > 1 ? [count, 1000] : [999])))
    }
    let split = try GGUFSplitLayout(
      metadata: [
        ("general.architecture", .string("llama")), ("general.name", .string("size split")),
      ],
      tensors: tensors, partByteLimit: expected.limit)
    #expect(split.paths(for: "part.gguf") == expected.parts.map(\.name))
    #expect(split.oversized == ["t3.weight"])
    for (part, want) in zip(split.parts, expected.parts) {
      #expect(
        part.header.map { String(format: "%02x", $0) }.joined() == want.header, "\(want.name)")
      #expect(part.byteCount == want.bytes)
    }
  }

  @Test func firstTensorTooLarge() {
    let error = #expect(throws: TinctureError.self) {
      _ = try GGUFSplitLayout(
        metadata: [], tensors: [.init(name: "a", type: .element(.f32), shape: Shape(100))],
        partByteLimit: 100)
    }
    #expect(snapshot(error) == "gguf.split.tooSmall tensor a")
    #expect(error?.expected == "at least 416 bytes a part")
  }

  /// Parts after the first are read alone, so they say the alignment too.
  @Test func alignmentInEveryPart() throws {
    let tensors = ["a", "b"].map {
      GGUFLayout.Request(name: $0, type: .element(.f32), shape: Shape(10))
    }
    let split = try GGUFSplitLayout(
      metadata: [("x", .bool(true))], tensors: tensors, alignment: 256, partByteLimit: 64)
    #expect(
      split.parts.map { $0.metadata.map(\.key) } == [
        ["x", "general.alignment", "split.no", "split.tensors.count", "split.count"],
        ["general.alignment", "split.no", "split.tensors.count", "split.count"],
      ])
    #expect(split.parts.allSatisfy { $0.alignment == 256 && $0.byteCount % 256 == 0 })
  }
}
