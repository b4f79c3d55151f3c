import TinctureCore

/// A rotary position embedding (Su et al., RoFormer, 2021): frequencies of a head's pairs, and how they are scaled.
package struct Rotary: Sendable, Equatable {
  package enum Scaling: Sendable, Equatable {
    case none
    /// Angles divided by the factor.
    case linear(Float)
    /// Peng et al., YaRN, 2023, with llama.cpp's and transformers' truncated range.
    case yarn(factor: Float, originalContext: Int, betaFast: Float, betaSlow: Float)
  }

  package var base: Float
  /// Elements of a head.
  package var size: Int
  package var scaling: Scaling
  /// Whether neighbours turn together (ggml's NORM), or element i and i + size/2 (NEOX).
  package var isInterleaved: Bool
  /// What llama.cpp multiplies cosines and sines with beside the scaling's own factor (rope.scaling.attn_factor).
  package var attentionFactor: Float = 1

  /// Cosines and sines of `positions`, `[position][size / 2]` each.
  ///
  /// With ``Arithmetic/exact`` angles are what the models were trained with: frequencies in single precision as
  /// transformers computes them (modeling_rope_utils.py), the product with the position in single precision, then
  /// cosine and sine rounded once. A product in double would be another model: at position 1,500 its angles differ by
  /// 1e-4. With ``Arithmetic/engine`` each angle is the one before times a constant, in single precision
  /// (ggml-cpu/ops.cpp, ggml_rope_cache_init).
  /// - Parameter factors: what divides the frequencies, one for each pair (`rope_freqs.weight`); nil: none.
  func angles(
    _ positions: Range<Int>, arithmetic: Arithmetic, factors: [Float]?,
    cosines: UnsafeMutablePointer<Float>, sines: UnsafeMutablePointer<Float>
  ) {
    let pairs = size / 2
    switch arithmetic {
    case .exact:
      let frequencies = (0..<pairs).map { exactFrequency($0, factors?[$0] ?? 1) }
      for (row, position) in positions.enumerated() {
        for pair in 0..<pairs {
          let angle = Double(Float(position) * frequencies[pair])
          cosines[row * pairs + pair] = Float(Elementary.cosine(angle)) * magnitude
          sines[row * pairs + pair] = Float(Elementary.sine(angle)) * magnitude
        }
      }
    case .engine:
      let step = Float(Elementary.power(Double(base), Double(-2 / Float(size))))
      for (row, position) in positions.enumerated() {
        var theta = Float(position)
        for pair in 0..<pairs {
          let angle = Double(engineAngle(theta / (factors?[pair] ?? 1), pair))
          cosines[row * pairs + pair] = Float(Elementary.cosine(angle)) * magnitude
          sines[row * pairs + pair] = Float(Elementary.sine(angle)) * magnitude
          theta *= step
        }
      }
    }
  }

  private func exactFrequency(_ pair: Int, _ divisor: Float) -> Float {
    let exponent = Double(Float(2 * pair) / Float(size))
    let plain = 1 / Float(Elementary.power(Double(base), exponent))
    switch scaling {
    case .none: return plain / divisor
    case .linear(let factor): return plain / factor / divisor
    case .yarn(let factor, _, _, _):
      let keep = extrapolation(pair)
      return (plain / factor * (1 - keep) + plain * keep) / divisor
    }
  }

  private func engineAngle(_ theta: Float, _ pair: Int) -> Float {
    switch scaling {
    case .none: return theta
    case .linear(let factor): return theta * (1 / factor)
    case .yarn(let factor, _, _, _):
      let keep = extrapolation(pair)
      return theta * (1 / factor) * (1 - keep) + theta * keep
    }
  }

  /// How much of the unscaled frequency YaRN keeps for a pair.
  private func extrapolation(_ pair: Int) -> Float {
    guard case .yarn(_, let context, let fast, let slow) = scaling else { return 1 }
    func dimension(_ rotations: Float) -> Double {
      let turns = Double(context) / (Double(rotations) * 2 * Double.pi)
      return Double(size) * Elementary.logarithm(turns) / (2 * Elementary.logarithm(Double(base)))
    }
    let low = max(0, dimension(fast).rounded(.down))
    let high = min(Double(size - 1), dimension(slow).rounded(.up))
    let ramp = (Double(pair) - low) / max(0.001, high - low)
    return Float(1 - min(1, max(0, ramp)))
  }

  /// What cosines and sines are multiplied with: YaRN's attention factor, 0.1·ln(factor) + 1, times the model's own.
  private var magnitude: Float {
    guard case .yarn(let factor, _, _, _) = scaling, factor > 1 else { return attentionFactor }
    return Float(0.1 * Elementary.logarithm(Double(factor)) + 1) * attentionFactor
  }
}

/// Cosines and sines of positions from 0 on, made when they are first asked for. Used by one thread at a time.
final class RotaryTable {
  private let rotary: Rotary
  private let arithmetic: Arithmetic
  private let factors: [Float]?
  private let memory: MemoryBudget
  private var cosines: FloatBuffer?
  private var sines: FloatBuffer?
  private var count = 0

  init(_ rotary: Rotary, arithmetic: Arithmetic, factors: [Float]?, memory: MemoryBudget) {
    self.rotary = rotary
    self.arithmetic = arithmetic
    self.factors = factors
    self.memory = memory
  }

  var isInterleaved: Bool { rotary.isInterleaved }

  /// Rows of `size / 2` numbers, one for each position below `limit`.
  ///
  /// - Throws: `memory.budget`.
  func rows(below limit: Int) throws(TinctureError) -> (
    cosines: UnsafeMutablePointer<Float>, sines: UnsafeMutablePointer<Float>
  ) {
    if let cosines, let sines, limit <= count { return (cosines.base, sines.base) }
    let pairs = rotary.size / 2
    let capacity = max(64, limit, count * 2)
    let newCosines = try FloatBuffer(capacity * pairs, memory, for: "rotary angles")
    let newSines = try FloatBuffer(capacity * pairs, memory, for: "rotary angles")
    if let cosines, let sines {
      newCosines.base.update(from: cosines.base, count: count * pairs)
      newSines.base.update(from: sines.base, count: count * pairs)
    }
    rotary.angles(
      count..<capacity, arithmetic: arithmetic, factors: factors,
      cosines: newCosines.base + count * pairs, sines: newSines.base + count * pairs)
    cosines = newCosines
    sines = newSines
    count = capacity
    return (newCosines.base, newSines.base)
  }
}
