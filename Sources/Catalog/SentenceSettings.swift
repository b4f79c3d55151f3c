import TinctureCore

/// What sentence-transformers does to a text before the model sees it. GGUF has no place for it, so notes tell it.
///
/// Sources: sentence-transformers models/Transformer.py (`sentence_bert_config.json`) and SentenceTransformer.py
/// (`config_sentence_transformers.json`).
package struct SentenceSettings: Sendable, Equatable {
  struct Prompt: Sendable, Equatable {
    /// As the files write it, in quotes.
    var name: String
    /// The same; nil when `prompts` has no such name.
    var text: String?
  }

  /// The file beside the transformer; nil when there is none.
  private var file: String?
  private var lowercases = false
  /// Most tokens of a text.
  private var lengthLimit: Int?
  /// What stands before every text, unless the caller names another prompt.
  private var prompt: Prompt?

  private static let limit = 1 << 20
  /// The names of the transformer's file, the first that is there counts.
  private static let names = [
    "bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet",
  ].map { "sentence_\($0)_config.json" }
  private static let promptFile = "config_sentence_transformers.json"

  /// - Parameters:
  ///   - folder: the checkpoint, with modules.json.
  ///   - transformer: the folder of its transformer.
  /// - Throws: `sentence_config.*`, `config_sentence_transformers.*` for malformed files.
  package init(folder: String, transformer: String) throws(TinctureError) {
    for name in Self.names {
      guard let root = try Self.object(Folder.join(transformer, name), "sentence_config") else {
        continue
      }
      file = name
      if let node = root.present("do_lower_case") { lowercases = try node.bool() }
      if let node = root.present("max_seq_length") {
        let value = try node.int()
        guard value > 0 else {
          throw node.error(
            "range", "the number is out of range", expected: "1 or more, or null",
            found: "\(value)")
        }
        lengthLimit = value
      }
      break
    }
    guard
      let root = try Self.object(
        Folder.join(folder, Self.promptFile), "config_sentence_transformers")
    else { return }
    var texts: [String: JSON] = [:]
    if let prompts = root.present("prompts") {
      for (name, text) in try prompts.object() {
        _ = try text.string()
        texts[try name.string()] = text
      }
    }
    guard let node = root.present("default_prompt_name") else { return }
    let text = texts[try node.string()]
    if try text?.string() != "" { prompt = Prompt(name: node.shortText, text: text?.shortText) }
  }

  private static func object(_ path: String, _ code: String) throws(TinctureError) -> JSON? {
    guard Folder.kind(path) == .file else { return nil }
    let root = try JSON.parse(
      InputFile(path: path).contents(limit: limit), file: path, code: code)
    _ = try root.object()
    return root
  }

  /// What llama.cpp does not do with the file.
  ///
  /// - Parameter lowercases: whether llama.cpp's tokenizer lowercases a text itself.
  package func notes(contextLength: Int, lowercases: Bool) -> [String] {
    var notes: [String] = []
    let file = file ?? Self.names[0]
    if self.lowercases, !lowercases {
      notes.append(
        "\(file) has do_lower_case true: sentence-transformers lowercases a text first, llama.cpp does not, and a GGUF "
          + "cannot say it; lowercase texts yourself")
    }
    if let lengthLimit, lengthLimit < contextLength {
      notes.append(
        "\(file) has max_seq_length \(lengthLimit): sentence-transformers cuts a text there, llama.cpp takes up to the "
          + "context length of \(contextLength) tokens")
    }
    if let prompt {
      notes.append(
        "\(Self.promptFile) has default_prompt_name \(prompt.name), "
          + (prompt.text.map {
            "so sentence-transformers puts \($0) before every text; llama.cpp does not, and a GGUF cannot say it: put "
              + "it there yourself"
          } ?? "which its prompts do not have: sentence-transformers does not load it"))
    }
    return notes
  }
}
