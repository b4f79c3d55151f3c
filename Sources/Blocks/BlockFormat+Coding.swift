import CKernels
import TinctureCore

/// How a format's values become bytes.
enum Coding: Sendable {
  /// Not implemented: the format is known by name and size only.
  case none
  case f32, f16, bf16
  /// A block codec out of the table of kernels; greater magnitudes than `limit` cannot be stored.
  case kernel(limit: Float, @Sendable (tk_kernels) -> tk_codec)
}

extension BlockFormat {
  /// Magnitudes up to this one decode to finite numbers in every quantized format.
  private static let safeMagnitude: Float = 32768

  /// Encodes `rowCount` rows of `rowLength` values into `rowCount * rowByteCount(rowLength)` bytes.
  ///
  /// - Parameters:
  ///   - values: rows one after the other.
  ///   - rowCount: number of rows; may be 0.
  ///   - rowLength: elements of a row, a multiple of ``elementsPerBlock``.
  ///   - importance: `rowLength` non-negative finite weights, one per column, shared by all rows: the encoder
  ///     then minimises `sum(importance[i] * (x[i] - decoded[i])^2)`. Plain float formats ignore it.
  ///   - bytes: where the blocks go; needs no alignment, must not overlap `values`.
  /// - Throws: ``EncodingError`` for the first value, in row order, that is not finite or that overflows; the
  ///   bytes are then unspecified.
  /// - Complexity: O(values), no allocation except when a row holds values beyond ±32768.
  public func encode(
    _ values: UnsafePointer<Float>, rowCount: Int, rowLength: Int,
    importance: UnsafePointer<Float>?, into bytes: UnsafeMutableRawPointer
  ) throws(EncodingError) {
    _ = try encodeCountingFaint(
      values, rowCount: rowCount, rowLength: rowLength, importance: importance, into: bytes)
  }

  /// The same; returns how many rows lost more than a quarter of their energy because they are too small for
  /// half-precision numbers (see ``isFaint(_:_:_:)``).
  package func encodeCountingFaint(
    _ values: UnsafePointer<Float>, rowCount: Int, rowLength: Int,
    importance: UnsafePointer<Float>?, into bytes: UnsafeMutableRawPointer
  ) throws(EncodingError) -> Int {
    var faint = 0
    guard let rowBytes = rowByteCount(rowLength), rowCount >= 0 else {
      preconditionFailure("\(rowCount) rows of \(rowLength) elements are no whole \(name) blocks")
    }
    let kernels = InstructionSet.kernels.pointee
    for row in 0..<rowCount {
      let source = values + row * rowLength
      let target = bytes + row * rowBytes
      let magnitude = Float(bitPattern: kernels.max_magnitude(source, Int64(rowLength)))
      if !magnitude.isFinite {
        let column = Int(kernels.find_nonfinite(source, Int64(rowLength)))
        throw .nonFinite(row: row, column: column, value: source[column])
      }
      switch coding {
      case .none:
        preconditionFailure("\(name) has no encoder")
      case .f32:
        target.copyMemory(from: source, byteCount: rowBytes)
      case .f16, .bf16:
        try encodeHalf(source, row, rowLength, magnitude, kernels, target)
      case .kernel(let limit, let codec):
        let codec = codec(kernels)
        codec.encode(
          source, importance, target.assumingMemoryBound(to: UInt8.self), Int64(rowLength))
        if magnitude > Self.safeMagnitude {
          try checkDecoded(source, row, rowLength, codec, target, limit)
        }
      }
      if magnitude < Self.faintMagnitude, magnitude > 0, isFaint(source, target, rowLength) {
        faint += 1
      }
    }
    return faint
  }

  /// Rows of smaller magnitudes may have scales below half precision's 2^-24: the greatest quant times the greatest
  /// scale of a sub-block, 15 × 63, is below 2^10.
  private static let faintMagnitude: Float = 0x1p-13

  /// Whether what is decoded has lost more than a quarter of the row's energy.
  private func isFaint(
    _ source: UnsafePointer<Float>, _ target: UnsafeRawPointer, _ length: Int
  ) -> Bool {
    var decoded = [Float](repeating: 0, count: length)
    decode(target, rowCount: 1, rowLength: length, into: &decoded)
    var (energy, error) = (0.0, 0.0)
    for column in 0..<length {
      let (x, y) = (Double(source[column]), Double(decoded[column]))
      energy += x * x
      error += (x - y) * (x - y)
    }
    return error > energy / 4
  }

  /// Encodes one row of 16-bit floats; `magnitude` is its greatest absolute value.
  private func encodeHalf(
    _ source: UnsafePointer<Float>, _ row: Int, _ length: Int, _ magnitude: Float,
    _ kernels: tk_kernels, _ target: UnsafeMutableRawPointer
  ) throws(EncodingError) {
    var column: Int64 = -1
    if case .f16 = coding {
      column = kernels.f32_to_f16(source, target, Int64(length))
    } else {
      kernels.f32_to_bf16(source, target, Int64(length))
      if magnitude.bitPattern >= 0x7F7F_8000 {
        column = Int64((0..<length).first { source[$0].magnitude.bitPattern >= 0x7F7F_8000 } ?? -1)
      }
    }
    if column >= 0 {
      throw .overflow(row: row, column: Int(column), value: source[Int(column)])
    }
  }

  /// Throws when a value exceeds `limit` or its block decodes to something that is not finite (a scale overflowed).
  private func checkDecoded(
    _ source: UnsafePointer<Float>, _ row: Int, _ length: Int, _ codec: tk_codec,
    _ target: UnsafeMutableRawPointer, _ limit: Float
  ) throws(EncodingError) {
    var decoded = [Float](repeating: 0, count: elementsPerBlock)
    for block in 0..<length / elementsPerBlock {
      let first = block * elementsPerBlock
      // Scales follow the greatest magnitude of the block: that one is to blame.
      var worst = first
      for column in first..<first + elementsPerBlock
      where source[column].magnitude > source[worst].magnitude {
        worst = column
      }
      codec.decode(
        target.assumingMemoryBound(to: UInt8.self) + block * bytesPerBlock, &decoded,
        Int64(elementsPerBlock))
      if source[worst].magnitude > limit || !decoded.allSatisfy(\.isFinite) {
        throw .overflow(row: row, column: worst, value: source[worst])
      }
    }
  }

  /// Decodes `rowCount` rows of `rowLength` elements into `values`.
  ///
  /// - Parameters:
  ///   - bytes: `rowCount * rowByteCount(rowLength)` bytes; need no alignment.
  ///   - rowCount: number of rows; may be 0.
  ///   - rowLength: elements of a row, a multiple of ``elementsPerBlock``.
  ///   - values: room for `rowCount * rowLength` values; must not overlap `bytes`.
  /// - Complexity: O(values), no allocation. Any bytes are accepted: bad scales decode to NaN or infinity.
  public func decode(
    _ bytes: UnsafeRawPointer, rowCount: Int, rowLength: Int,
    into values: UnsafeMutablePointer<Float>
  ) {
    guard let rowBytes = rowByteCount(rowLength), rowCount >= 0 else {
      preconditionFailure("\(rowCount) rows of \(rowLength) elements are no whole \(name) blocks")
    }
    let kernels = InstructionSet.kernels.pointee
    let count = Int64(rowCount * rowLength)
    switch coding {
    case .none:
      preconditionFailure("\(name) has no decoder")
    case .f32:
      UnsafeMutableRawPointer(values).copyMemory(from: bytes, byteCount: rowCount * rowBytes)
    case .f16:
      kernels.f16_to_f32(bytes, values, count)
    case .bf16:
      kernels.bf16_to_f32(bytes, values, count)
    case .kernel(_, let codec):
      codec(kernels).decode(bytes.assumingMemoryBound(to: UInt8.self), values, count)
    }
  }
}
