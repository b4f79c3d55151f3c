import TinctureCore

/// Anything that holds named tensors whose rows can be read: safetensors (one file or shards), GGUF (one file
/// or splits).
///
/// Safe from several threads. Opening reads headers only.
public protocol TensorSource: Sendable {
  /// Every tensor, in the order of the files.
  var tensors: [TensorInfo] { get }

  /// The files behind it, by ``TensorInfo/fileIndex``.
  var files: [InputFile] { get }
}

extension TensorSource {
  /// Checks after reading that nothing was written to the files since they were opened.
  ///
  /// - Throws: `file.changed`.
  package func checkUnchanged() throws(TinctureError) {
    for file in files { try file.checkUnchanged() }
  }

  /// Fills `buffer` with the stored bytes of `rows` of `tensor` (`rows.count * rowByteCount` bytes).
  ///
  /// - Throws: `file.read`, `file.truncated`, with the tensor's name.
  public func read(
    _ tensor: TensorInfo, rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    let rowBytes = tensor.rowByteCount
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= tensor.shape.rowCount
        && buffer.count == rows.count * rowBytes, "rows \(rows) of \(tensor.name)")
    let offset = tensor.byteOffset + UInt64(rows.lowerBound) * UInt64(rowBytes)
    try located(tensor: tensor.name) { () throws(TinctureError) in
      try files[tensor.fileIndex].read(at: offset, into: buffer)
    }
  }
}
