import TinctureContainers
import TinctureCore

/// A source tensor of a bound model: its place in the source's list.
public struct SourceTensor: Sendable, Hashable {
  public let info: TensorInfo

  public init(_ info: TensorInfo) { self.info = info }
}

/// How the rows of a canonical tensor are made: the pieces one after the other.
///
/// Row r of the tensor comes from exactly one piece; nothing mixes rows, so any slab of rows can be made
/// alone.
public struct RowExpression: Sendable, Hashable {
  /// Which row of the source a row of the piece is.
  public enum RowOrder: Sendable, Hashable {
    case identity
    /// Llama's q and k rows: within each of `heads` heads of `rows` rows, row `2i + j` of the piece is
    /// row `i + j·rows/2` of the source
    /// (Hugging Face's split rotary layout to ggml's interleaved one).
    case interleavedRotary(heads: Int)
  }

  public enum Piece: Sendable, Hashable {
    /// `rowCount` rows of `tensor` from `firstRow` (counted after `order` is applied), each value `x *
    /// scale + add`.
    case source(
      SourceTensor, firstRow: Int, rowCount: Int, order: RowOrder, scale: Float, add: Float)
    /// Rows that no source has (vocabulary padding, computed constants): every element is `value`.
    case constant(Float, rowCount: Int)
    /// A small computed tensor (rotary frequency factors).
    case values([Float])
  }

  public let pieces: [Piece]

  public init(pieces: [Piece]) { self.pieces = pieces }
}

/// The view of a tensor under its GGUF name: shape, role and how its rows are made.
public struct CanonicalTensor: Sendable, Hashable {
  /// GGUF name, e.g. `blk.3.attn_v.weight`.
  public let name: String
  /// Outermost first.
  public let shape: Shape
  public let role: Role
  /// Layer index, nil for tensors outside the layers.
  public let layer: Int?
  public let expression: RowExpression

  public init(
    name: String, shape: Shape, role: Role, layer: Int?, expression: RowExpression
  ) {
    self.name = name
    self.shape = shape
    self.role = role
    self.layer = layer
    self.expression = expression
  }
}

/// What became of a source tensor: the coverage ledger's entry.
public enum Coverage: Sendable, Hashable {
  /// Written as the canonical tensor of that name.
  case written(as: String)
  /// Part of the canonical tensor of that name, with others.
  case merged(into: String)
  /// Left out by a rule of the architecture file; the text says why.
  case leftOut(rule: String)
}

/// A checkpoint bound to an architecture: everything a GGUF needs except the choice of types. Pure data.
public struct BoundModel: Sendable {
  /// llama.cpp's architecture name (`gemma3`), the value of general.architecture.
  public let architecture: String
  /// Layers, heads and the like that recipes look at.
  public let layerCount: Int
  public let headCount: Int
  public let keyValueHeadCount: Int
  /// Canonical tensors in output order.
  public let tensors: [CanonicalTensor]
  /// Metadata in output order, general.file_type and general.quantization_version excluded (the plan adds
  /// them).
  public let metadata: [(key: String, value: GGUFValue)]
  /// Source tensor name → what became of it; complete.
  public let coverage: [(source: String, outcome: Coverage)]
  /// Decisions worth telling (vocabulary padded, scale folded, vision half left out), in order.
  public let notes: [String]
  public let source: any TensorSource
  /// What the runtime needs beyond the metadata; nil for models made by hand.
  package var runtime: RuntimeFacts?

  public init(
    architecture: String, layerCount: Int, headCount: Int, keyValueHeadCount: Int,
    tensors: [CanonicalTensor], metadata: [(key: String, value: GGUFValue)],
    coverage: [(source: String, outcome: Coverage)], notes: [String], source: any TensorSource
  ) {
    self.architecture = architecture
    self.layerCount = layerCount
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.tensors = tensors
    self.metadata = metadata
    self.coverage = coverage
    self.notes = notes
    self.source = source
    runtime = nil
  }
}
