import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureText

/// A model's own way to put a conversation into tokens: its chat template and its tokenizer.
///
/// The one place that says which template of a model counts: of a checkpoint's files the default one (that of
/// chat_template.jinja, else of tokenizer_config.json, else of chat_template.json, as `convert` writes it), of a GGUF
/// file `tokenizer.chat_template`.
public struct ChatFormat: Sendable {
  public let template: ChatTemplate
  private let tokenizer: Tokenizer
  private let bos, eos: String
  /// Further special tokens that a checkpoint's files name, as transformers hands them to its templates; llama.cpp knows
  /// the first and the last one only.
  private let others: [String: ChatTemplate.Variable]
  private let now: CalendarTime?

  /// The chat template of a model on disk.
  ///
  /// - Parameters:
  ///   - tokenizer: the model's own.
  ///   - now: the date for templates that write it, as Llama 3's do; nil makes asking for it an error.
  /// - Throws: `chat.template.missing` for a model without one, `chat.template.*` for one that is not understood.
  public init(
    _ checkpoint: Checkpoint, tokenizer: Tokenizer, now: CalendarTime?
  ) throws(TinctureError) {
    switch checkpoint.container {
    case .safetensors(let checkpoint):
      try self.init(
        TokenizerFiles.open(folder: checkpoint.folder), tokenizer: tokenizer, now: now)
    case .gguf(let file):
      let key = "tokenizer.chat_template"
      guard case .string(let source)? = file.value(key) else {
        throw Self.missing(file.path, key: key)
      }
      self.init(
        try ChatTemplate(source: source.bytes, name: "\(file.path), \(key)"), tokenizer, now, [:])
    }
  }

  /// The chat template that the tokenizer files of a folder hold; a folder without weights will do.
  ///
  /// - Throws: as above.
  public init(
    _ files: TokenizerFiles, tokenizer: Tokenizer, now: CalendarTime?
  ) throws(TinctureError) {
    guard let template = files.templates?.first(where: { $0.name == "default" }) else {
      throw Self.missing(files.folder, key: nil)
    }
    self.init(
      try ChatTemplate(source: template.text, name: files.folder), tokenizer, now,
      files.config.templateTokens)
  }

  private init(
    _ template: ChatTemplate, _ tokenizer: Tokenizer, _ now: CalendarTime?,
    _ named: [String: [UInt8]]
  ) {
    self.template = template
    self.tokenizer = tokenizer
    self.now = now
    func text(_ id: Int32?) -> String {
      id.flatMap { tokenizer.text(of: $0) }.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    var named = named.mapValues { String(decoding: $0, as: UTF8.self) }
    bos = named.removeValue(forKey: "bos_token") ?? text(tokenizer.bosID)
    eos = named.removeValue(forKey: "eos_token") ?? text(tokenizer.eosID)
    others = named.mapValues { .string($0) }
  }

  private static func missing(_ path: String, key: String?) -> TinctureError {
    TinctureError(
      .init("chat.template.missing", .unsupported), "the model has no chat template",
      place: .init(file: path, key: key),
      advice: "take the instruction-tuned model, or give this one texts")
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
      variables: others, now: now)
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
