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
    /// Where the fault lies, when the check itself knows.
    public let fault: Departure?

    package init(
      key: LimitKey, value: Double, limit: Double, isPassed: Bool, detail: String?,
      fault: Departure? = nil
    ) {
      self.fault = fault
      self.key = key
      self.value = value
      self.limit = limit
      self.isPassed = isPassed
      self.detail = detail
    }
  }

  /// Share of a file's weights that may be in coarser formats than it says, for mixes made on purpose.
  package static let otherwiseLimit = 0.05

  public let toleranceName: String
  public let checks: [Check]
  /// Where the candidate parts from the reference; nil when it passes, or nothing tells where.
  public let departure: Departure?
  /// What would tell more than this comparison could; nil when nothing would.
  package let hint: String?

  public var isPassed: Bool { !checks.isEmpty && checks.allSatisfy(\.isPassed) }
  public var failed: [Check] { checks.filter { !$0.isPassed } }

  /// Holds `measures` against `tolerance`. A limit about something that was not measured does not apply; a value that
  /// is no number passes no limit.
  ///
  /// - Parameters:
  ///   - minimumPositions: how many positions are enough, in place of the tolerance's own number.
  ///   - isSmall: whether the limits of small models apply.
  ///   - also: checks that are no limits of the tolerance.
  /// - Throws: `verify.nothing` when no limit applies.
  package init(
    _ measures: Measures, _ tolerance: Tolerance, isEngine: Bool, isSmall: Bool = false,
    minimumPositions: Int? = nil, also: [Check] = []
  ) throws(TinctureError) {
    toleranceName = tolerance.name
    var checks: [Check] = []
    for (key, ownLimit) in tolerance.limits(isEngine: isEngine, isSmall: isSmall) {
      let limit = key == .positions ? minimumPositions.map(Double.init) ?? ownLimit : ownLimit
      guard let (value, detail) = Verdict.value(key, measures, limit: limit) else { continue }
      let isPassed =
        switch key {
        case .topAgreement:
          Agreement.mayReach(limit, share: value, count: measures.positions.count)
        case .perplexityRatio: measures.perplexity.map { $0.leastDeparture <= limit } ?? false
        default: key.isFloor ? value >= limit : value <= limit
        }
      checks.append(
        Check(key: key, value: value, limit: limit, isPassed: isPassed, detail: detail))
    }
    guard checks.contains(where: { $0.key != .positions }) else {
      throw TinctureError(
        .init("verify.nothing", .usage), "no limit of the tolerance is about what was measured",
        found: tolerance.name, advice: "name another tolerance")
    }
    self.checks = checks + also
    departure = Verdict.departure(self.checks, measures)
    hint = Verdict.hint(checks, measures)
  }

  /// The verdict on two that cannot be compared: `obstacle` says why.
  package init(_ tolerance: Tolerance, obstacle: String) {
    toleranceName = tolerance.name
    checks = [Check(key: .obstacles, value: 1, limit: 0, isPassed: false, detail: obstacle)]
    departure = nil
    hint = nil
  }

  /// Why nothing was compared; nil when something was.
  package var obstacle: String? { checks.first { $0.key == .obstacles }?.detail }

  /// What the file itself shows comes first; else the growth of the hidden states' error, when a figure of the
  /// computation is outside its limit.
  private static func departure(_ checks: [Check], _ measures: Measures) -> Departure? {
    let failed = checks.filter { !$0.isPassed }
    if let fault = failed.compactMap(\.fault).min(by: { $0.stage < $1.stage }) { return fault }
    guard failed.contains(where: { $0.key != .positions && $0.key != .storedOtherwise }),
      let limit = checks.first(where: { $0.key == .stageError })?.limit
    else { return nil }
    return DepartureFinder.find(measures.stages, limit: limit)
  }

  /// What is said beside an upper bound.
  private static func bound(_ measures: Measures, _ estimate: Double) -> String? {
    if measures.isFull { return nil }
    return measures.hasTails
      ? "proven upper bound; estimated \(Figure.text(estimate))"
      : "wide upper bound: the pack has no sketches, record it again; estimated \(Figure.text(estimate))"
  }

  /// What to do where an upper bound alone is outside its limit: the estimate of the same figure holds it.
  private static func hint(_ checks: [Check], _ measures: Measures) -> String? {
    guard measures.hasLogits, !measures.isFull else { return nil }
    let bounded = checks.filter { check in
      let estimate: Double? =
        switch check.key {
        case .meanDivergence: measures.meanDivergence
        case .p99Divergence: measures.divergence(at: 0.99)
        case .largestDivergence: measures.largestDivergence
        default: nil
        }
      return !check.isPassed && estimate.map { $0 <= check.limit } == true
    }
    guard !bounded.isEmpty else { return nil }
    return "only the proven upper bound is outside the limit in "
      + bounded.map(\.key.title).joined(separator: ", ")
      + ", the estimate is within it: record the reference with a larger --top, or with --full, for closer bounds"
  }

  private static func value(_ key: LimitKey, _ measures: Measures, limit: Double)
    -> (value: Double, detail: String?)?
  {
    func vectors(
      _ pick: (VectorSummary) -> Double, _ least: Bool
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
    case .positions:
      let count = measures.comparedCount
      return (
        Double(count),
        Double(count) < limit
          ? "too few to judge by: give more or longer prompts, or --min-positions to accept fewer"
          : nil
      )
    case .stageError:
      guard !measures.stages.isEmpty else { return nil }
      // A value that is no number counts as the largest.
      let largest = measures.stages.max {
        $0.normalizedError < $1.normalizedError
          || $1.normalizedError.isNaN && !$0.normalizedError.isNaN
      }
      return largest.map { ($0.normalizedError, "\($0.name) is farthest") }
    case .storedOtherwise, .settings, .obstacles, .blockError, .rowError, .lengthError, .signError:
      return nil
    case .vectorError: return vectors({ $0.error }, false)
    case .lowCosine: return vectors({ $0.lowCosine }, true)
    case .leastCosine: return vectors({ $0.leastCosine }, true)
    case .vectorDifference: return vectors({ $0.largest }, false)
    case .perplexityRatio:
      return measures.perplexity.map {
        let departure = $0.departure
        return (
          departure,
          "the larger of the ratio and its inverse"
            + (departure > limit
              ? "; of so few positions down to \(Figure.text($0.leastDeparture, of: key)) may be meant"
              : "")
        )
      }
    case .meanDivergence, .p99Divergence, .largestDivergence, .topAgreement, .topTenAgreement,
      .normalizedError, .largestDifference:
      guard measures.hasLogits else { return nil }
    }
    switch key {
    case .meanDivergence:
      return (measures.mostMeanDivergence, bound(measures, measures.meanDivergence))
    case .p99Divergence:
      return (measures.mostDivergence(at: 0.99), bound(measures, measures.divergence(at: 0.99)))
    case .largestDivergence:
      let most = measures.sortedBounds.last ?? 0
      return (most, bound(measures, measures.largestDivergence))
    case .topAgreement:
      let share = measures.topAgreement
      let upper = Agreement.upperBound(share: share, count: measures.positions.count)
      return (
        share,
        share < limit
          ? "of so few positions up to \(Figure.percent(upper)) may be meant" : nil
      )
    case .topTenAgreement: return (measures.topTenAgreement(), nil)
    case .normalizedError: return (measures.normalizedError, nil)
    case .largestDifference: return (measures.largestDifference, nil)
    case .positions, .stageError, .vectorError, .lowCosine, .leastCosine, .vectorDifference,
      .perplexityRatio, .storedOtherwise, .settings, .obstacles, .blockError, .rowError,
      .lengthError, .signError:
      return nil
    }
  }
}

/// What a share of agreeing positions says about the share one would find in very many.
package enum Agreement {
  /// What is outside its limit by chance is taken for outside in one case of a hundred: the normal distribution's 99th
  /// percentile.
  static let deviations = 2.326

  /// The greatest share that fits what was counted: the upper end of Wilson's interval, one-sided, 99 %. Positions are
  /// taken as independent.
  ///
  /// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927; preferred over
  /// the normal approximation by Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001.
  static func upperBound(share: Double, count: Int) -> Double {
    guard count > 0 else { return 1 }
    let n = Double(count)
    let square = deviations * deviations
    let spread = deviations * (share * (1 - share) / n + square / (4 * n * n)).squareRoot()
    return min(1, (share + square / (2 * n) + spread) / (1 + square / n))
  }

  /// Whether the share in very many positions may be `limit`, so that an honest file does not fail by bad luck. A limit
  /// of 1 has no luck in it.
  package static func mayReach(_ limit: Double, share: Double, count: Int) -> Bool {
    share >= limit || limit < 1 && upperBound(share: share, count: count) >= limit
  }
}
