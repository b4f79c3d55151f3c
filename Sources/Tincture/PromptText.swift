import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureText

/// Prompts as token ids, and ids as text. Until the tokenizer is there, ids only.
struct PromptText {
  init(_ checkpoint: Checkpoint, _ bound: BoundModel) {}

  /// The prompts as token ids with their pieces, each cut to its first `tokenLimit` tokens.
  ///
  /// - Throws: `record.prompt` for a prompt without tokens.
  func packPrompts(_ prompts: [Prompt], tokenLimit: Int?) throws(TinctureError) -> [PackPrompt] {
    var result: [PackPrompt] = []
    for (number, prompt) in prompts.enumerated() {
      guard case .ids(var ids) = prompt else {
        throw TinctureError(
          .init("record.prompt", .unsupported), "prompt \(number + 1) is no list of ids",
          advice: "give prompts as {\"ids\": […]}")
      }
      if let tokenLimit { ids = Array(ids.prefix(tokenLimit)) }
      guard !ids.isEmpty else {
        throw TinctureError(
          .init("record.prompt", .invalidInput), "prompt \(number + 1) has no tokens",
          advice: "take it out of the file")
      }
      result.append(PackPrompt(text: nil, ids: ids, pieces: ids.map { _ in [] }))
    }
    return result
  }

  /// What the vocabulary has for an id, as it stands in a text.
  func spelling(_ id: Int32) -> [UInt8]? { nil }
}
