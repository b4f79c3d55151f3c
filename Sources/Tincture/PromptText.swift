import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureText

/// Prompts of every kind as token ids, and ids as text.
struct PromptText {
  private let bound: BoundModel
  private let tokenizer: Tokenizer?
  /// Why there is no tokenizer.
  private let tokenizerError: TinctureError?

  init(_ checkpoint: Checkpoint, _ bound: BoundModel) {
    self.bound = bound
    do throws(TinctureError) {
      tokenizer = try Tokenizer.open(checkpoint)
      tokenizerError = nil
    } catch {
      // Prompts of ids can do without; others will throw it.
      tokenizer = nil
      tokenizerError = error
    }
  }

  /// The prompts as token ids with their pieces, each cut to its first `tokenLimit` tokens.
  ///
  /// - Throws: `record.prompt` for a prompt without tokens, the tokenizer's and the chat template's errors.
  func packPrompts(_ prompts: [Prompt], tokenLimit: Int?) throws(TinctureError) -> [PackPrompt] {
    var result: [PackPrompt] = []
    var format: ChatFormat?
    for (number, prompt) in prompts.enumerated() {
      var text: String?
      var ids: [Int32]
      switch prompt {
      case .ids(let given): ids = given
      case .text(let given):
        text = given
        ids = try needTokenizer().encode(given)
      case .messages(let messages):
        let tokenizer = try needTokenizer()
        let chat: ChatFormat
        if let format {
          chat = format
        } else {
          // The date a template may write is today's: the pack keeps the text and its ids.
          chat = try ChatFormat(bound, tokenizer: tokenizer, now: .present())
          format = chat
        }
        let rendered = try chat.text(messages, addGenerationPrompt: true)
        text = rendered
        ids = tokenizer.encode(rendered, addSpecial: false)
      }
      if let tokenLimit { ids = Array(ids.prefix(tokenLimit)) }
      guard !ids.isEmpty else {
        throw TinctureError(
          .init("record.prompt", .invalidInput), "prompt \(number + 1) has no tokens",
          advice: "take it out of the file")
      }
      result.append(PackPrompt(text: text, ids: ids, pieces: pieces(ids)))
    }
    return result
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
