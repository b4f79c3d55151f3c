import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

/// Where weights are while they are used.
package enum WeightPlace: Sendable {
  /// Read into memory that the budget counts.
  case read
  /// Mapped from the files wherever the stored bytes can be used as they are.
  case mapped
}

/// Gives weights to products in their own format: matrices as stored bytes, vectors as floats.
///
/// Matrices whose rows are copies of stored rows, in any order, keep their stored type; a matrix whose values change on
/// the way (a factor, an added number, F64) becomes F32. Vectors always become F32.
final class WeightStore: Sendable {
  private let model: RuntimeModel
  private let place: WeightPlace
  private let memory: MemoryBudget
  private let team: Team
  private let mappings: [MappedFile?]

  /// - Throws: `file.read` when a file cannot be mapped.
  init(
    _ model: RuntimeModel, place: WeightPlace, memory: MemoryBudget, team: Team
  ) throws(TinctureError) {
    self.model = model
    self.place = place
    self.memory = memory
    self.team = team
    var mappings: [MappedFile?] = []
    for file in model.source.files {
      var mapping: MappedFile?
      if place == .mapped, file.canBeMapped { mapping = try MappedFile(file) }
      mappings.append(mapping)
    }
    self.mappings = mappings
  }

  /// Looks whether mapped files still have their length.
  func check() throws(TinctureError) {
    for mapping in mappings { try mapping?.check() }
  }

  /// How a tensor is held.
  private enum Holding {
    /// Stored bytes in place.
    case mapped(UnsafeRawPointer)
    /// Stored rows, copied.
    case stored
    /// F32 numbers.
    case floats
  }

  /// Loads `names`, those that the model has.
  ///
  /// - Throws: `memory.budget`, `file.*`, `tensor.type`, `runtime.weights.*`.
  /// - Complexity: one read of every byte that is not mapped.
  func load(_ names: [String]) throws(TinctureError) -> WeightSet {
    var items: [(tensor: CanonicalTensor, holding: Holding, type: StoredType, offset: Int)] = []
    var total = 0
    for name in names {
      guard let tensor = model.tensors[name] else { continue }
      let (holding, type) = holding(of: tensor)
      let rowBytes = type.rowByteCount(tensor.shape.rowLength) ?? 0
      let (bytes, overflow) = rowBytes.multipliedReportingOverflow(by: tensor.shape.rowCount)
      guard !overflow, bytes <= 1 << 46 else {
        throw TinctureError(
          .init("runtime.weights.shape", .invalidInput), "the tensor is impossibly large",
          place: .init(tensor: name), found: tensor.shape.description)
      }
      items.append((tensor, holding, type, total))
      if case .mapped = holding { continue }
      total += (bytes + 63) / 64 * 64
    }
    let buffer = try FloatBuffer(total / 4, memory, for: "weights")
    let set = WeightSet(buffer: buffer, mappings: mappings)
    let base = UnsafeMutableRawPointer(buffer.base)
    for item in items {
      let target = base + item.offset
      try located(tensor: item.tensor.name, layer: item.tensor.layer) { () throws(TinctureError) in
        switch item.holding {
        case .mapped(let bytes): try set.add(item.tensor, bytes, item.type)
        case .stored:
          try copy(item.tensor, item.type, to: target)
          try set.add(item.tensor, UnsafeRawPointer(target), item.type)
        case .floats:
          try widen(item.tensor, to: target.assumingMemoryBound(to: Float.self))
          try set.add(item.tensor, UnsafeRawPointer(target), .element(.f32))
        }
      }
    }
    return set
  }

  /// Loads some rows of a matrix, as a matrix of those rows under the tensor's name.
  ///
  /// - Throws: as ``load(_:)``.
  func load(_ tensor: CanonicalTensor, rows: Range<Int>) throws(TinctureError) -> WeightSet {
    let length = tensor.shape.rowLength
    let part = CanonicalTensor(
      name: tensor.name, shape: Shape(rows.count, length), role: tensor.role, layer: tensor.layer,
      expression: tensor.expression.rows(rows, rowLength: length))
    let (holding, type) = holding(of: part)
    var byteCount = (type.rowByteCount(length) ?? 0) * rows.count
    if case .mapped = holding { byteCount = 0 }
    let buffer = try FloatBuffer(
      (byteCount + 3) / 4, memory, for: "a tile of \(tensor.name)")
    let set = WeightSet(buffer: buffer, mappings: mappings)
    try located(tensor: tensor.name) { () throws(TinctureError) in
      switch holding {
      case .mapped(let bytes): try set.add(part, bytes, type)
      case .stored:
        try copy(part, type, to: UnsafeMutableRawPointer(buffer.base))
        try set.add(part, UnsafeRawPointer(buffer.base), type)
      case .floats:
        try widen(part, to: buffer.base)
        try set.add(part, UnsafeRawPointer(buffer.base), .element(.f32))
      }
    }
    return set
  }

  /// Bytes that `tensor` takes when it is read.
  func byteCount(_ tensor: CanonicalTensor) -> Int {
    let (_, type) = holding(of: tensor)
    return (type.rowByteCount(tensor.shape.rowLength) ?? 0) * tensor.shape.rowCount
  }

  /// Whether rows of `tensor` are used where they are mapped.
  func isMapped(_ tensor: CanonicalTensor) -> Bool {
    if case .mapped = holding(of: tensor).0 { return true }
    return false
  }

  private func holding(of tensor: CanonicalTensor) -> (Holding, StoredType) {
    let floats = (Holding.floats, StoredType.element(.f32))
    guard tensor.shape.rank == 2 else { return floats }
    var type: StoredType?
    for piece in tensor.expression.pieces {
      switch piece {
      case .source(let source, _, _, _, 1, 0):
        guard source.info.type.floatOrBlockFormat != nil, type == nil || type == source.info.type
        else { return floats }
        type = source.info.type
      // Rows of zeros are zero bytes in every plain float.
      case .constant(0, _): break
      default: return floats
      }
    }
    guard let type else { return floats }
    if tensor.expression.pieces.count > 1, case .block = type { return floats }
    if tensor.expression.pieces.count == 1,
      case .source(let source, let firstRow, _, .identity, _, _) = tensor.expression.pieces[0],
      let mapping = mappings[source.info.fileIndex]
    {
      let offset = Int(source.info.byteOffset) + firstRow * source.info.rowByteCount
      // The container's reader has checked that the tensor ends within the file.
      return (.mapped(mapping.bytes + offset), type)
    }
    return (.stored, type)
  }

  /// Copies stored rows, put in order.
  private func copy(
    _ tensor: CanonicalTensor, _ type: StoredType, to target: UnsafeMutableRawPointer
  ) throws(TinctureError) {
    let rowBytes = type.rowByteCount(tensor.shape.rowLength) ?? 0
    let source = model.source
    let target = Unchecked(target)
    let chunk = max(1, (1 << 20) / max(1, rowBytes))
    var start = 0
    for piece in tensor.expression.pieces {
      switch piece {
      case .source(let stored, let firstRow, let count, let order, _, _):
        let first = start
        try Parallel.forEachChunk(of: count, chunk: chunk, threads: team.threads) {
          (rows) throws(TinctureError) in
          let place = target.value + (first + rows.lowerBound) * rowBytes
          if order == .identity {
            try source.read(
              stored.info, rows: firstRow + rows.lowerBound..<firstRow + rows.upperBound,
              into: UnsafeMutableRawBufferPointer(start: place, count: rows.count * rowBytes))
            return
          }
          for (index, row) in rows.enumerated() {
            let from = order.source(of: row, rowCount: stored.info.shape.rowCount)
            try source.read(
              stored.info, rows: from..<from + 1,
              into: UnsafeMutableRawBufferPointer(
                start: place + index * rowBytes, count: rowBytes))
          }
        }
        start += count
      case .constant(_, let count):
        memsetZero(target.value + start * rowBytes, count * rowBytes)
        start += count
      case .values: preconditionFailure("\(tensor.name) is no matrix of stored rows")
      }
    }
  }

  private func memsetZero(_ target: UnsafeMutableRawPointer, _ count: Int) {
    UnsafeMutableRawBufferPointer(start: target, count: count).initializeMemory(
      as: UInt8.self, repeating: 0)
  }

  /// Makes F32 numbers of a tensor.
  private func widen(
    _ tensor: CanonicalTensor, to target: UnsafeMutablePointer<Float>
  ) throws(TinctureError) {
    let view = CanonicalView(model.source)
    let length = tensor.shape.rowLength
    let chunk = max(1, (1 << 18) / max(1, length))
    let target = Unchecked(target)
    try Parallel.forEachChunk(of: tensor.shape.rowCount, chunk: chunk, threads: team.threads) {
      (rows) throws(TinctureError) in
      let bytes = CanonicalView.scratchByteCount(tensor, rowCount: rows.count)
      let scratch = try Allocation.aligned(bytes, for: "reading weights")
      defer { scratch.deallocate() }
      try view.rows(
        of: tensor, rows, into: target.value + rows.lowerBound * length, scratch: scratch)
    }
  }
}

/// Weights that were loaded together and live together. Used by one thread at a time.
final class WeightSet {
  private let buffer: FloatBuffer
  private let mappings: [MappedFile?]
  private var matrices: [String: WeightMatrix] = [:]
  private var vectors: [String: UnsafePointer<Float>] = [:]

  init(buffer: FloatBuffer, mappings: [MappedFile?]) {
    self.buffer = buffer
    self.mappings = mappings
  }

  fileprivate func add(
    _ tensor: CanonicalTensor, _ bytes: UnsafeRawPointer, _ type: StoredType
  ) throws(TinctureError) {
    if tensor.shape.rank < 2 {
      vectors[tensor.name] = bytes.assumingMemoryBound(to: Float.self)
      return
    }
    matrices[tensor.name] = try WeightMatrix(
      bytes: bytes, type: type, rowCount: tensor.shape.rowCount,
      rowLength: tensor.shape.rowLength, name: tensor.name)
  }

  func matrix(_ name: String) -> WeightMatrix? { matrices[name] }

  /// A vector's numbers; as many as its shape says.
  func vector(_ name: String) -> UnsafePointer<Float>? { vectors[name] }

  /// A linear layer, `NAME.weight` and `NAME.bias`; nil when there is none.
  func projection(_ name: String) -> Projection? {
    matrix(name + ".weight").map { Projection(weights: $0, bias: vector(name + ".bias")) }
  }

  /// A norm, `NAME.weight` and `NAME.bias`; nil when there is none.
  func norm(_ name: String) -> NormWeights? {
    vector(name + ".weight").map { NormWeights(weight: $0, bias: vector(name + ".bias")) }
  }
}

/// A linear layer.
struct Projection {
  var weights: WeightMatrix
  var bias: UnsafePointer<Float>?
}

/// Weights of a norm; a bias for layer norms.
struct NormWeights {
  var weight: UnsafePointer<Float>
  var bias: UnsafePointer<Float>?
}

extension RowExpression {
  /// The expression of some of the rows; only for pieces whose rows keep their order.
  func rows(_ range: Range<Int>, rowLength: Int) -> RowExpression {
    var start = 0
    var parts: [Piece] = []
    for piece in pieces {
      switch piece {
      case .source(let source, let firstRow, let count, let order, let scale, let add):
        precondition(order == .identity, "rows of \(source.info.name) change places")
        let part = range.clamped(to: start..<start + count)
        if !part.isEmpty {
          parts.append(
            .source(
              source, firstRow: firstRow + part.lowerBound - start, rowCount: part.count,
              order: order, scale: scale, add: add))
        }
        start += count
      case .constant(let value, let count):
        let part = range.clamped(to: start..<start + count)
        if !part.isEmpty { parts.append(.constant(value, rowCount: part.count)) }
        start += count
      case .values(let numbers): start += rowLength == 0 ? 0 : numbers.count / rowLength
      }
    }
    return RowExpression(pieces: parts)
  }
}

extension RowExpression.RowOrder {
  /// Which row of the source stands at `row`.
  func source(of row: Int, rowCount: Int) -> Int {
    switch self {
    case .identity: row
    case .interleavedRotary(let heads):
      CanonicalView.rotarySource(row, rows: rowCount, heads: heads)
    }
  }
}
