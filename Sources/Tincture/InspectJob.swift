import TinctureCatalog
import TinctureContainers
import TinctureCore

/// Says what is in a checkpoint and what a recipe would make of it; reads no weights but a head that is to be
/// compared with the token embedding.
public struct InspectJob: Sendable {
  public let checkpoint: Checkpoint
  public let binding: BindingOptions
  /// The recipe to plan with, if any.
  public let recipe: Recipe?

  public init(
    _ checkpoint: Checkpoint, binding: BindingOptions = BindingOptions(), recipe: Recipe? = nil
  ) {
    self.checkpoint = checkpoint
    self.binding = binding
    self.recipe = recipe
  }

  /// - Throws: what binding and planning throw.
  public func run() throws(TinctureError) -> Inspection {
    let model = try checkpoint.bind(binding)
    let plan: ExportPlan?
    if let recipe {
      plan = try ExportPlan(model, recipe: recipe)
    } else {
      plan = nil
    }
    return Inspection(checkpoint: checkpoint, model: model, plan: plan)
  }
}

/// What ``InspectJob`` found.
public struct Inspection: Sendable {
  public let checkpoint: Checkpoint
  public let model: BoundModel
  public let plan: ExportPlan?

  /// Elements of all tensors that would be written.
  public var elementCount: Int { model.tensors.reduce(0) { $0 + $1.shape.elementCount } }

  /// How many tensors and bytes each stored type of the source has, in order of first use.
  public var storedTotals: [(type: StoredType, tensorCount: Int, byteCount: UInt64)] {
    var totals: [(type: StoredType, tensorCount: Int, byteCount: UInt64)] = []
    for tensor in checkpoint.source.tensors {
      if let index = totals.firstIndex(where: { $0.type == tensor.type }) {
        totals[index].tensorCount += 1
        totals[index].byteCount += tensor.byteCount
      } else {
        totals.append((tensor.type, 1, tensor.byteCount))
      }
    }
    return totals
  }

  /// The inspection as members of a JSON object.
  package func json(withTensors: Bool) -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = [
      ("source", .string(checkpoint.path)),
      ("container", .string(checkpoint.containerName)),
      (
        "files",
        .array(
          checkpoint.source.files.map {
            .object([("path", .string($0.path)), ("byteCount", .uint($0.byteCount))])
          })
      ),
      ("architecture", .string(model.architecture)),
      ("layerCount", .int(model.layerCount)),
      ("headCount", .int(model.headCount)),
      ("keyValueHeadCount", .int(model.keyValueHeadCount)),
      ("elementCount", .int(elementCount)),
      (
        "stored",
        .object(
          storedTotals.map {
            (
              $0.type.description,
              .object([("tensorCount", .int($0.tensorCount)), ("byteCount", .uint($0.byteCount))])
            )
          })
      ),
      ("metadata", .object(model.metadata.map { ($0.key, $0.value.json) })),
      ("notes", .array((plan?.notes ?? model.notes).map { .string($0) })),
      ("leftOut", .array(model.leftOut.map(\.json))),
    ]
    if withTensors {
      members.append(("tensors", .array(checkpoint.source.tensors.map { json($0) })))
    }
    if let plan { members.append(("plan", .object(plan.json(withTensors: true)))) }
    return members
  }

  private func json(_ tensor: TensorInfo) -> JSONValue {
    .object([
      ("name", .string(tensor.name)),
      ("type", .string(tensor.type.description)),
      ("shape", .array(tensor.shape.dimensions.map { .int($0) })),
      ("file", .int(tensor.fileIndex)),
      ("byteOffset", .uint(tensor.byteOffset)),
      ("byteCount", .uint(tensor.byteCount)),
    ])
  }
}

extension GGUFValue {
  /// The value; a list of more than 16 items as its count.
  fileprivate var json: JSONValue {
    switch self {
    case .uint8(let value): .uint(UInt64(value))
    case .int8(let value): .int(Int(value))
    case .uint16(let value): .uint(UInt64(value))
    case .int16(let value): .int(Int(value))
    case .uint32(let value): .uint(UInt64(value))
    case .int32(let value): .int(Int(value))
    case .uint64(let value): .uint(value)
    case .int64(let value): .int(Int(value))
    case .float32(let value): .double(Double(value))
    case .float64(let value): .double(value)
    case .bool(let value): .bool(value)
    case .string(let value): .string(value.text)
    case .array(let array): array.json
    }
  }
}

extension GGUFArray {
  private static let shownCount = 16

  fileprivate var json: JSONValue {
    guard count <= GGUFArray.shownCount else { return .object([("count", .int(count))]) }
    return .array(items)
  }

  private var items: [JSONValue] {
    switch self {
    case .uint8(let items): items.map { .uint(UInt64($0)) }
    case .int8(let items): items.map { .int(Int($0)) }
    case .uint16(let items): items.map { .uint(UInt64($0)) }
    case .int16(let items): items.map { .int(Int($0)) }
    case .uint32(let items): items.map { .uint(UInt64($0)) }
    case .int32(let items): items.map { .int(Int($0)) }
    case .float32(let items): items.map { .double(Double($0)) }
    case .bool(let items): items.map { .bool($0) }
    case .strings(let items):
      (0..<items.count).map { .string(String(decoding: items[$0], as: UTF8.self)) }
    case .uint64(let items): items.map { .uint($0) }
    case .int64(let items): items.map { .int(Int($0)) }
    case .float64(let items): items.map { .double($0) }
    case .arrays(let items): items.map(\.json)
    }
  }
}
