import TinctureCore

/// What a model is given: a text, a conversation for its chat template, or token ids as they are.
public enum Prompt: Sendable, Hashable {
  case text(String)
  case messages([ChatMessage])
  case ids([Int32])
}

/// A file of prompts, one JSON object a line (JSON Lines): `{"text": …}`, `{"messages": […]}` or `{"ids": […]}`.
///
/// Blank lines are passed over. A line with another member, or with more than one of the three, is an error: a
/// misspelt word must not change what is measured.
public struct PromptFile: Sendable {
  public let path: String
  /// The prompts in file order; at least one.
  public let prompts: [Prompt]
  /// The number of each prompt's line, from 1.
  public let lines: [Int]

  /// The largest file read, in bytes.
  package static let byteLimit = 256 << 20

  /// Reads the file. Memory: its size and what the prompts hold.
  ///
  /// - Throws: `prompts.*` and `messages.*` with the line and the byte offset in the file; `file.*`.
  public static func open(path: String) throws(TinctureError) -> PromptFile {
    try PromptFile(InputFile(path: path).contents(limit: byteLimit), path: path)
  }

  /// Reads the file's bytes.
  ///
  /// - Throws: `prompts.*` with the line and the byte offset in the file.
  package init(_ bytes: [UInt8], path: String) throws(TinctureError) {
    self.path = path
    var prompts: [Prompt] = []
    var lines: [Int] = []
    var start = 0
    var number = 0
    while start < bytes.count {
      number += 1
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      let line = bytes[start..<end]
      if line.contains(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D }) {
        do throws(TinctureError) {
          prompts.append(try PromptFile.prompt(Array(line), path: path))
        } catch {
          var placed = error
          placed.place.key = "line \(number)" + (error.place.key.map { ", \($0)" } ?? "")
          placed.place.byteOffset = error.place.byteOffset.map { $0 + UInt64(start) }
          throw placed
        }
        lines.append(number)
      }
      start = end + 1
    }
    guard !prompts.isEmpty else {
      throw TinctureError(
        .init("prompts.empty", .invalidInput), "the file holds no prompt",
        place: .init(file: path),
        expected: #"lines such as {"text": "Hello"}, {"messages": […]} or {"ids": [1, 2]}"#)
    }
    self.prompts = prompts
    self.lines = lines
  }

  private static func prompt(_ line: [UInt8], path: String) throws(TinctureError) -> Prompt {
    let root = try JSON.parse(line, file: path, code: "prompts")
    _ = try root.object()
    guard root.count == 1, let (key, value) = root.members.first(where: { _ in true }) else {
      throw root.error(
        "members", "a line holds one prompt", expected: #"one of "text", "messages" and "ids""#,
        found: "\(root.count) members")
    }
    switch try key.string() {
    case "text": return .text(try value.string())
    case "messages": return .messages(try ChatMessage.conversation(value))
    case "ids": return .ids(try ids(value))
    default:
      throw key.error(
        "members", "unknown kind of prompt", expected: #""text", "messages" or "ids""#,
        found: key.shortText)
    }
  }

  private static func ids(_ list: JSON) throws(TinctureError) -> [Int32] {
    var ids: [Int32] = []
    for node in try list.array() {
      let id = try node.int()
      guard let narrow = Int32(exactly: id), narrow >= 0 else {
        throw node.error(
          "id", "the token id is out of range", expected: "0 to \(Int32.max)", found: "\(id)")
      }
      ids.append(narrow)
    }
    guard !ids.isEmpty else { throw list.error("empty", "a prompt without tokens") }
    return ids
  }
}
