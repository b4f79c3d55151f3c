import TinctureCore

/// A model's chat template, which turns a conversation into the text the model was trained on.
///
/// A template is data from an untrusted file: this is an interpreter for a subset of Jinja 3.1 as transformers sets it
/// up (`trim_blocks`, `lstrip_blocks`, loop controls, `raise_exception`, `strftime_now`, `generation` blocks), and
/// nothing but the conversation and the given variables can be reached from it. Steps, memory, output and nesting are
/// bounded. What is outside the subset is an error that names the line and the construct, never a guess; in branches
/// that a plain conversation does not take it does no harm.
///
/// Source: the Jinja documentation (template designer) and the behaviour of jinja2 3.1.6 under transformers 5.14,
/// which `tools/golden/chat.py` and `tools/check/chat.py` compare.
public struct ChatTemplate: Sendable {
  /// A value that a template asks for by name, such as `enable_thinking`.
  public enum Variable: Sendable, Hashable {
    case none
    case bool(Bool)
    case int(Int)
    case string(String)
  }

  /// The name for errors: a file, or a metadata key.
  public let name: String
  private let body: [TemplateStatement]
  private let scalarCount: Int

  /// The largest template read, in bytes.
  package static let byteLimit = 1 << 20

  /// Reads a template. Cost: one pass; memory a small multiple of its size.
  ///
  /// - Parameters:
  ///   - source: the template's text, UTF-8.
  ///   - name: where it comes from, for errors.
  /// - Throws: `chat.template.utf8`, `chat.template.syntax` for what is not Jinja, `chat.template.unsupported` for
  ///   statements outside the subset, `chat.template.limit` for nesting or size beyond the bounds; each names the line.
  public init(source: [UInt8], name: String) throws(TinctureError) {
    self.name = name
    guard source.count <= ChatTemplate.byteLimit else {
      throw TinctureError(
        .init("chat.template.limit", .limit), "the chat template is too large",
        place: .init(file: name), expected: "at most \(ChatTemplate.byteLimit) bytes",
        found: "\(source.count) bytes",
        advice: "download the model's files again, or give another template")
    }
    guard isValidUTF8(source) else {
      throw TinctureError(
        .init("chat.template.utf8", .invalidInput), "the chat template is not valid UTF-8",
        place: .init(file: name), advice: "download the model's files again")
    }
    let text = TemplateText(String(decoding: source, as: UTF8.self))
    scalarCount = text.count
    body = try located(file: name) { () throws(TinctureError) -> [TemplateStatement] in
      try TemplateParser.parse(text)
    }
  }

  /// The prompt for a conversation.
  ///
  /// - Parameters:
  ///   - messages: the conversation, first turn first.
  ///   - addGenerationPrompt: whether the text ends with the start of the assistant's turn.
  ///   - bosToken: text of the token that begins a sequence, which templates write themselves; empty when there is none.
  ///   - eosToken: text of the token that ends one.
  ///   - variables: further names for the template; `tools` and `documents` are none unless given.
  ///   - now: the date for templates that write it; nil makes asking for it an error.
  /// - Returns: the text to be tokenized without adding special tokens, since it holds them already.
  /// - Throws: `chat.template.raised` when the template refuses the conversation, `chat.template.value` when a value of
  ///   the wrong sort is met, `chat.template.unsupported` when a construct outside the subset is reached,
  ///   `chat.template.limit` beyond the bounds; each names the line.
  ///
  /// Cost: bounded by 8 million steps and 256 for each character of template and conversation.
  public func render(
    messages: [ChatMessage], addGenerationPrompt: Bool, bosToken: String, eosToken: String,
    variables: [String: Variable] = [:], now: CalendarTime? = nil
  ) throws(TinctureError) -> String {
    var size = scalarCount
    for message in messages {
      switch message.content {
      case .text(let text): size += text.unicodeScalars.count
      case .parts(let parts): for part in parts { size += part.unicodeScalars.count }
      }
    }
    return try render(
      messages: messages, addGenerationPrompt: addGenerationPrompt, bosToken: bosToken,
      eosToken: eosToken, variables: variables, now: now, fuel: 8_000_000 + 256 * size)
  }

  /// The same with at most `fuel` steps and scalars made.
  package func render(
    messages: [ChatMessage], addGenerationPrompt: Bool, bosToken: String, eosToken: String,
    variables: [String: Variable], now: CalendarTime?, fuel: Int
  ) throws(TinctureError) -> String {
    var globals: [String: TemplateValue] = [
      "tools": .none, "documents": .none, "bos_token": .text(bosToken),
      "eos_token": .text(eosToken), "add_generation_prompt": .bool(addGenerationPrompt),
      "messages": .list(messages.map(ChatTemplate.value)),
    ]
    for (name, variable) in variables {
      globals[name] =
        switch variable {
        case .none: TemplateValue.none
        case .bool(let value): .bool(value)
        case .int(let value): .int(value)
        case .string(let value): .text(value)
        }
    }
    var renderer = TemplateRenderer(globals: globals, now: now, fuel: fuel)
    defer { renderer.kept.empty() }
    do throws(TinctureError) {
      _ = try renderer.run(body)
    } catch {
      throw error.at(file: name)
    }
    return renderer.output.string
  }

  private static func value(_ message: ChatMessage) -> TemplateValue {
    let content: TemplateValue =
      switch message.content {
      case .text(let text): .text(text)
      case .parts(let parts):
        .list(
          parts.map { .dict(TemplateDict([("type", .text("text")), ("text", .text($0))])) })
      }
    return .dict(TemplateDict([("role", .text(message.role)), ("content", content)]))
  }
}
