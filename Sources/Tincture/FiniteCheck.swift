import TinctureBlocks
import TinctureCatalog
import TinctureCore

/// NaN and infinity in float tensors: found in copied bytes, or let through when the user says so.
enum FiniteCheck {
  /// Searches copied rows of F32, F16 or BF16; other formats are not looked at.
  ///
  /// - Throws: `weights.nonFinite` with row and column.
  static func check(
    _ bytes: UnsafeRawBufferPointer, format: BlockFormat, rowLength: Int, tensor: CanonicalTensor,
    firstRow: Int
  ) throws(TinctureError) {
    let found: Int?
    switch format {
    case .f32: found = first(bytes, mask: UInt32(0x7F80_0000))
    case .f16: found = first(bytes, mask: UInt16(0x7C00))
    case .bf16: found = first(bytes, mask: UInt16(0x7F80))
    default: found = nil
    }
    guard let found else { return }
    throw EncodingError.nonFinite(
      row: found / rowLength, column: found % rowLength, value: value(bytes, found, format)
    ).located(in: tensor, format: format, firstRow: firstRow)
  }

  /// Index of the first element whose exponent bits are all set.
  private static func first<Word: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, mask: Word)
    -> Int?
  {
    bytes.withMemoryRebound(to: Word.self) { words in
      // A pass without branches first: nearly every buffer holds none.
      var hits: Word = 0
      for index in 0..<words.count {
        hits |= words[index] & mask == mask ? 1 : 0
      }
      return hits == 0 ? nil : words.firstIndex { $0 & mask == mask }
    }
  }

  private static func value(_ bytes: UnsafeRawBufferPointer, _ index: Int, _ format: BlockFormat)
    -> Float
  {
    var value: Float = 0
    if let base = bytes.baseAddress {
      format.decode(base + index * format.bytesPerBlock, rowCount: 1, rowLength: 1, into: &value)
    }
    return value
  }

  /// Stores `values` as F32, F16 or BF16 with NaN and infinity as they are, rounding to nearest even.
  ///
  /// - Throws: `weights.overflow` for a finite value that becomes infinite.
  static func encodeAnyway(
    _ values: UnsafeBufferPointer<Float>, format: BlockFormat, rowLength: Int,
    tensor: CanonicalTensor,
    firstRow: Int, into bytes: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    for (index, value) in values.enumerated() {
      var isOverflow = false
      switch format {
      case .f32:
        bytes.storeBytes(of: value.bitPattern, toByteOffset: index * 4, as: UInt32.self)
      case .f16:
        let half = halfBits(value)
        isOverflow = value.isFinite && half & 0x7C00 == 0x7C00
        bytes.storeBytes(of: half, toByteOffset: index * 2, as: UInt16.self)
      default:
        precondition(format == .bf16, "\(format.name) holds no NaN")
        let bits = brainBits(value)
        isOverflow = value.isFinite && bits & 0x7F80 == 0x7F80
        bytes.storeBytes(of: bits, toByteOffset: index * 2, as: UInt16.self)
      }
      if isOverflow {
        throw EncodingError.overflow(
          row: index / rowLength, column: index % rowLength, value: value
        ).located(in: tensor, format: format, firstRow: firstRow)
      }
    }
  }

  private static func brainBits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(bits >> 16) | 0x40 }
    return UInt16((bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
  }

  /// IEEE half of `value`, through the library's own F16 encoder for finite values.
  private static func halfBits(_ value: Float) -> UInt16 {
    let sign = UInt16(value.bitPattern >> 16) & 0x8000
    if value.isNaN { return sign | 0x7E00 }
    if value.isInfinite { return sign | 0x7C00 }
    var half: UInt16 = 0
    var copy = value
    do throws(EncodingError) {
      try BlockFormat.f16.encode(&copy, rowCount: 1, rowLength: 1, importance: nil, into: &half)
    } catch {
      return sign | 0x7C00
    }
    return half
  }
}

extension EncodingError {
  /// The toolchain's error, naming tensor and place as the source has them.
  func located(in tensor: CanonicalTensor, format: BlockFormat, firstRow: Int) -> TinctureError {
    func moved(_ row: Int, _ column: Int) -> (row: Int, column: Int) {
      tensor.sourcePlace(row: firstRow + row, column: column)
    }
    let error: EncodingError
    switch self {
    case .nonFinite(let row, let column, let value):
      let place = moved(row, column)
      error = .nonFinite(row: place.row, column: place.column, value: value)
    case .overflow(let row, let column, let value):
      let place = moved(row, column)
      error = .overflow(row: place.row, column: place.column, value: value)
    }
    return error.located(tensor: tensor.label, format: format)
  }
}
