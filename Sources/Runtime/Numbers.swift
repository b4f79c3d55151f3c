import CKernels
import TinctureCatalog
import TinctureCore

/// A place of numbers between two steps of a layer: doubles in exact arithmetic, floats in engine arithmetic.
struct Numbers {
  let raw: UnsafeMutableRawPointer
  let arithmetic: Arithmetic

  init(_ raw: UnsafeMutableRawPointer, _ arithmetic: Arithmetic) {
    self.raw = raw
    self.arithmetic = arithmetic
  }

  /// The numbers in engine arithmetic.
  var floats: UnsafeMutablePointer<Float> { raw.assumingMemoryBound(to: Float.self) }
  /// The numbers in exact arithmetic.
  var doubles: UnsafeMutablePointer<Double> { raw.assumingMemoryBound(to: Double.self) }

  /// Bytes of a number.
  static func size(_ arithmetic: Arithmetic) -> Int {
    switch arithmetic {
    case .exact: MemoryLayout<Double>.size
    case .engine: MemoryLayout<Float>.size
    }
  }

  static func + (place: Numbers, count: Int) -> Numbers {
    Numbers(place.raw + count * size(place.arithmetic), place.arithmetic)
  }
}

/// Room for numbers, counted by a memory budget.
final class NumberBuffer {
  let base: Numbers
  private let buffer: FloatBuffer

  /// - Throws: `memory.budget`.
  init(
    _ count: Int, _ arithmetic: Arithmetic, _ memory: MemoryBudget, for purpose: String,
    isZeroed: Bool = false
  ) throws(TinctureError) {
    let floats = Numbers.size(arithmetic) / MemoryLayout<Float>.size
    buffer = try FloatBuffer(count * floats, memory, for: purpose, isZeroed: isZeroed)
    base = Numbers(UnsafeMutableRawPointer(buffer.base), arithmetic)
  }
}

/// What is computed between products, in the arithmetic of the numbers. `cops.h` states what each step promises.
struct Operations {
  let table: UnsafePointer<to_ops>
  let arithmetic: Arithmetic

  init(_ arithmetic: Arithmetic) {
    table = Self.table
    self.arithmetic = arithmetic
  }

  static var table: UnsafePointer<to_ops> {
    guard let table = to_select() else {
      preconditionFailure("TINCTURE_ISA is wrong and InstructionSet.check() was not called")
    }
    return table
  }

  /// Normalises a vector: layer norm where there is a bias, else RMS norm.
  ///
  /// - Parameter isInput: whether products read the result; in exact arithmetic it has 29 bits then.
  func normalize(
    _ x: Numbers, _ norm: NormWeights, _ epsilon: Float, into out: Numbers, isInput: Bool,
    width: Int
  ) {
    let (ops, count, cut) = (table.pointee, Int64(width), Int32(isInput ? 1 : 0))
    switch (arithmetic, norm.bias) {
    case (.exact, let bias?):
      ops.layer_norm_wide(x.doubles, norm.weight, bias, epsilon, cut, out.doubles, count)
    case (.exact, nil): ops.rms_norm_wide(x.doubles, norm.weight, epsilon, cut, out.doubles, count)
    case (.engine, let bias?):
      ops.layer_norm(x.floats, norm.weight, bias, epsilon, out.floats, count)
    case (.engine, nil): ops.rms_norm(x.floats, norm.weight, epsilon, out.floats, count)
    }
  }

  func add(_ x: Numbers, _ y: Numbers, width: Int) {
    switch arithmetic {
    case .exact: table.pointee.add_wide(x.doubles, y.doubles, Int64(width))
    case .engine: table.pointee.add(x.floats, y.floats, Int64(width))
    }
  }

  func add(_ x: Numbers, _ bias: UnsafePointer<Float>, width: Int) {
    switch arithmetic {
    case .exact: table.pointee.add_float(x.doubles, bias, Int64(width))
    case .engine: table.pointee.add(x.floats, bias, Int64(width))
    }
  }

  /// Writes `x * factor`.
  func scale(_ x: UnsafePointer<Float>, by factor: Double, into out: Numbers, width: Int) {
    switch arithmetic {
    case .exact: table.pointee.widen(x, factor, out.doubles, Int64(width))
    case .engine:
      out.floats.update(from: x, count: width)
      if factor != 1 { table.pointee.scale(out.floats, Float(factor), Int64(width)) }
    }
  }

  /// Copies what products read.
  func copy(_ x: Numbers, into out: Numbers, width: Int) {
    switch arithmetic {
    case .exact:
      out.doubles.update(from: x.doubles, count: width)
      table.pointee.cut_wide(out.doubles, 29, Int64(width))
    case .engine: out.floats.update(from: x.floats, count: width)
    }
  }

  func rotate(
    _ x: Numbers, _ cosines: UnsafePointer<Float>, _ sines: UnsafePointer<Float>,
    isInterleaved: Bool, width: Int
  ) {
    let count = Int64(width)
    switch (arithmetic, isInterleaved) {
    case (.exact, _):
      table.pointee.rotate_wide(x.doubles, cosines, sines, isInterleaved ? 1 : 0, count)
    case (.engine, true): table.pointee.rotate_interleaved(x.floats, cosines, sines, count)
    case (.engine, false): table.pointee.rotate_split(x.floats, cosines, sines, count)
    }
  }

  /// What attention reads: in exact arithmetic queries have 26 bits, keys and values 27, so that products are exact; in
  /// engine arithmetic all are F16, as in the engine's cache.
  enum AttentionInput: Int32 {
    case query = 26
    case stored = 27
  }

  func round(_ x: Numbers, as input: AttentionInput, width: Int) {
    switch arithmetic {
    case .exact: table.pointee.cut_wide(x.doubles, input.rawValue, Int64(width))
    case .engine: table.pointee.round_half(x.floats, Int64(width))
    }
  }

  /// `f(gate) * up`, or `f(gate)`.
  func activate(_ activation: GraphRule.Activation, _ gate: Numbers, _ up: Numbers?, width: Int) {
    switch arithmetic {
    case .exact:
      table.pointee.activate_wide(activation.number, gate.doubles, up?.doubles, Int64(width))
    case .engine:
      // The engine looks GELU's tanh form up in a table of halves.
      let half: Int32 = activation == .geluTanh ? 1 : 0
      table.pointee.activate(activation.number, half, gate.floats, up?.floats, Int64(width))
    }
  }
}

/// Numbers as the floats that are shown to others; made when asked for, and valid until the next call.
final class FloatView {
  private let memory: MemoryBudget
  private let team: Team
  private var buffer: FloatBuffer?

  init(_ memory: MemoryBudget, _ team: Team) {
    self.memory = memory
    self.team = team
  }

  /// - Throws: `memory.budget`.
  func floats(of numbers: Numbers, count: Int) throws(TinctureError) -> UnsafePointer<Float> {
    if numbers.arithmetic == .engine { return UnsafePointer(numbers.floats) }
    let room: FloatBuffer
    if let buffer, buffer.count >= count {
      room = buffer
    } else {
      buffer = nil
      room = try FloatBuffer(count, memory, for: "vectors as floats")
      buffer = room
    }
    let job = Unchecked((table: Operations.table, from: numbers.doubles, to: room.base))
    team.forEachChunk(of: count, chunk: 1 << 14) { part in
      let (table, from, to) = job.value
      table.pointee.narrow(
        from + part.lowerBound, to + part.lowerBound, Int64(part.count))
    }
    return UnsafePointer(room.base)
  }
}
