import CKernels
import TinctureBlocks
import TinctureContainers
import TinctureCore

/// Rows of weights in their stored bytes, used in place.
///
/// A view: whoever owns the bytes (a mapped file, a leased buffer) must outlive every use of it.
package struct WeightMatrix: Sendable {
  package let format: BlockFormat
  /// Outputs of the product.
  package let rowCount: Int
  /// Inputs of the product.
  package let rowLength: Int
  /// Bytes of a row; rows follow each other without gaps.
  package let rowByteCount: Int
  private let storage: Unchecked<UnsafeRawPointer>

  /// First byte of the first row; needs no alignment.
  package var bytes: UnsafeRawPointer { storage.value }

  /// - Parameters:
  ///   - bytes: `rowCount` rows of `rowLength` elements of type `type`.
  ///   - name: the tensor, for the error.
  /// - Throws: `runtime.weights.format` (exit 4) when products with that type are not implemented;
  ///   `runtime.weights.shape` (exit 3) when a row is no whole number of blocks.
  package init(
    bytes: UnsafeRawPointer, type: StoredType, rowCount: Int, rowLength: Int, name: String
  ) throws(TinctureError) {
    guard let format = type.floatOrBlockFormat, tk_engine_form(Int32(format.id)) != TK_FORM_NONE
    else {
      throw TinctureError(
        .init("runtime.weights.format", .unsupported),
        "the runtime cannot multiply with weights of type \(type)",
        place: .init(tensor: name),
        expected: "one of \(BlockFormat.all.map(\.name).joined(separator: ", "))",
        found: "\(type)", advice: "convert the model to one of these types")
    }
    guard let rowByteCount = format.rowByteCount(rowLength), rowLength > 0, rowCount >= 0 else {
      throw TinctureError(
        .init("runtime.weights.shape", .invalidInput),
        "rows of \(rowLength) elements are no whole \(format.name) blocks",
        place: .init(tensor: name), expected: "a multiple of \(format.elementsPerBlock)",
        found: "\(rowLength)", advice: "the file is damaged: make it again")
    }
    self.format = format
    self.rowCount = rowCount
    self.rowLength = rowLength
    self.rowByteCount = rowByteCount
    self.storage = Unchecked(bytes)
  }

  /// Rows `range` of this matrix.
  package func rows(_ range: Range<Int>) -> WeightMatrix {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rowCount, "rows \(range) of \(rowCount)")
    return WeightMatrix(part: range, of: self)
  }

  private init(part range: Range<Int>, of whole: WeightMatrix) {
    format = whole.format
    rowCount = range.count
    rowLength = whole.rowLength
    rowByteCount = whole.rowByteCount
    storage = Unchecked(whole.bytes + range.lowerBound * whole.rowByteCount)
  }
}

extension StoredType {
  /// The format of weights stored so: F32, F16, BF16 or a block format; nil for integers and other floats.
  package var floatOrBlockFormat: BlockFormat? {
    switch self {
    case .block(let format): format
    case .element(.f32): .f32
    case .element(.f16): .f16
    case .element(.bf16): .bf16
    case .element: nil
    }
  }
}
