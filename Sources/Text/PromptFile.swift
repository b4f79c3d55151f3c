import TinctureCore

/// What a model is given: a text, a conversation for its chat template, or token ids as they are.
public enum Prompt: Sendable, Hashable {
  case text(String)
  case messages([ChatMessage])
  case ids([Int32])
}

/// A file of prompts, one JSON object a line (JSON Lines): `{"text": …}`, `{"messages": […]}` or `{"ids": […]}`.
///
/// Blank lines are passed over, and so is a byte order mark at the file's start. A line with another member, or with more
/// than one of the three, is an error: a misspelt word must not change what is measured.
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
    let bytes = try InputFile(path: path).contents(
      limit: byteLimit, advice: "split the prompts into several files")
    return try PromptFile(bytes, path: path)
  }

  /// Reads the file's bytes.
  ///
  /// - Throws: `prompts.*` with the line and the byte offset in the file.
  package init(_ bytes: [UInt8], path: String) throws(TinctureError) {
    self.path = path
    var prompts: [Prompt] = []
    var lines: [Int] = []
    try PromptFile.refuseUTF16(bytes, path: path)
    var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
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
          placed.advice = error.advice ?? "correct the line"
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
        expected: #"lines such as {"text": "Hello"}, {"messages": […]} or {"ids": [1, 2]}"#,
        found: bytes.isEmpty ? "an empty file" : "blank lines only",
        advice: "write a prompt into it, or name another file")
    }
    self.prompts = prompts
    self.lines = lines
  }

  private static func prompt(_ line: [UInt8], path: String) throws(TinctureError) -> Prompt {
    let isUTF8 = String(validating: line, as: UTF8.self) != nil
    let root = try JSON.parse(
      line, file: path, code: "prompts",
      advice: isUTF8 ? "correct the line: a whole JSON object on each" : "save the file as UTF-8")
    _ = try root.object()
    guard root.count == 1, let (key, value) = root.members.first(where: { _ in true }) else {
      throw root.error(
        "members", "a line holds one prompt and nothing else",
        expected: #"one member: "text", "messages" or "ids""#,
        found: root.count == 0
          ? "no member"
          : "\(root.count) members: \(root.members.map(\.key.shortText).joined(separator: ", "))")
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

  /// - Throws: `prompts.utf8` for a file that begins with the mark of UTF-16.
  private static func refuseUTF16(_ bytes: [UInt8], path: String) throws(TinctureError) {
    guard bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) else { return }
    throw TinctureError(
      .init("prompts.utf8", .invalidInput), "the file is not UTF-8",
      place: .init(file: path, byteOffset: 0), expected: "UTF-8",
      found: "the byte order mark of UTF-16", advice: "save the file as UTF-8")
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
