import TinctureCore

/// One safetensors file. Opening reads and checks the header; rows are read on demand (``TensorSource``).
public struct SafetensorsFile: TensorSource {
  /// `__metadata__` in file order.
  public let metadata: [(key: String, value: String)]
  /// Tensors by offset.
  public let tensors: [TensorInfo]
  /// The one file.
  public let files: [InputFile]

  /// - Throws: `safetensors.*`, `file.read`, `file.notRegular`, `file.truncated`.
  /// - Complexity: linear in the header's size, in time and memory.
  public static func open(_ path: String) throws(TinctureError) -> SafetensorsFile {
    try SafetensorsFile(try InputFile(path: path))
  }

  package init(_ file: InputFile) throws(TinctureError) {
    let header = try SafetensorsHeader(file)
    metadata = header.metadata
    tensors = header.tensors
    files = [file]
  }
}
