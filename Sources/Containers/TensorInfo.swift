import TinctureBlocks
import TinctureCore

/// How a tensor's elements are stored.
public enum StoredType: Sendable, Hashable, CustomStringConvertible {
  /// One scalar after the other. GGUF's F32, F16, BF16, F64, I8 … are these too.
  case element(ElementType)
  /// Quantized blocks along the row.
  case block(BlockFormat)

  /// Bytes of a row of `length` elements, or nil when `length` is no multiple of the block or it overflows.
  public func rowByteCount(_ length: Int) -> Int? {
    switch self {
    case .element(let type):
      let (bytes, overflow) = length.multipliedReportingOverflow(by: type.byteCount)
      return overflow ? nil : bytes
    case .block(let format):
      guard length % format.elementsPerBlock == 0 else { return nil }
      let (bytes, overflow) = (length / format.elementsPerBlock).multipliedReportingOverflow(
        by: format.bytesPerBlock)
      return overflow ? nil : bytes
    }
  }

  /// The name people know: `BF16`, `Q4_K`.
  public var description: String {
    switch self {
    case .element(let type): type.rawValue.uppercased()
    case .block(let format): format.name
    }
  }
}

/// A tensor of a container: name, type, shape and where its bytes stand.
public struct TensorInfo: Sendable, Hashable {
  public let name: String
  public let type: StoredType
  /// Outermost dimension first.
  public let shape: Shape
  /// Which file of the source (0 for a single file).
  public let fileIndex: Int
  /// Absolute offset of the first byte in that file.
  public let byteOffset: UInt64
  /// Bytes of the whole tensor.
  public let byteCount: UInt64

  public init(
    name: String, type: StoredType, shape: Shape, fileIndex: Int, byteOffset: UInt64,
    byteCount: UInt64
  ) {
    self.name = name
    self.type = type
    self.shape = shape
    self.fileIndex = fileIndex
    self.byteOffset = byteOffset
    self.byteCount = byteCount
  }

  /// Bytes of one row; the container's reader has checked that it exists and does not overflow.
  public var rowByteCount: Int { type.rowByteCount(shape.rowLength) ?? 0 }

  /// The same tensor in the file with that index.
  package func inFile(_ index: Int) -> TensorInfo {
    TensorInfo(
      name: name, type: type, shape: shape, fileIndex: index, byteOffset: byteOffset,
      byteCount: byteCount)
  }
}
