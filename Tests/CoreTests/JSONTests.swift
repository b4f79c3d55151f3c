import Testing
import TinctureCore

@Suite("JSON")
struct JSONTests {
  static func failure(_ text: [UInt8], _ mode: JSON.Mode = .strict) -> TinctureError? {
    do throws(TinctureError) {
      _ = try JSON.parse(text, file: "x.json", mode: mode)
      return nil
    } catch {
      return error
    }
  }

  /// (text, code, byte offset) of everything the strict grammar refuses.
  static let refused: [(String, String, UInt64)] = [
    ("", "json.syntax", 0), ("{", "json.syntax", 1), ("[1,]", "json.syntax", 3),
    ("{\"a\":1,}", "json.syntax", 7), ("[01]", "json.syntax", 1), ("[1.]", "json.syntax", 3),
    ("[+1]", "json.syntax", 1), ("[.5]", "json.syntax", 1), ("[1e]", "json.syntax", 3),
    ("[NaN]", "json.syntax", 1), ("[Infinity]", "json.syntax", 1), ("tru", "json.syntax", 3),
    ("\"a", "json.syntax", 0), ("\"\u{01}\"", "json.syntax", 1), ("\"\\x\"", "json.syntax", 1),
    ("\"\\ud800\"", "json.syntax", 1), ("\"\\udc00\"", "json.syntax", 1),
    ("\"\\ud800\\u0041\"", "json.syntax", 1), ("1 2", "json.syntax", 2),
    ("{a:1}", "json.syntax", 1), ("// x\n1", "json.syntax", 0), ("\u{FEFF}1", "json.syntax", 0),
    ("{\"a\":1,\"a\":2}", "json.duplicateKey", 8),
    ("{\"a\":1,\"\\u0061\":2}", "json.duplicateKey", 8),
    ("{\"b\":{\"k\":1,\"k\":1}}", "json.duplicateKey", 13),
  ]

  @Test("refuses what RFC 8259 refuses, and duplicate keys", arguments: refused)
  func refuses(text: String, code: String, offset: UInt64) throws {
    let error = try #require(Self.failure(Array(text.utf8)))
    #expect(error.code.name == code)
    #expect(error.place.byteOffset == offset)
    #expect(error.place.file == "x.json")
    #expect(ExitStatus(error.code.kind) == .invalidInput)
  }

  @Test(
    "refuses bytes that are not UTF-8",
    arguments: [
      [0x22, 0xC0, 0x80, 0x22], [0x22, 0xE0, 0x80, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
      [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], [0x22, 0xFF, 0x22], [0x22, 0xE2, 0x82, 0x22],
      [0x22, 0xF0, 0x9F, 0x98], [0x22, 0x80, 0x22],
    ] as [[UInt8]])
  func refusesBadUTF8(bytes: [UInt8]) throws {
    let error = try #require(Self.failure(bytes))
    #expect(error.code.name == "json.utf8")
    #expect(error.place.byteOffset == 1)
  }

  @Test func depthIsLimited() throws {
    let deep = { (n: Int) in
      Array((String(repeating: "[", count: n) + String(repeating: "]", count: n)).utf8)
    }
    #expect(Self.failure(deep(64)) == nil)
    #expect(try #require(Self.failure(deep(65))).code.name == "json.depth")
    #expect(try #require(Self.failure(deep(1_000_000))).code.name == "json.depth")
  }

  @Test func everyPrefixOfADocumentIsRefused() throws {
    let text = Array("{\"a\":[1,-2.5e3,true,null,\"\\u00e9\\ud83d\\ude00é\"],\"b\":{}}".utf8)
    #expect(Self.failure(text) == nil)
    for length in 0..<text.count {
      #expect(Self.failure(Array(text[..<length])) != nil, "prefix of \(length) bytes")
    }
  }

  @Test func valuesAndPaths() throws {
    let text =
      "{ \"name\": \"x\\n\\ud83d\\ude00é\", \"list\": [1, {\"deep\": [true, 2.5]}], \"none\": null, \"n\": -0 }"
    let root = try JSON.parse(Array(text.utf8), file: nil)
    #expect(root.count == 4)
    #expect(try root.member("name").string() == "x\n😀é")
    #expect(root.members.map { $0.key.shortText } == ["\"name\"", "\"list\"", "\"none\"", "\"n\""])
    let list = try #require(root["list"])
    let items = try Array(list.array())
    #expect(try items[0].int() == 1)
    let deep = try Array(items[1].member("deep").array())
    #expect(deep[1].path == "list[1].deep[1]")
    #expect(try deep[1].double() == 2.5)
    #expect(try deep[0].bool())
    #expect(root["none"]?.kind == .null)
    #expect(root.present("none") == nil)
    #expect(root["absent"] == nil)
    #expect(try root.member("n").int() == 0)
  }

  @Test func typedAccessSaysWhereAndWhat() throws {
    let root = try JSON.parse(
      Array(
        "{\"text_config\":{\"heads\":\"34\",\"big\":99999999999999999999,\"f\":1.0,\"e\":1e400}}"
          .utf8),
      file: "config.json", code: "config")
    let inner = try root.member("text_config")
    func code(_ body: () throws(TinctureError) -> Void) -> TinctureError? {
      do throws(TinctureError) {
        try body()
        return nil
      } catch {
        return error
      }
    }
    let heads = try #require(
      code { () throws(TinctureError) in _ = try inner.member("heads").int() })
    #expect(heads.code.name == "config.type")
    #expect(heads.place.key == "text_config.heads")
    #expect(heads.found == "\"34\"")
    let cases: [(String, String)] = [("big", "config.range"), ("f", "config.type")]
    for (key, name) in cases {
      let error = code { () throws(TinctureError) in _ = try inner.member(key).int() }
      #expect(error?.code.name == name, "\(key)")
    }
    #expect(
      code { () throws(TinctureError) in _ = try inner.member("e").double() }?.code.name
        == "config.range")
    #expect(
      code { () throws(TinctureError) in _ = try inner.member("gone") }?.code.name
        == "config.missing")
    #expect(code { () throws(TinctureError) in _ = try root.array() }?.code.name == "config.type")
  }

  @Test func keysAreBytesNotCanonicalEquivalents() throws {
    let root = try JSON.parse(Array("{\"é\":1,\"e\u{301}\":2}".utf8), file: nil)
    #expect(root.count == 2)
    #expect(try root.member("e\u{301}").int() == 2)
  }

  @Test func lenientModeReadsFormats() throws {
    let text = "// head\n{ name: 'x', }"
    #expect(Self.failure(Array(text.utf8), .lenient) != nil)
    let root = try JSON.parse(
      Array("// head\n{ /* c */ name: \"x\", list: [1, 2,], }".utf8), file: nil, mode: .lenient)
    #expect(root["name"]?.equals("x") == true)
    #expect(root["list"]?.count == 2)
    #expect(Self.failure(Array("{a:1,a:2}".utf8), .lenient)?.code.name == "json.duplicateKey")
    #expect(Self.failure(Array("/* open".utf8), .lenient) != nil)
  }

  @Test func writerRoundTrips() throws {
    let value = JSONValue.object([
      ("s", .string("a\"\\\n\t\u{1}\u{7F}é😀")), ("i", .int(-3)), ("u", .uint(.max)),
      ("d", .double(0.1)),
      ("b", .bool(true)), ("n", .null), ("a", .array([.int(1), .object([])])), ("e", .array([])),
    ])
    for pretty in [false, true] {
      let root = try JSON.parse(value.serialized(pretty: pretty), file: nil)
      #expect(try root.member("s").string() == "a\"\\\n\t\u{1}\u{7F}é😀")
      #expect(try root.member("u").uint64() == .max)
      #expect(try root.member("d").double() == 0.1)
      #expect(root.members.map { $0.key.shortText.count } == Array(repeating: 3, count: 8))
    }
  }
}
