import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureText

extension Tokenizer {
  /// The tokenizer of a model on disk, from the files of its folder or from a GGUF's metadata.
  ///
  /// - Throws: `tokenizer.*`, `gguf.metadata`.
  public static func open(_ checkpoint: Checkpoint) throws(TinctureError) -> Tokenizer {
    switch checkpoint.container {
    case .safetensors(let checkpoint): try open(folder: checkpoint.folder)
    case .gguf(let file): try Tokenizer(gguf: file)
    }
  }

  /// The tokenizer of the files in `folder`; a folder without weights will do.
  ///
  /// - Throws: `tokenizer.*` and the errors of each file's reader.
  public static func open(folder: String) throws(TinctureError) -> Tokenizer {
    try Tokenizer(TokenizerFiles.open(folder: folder, wholeJSON: true))
  }
}
