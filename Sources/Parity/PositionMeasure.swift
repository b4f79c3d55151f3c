import TinctureCore

/// How far two rows of logits, of one position, are from each other.
public struct PositionMeasure: Sendable {
  /// Which prompt and which position in it, both from 0.
  public var prompt: Int
  public var position: Int
  /// KL divergence D(reference ‖ candidate) in nats. Exact when all logits are kept; else the kept tokens' part is exact
  /// and the others' is estimated from a sketch of their probabilities' roots.
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
  /// Mean of the candidate's logits less that of the reference's. What is added to all logits of a row changes no
  /// probability.
  public var shift: Double
  /// Mean squared difference of all logits once that is taken off: exact for the kept ones, estimated from the sketches for
  /// the others (over the kept ones alone where a pack has no sketches).
  public var meanSquare: Double
  /// Largest absolute difference of the kept ones as they are.
  public var largestDifference: Double
  /// Variance of the reference's whole row.
  public var variance: Double

  /// A row of the candidate in which some logit is no number: nothing agrees, no figure is one.
  static func notFinite(_ reference: LogitSummary, referenceTop: Int32, hasNext: Bool)
    -> PositionMeasure
  {
    var measure = PositionMeasure(
      prompt: 0, position: 0, divergence: .nan, least: .nan, most: .nan,
      referenceTop: referenceTop, candidateTop: -1, sharedTopTen: 0, shift: .nan, meanSquare: .nan,
      largestDifference: .infinity, variance: reference.variance)
    if hasNext {
      measure.referenceLoss = reference.normalizer - Double(reference.next)
      measure.candidateLoss = .nan
    }
    return measure
  }
}

/// The measure of one row against what is kept of the reference's.
///
/// With S the kept tokens, T the others, p the reference's and q the candidate's probabilities:
///
/// D = Σ_S p ln(p/q) + Σ_T p ln(p/q).
///
/// The first sum is exact: the reference's normalizer is stored. The second is bounded by ``TailBound``. Its lower bound
/// makes the whole the divergence with T as one token, which is never negative: what rounding puts below 0 is 0.
///
/// A pack without sketches of the tails gives the old, wide upper bound: as Σ_T p ln p = P_T (m − ln Z) with m the stored
/// mean logit of T, and no candidate logit is below the candidate's least l, Σ_T p ln(p/q) ≤ P_T (m − ln Z − l + ln Z').
/// The estimate then takes the tail to differ as the kept tokens do.
struct RowComparison {
  let kernels: LogitKernels
  let length: Int
  let tail: TailSketch?

  /// Room for one row's work.
  final class Scratch {
    let base: LogitKernels.Scratch
    var gathered: [Float]
    var tail: [Float] = []

    init(rowLength: Int, kept: Int) {
      base = LogitKernels.Scratch(rowLength: rowLength)
      gathered = [Float](repeating: 0, count: kept)
    }
  }

  /// - Parameters:
  ///   - ids: the kept entries' ids; empty when all are kept.
  ///   - tail: the reference's sketch of the others; empty when there is none.
  ///   - position: the row's number among those of all prompts.
  ///   - next: the token that follows, if any.
  func measure(
    reference: LogitSummary, ids: UnsafeBufferPointer<UInt32>, values: UnsafeBufferPointer<Float>,
    tail referenceTail: ArraySlice<Float>, row: UnsafeBufferPointer<Float>, position: Int,
    next: Int32?, scratch: Scratch
  ) -> PositionMeasure {
    let referenceSlot = kernels.maximumIndex(values)
    let referenceTop = Int32(ids.isEmpty ? referenceSlot : Int(ids[referenceSlot]))
    guard kernels.firstNonFinite(row) == nil else {
      return .notFinite(reference, referenceTop: referenceTop, hasNext: next != nil)
    }
    let own = RowSummary.make(row, ids, kernels, scratch.base)
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
    let offset = reference.mean - own.summary.mean
    var squareCount = values.count
    var square = max(
      0, distance.square - 2 * offset * distance.sum + offset * offset * Double(squareCount))
    if rest > 0, let tail, !referenceTail.isEmpty {
      let ownDistance = tailDistance(
        tail, referenceTail, ids, own, row, position, offset: offset, scratch)
      let leastKept = Double(values.min() ?? top)
      let bound = TailBound(
        reference: rest, candidate: own.summary.restMass, roots: ownDistance.roots,
        logRatio: (leastKept - reference.normalizer)
          - (Double(own.least) - own.summary.normalizer))
      least += bound.least
      most += bound.most
      estimate += bound.estimate
      square += ownDistance.logits
      squareCount = length
    } else if rest > 0 {
      let otherRest = max(own.summary.restMass, Double.leastNormalMagnitude)
      least += rest * Elementary.logarithm(rest / otherRest)
      let conditional =
        keptPart / (1 - rest)
        - Elementary.logarithm((1 - rest) / max(1 - own.summary.restMass, .leastNormalMagnitude))
      estimate = least + rest * max(0, conditional)
      most += rest * (reference.restMean - Double(own.least) - shift)
    }
    // A divergence is not negative; in sums of differences of logarithms rounding may make it so.
    if rest > 0 {
      least = max(0, least)
      estimate = max(least, estimate)
      most = max(estimate, most)
    }
    var measure = PositionMeasure(
      prompt: 0, position: 0, divergence: estimate, least: least, most: most,
      referenceTop: referenceTop, candidateTop: Int32(own.topIndex), sharedTopTen: 0,
      shift: -offset, meanSquare: square / Double(squareCount),
      largestDifference: Double(distance.largest), variance: reference.variance)
    measure.sharedTopTen = sharedTopTen(ids: ids, values: values, row: row, scratch: scratch)
    if let next {
      measure.referenceLoss = reference.normalizer - Double(reference.next)
      measure.candidateLoss = own.summary.normalizer - Double(row[Int(next)])
    }
    return measure
  }

  private func tailDistance(
    _ tail: TailSketch, _ reference: ArraySlice<Float>, _ ids: UnsafeBufferPointer<UInt32>,
    _ own: RowSummary, _ row: UnsafeBufferPointer<Float>, _ position: Int, offset: Double,
    _ scratch: Scratch
  ) -> (roots: Double, logits: Double) {
    if scratch.tail.isEmpty { scratch.tail = [Float](repeating: 0, count: reference.count) }
    return scratch.tail.withUnsafeMutableBufferPointer { sums in
      tail.sketch(
        row, kept: ids, position: position, normalizer: own.summary.normalizer, top: own.top,
        shift: offset, scratch: scratch.base, into: sums)
      let sums = UnsafeBufferPointer(sums)
      return reference.withUnsafeBufferPointer { tail.distance($0, sums) }
    }
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
