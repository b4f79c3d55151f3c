import TinctureContainers
import TinctureCore

/// Compares two stored tensors, for rules that leave one out because it repeats the other.
///
/// Configurations are wrong here at times: a fine-tune may train a head of its own and keep
/// `tie_word_embeddings`. transformers then keeps both tensors apart (5.14, modeling_utils.py, tie_weights), so the
/// values decide and not the configuration.
package struct RepeatedTensor: Sendable {
  private static let chunkByteCount = 512 << 10

  /// Row and column of the first element in which the tensors differ; `(0, 0)` when their shapes do, nil when
  /// they hold the same numbers.
  ///
  /// Numbers are compared in single precision, so the stored types may differ; two zeros are equal whatever
  /// their signs.
  /// - Throws: `file.*`; `tensor.type` for a type that cannot be widened.
  /// - Complexity: reads both tensors once, in pieces of 512 KiB (or of one row, where that is longer).
  package static func firstDifference(
    _ one: TensorInfo, _ other: TensorInfo, in source: any TensorSource
  ) throws(TinctureError) -> (row: Int, column: Int)? {
    guard one.shape == other.shape else { return (0, 0) }
    let length = one.shape.rowLength
    let rowBytes = max(one.rowByteCount, other.rowByteCount, length * 4)
    guard length > 0, rowBytes > 0 else { return nil }
    let step = max(1, min(one.shape.rowCount, chunkByteCount / rowBytes))
    let buffers = try Buffers(byteCount: step * rowBytes)
    let view = CanonicalView(source)
    let tensors = (canonical(one), canonical(other))
    var start = 0
    while start < one.shape.rowCount {
      let rows = start..<min(one.shape.rowCount, start + step)
      var isSame = false
      if one.type == other.type {
        isSame = try buffers.holdSameBytes(one, other, rows: rows, in: source)
      }
      if !isSame, let index = try buffers.difference(tensors.0, tensors.1, rows: rows, view) {
        return (start + index / length, index % length)
      }
      start = rows.upperBound
    }
    return nil
  }

  private static func canonical(_ info: TensorInfo) -> CanonicalTensor {
    CanonicalTensor(
      name: info.name, shape: info.shape, role: .other, layer: nil,
      expression: RowExpression(pieces: [
        .source(
          SourceTensor(info), firstRow: 0, rowCount: info.shape.rowCount, order: .identity,
          scale: 1, add: 0)
      ]))
  }

  /// Room for the rows of both tensors and for what widening needs.
  private final class Buffers {
    private let bytes: UnsafeMutableRawBufferPointer
    private let size: Int

    init(byteCount: Int) throws(TinctureError) {
      size = (byteCount + 63) / 64 * 64
      bytes = try Allocation.aligned(size * 3, for: "comparing two tensors")
    }

    deinit { bytes.deallocate() }

    private func part(_ index: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(rebasing: bytes[index * size..<index * size + count])
    }

    func holdSameBytes(
      _ one: TensorInfo, _ other: TensorInfo, rows: Range<Int>, in source: any TensorSource
    ) throws(TinctureError) -> Bool {
      let count = rows.count * one.rowByteCount
      try source.read(one, rows: rows, into: part(0, count))
      try source.read(other, rows: rows, into: part(1, count))
      return part(0, count).elementsEqual(part(1, count))
    }

    /// Index of the first element of the rows that differs.
    func difference(
      _ one: CanonicalTensor, _ other: CanonicalTensor, rows: Range<Int>, _ view: CanonicalView
    ) throws(TinctureError) -> Int? {
      let count = rows.count * one.shape.rowLength
      let values = (
        part(0, count * 4).bindMemory(to: Float.self), part(1, count * 4).bindMemory(to: Float.self)
      )
      guard let first = values.0.baseAddress, let second = values.1.baseAddress else { return nil }
      try view.rows(of: one, rows, into: first, scratch: part(2, size))
      try view.rows(of: other, rows, into: second, scratch: part(2, size))
      return (0..<count).first {
        first[$0] != second[$0] && first[$0].bitPattern != second[$0].bitPattern
      }
    }
  }
}
