import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureText

extension ChatTemplate {
  /// The chat template of a model on disk, from the files of its folder or from a GGUF's metadata.
  ///
  /// - Throws: `chat.template.missing` when the model has none, `chat.template.*` for one that cannot be read.
  public static func open(_ checkpoint: Checkpoint) throws(TinctureError) -> ChatTemplate {
    switch checkpoint.container {
    case .safetensors(let checkpoint):
      return try of(TokenizerFiles.open(folder: checkpoint.folder))
    case .gguf(let file):
      let key = "tokenizer.chat_template"
      guard case .string(let text)? = file.value(key) else { throw missing(file.path) }
      return try ChatTemplate(source: text.bytes, name: "\(file.path), \(key)")
    }
  }

  /// The chat template that the tokenizer files of a folder hold.
  ///
  /// - Throws: `chat.template.missing` when there is none, `chat.template.*` for one that cannot be read.
  public static func of(_ files: TokenizerFiles) throws(TinctureError) -> ChatTemplate {
    guard let template = files.templates?.first(where: { $0.name == "default" }) else {
      throw missing(files.folder)
    }
    return try ChatTemplate(source: template.text, name: files.folder)
  }

  private static func missing(_ path: String) -> TinctureError {
    TinctureError(
      .init("chat.template.missing", .invalidInput), "the model has no chat template",
      place: .init(file: path),
      advice: "leave --chat out, or take the instruction-tuned model")
  }
}
