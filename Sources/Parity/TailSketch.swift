import TinctureCore

/// What is kept of the tail of a row of logits, the entries that are not kept themselves: enough to tell how far
/// another tail is from it.
///
/// With a sign s for every entry i, another for each run of entries that each row draws anew, and `bucketCount` buckets
/// (entry i falls into i mod `bucketCount`), the sketch of a vector x over the tail T is the sum of s_i x_i in each bucket. Sketches are linear: the difference of two is the
/// sketch of the difference d, and the sum of its squares has the expectation Σ_T d² over the signs. It is made of two
/// vectors: √p, the roots of the probabilities, whose distance bounds the divergence (``TailBound``), and the logits.
/// Source: Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", 2002 (count sketch); Alon, Matias
/// and Szegedy, "The space complexity of approximating the frequency moments", 1996 (the square).
package struct TailSketch: Sendable {
  package let about: TailDescription
  /// A bit for each entry of a row, set where its sign is minus.
  private let signs: [UInt8]
  private let kernels: LogitKernels

  init(_ about: TailDescription, rowLength: Int, kernels: LogitKernels) {
    self.about = about
    self.kernels = kernels
    var signs = [UInt8](repeating: 0, count: rowLength / 8 + 1)
    for index in 0..<rowLength where StageSketch.isNegative(index, seed: about.seed) {
      signs[index >> 3] |= 1 << UInt8(index & 7)
    }
    self.signs = signs
  }

  /// Numbers kept of one row: the buckets of the roots, then those of the logits.
  package static func numbers(_ about: TailDescription) -> Int { 2 * about.bucketCount }

  /// Bytes of a frame of `rows` rows.
  static func byteCount(rows: Int, _ about: TailDescription) -> Int { rows * numbers(about) * 4 }

  /// The sketch of a row: `numbers` Floats, rounded from sums in double.
  ///
  /// - Parameters:
  ///   - kept: ids of the entries that are no part of the tail.
  ///   - position: the row's number among those of all prompts.
  ///   - normalizer: ln Σ exp over the row; `top`: its greatest entry.
  ///   - shift: what is added to each logit, not to the probabilities.
  func sketch(
    _ row: UnsafeBufferPointer<Float>, kept: UnsafeBufferPointer<UInt32>, position: Int,
    normalizer: Double, top: Float, shift: Double = 0, scratch: LogitKernels.Scratch,
    into out: UnsafeMutableBufferPointer<Float>
  ) {
    let count = about.bucketCount
    precondition(out.count == 2 * count, "\(out.count) numbers")
    var sums = [Double](repeating: 0, count: 2 * count)
    scratch.mark(kept, true)
    kernels.tail(
      row, kept: scratch.kept, signs: signs, top: top, shift: shift, seed: about.seed,
      turn: UInt64(position + 1) << 32, into: &sums)
    scratch.mark(kept, false)
    let scale = Elementary.exponential((Double(top) - normalizer) / 2)
    for index in 0..<count {
      out[index] = Float(sums[index] * scale)
      out[count + index] = Float(sums[count + index])
    }
  }

  /// Estimates of Σ(√p − √q)² and Σ(x − y)² over the tail, of two sketches.
  func distance(
    _ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>
  ) -> (roots: Double, logits: Double) {
    func square(_ range: Range<Int>) -> Double {
      range.reduce(0) {
        let d = Double(a[$1]) - Double(b[$1])
        return $0 + d * d
      }
    }
    return (square(0..<about.bucketCount), square(about.bucketCount..<2 * about.bucketCount))
  }
}

/// What tails' sketches are made of.
package struct TailDescription: Sendable, Equatable {
  /// Numbers kept of either vector; a multiple of 8.
  package var bucketCount: Int
  /// Seed of the signs.
  package var seed: UInt64

  package init(bucketCount: Int = 256, seed: UInt64 = 2) {
    self.bucketCount = bucketCount
    self.seed = seed
  }
}

/// Bounds of the tail's part of a divergence, Σ_T p ln(p/q), from P = Σ_T p, Q = Σ_T q and H = Σ_T (√p − √q)².
///
/// At least: by the log-sum inequality it is no less than P ln(P/Q).
///
/// At most: with t = p/q and φ(t) = t ln t − t + 1 ≥ 0, Σ_T p ln(p/q) = P − Q + Σ_T q φ(t), and H = Σ_T q (√t − 1)². The
/// ratio φ(t) / (√t − 1)² ascends with t: with s = √t its derivative has the sign of (s² − 1 − 2 s ln s) / (s − 1)³, and
/// s² − 1 − 2 s ln s, which is 0 at s = 1 and has the derivative 2 (s − 1 − ln s) ≥ 0, has the sign of s − 1. So with V no
/// less than any t, Σ_T p ln(p/q) ≤ P − Q + c(V) H with c(V) = φ(V) / (√V − 1)²: 2 for equal tails, about ln V for far
/// ones. (The inequality is that of Birgé and Massart, "Minimum contrast estimators on sieves", 1998, lemma 4.) V is known:
/// no p of the tail is greater than the least kept one, and the candidate's least q is at hand.
///
/// H itself is estimated by the sketch, so the upper bound holds up to the luck of the signs, and H is taken as 4/3 of the
/// estimate. The estimate's parts are not negative, and a sum of independent such parts X with the expectation E falls
/// below 3/4 E with a probability of at most exp(−E² / (32 Σ E[X²])) (Maurer, "A bound on the deviation probability for
/// sums of non-negative random variables", 2003). For one row whose H is spread over b buckets these are the buckets'
/// squares, of which E[X²] is at most 3 E[X]² (signs' fourth moments): exp(−b/96). Rows draw signs of their own, so for
/// the sum over n rows of like H it is at most exp(−n/96) however H is spread, and exp(−n b/96) where it is spread evenly.
package struct TailBound {
  /// What the estimate of H is multiplied with.
  static let allowance = 4.0 / 3

  let least: Double
  let most: Double
  /// P − Q + 2 H, the second-order value, held within the bounds.
  let estimate: Double

  /// - Parameter logRatio: ln V.
  init(reference: Double, candidate: Double, roots: Double, logRatio: Double) {
    // A candidate whose tail underflows to nothing: the limit would be infinite; the smallest float will do.
    let sum = reference * Elementary.logarithm(reference / max(candidate, .leastNormalMagnitude))
    // No less than what the masses alone make it.
    let gap = reference.squareRoot() - candidate.squareRoot()
    let distance = max(roots, gap * gap)
    least = sum
    let difference = reference - candidate
    most = max(sum, difference + TailBound.factor(logRatio) * distance * TailBound.allowance)
    estimate = min(most, max(sum, difference + 2 * distance))
  }

  /// c(V) for ln V, which is taken as no less than 0.
  package static func factor(_ logRatio: Double) -> Double {
    let l = max(0, logRatio)
    // Near 1 the quotient loses its figures: c = 2 + (2/3)(s − 1) + …, and s − 1 is about l / 2.
    if l < 1e-3 { return 2 + l }
    // φ and the square both over V, so that nothing overflows.
    let inverse = Elementary.exponential(-l)
    let root = 1 - Elementary.exponential(-l / 2)
    return (l - 1 + inverse) / (root * root)
  }
}
