import TinctureCatalog

/// What a user may decide about an output beside the recipe.
public struct ExportOptions: Sendable {
  /// Formats for single tensors.
  public var overrides: TypeOverrides
  /// Metadata keys to set or add, in order.
  public var metadata: [MetadataOverride]
  /// Most bytes of tensor data a part may hold; nil writes one file.
  public var splitByteCount: UInt64?
  /// Whether NaN and infinity may stand in F32, F16 and BF16 outputs. Quantized formats never hold them.
  public var allowsNonFinite: Bool

  public init(
    overrides: TypeOverrides = TypeOverrides(), metadata: [MetadataOverride] = [],
    splitByteCount: UInt64? = nil, allowsNonFinite: Bool = false
  ) {
    self.overrides = overrides
    self.metadata = metadata
    self.splitByteCount = splitByteCount
    self.allowsNonFinite = allowsNonFinite
  }
}
