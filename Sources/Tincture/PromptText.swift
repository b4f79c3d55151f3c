import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureRuntime
import TinctureText

/// Prompts of every kind as token ids, and ids as text.
struct PromptText {
  private let checkpoint: Checkpoint
  private let runtime: RuntimeModel
  private let tokenizer: Tokenizer?
  /// What the tokenizer is made of; nil for a model without one.
  let facts: TokenizerFacts?
  /// Why there is no tokenizer.
  private let tokenizerError: TinctureError?

  init(_ checkpoint: Checkpoint, _ bound: BoundModel, _ runtime: RuntimeModel) {
    self.checkpoint = checkpoint
    self.runtime = runtime
    do throws(TinctureError) {
      tokenizer = try Tokenizer.open(checkpoint)
      tokenizerError = nil
    } catch {
      // Prompts of ids can do without; others will throw it.
      tokenizer = nil
      tokenizerError = error
    }
    facts = TokenizerFacts(bound, tokenizer)
  }

  /// The ids of a text that was given, or that a chat template wrote.
  ///
  /// - Throws: why there is no tokenizer.
  func ids(_ text: String, _ form: PromptForm) throws(TinctureError) -> [Int32] {
    try needTokenizer().encode(text, addSpecial: form == .text)
  }

  /// The prompts as token ids with their pieces, each cut to its first `tokenLimit` tokens.
  ///
  /// - Parameter file: the file they were read from; an error names its line.
  /// - Throws: `record.prompt` for a prompt without tokens, `runtime.context` for one longer than the model's context,
  ///   `runtime.token` for a token without a row, the tokenizer's and the chat template's errors.
  func packPrompts(
    _ prompts: [Prompt], tokenLimit: Int?, file: PromptFile? = nil
  ) throws(TinctureError) -> [PackPrompt] {
    var result: [PackPrompt] = []
    var format: ChatFormat?
    for (number, prompt) in prompts.enumerated() {
      do throws(TinctureError) {
        result.append(try packPrompt(prompt, tokenLimit: tokenLimit, &format))
      } catch {
        let line = file.map { "line \($0.lines[number])" } ?? "prompt \(number + 1)"
        if error.place.file == nil { throw error.at(file: file?.path, key: line) }
        // The place in the template, then that of the conversation.
        var placed = error
        placed.place.key =
          (error.place.key.map { $0 + "; " } ?? "") + (file.map { "\($0.path), " } ?? "") + line
        throw placed
      }
    }
    return result
  }

  /// A conversation as a prompt, cut to its first `tokenLimit` tokens.
  ///
  /// - Throws: what ``packPrompts(_:tokenLimit:file:)`` throws, without a prompt's number.
  func packPrompt(
    _ messages: [ChatMessage], tokenLimit: Int?, now: CalendarTime?
  ) throws(TinctureError) -> PackPrompt {
    var format: ChatFormat? = try ChatFormat(checkpoint, tokenizer: needTokenizer(), now: now)
    return try packPrompt(.messages(messages), tokenLimit: tokenLimit, &format)
  }

  /// The ids that the model's own chat template and tokenizer make of a conversation.
  func ids(_ messages: [ChatMessage], now: CalendarTime?) throws(TinctureError) -> [Int32] {
    try ChatFormat(checkpoint, tokenizer: needTokenizer(), now: now)
      .tokens(messages, addGenerationPrompt: true)
  }

  private func packPrompt(
    _ prompt: Prompt, tokenLimit: Int?, _ format: inout ChatFormat?
  ) throws(TinctureError) -> PackPrompt {
    var text: String?
    var form: PromptForm?
    var ids: [Int32]
    switch prompt {
    case .ids(let given): ids = given
    case .text(let given):
      (text, form) = (given, .text)
      ids = try self.ids(given, .text)
    case .messages(let messages):
      let chat: ChatFormat
      if let format { chat = format } else { chat = try chatFormat() }
      format = chat
      let rendered = try chat.text(messages, addGenerationPrompt: true)
      (text, form) = (rendered, .conversation)
      ids = try self.ids(rendered, .conversation)
    }
    let isCut = ids.count > tokenLimit ?? .max
    if let tokenLimit, isCut { ids = Array(ids.prefix(tokenLimit)) }
    guard !ids.isEmpty else {
      throw TinctureError(
        .init("record.prompt", .invalidInput), "the prompt has no tokens",
        advice: "take it out of the file")
    }
    guard ids.count <= runtime.contextLength else {
      throw TinctureError(
        .init("runtime.context", .usage), "the prompt is longer than the model's context",
        expected: "at most \(runtime.contextLength) tokens", found: "\(ids.count) tokens",
        advice: "shorten it, or cut all prompts with --tokens")
    }
    try runtime.check(ids, tokenizer)
    return PackPrompt(text: text, form: form, isCut: isCut, ids: ids, pieces: pieces(ids))
  }

  /// The date a template may write is today's: the pack keeps the text and its ids.
  private func chatFormat() throws(TinctureError) -> ChatFormat {
    let tokenizer = try needTokenizer()
    do throws(TinctureError) {
      return try ChatFormat(checkpoint, tokenizer: tokenizer, now: .present())
    } catch {
      guard error.code.name == "chat.template.missing" else { throw error }
      // The prompt is at fault as much as the model: the place to look is its line.
      throw TinctureError(
        error.code, "a conversation needs a chat template, and the model has none",
        expected: #"{"text": …} or {"ids": […]}"#, found: #"{"messages": […]}"#,
        advice: "write the prompt as a text, or take the instruction-tuned model")
    }
  }

  private func needTokenizer() throws(TinctureError) -> Tokenizer {
    if let tokenizer { return tokenizer }
    throw tokenizerError
      ?? TinctureError(.init("tokenizer.missing", .invalidInput), "the model has no tokenizer")
  }

  /// What each id adds to the text.
  private func pieces(_ ids: [Int32]) -> [[UInt8]] {
    guard let tokenizer else { return ids.map { _ in [] } }
    var decoder = tokenizer.streamingDecoder(skipSpecial: false)
    var pieces = ids.map { decoder.next($0) }
    if let last = pieces.indices.last { pieces[last] += decoder.finish() }
    return pieces
  }

  /// What the vocabulary has for an id, as it stands in a text.
  func spelling(_ id: Int32) -> [UInt8]? {
    guard let tokenizer else { return nil }
    var decoder = tokenizer.streamingDecoder(skipSpecial: false)
    // A token before it, so that a leading space is not taken for a text's beginning.
    _ = decoder.next(id)
    let text = decoder.next(id)
    return text.isEmpty ? tokenizer.text(of: id).map { Array($0) } : text
  }
}

extension RuntimeModel {
  /// Checks that every id has a row in the embedding, which not every token of a tokenizer has: a Gemma 3 that reads
  /// text only has none for pictures.
  ///
  /// - Throws: `runtime.token`; for the mark of a picture it is unsupported, else invalid input.
  func check(_ ids: [Int32], _ tokenizer: Tokenizer?) throws(TinctureError) {
    guard
      let position = ids.firstIndex(where: { $0 < 0 || Int($0) >= vocabularySize })
    else { return }
    let id = ids[position]
    let name = tokenizer?.text(of: id).map { String(decoding: $0, as: UTF8.self) }
    let isPicture = name == RuntimeModel.pictureToken
    throw TinctureError(
      .init("runtime.token", isPicture ? .unsupported : .invalidInput),
      "\(name.map { "the token \($0)" } ?? "a token") has no row in the model's embedding",
      expected: "ids from 0 to \(vocabularySize - 1)", found: "\(id) at position \(position)",
      advice: isPicture
        ? "take it out of the text: pictures are not supported yet"
        : name == nil ? "make the ids with this model's own tokenizer" : "take it out of the text")
  }

  /// What Gemma 3's tokenizers have for a piece of a picture. In a multimodal checkpoint it has a row of its own and,
  /// without a picture, is a token like any other, to transformers as well.
  private static let pictureToken = "<image_soft_token>"
}
