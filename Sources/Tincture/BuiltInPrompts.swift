import TinctureCore
import TinctureText

/// What `verify --against CHECKPOINT` runs without `--prompts`: `formats/prompts/built-in.json5`.
public struct BuiltInPrompts: Sendable {
  /// For every model.
  public let texts: [Prompt]
  /// For models with a chat template.
  public let conversations: [[ChatMessage]]

  /// - Throws: what is wrong with the file.
  public static func all() throws(TinctureError) -> BuiltInPrompts {
    var texts: [Prompt] = []
    var conversations: [[ChatMessage]] = []
    for file in try BundledFile.all(in: "prompts") {
      let json = try JSON.parse(file.bytes, file: file.path, mode: .lenient, code: "prompts")
      for node in try json.member("texts").array() { texts.append(.text(try node.string())) }
      for node in try json.member("conversations").array() {
        conversations.append(try ChatMessage.conversation(node.member("messages")))
      }
    }
    return BuiltInPrompts(texts: texts, conversations: conversations)
  }
}

/// The built-in conversations that became prompts.
struct BuiltInConversations {
  /// By the prompt's number.
  var messages: [Int: [ChatMessage]] = [:]
  /// The date for templates that write it, the same for both sides.
  let now = CalendarTime.present()
}
