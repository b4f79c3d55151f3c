import TinctureCore

/// A format tensors are stored in: ggml's block formats and its plain float types.
///
/// A value that knows everything about itself: identity, block geometry, encoder and decoder. Code that needs
/// "all formats" iterates ``all``.
public struct BlockFormat: Sendable, Hashable {
  /// ggml's type number, as stored in GGUF.
  public let id: UInt32
  /// ggml's name, upper case: `Q4_K`, `F16`.
  public let name: String
  /// Elements encoded together; 1 for plain floats.
  public let elementsPerBlock: Int
  /// Bytes of one block.
  public let bytesPerBlock: Int

  public static func == (a: BlockFormat, b: BlockFormat) -> Bool { a.id == b.id }
  public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}
