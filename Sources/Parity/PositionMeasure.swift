import TinctureCore

/// How far two rows of logits, of one position, are from each other.
public struct PositionMeasure: Sendable {
  /// Which prompt and which position in it, both from 0.
  public var prompt: Int
  public var position: Int
  /// KL divergence D(reference ‖ candidate) in nats. Exact when all logits are kept; else the kept tokens' part is exact
  /// and the others are taken to differ as much, in proportion, as the kept ones do.
  public var divergence: Double
  /// The divergence is proven to be at least and at most these; equal to it when all logits are kept.
  public var least: Double
  public var most: Double
  /// -ln of the probability of the token that follows; nil at a prompt's end.
  public var referenceLoss: Double?
  public var candidateLoss: Double?
  /// The greatest logit's token of either.
  public var referenceTop: Int32
  public var candidateTop: Int32
  /// How many of the reference's ten greatest are among the candidate's ten greatest.
  public var sharedTopTen: Int
  /// Mean squared difference and largest absolute difference over the kept logits.
  public var meanSquare: Double
  public var largestDifference: Double
  /// Variance of the reference's whole row.
  public var variance: Double
}

/// The measure of one row against what is kept of the reference's.
///
/// With S the kept tokens, T the others, p the reference's and q the candidate's probabilities:
///
/// D = Σ_S p ln(p/q) + Σ_T p ln(p/q).
///
/// The first sum is exact: the reference's normalizer is stored. Of the second, by the log-sum inequality,
/// Σ_T p ln(p/q) ≥ P_T ln(P_T/Q_T), which is the lower bound (T as one token). As Σ_T p ln p = P_T (m − ln Z) with m the
/// stored mean logit of T, and no candidate logit is below the candidate's least l, Σ_T p ln(p/q) ≤ P_T (m − ln Z − l +
/// ln Z'), which is the upper bound. The estimate adds to the lower bound P_T times the divergence of the two
/// distributions conditioned on S.
struct RowComparison {
  let kernels: LogitKernels
  let length: Int
  let kept: Int

  /// Room for one row's work.
  final class Scratch {
    let base: LogitKernels.Scratch
    var gathered: [Float]

    init(rowLength: Int, kept: Int) {
      base = LogitKernels.Scratch(rowLength: rowLength)
      gathered = [Float](repeating: 0, count: kept)
    }
  }

  /// - Parameters:
  ///   - ids: the kept entries' ids; empty when all are kept.
  ///   - next: the token that follows, if any.
  func measure(
    reference: LogitSummary, ids: UnsafeBufferPointer<UInt32>, values: UnsafeBufferPointer<Float>,
    row: UnsafeBufferPointer<Float>, next: Int32?, scratch: Scratch
  ) -> PositionMeasure {
    let own = RowSummary.make(row, ids, kernels, scratch.base)
    let referenceSlot = kernels.maximumIndex(values)
    let top = values[referenceSlot]
    let distance = scratch.gathered.withUnsafeMutableBufferPointer { gathered in
      if ids.isEmpty { return kernels.distance(values, row, top: top) }
      for (slot, id) in ids.enumerated() { gathered[slot] = row[Int(id)] }
      return kernels.distance(values, UnsafeBufferPointer(gathered), top: top)
    }
    let scale = Elementary.exponential(Double(top) - reference.normalizer)
    let shift = reference.normalizer - own.summary.normalizer
    let rest = reference.restMass
    let keptPart = distance.moment * scale - (1 - rest) * shift
    var least = keptPart
    var most = keptPart
    var estimate = keptPart
    if rest > 0 {
      // A candidate whose others underflow to nothing: the bound's limit would be infinite; the smallest float will do.
      let otherRest = max(own.summary.restMass, Double.leastNormalMagnitude)
      least += rest * Elementary.logarithm(rest / otherRest)
      let conditional =
        keptPart / (1 - rest)
        - Elementary.logarithm((1 - rest) / max(1 - own.summary.restMass, .leastNormalMagnitude))
      estimate = least + rest * max(0, conditional)
      most += rest * (reference.restMean - Double(own.least) - shift)
      most = max(most, estimate)
    }
    var measure = PositionMeasure(
      prompt: 0, position: 0, divergence: estimate, least: least, most: most,
      referenceTop: Int32(ids.isEmpty ? referenceSlot : Int(ids[referenceSlot])),
      candidateTop: Int32(own.topIndex), sharedTopTen: 0,
      meanSquare: distance.square / Double(values.count),
      largestDifference: Double(distance.largest), variance: reference.variance)
    measure.sharedTopTen = sharedTopTen(ids: ids, values: values, row: row, scratch: scratch)
    if let next {
      measure.referenceLoss = reference.normalizer - Double(reference.next)
      measure.candidateLoss = own.summary.normalizer - Double(row[Int(next)])
    }
    return measure
  }

  private func sharedTopTen(
    ids: UnsafeBufferPointer<UInt32>, values: UnsafeBufferPointer<Float>,
    row: UnsafeBufferPointer<Float>, scratch: Scratch
  ) -> Int {
    let count = min(10, values.count)
    var own = [UInt32](repeating: 0, count: count)
    own.withUnsafeMutableBufferPointer {
      kernels.greatest(values, into: $0, scratch: scratch.base)
    }
    if !ids.isEmpty { own = own.map { ids[Int($0)] } }
    var other = [UInt32](repeating: 0, count: count)
    other.withUnsafeMutableBufferPointer {
      kernels.greatest(row, into: $0, scratch: scratch.base)
    }
    return own.filter { other.contains($0) }.count
  }
}
