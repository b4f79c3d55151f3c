import TinctureCore
import TinctureText

/// The tokenizers that llama.cpp knows: `formats/config/engine-tokenizers.json5`.
package struct EngineTokenizers: Sendable {
  package struct Entry: Sendable {
    package var name: String
    /// Whether it reads merges and the name of a pre-tokenizer.
    package var isBytePair: Bool
    /// Whether tokens may stand for a byte.
    package var takesBytes: Bool
    /// The ids that it takes where a file names none: the middle of `tokenizer.ggml.NAME_token_id`, and the id.
    package var ids: [(role: String, id: Int)]
  }

  package let entries: [Entry]

  /// The list, read once in a process.
  ///
  /// - Throws: `formats.*`.
  package static func load() throws(TinctureError) -> EngineTokenizers { try loaded.get() }

  private static let loaded = Result { () throws(TinctureError) in try read() }

  private static func read() throws(TinctureError) -> EngineTokenizers {
    let name = "config/engine-tokenizers.json5"
    var entries: [Entry] = []
    for file in try BundledFile.all(in: "config") where file.name == name {
      let root = try JSON.parse(file.bytes, file: file.path, mode: .lenient, code: "formats")
      for (key, value) in try root.object() {
        entries.append(try entry(key.string(), FormatObject(value)))
      }
    }
    return EngineTokenizers(entries: entries)
  }

  private static func entry(
    _ name: String, _ object: FormatObject
  ) throws(TinctureError) -> Entry {
    var object = object
    var ids: [(role: String, id: Int)] = []
    for (role, id) in try object.required("ids").object() {
      ids.append((try role.string(), try id.int()))
    }
    let entry = Entry(
      name: name, isBytePair: try object.flag("bytePair"), takesBytes: try object.flag("bytes"),
      ids: ids)
    try object.finish()
    return entry
  }
}

extension VocabularyKind {
  /// The tokenizers with which models of this kind are made, as `tokenizer.ggml.model` names them.
  var engineModels: [String] {
    switch self {
    case .gemma: [Vocabulary.Model.sentencePiece.rawValue]
    case .llama: [Vocabulary.Model.sentencePiece.rawValue, Vocabulary.Model.bytePair.rawValue]
    case .qwen: [Vocabulary.Model.bytePair.rawValue]
    case .bert: [Vocabulary.Model.wordPiece.rawValue]
    }
  }
}
