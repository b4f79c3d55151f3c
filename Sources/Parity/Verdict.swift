import TinctureCore

/// The answer of `verify`: every limit that applies, and whether it holds.
public struct Verdict: Sendable {
  /// One limit and the value held against it.
  public struct Check: Sendable {
    public let key: LimitKey
    public let value: Double
    public let limit: Double
    public let isPassed: Bool
    /// What else is worth saying: the stage that departs, the proven bounds.
    public let detail: String?
  }

  public let toleranceName: String
  public let checks: [Check]

  public var isPassed: Bool { !checks.isEmpty && checks.allSatisfy(\.isPassed) }
  public var failed: [Check] { checks.filter { !$0.isPassed } }

  /// Holds `measures` against `tolerance`. A limit about something that was not measured does not apply; a value that
  /// is no number passes no limit.
  ///
  /// - Throws: `verify.nothing` when no limit applies.
  public init(_ measures: Measures, _ tolerance: Tolerance, isEngine: Bool) throws(TinctureError) {
    toleranceName = tolerance.name
    var checks: [Check] = []
    for (key, limit) in tolerance.limits(isEngine: isEngine) {
      guard let (value, detail) = Verdict.value(key, measures, limit: limit) else { continue }
      let isPassed = key.isFloor ? value >= limit : value <= limit
      checks.append(
        Check(key: key, value: value, limit: limit, isPassed: isPassed, detail: detail))
    }
    guard !checks.isEmpty else {
      throw TinctureError(
        .init("verify.nothing", .usage), "no limit of the tolerance is about what was measured",
        found: tolerance.name, advice: "name another tolerance")
    }
    self.checks = checks
  }

  /// The first stage whose error passes `limit`.
  static func departure(_ stages: [StageMeasure], limit: Double) -> StageMeasure? {
    stages.first { !($0.normalizedError <= limit) }
  }

  private static func value(_ key: LimitKey, _ measures: Measures, limit: Double)
    -> (value: Double, detail: String?)?
  {
    func vectors(
      _ pick: ((error: Double, cosine: Double, largest: Double)) -> Double, _ least: Bool
    )
      -> (Double, String?)?
    {
      let all = VectorKind.allCases.compactMap { kind in
        measures.combined(kind).map { (pick($0), kind.rawValue) }
      }
      // A value that is no number counts as the worst.
      let worst = all.max { a, b in
        if a.0.isNaN || b.0.isNaN { return !a.0.isNaN }
        return least ? a.0 > b.0 : a.0 < b.0
      }
      return worst.map { ($0.0, $0.1 + " rows") }
    }
    switch key {
    case .stageError:
      guard !measures.stages.isEmpty else { return nil }
      if let departure = departure(measures.stages, limit: limit) {
        return (departure.normalizedError, "\(departure.name) departs first")
      }
      let largest = measures.stages.max { $0.normalizedError < $1.normalizedError }
      return largest.map { ($0.normalizedError, "\($0.name) is farthest") }
    case .vectorError: return vectors({ $0.error }, false)
    case .leastCosine: return vectors({ $0.cosine }, true)
    case .vectorDifference: return vectors({ $0.largest }, false)
    case .perplexityRatio:
      return measures.perplexity.map { (max($0.ratio, 1 / $0.ratio), nil) }
    case .meanDivergence, .p99Divergence, .largestDivergence, .topAgreement, .topTenAgreement,
      .normalizedError, .largestDifference:
      guard measures.hasLogits else { return nil }
    }
    switch key {
    case .meanDivergence: return (measures.meanDivergence, nil)
    case .p99Divergence: return (measures.divergence(at: 0.99), nil)
    case .largestDivergence:
      return (
        measures.positions.contains { $0.divergence.isNaN } ? .nan : measures.largestDivergence, nil
      )
    case .topAgreement: return (measures.topAgreement, nil)
    case .topTenAgreement: return (measures.topTenAgreement(), nil)
    case .normalizedError: return (measures.normalizedError, nil)
    case .largestDifference: return (measures.largestDifference, nil)
    case .stageError, .vectorError, .leastCosine, .vectorDifference, .perplexityRatio: return nil
    }
  }
}
