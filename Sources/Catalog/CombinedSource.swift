import TinctureContainers
import TinctureCore

/// Several sources as one: a checkpoint and the weights of its sentence-transformers modules.
///
/// Tensors of a part are named `FOLDER/NAME`; files keep their order.
struct CombinedSource: TensorSource {
  let tensors: [TensorInfo]
  let files: [InputFile]

  init(_ main: any TensorSource, parts: [(folder: String, source: any TensorSource)]) {
    var tensors = main.tensors
    var files = main.files
    for part in parts {
      let offset = files.count
      tensors += part.source.tensors.map {
        TensorInfo(
          name: part.folder + "/" + $0.name, type: $0.type, shape: $0.shape,
          fileIndex: $0.fileIndex + offset, byteOffset: $0.byteOffset, byteCount: $0.byteCount)
      }
      files += part.source.files
    }
    self.tensors = tensors
    self.files = files
  }
}
