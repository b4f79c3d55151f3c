import TinctureBlocks
import TinctureCalibration
import TinctureCatalog
import TinctureContainers
import TinctureCore

/// Everything about an output file before a weight is read: each tensor's format with the reason for it, its
/// place, and the header's bytes. Pure data; ``ExportJob`` carries it out.
public struct ExportPlan: Sendable {
  /// A tensor as it will be written.
  public struct Entry: Sendable {
    /// GGUF name.
    public let name: String
    public let role: Role
    /// Layer index, nil outside the layers.
    public let layer: Int?
    /// Outermost dimension first.
    public let shape: Shape
    public let format: BlockFormat
    /// Why this format, for people.
    public let reason: String
    /// Which part of a split output, from 0.
    public let part: Int
    /// Offset of the first byte in that part.
    public let byteOffset: UInt64
    /// Bytes without padding.
    public let byteCount: UInt64
    /// Whether the source's bytes are written as they are.
    public let isCopy: Bool
    /// Whether the encoder is led by an importance matrix.
    public var isWeighted: Bool { importance != nil }

    let tensor: CanonicalTensor
    let importance: [Float]?
  }

  public let model: BoundModel
  public let recipe: Recipe
  public let options: ExportOptions
  /// Tensors in output order.
  public let entries: [Entry]
  /// Metadata of the (first) file, in output order.
  public let metadata: [(key: String, value: GGUFValue)]
  /// Decisions worth telling, in order.
  public let notes: [String]
  /// One a part.
  let layouts: [GGUFLayout]
  private let split: GGUFSplitLayout?

  /// Plans `model` in the formats of `recipe`.
  ///
  /// - Parameters:
  ///   - statistics: an importance matrix; tensors it has no row for are encoded without weights, which a
  ///     note says.
  /// - Throws: the errors of `RecipeAssignment`, `MetadataOverride`, `GGUFLayout` and `StatisticsFile`.
  /// - Complexity: O(tensors + header bytes); holds the header and the importance rows.
  public init(
    _ model: BoundModel, recipe: Recipe, options: ExportOptions = ExportOptions(),
    statistics: StatisticsFile? = nil
  ) throws(TinctureError) {
    let choices = try RecipeAssignment.assign(
      model: model, recipe: recipe, overrides: options.overrides,
      hasImportance: statistics != nil)
    let importance = try ExportPlan.importance(model, recipe, choices, statistics)
    let metadata = try ExportPlan.metadata(model, recipe, options, statistics)
    let requests = zip(model.tensors, choices).map { tensor, choice in
      GGUFLayout.Request(
        name: tensor.name, type: StoredType(choice.format), shape: tensor.shape)
    }
    if let limit = options.splitByteCount {
      let split = try GGUFSplitLayout(
        metadata: metadata, tensors: requests, partByteLimit: limit)
      layouts = split.parts
      self.split = split
    } else {
      layouts = [try GGUFLayout(metadata: metadata, tensors: requests)]
      split = nil
    }
    var entries: [Entry] = []
    entries.reserveCapacity(choices.count)
    for (part, layout) in layouts.enumerated() {
      for info in layout.tensors {
        let index = entries.count
        let tensor = model.tensors[index]
        let choice = choices[index]
        precondition(tensor.name == info.name, "the layout keeps the order of the tensors")
        entries.append(
          Entry(
            name: tensor.name, role: tensor.role, layer: tensor.layer, shape: tensor.shape,
            format: choice.format, reason: choice.reason, part: part, byteOffset: info.byteOffset,
            byteCount: info.byteCount, isCopy: CanonicalView.isRawCopy(tensor, as: choice.format),
            tensor: tensor, importance: importance[index]))
      }
    }
    self.model = model
    self.recipe = recipe
    self.options = options
    self.entries = entries
    self.metadata = layouts[0].metadata
    notes = ExportPlan.notes(model, entries, statistics, split)
  }

  /// Bytes of the whole output, all parts together.
  public var byteCount: UInt64 { layouts.reduce(0) { $0 + $1.byteCount } }

  /// Bytes of the weights alone.
  public var weightByteCount: UInt64 { entries.reduce(0) { $0 + $1.byteCount } }

  public var elementCount: Int { entries.reduce(0) { $0 + $1.shape.elementCount } }

  /// Payload bits of an average element.
  public var bitsPerWeight: Double {
    elementCount == 0 ? 0 : Double(weightByteCount) * 8 / Double(elementCount)
  }

  /// The files that an output named `path` consists of: itself, or the parts of a split set.
  public func paths(for path: String) -> [String] { split?.paths(for: path) ?? [path] }

  /// Bytes of large buffers a job with so many threads holds at one time.
  public func memoryByteCount(threads: Int) -> Int {
    heldByteCount + Exporter.slabSizes(entries).total * threads
  }

  /// Headers, the metadata they were made of, and importance rows, held while the job runs.
  var heldByteCount: Int {
    layouts.reduce(0) { $0 + $1.header.count * 2 }
      + entries.reduce(0) { $0 + ($1.importance?.count ?? 0) * MemoryLayout<Float>.size }
  }
}

extension StoredType {
  /// The stored type that holds `format`'s bytes.
  init(_ format: BlockFormat) {
    switch format {
    case .f32: self = .element(.f32)
    case .f16: self = .element(.f16)
    case .bf16: self = .element(.bf16)
    default: self = .block(format)
    }
  }
}
