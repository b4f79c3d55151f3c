import Testing
import TinctureCore
import TinctureText

@Suite("Prompt files") struct PromptFileTests {
  static func read(_ text: String) throws -> PromptFile {
    try PromptFile(Array(text.utf8), path: "p.jsonl")
  }

  @Test func threeKindsInFileOrder() throws {
    let file = try Self.read(
      """
      {"text": "caf\\u00e9 \u{1F600}"}

      {"ids": [2, 0, 262143]}\r
      {"messages": [{"role": "system", "content": "a"}, \
      {"content": [{"type": "text", "text": "b"}, {"text": "c", "type": "text"}], "role": "user"}]}
      """)
    #expect(
      file.prompts == [
        .text("caf\u{E9} \u{1F600}"), .ids([2, 0, 262143]),
        .messages([
          ChatMessage(role: "system", content: "a"),
          ChatMessage(role: "user", content: .parts(["b", "c"])),
        ]),
      ])
    #expect(file.lines == [1, 3, 4])
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    var text: String
    var code: String
    var key: String?
    var offset: UInt64?
    var testDescription: String { text }
  }

  @Test(
    "errors name the line and the byte in the file",
    arguments: [
      Bad(text: "", code: "prompts.empty"),
      Bad(text: " \n\t\r\n", code: "prompts.empty"),
      Bad(
        text: "{\"text\": \"a\"}\n{\"text\": }", code: "prompts.syntax", key: "line 2", offset: 23),
      Bad(text: "{\"text\": \"a\"}\n7", code: "prompts.type", key: "line 2", offset: 14),
      Bad(text: "{}", code: "prompts.members", key: "line 1", offset: 0),
      Bad(text: "{\"text\":\"a\",\"ids\":[1]}", code: "prompts.members", key: "line 1", offset: 0),
      Bad(text: "{\"txt\":\"a\"}", code: "prompts.members", key: "line 1, txt", offset: 2),
      Bad(text: "{\"text\":5}", code: "prompts.type", key: "line 1, text", offset: 8),
      Bad(text: "{\"ids\":[]}", code: "prompts.empty", key: "line 1, ids", offset: 7),
      Bad(text: "{\"ids\":[1,-1]}", code: "prompts.id", key: "line 1, ids[1]", offset: 10),
      Bad(text: "{\"ids\":[2147483648]}", code: "prompts.id", key: "line 1, ids[0]", offset: 8),
      Bad(text: "{\"ids\":[1.0]}", code: "prompts.type", key: "line 1, ids[0]", offset: 8),
      Bad(text: "{\"messages\":[]}", code: "prompts.empty", key: "line 1, messages", offset: 12),
      Bad(
        text: "{\"messages\":[{\"role\":\"user\"}]}", code: "prompts.missing",
        key: "line 1, messages[0]", offset: 13),
      Bad(
        text: "{\"messages\":[{\"role\":\"\",\"content\":\"\"}]}", code: "prompts.role",
        key: "line 1, messages[0].role", offset: 22),
      Bad(
        text: "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", code: "prompts.type",
        key: "line 1, messages[0].content", offset: 38),
      Bad(
        text: "{\"messages\":[{\"role\":\"a\",\"content\":\"\",\"tool_calls\":[]}]}",
        code: "prompts.unsupported", key: "line 1, messages[0].tool_calls", offset: 39),
      Bad(
        text: "{\"messages\":[{\"role\":\"a\",\"content\":[{\"type\":\"image\"}]}]}",
        code: "prompts.unsupported", key: "line 1, messages[0].content[0].type", offset: 45),
    ])
  func refused(bad: Bad) throws {
    let error = try #require(throws: TinctureError.self) { _ = try Self.read(bad.text) }
    #expect(error.code.name == bad.code)
    #expect(error.place.key == bad.key)
    #expect(error.place.byteOffset == bad.offset)
    #expect(error.place.file == "p.jsonl")
    #expect(error.code.kind == (bad.code.hasSuffix("unsupported") ? .unsupported : .invalidInput))
  }

  /// Users write these files: nothing is to be downloaded again.
  @Test(
    arguments: [
      (#"{"text": "a}"#, "correct the line: a whole JSON object on each"),
      (#"{'text': 'a'}"#, "correct the line: a whole JSON object on each"),
      (#"{"text": 5}"#, "correct the line"), (#"{"txt": "a"}"#, "correct the line"),
      (#"{"ids": []}"#, "correct the line"), ("", "write a prompt into it, or name another file"),
      (
        #"{"messages":[{"role":"a","content":"","tools":[]}]}"#,
        "take this part out of the conversation"
      ),
    ])
  func adviceFitsAFileWrittenByHand(text: String, advice: String) throws {
    let error = try #require(throws: TinctureError.self) { _ = try Self.read(text) }
    #expect(error.advice == advice)
  }

  @Test func encodings() throws {
    let line = Array("{\"text\": \"a\"}\n".utf8)
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    #expect(try PromptFile(mark + line, path: "p").prompts == [.text("a")])
    func error(_ bytes: [UInt8]) throws -> TinctureError {
      try #require(throws: TinctureError.self) { _ = try PromptFile(bytes, path: "p") }
    }
    // Offsets count from the file's first byte; a second mark is none.
    let late = try error(mark + line + mark + line)
    #expect(late.code.name == "prompts.syntax" && late.place.byteOffset == 3 + 14)
    #expect(try error(mark).code.name == "prompts.empty")
    let latin = try error(Array("{\"text\": \"caf".utf8) + [0xE9] + Array("\"}".utf8))
    #expect(latin.code.name == "prompts.utf8" && latin.advice == "save the file as UTF-8")
    for wide in [[0xFF, 0xFE, 0x7B, 0x00], [0xFE, 0xFF, 0x00, 0x7B]] as [[UInt8]] {
      let found = try error(wide)
      #expect(found.code.name == "prompts.utf8" && found.advice == "save the file as UTF-8")
      #expect(found.found == "the byte order mark of UTF-16")
    }
  }

  @Test func conversationOfItsOwn() throws {
    let text = #"{"messages":[{"role":"user","content":"Hi"}]}"#
    #expect(
      try ChatMessage.conversation(Array(text.utf8), path: "m")
        == [ChatMessage(role: "user", content: "Hi")])
    let error = try #require(throws: TinctureError.self) {
      _ = try ChatMessage.conversation(Array(#"{"tools":[],"messages":[]}"#.utf8), path: "m")
    }
    #expect(error.code.name == "messages.unsupported")
    #expect(error.code.kind == .unsupported)
  }
}
