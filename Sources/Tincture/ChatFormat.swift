import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureText

/// A model's own way to put a conversation into tokens: its chat template and its tokenizer.
public struct ChatFormat: Sendable {
  public let template: ChatTemplate
  private let tokenizer: Tokenizer
  private let bos, eos: String
  private let now: CalendarTime?

  /// The template of a bound model, `tokenizer.chat_template` of its metadata.
  ///
  /// - Parameter now: the date for templates that write it, as Llama 3's do; nil makes asking for it an error.
  /// - Throws: `chat.template.missing` for a model without one, `chat.template.*` for one that is not understood.
  public init(
    _ model: BoundModel, tokenizer: Tokenizer, now: CalendarTime?
  ) throws(TinctureError) {
    self.now = now
    let key = "tokenizer.chat_template"
    let file = model.source.files.first?.path
    guard case .string(let source)? = model.metadata.first(where: { $0.key == key })?.value else {
      throw TinctureError(
        .init("chat.template.missing", .unsupported), "the model has no chat template",
        place: .init(file: file, key: key),
        advice: "it was not made for conversations: give it texts")
    }
    template = try ChatTemplate(source: source.bytes, name: file ?? key)
    self.tokenizer = tokenizer
    func text(_ id: Int32?) -> String {
      id.flatMap { tokenizer.text(of: $0) }.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    bos = text(tokenizer.bosID ?? Self.id(model, "bos"))
    eos = text(tokenizer.eosID ?? Self.id(model, "eos"))
  }

  /// A special token that the tokenizer does not put around texts, but templates write.
  private static func id(_ model: BoundModel, _ name: String) -> Int32? {
    let key = "tokenizer.ggml.\(name)_token_id"
    guard case .uint32(let id)? = model.metadata.first(where: { $0.key == key })?.value else {
      return nil
    }
    return Int32(exactly: id)
  }

  /// The text of a conversation.
  ///
  /// - Parameter addGenerationPrompt: whether it ends with the start of the model's turn.
  /// - Throws: `chat.template.*`.
  public func text(_ messages: [ChatMessage], addGenerationPrompt: Bool) throws(TinctureError)
    -> String
  {
    try template.render(
      messages: messages, addGenerationPrompt: addGenerationPrompt, bosToken: bos, eosToken: eos,
      now: now)
  }

  /// Its tokens; the template writes special tokens itself.
  ///
  /// - Throws: `chat.template.*`.
  public func tokens(_ messages: [ChatMessage], addGenerationPrompt: Bool) throws(TinctureError)
    -> [Int32]
  {
    tokenizer.encode(
      try text(messages, addGenerationPrompt: addGenerationPrompt), addSpecial: false,
      parseSpecial: true)
  }
}
