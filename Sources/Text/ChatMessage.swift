import TinctureCore

/// One turn of a conversation: who speaks, and what.
public struct ChatMessage: Sendable, Hashable {
  /// What a turn says: one text, or a list of texts as models that also take pictures write it.
  public enum Content: Sendable, Hashable {
    case text(String)
    case parts([String])
  }

  /// "system", "user", "assistant", or another name that the model's template knows.
  public var role: String
  public var content: Content

  public init(role: String, content: Content) {
    self.role = role
    self.content = content
  }

  public init(role: String, content: String) {
    self.init(role: role, content: .text(content))
  }

  /// Reads `{"messages": [{"role": …, "content": …}, …]}`; a content is a text or a list of
  /// `{"type": "text", "text": …}`.
  ///
  /// - Parameter path: the file's path, for errors.
  /// - Throws: `messages.*` with byte offset and key path; `messages.unsupported` for pictures, tools and whatever
  ///   else is no plain conversation.
  public static func conversation(
    _ bytes: [UInt8], path: String
  ) throws(TinctureError) -> [ChatMessage] {
    let root = try JSON.parse(bytes, file: path, code: "messages")
    for (key, _) in try root.object() where !key.equals("messages") {
      throw unsupported(key, "\"messages\" and nothing else")
    }
    return try conversation(root.member("messages"))
  }

  /// The messages of a list; at least one.
  package static func conversation(_ list: JSON) throws(TinctureError) -> [ChatMessage] {
    var messages: [ChatMessage] = []
    for node in try list.array() { messages.append(try ChatMessage(node)) }
    guard !messages.isEmpty else {
      throw list.error("empty", "a conversation without messages", expected: "one or more")
    }
    return messages
  }

  private init(_ node: JSON) throws(TinctureError) {
    for (key, _) in try node.object() where !key.equals("role") && !key.equals("content") {
      throw ChatMessage.unsupported(key, "\"role\" and \"content\"")
    }
    let role = try node.member("role")
    self.role = try role.string()
    guard !self.role.isEmpty else { throw role.error("role", "the role is empty") }
    let content = try node.member("content")
    if content.kind == .array {
      var parts: [String] = []
      for part in content.elements { parts.append(try ChatMessage.part(part)) }
      self.content = .parts(parts)
    } else {
      self.content = .text(try content.string())
    }
  }

  private static func part(_ node: JSON) throws(TinctureError) -> String {
    _ = try node.object()
    let type = try node.member("type")
    guard try type.string() == "text" else {
      throw unsupported(type, "\"text\"")
    }
    for (key, _) in node.members where !key.equals("type") && !key.equals("text") {
      throw unsupported(key, "\"type\" and \"text\"")
    }
    return try node.member("text").string()
  }

  private static func unsupported(_ node: JSON, _ expected: String) -> TinctureError {
    let found = node.shortText
    let error = node.error("unsupported", "only plain conversations of texts are supported")
    return TinctureError(
      .init(error.code.name, .unsupported), error.message, place: error.place, expected: expected,
      found: found, advice: "take this part out of the conversation")
  }
}
