import TinctureBlocks
import TinctureContainers
import TinctureCore

/// Makes rows of canonical tensors on demand: reads the source, widens to single precision, applies the row
/// expression. Safe from several threads; allocates nothing, the caller lends scratch memory.
public struct CanonicalView: Sendable {
  private let source: any TensorSource

  public init(_ source: any TensorSource) { self.source = source }

  public init(_ model: BoundModel) { source = model.source }

  /// Scratch bytes that ``rows(of:_:into:scratch:)`` needs for `rowCount` rows of `tensor`.
  public static func scratchByteCount(_ tensor: CanonicalTensor, rowCount: Int) -> Int {
    var largest = 0
    for piece in tensor.expression.pieces {
      guard case .source(let source, _, let pieceRows, let order, _, _) = piece else { continue }
      let info = source.info
      let count = order == .identity || info.shape.rank == 1 ? min(rowCount, pieceRows) : 1
      var bytes = count * info.rowByteCount
      // A vector's elements are put in order after widening.
      if order != .identity, info.shape.rank == 1 { bytes += 16 + info.shape.rowLength * 4 }
      largest = max(largest, bytes)
    }
    return largest
  }

  /// Writes `rows` of `tensor` as single-precision numbers.
  ///
  /// - Parameters:
  ///   - values: room for `rows.count * rowLength` numbers.
  ///   - scratch: at least ``scratchByteCount(_:rowCount:)`` bytes, aligned to 16; its content is lost.
  /// - Throws: `file.*` with the tensor's name; `tensor.type` for a block format that has no decoder.
  /// - Complexity: O(numbers written); one read of the source for each piece met, or for each row where rows
  ///   are put in another order.
  public func rows(
    of tensor: CanonicalTensor, _ rows: Range<Int>, into values: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    let length = tensor.shape.rowLength
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= tensor.shape.rowCount, "rows of \(tensor.name)")
    precondition(
      scratch.count >= Self.scratchByteCount(tensor, rowCount: rows.count), "scratch too small")
    var start = 0
    for piece in tensor.expression.pieces {
      let count = Self.rowCount(piece, length)
      let part = rows.clamped(to: start..<start + count)
      if !part.isEmpty {
        let local = part.lowerBound - start..<part.upperBound - start
        let target = values + (part.lowerBound - rows.lowerBound) * length
        switch piece {
        case .constant(let value, _): target.update(repeating: value, count: part.count * length)
        case .values(let numbers):
          for index in 0..<length { target[index] = numbers[index] }
        case .source(let source, let firstRow, _, let order, let scale, let add):
          do throws(TinctureError) {
            try read(
              source.info, local.lowerBound + firstRow..<local.upperBound + firstRow, order, target,
              scratch)
          } catch {
            throw error.naming(tensor)
          }
          Self.apply(scale, add, target, part.count * length)
        }
      }
      start += count
    }
  }

  fileprivate static func rowCount(_ piece: RowExpression.Piece, _ rowLength: Int) -> Int {
    switch piece {
    case .source(_, _, let count, _, _, _): count
    case .constant(_, let count): count
    case .values(let numbers): rowLength == 0 ? 0 : numbers.count / rowLength
    }
  }

  private static func apply(
    _ scale: Float, _ add: Float, _ values: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    if scale != 1 {
      for index in 0..<count { values[index] = values[index] * scale + add }
    } else if add != 0 {
      for index in 0..<count { values[index] += add }
    }
  }

  private func read(
    _ info: TensorInfo, _ rows: Range<Int>, _ order: RowExpression.RowOrder,
    _ target: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    let length = info.shape.rowLength
    switch order {
    case .identity: try widen(info, rows, target, scratch)
    case .interleavedRotary(let heads):
      if info.shape.rank == 1 {
        // A vector: its elements are the rows.
        let bytes = (info.rowByteCount + 15) / 16 * 16
        let numbers = (scratch.baseAddress.map { $0 + bytes })?.assumingMemoryBound(
          to: Float.self)
        guard let numbers else { return }
        try widen(info, rows, numbers, scratch)
        for index in 0..<length {
          target[index] = numbers[Self.rotarySource(index, rows: length, heads: heads)]
        }
        return
      }
      let rowCount = info.shape.rowCount
      for (position, row) in rows.enumerated() {
        let sourceRow = Self.rotarySource(row, rows: rowCount, heads: heads)
        try widen(info, sourceRow..<sourceRow + 1, target + position * length, scratch)
      }
    }
  }

  /// Which row of the source stands at `row` after ``RowExpression/RowOrder/interleavedRotary(heads:)``.
  package static func rotarySource(_ row: Int, rows: Int, heads: Int) -> Int {
    let size = rows / heads
    let (head, inside) = row.quotientAndRemainder(dividingBy: size)
    return head * size + (inside % 2) * (size / 2) + inside / 2
  }

  /// Reads rows and widens them.
  private func widen(
    _ info: TensorInfo, _ rows: Range<Int>, _ target: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    let length = info.shape.rowLength
    let count = rows.count * length
    guard let base = scratch.baseAddress, count > 0 else { return }
    if case .element(.f32) = info.type {
      try source.read(
        info, rows: rows,
        into: UnsafeMutableRawBufferPointer(start: target, count: count * 4))
      return
    }
    let bytes = UnsafeMutableRawBufferPointer(start: base, count: rows.count * info.rowByteCount)
    try source.read(info, rows: rows, into: bytes)
    switch info.type {
    case .element(.f16):
      BlockFormat.f16.decode(base, rowCount: rows.count, rowLength: length, into: target)
    case .element(.bf16):
      BlockFormat.bf16.decode(base, rowCount: rows.count, rowLength: length, into: target)
    case .element(.f64):
      for index in 0..<count {
        let value = base.loadUnaligned(fromByteOffset: index * 8, as: Double.self)
        target[index] = Float(value)
        guard target[index].isFinite || !value.isFinite else {
          throw TinctureError(
            .init("weights.overflow", .unsupported),
            "row \(rows.lowerBound + index / length), column \(index % length) becomes infinite in F32",
            place: .init(file: source.files[info.fileIndex].path, tensor: info.name),
            expected: "a weight within the range of F32", found: "\(value)",
            advice: "GGUF's engines compute in single precision; check the checkpoint")
        }
      }
    case .block(let format) where format.canEncode:
      format.decode(base, rowCount: rows.count, rowLength: length, into: target)
    case .element, .block:
      throw TinctureError(
        .init("tensor.type", .unsupported), "this type cannot be decoded",
        place: .init(tensor: info.name), found: info.type.description,
        advice: "start from a file in another type")
    }
  }
}

extension CanonicalView {
  /// Whether `tensor` stored as `format` is byte for byte what the source holds, so that rows can be copied.
  public static func isRawCopy(_ tensor: CanonicalTensor, as format: BlockFormat) -> Bool {
    guard tensor.expression.pieces.count == 1,
      case .source(let source, _, let count, .identity, 1, 0) = tensor.expression.pieces[0],
      count == tensor.shape.rowCount
    else { return false }
    switch source.info.type {
    case .element(.f32): return format == .f32
    case .element(.f16): return format == .f16
    case .element(.bf16): return format == .bf16
    case .element: return false
    case .block(let stored): return stored == format
    }
  }

  /// Copies the stored bytes of `rows`; only for tensors of which ``isRawCopy(_:as:)`` is true.
  ///
  /// - Parameter bytes: exactly the rows' bytes.
  /// - Throws: `file.*` with the tensor's name.
  public func copyRows(
    of tensor: CanonicalTensor, _ rows: Range<Int>, into bytes: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    guard case .source(let source, let firstRow, _, _, _, _) = tensor.expression.pieces.first
    else { preconditionFailure("\(tensor.name) is no copy") }
    do throws(TinctureError) {
      try self.source.read(
        source.info, rows: firstRow + rows.lowerBound..<firstRow + rows.upperBound, into: bytes)
    } catch {
      throw error.naming(tensor)
    }
  }
}

extension CanonicalTensor {
  /// How errors about weights name the tensor: as its file does, with the GGUF name in parentheses where that is
  /// another one.
  package var label: String {
    for case .source(let source, _, _, _, _, _) in expression.pieces where source.info.name != name
    {
      return "\(source.info.name) (\(name))"
    }
    return name
  }

  /// Where the element at `row`, `column` stands in the tensor that ``label`` names; elements that no source has keep
  /// their place.
  package func sourcePlace(row: Int, column: Int) -> (row: Int, column: Int) {
    var start = 0
    for piece in expression.pieces {
      let count = CanonicalView.rowCount(piece, shape.rowLength)
      defer { start += count }
      guard start..<start + count ~= row,
        case .source(let source, let firstRow, _, let order, _, _) = piece
      else { continue }
      let inside = row - start + firstRow
      guard case .interleavedRotary(let heads) = order else { return (inside, column) }
      let info = source.info.shape
      if info.rank == 1 {
        return (
          inside, CanonicalView.rotarySource(column, rows: info.rowLength, heads: heads)
        )
      }
      return (CanonicalView.rotarySource(inside, rows: info.rowCount, heads: heads), column)
    }
    return (row, column)
  }
}

extension TinctureError {
  /// The same error about `tensor`, by its ``CanonicalTensor/label``.
  fileprivate func naming(_ tensor: CanonicalTensor) -> TinctureError {
    var copy = at(layer: tensor.layer)
    copy.place.tensor = tensor.label
    return copy
  }
}
