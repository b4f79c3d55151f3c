import TinctureContainers
import TinctureCore

/// Looks whether a stored tensor holds the numbers 0, 1, 2, …, for rules that leave one out because it does.
package enum CountingTensor {
  private static let chunkByteCount = 64 << 10

  /// The first element that is not its own index, with what stands there; nil when all are.
  ///
  /// Integers must be exact; floats may be rounded as their type rounds.
  /// - Throws: `file.*`.
  /// - Complexity: reads the tensor once, in pieces of 64 KiB.
  package static func firstDifference(
    _ info: TensorInfo, in source: any TensorSource
  ) throws(TinctureError) -> (index: Int, value: String)? {
    guard case .element(let type) = info.type else { return (0, "\(info.type)") }
    let step = chunkByteCount / type.byteCount
    let count = info.shape.elementCount
    for start in stride(from: 0, to: count, by: step) {
      let bytes = try source.files[info.fileIndex].bytes(
        at: info.byteOffset + UInt64(start * type.byteCount),
        count: min(step, count - start) * type.byteCount)
      for offset in 0..<bytes.count / type.byteCount {
        let index = start + offset
        let bits = pattern(bytes, offset * type.byteCount, type.byteCount)
        if let wrong = difference(bits, type, index) { return (index, wrong) }
      }
    }
    return nil
  }

  /// The little-endian number of `size` bytes at `start`.
  private static func pattern(_ bytes: [UInt8], _ start: Int, _ size: Int) -> UInt64 {
    var bits: UInt64 = 0
    for place in (0..<size).reversed() { bits = bits << 8 | UInt64(bytes[start + place]) }
    return bits
  }

  /// What `bits` say when that is not `index`.
  private static func difference(_ bits: UInt64, _ type: ElementType, _ index: Int) -> String? {
    func check(_ found: some Numeric & CustomStringConvertible, _ isRight: Bool) -> String? {
      isRight ? nil : "\(found)"
    }
    let single = Float(index)
    switch type {
    case .i64:
      let value = Int64(bitPattern: bits)
      return check(value, value == index)
    case .i32:
      let value = Int32(truncatingIfNeeded: bits)
      return check(value, Int(value) == index)
    case .i16:
      let value = Int16(truncatingIfNeeded: bits)
      return check(value, Int(value) == index)
    case .bool, .u8, .i8, .u16, .u32, .u64:
      return check(bits, bits == UInt64(index))
    case .f64:
      let value = Double(bitPattern: bits)
      return check(value, value == Double(index))
    case .f32:
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: bits))
      return check(value, value == single)
    case .bf16:
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: bits) << 16)
      return check(value, abs(value - single) <= single / 256)
    case .f16:
      let value = half(UInt16(truncatingIfNeeded: bits))
      return check(value, abs(value - single) <= single / 2048)
    case .f8e4m3, .f8e5m2: return type.rawValue
    }
  }

  private static func half(_ bits: UInt16) -> Float {
    let exponent = Int(bits >> 10 & 31)
    let fraction = Float(bits & 1023)
    let size =
      exponent == 0
      ? fraction * 0x1p-24
      : (1 + fraction / 1024) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
    return bits >> 15 == 0 ? size : -size
  }
}
