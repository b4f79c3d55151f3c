import TinctureCatalog
import TinctureContainers
import TinctureCore

/// A model on disk, opened: a folder, a safetensors file, an index of shards, or a GGUF file (any part of a
/// split set). Headers only; no weight is read.
public struct Checkpoint: Sendable {
  /// The containers it can come in.
  public enum Container: Sendable {
    case safetensors(SafetensorsCheckpoint)
    case gguf(GGUFFile)
  }

  /// The path it was opened by.
  public let path: String
  public let container: Container

  /// Opens `path`. A file that starts with `GGUF` is one, whatever its name.
  ///
  /// - Throws: `safetensors.*`, `gguf.*`, `file.*`; `checkpoint.kind` for what is no model.
  /// - Complexity: linear in the headers' size.
  public static func open(_ path: String) throws(TinctureError) -> Checkpoint {
    try open(path, orPack: false)
  }

  /// - Parameter orPack: whether a pack would do at this place, for the words of an error.
  static func open(_ path: String, orPack: Bool) throws(TinctureError) -> Checkpoint {
    let isGGUF = Folder.kind(path) == .file ? try isGGUF(path) : false
    if isGGUF {
      return Checkpoint(path: path, container: .gguf(try GGUFFile.open(path)))
    }
    do throws(TinctureError) {
      return Checkpoint(path: path, container: .safetensors(try SafetensorsCheckpoint.open(path)))
    } catch {
      guard error.code.name == "checkpoint.kind" else { throw error }
      let isPack = try PackFile.isPack(path)
      let models = "a checkpoint's folder, a .safetensors file or its index, a GGUF file"
      throw TinctureError(
        error.code,
        isPack
          ? "a parity pack is no model"
          : orPack ? "neither a model nor a parity pack" : "not a checkpoint", place: error.place,
        expected: models + (orPack ? ", or a pack of 'tincture record'" : ""), found: error.found,
        advice: isPack
          ? "name the model here; a pack is what --against of 'tincture verify' takes"
          : error.advice
            ?? (orPack
              ? "name the reference here; prompts go to --prompts" : "name the model itself"))
    }
  }

  private static func isGGUF(_ path: String) throws(TinctureError) -> Bool {
    if path.hasSuffix(".gguf") { return true }
    let file = try InputFile(path: path)
    guard file.byteCount >= 4 else { return false }
    return try file.bytes(at: 0, count: 4) == Array("GGUF".utf8)
  }

  /// Its tensors and files.
  public var source: any TensorSource {
    switch container {
    case .safetensors(let checkpoint): checkpoint
    case .gguf(let file): file
    }
  }

  /// "safetensors" or "GGUF".
  public var containerName: String {
    switch container {
    case .safetensors: "safetensors"
    case .gguf: "GGUF"
    }
  }

  /// The checkpoint under GGUF's names, every tensor claimed.
  ///
  /// - Throws: what binding throws: unknown architectures, tensors no rule claims, values a stock engine
  ///   would not compute with.
  public func bind(_ options: BindingOptions = BindingOptions()) throws(TinctureError) -> BoundModel
  {
    switch container {
    case .safetensors(let checkpoint):
      try BoundModel.bind(source: checkpoint, folder: checkpoint.folder, options: options)
    case .gguf(let file):
      try BoundModel.bind(gguf: file, options: options)
    }
  }

  /// Every file an output must never be written over: the containers, and whatever else stands in a checkpoint's folder
  /// and in folders of it (sentence-transformers' modules) except GGUF files.
  func inputs(of model: BoundModel) throws(TinctureError) -> [(
    path: String, identity: FileIdentity
  )] {
    var inputs = (source.files + model.source.files).map { ($0.path, $0.identity) }
    if case .safetensors(let checkpoint) = container {
      var folders = [checkpoint.folder]
      for name in try Folder.names(checkpoint.folder) {
        let path = Folder.join(checkpoint.folder, name)
        if Folder.kind(path) == .folder { folders.append(path) }
      }
      for folder in folders {
        for name in try Folder.names(folder)
        where !name.hasSuffix(".gguf") && !name.hasSuffix(".partial") {
          let path = Folder.join(folder, name)
          if Folder.kind(path) == .file, let identity = Folder.identity(path) {
            inputs.append((path, identity))
          }
        }
      }
    }
    return inputs
  }
}
