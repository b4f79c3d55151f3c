import TinctureCore

/// How far hidden states are from the reference's at one stage.
public struct StageMeasure: Sendable {
  public let stage: Int
  /// `input embeddings`, `layer 3`, `final norm`.
  public let name: String
  public let layer: Int?
  /// Estimate of Σ|x − y|² / Σ|x|² over all positions, from the sketches.
  public let normalizedError: Double

  package init(stage: Int, name: String, layer: Int?, normalizedError: Double) {
    self.stage = stage
    self.name = name
    self.layer = layer
    self.normalizedError = normalizedError
  }
}

/// Running sums behind ``StageMeasure``.
struct StageSums {
  private var difference = 0.0
  private var energy = 0.0

  /// Takes in sketches of `numbers` each: the squared length, then the sums with signs.
  mutating func add(reference: ArraySlice<Float>, own: [Float], numbers: Int) {
    let base = reference.startIndex
    for index in own.indices {
      if index % numbers == 0 {
        energy += Double(reference[base + index])
      } else {
        let d = Double(reference[base + index]) - Double(own[index])
        difference += d * d / Double(numbers - 1)
      }
    }
  }

  var normalizedError: Double { difference == 0 ? 0 : difference / energy }
}

/// How far an encoder's rows of one prompt are from the reference's.
public struct VectorMeasure: Sendable {
  public let kind: VectorKind
  public let prompt: Int
  /// Σ(a − b)² and Σa² over all rows; their ratio is the normalized error.
  public private(set) var difference = 0.0
  public private(set) var energy = 0.0
  /// Cosine of each row with the reference's: 1 when both are zero, -1 where it is no number.
  public private(set) var cosines: [Double] = []
  public private(set) var largestDifference = 0.0

  init(kind: VectorKind, prompt: Int) {
    self.kind = kind
    self.prompt = prompt
  }

  public var normalizedError: Double { difference == 0 ? 0 : difference / energy }

  mutating func add(reference: [Float], own: [Float]) {
    var product = 0.0
    var first = 0.0
    var second = 0.0
    for (a, b) in zip(reference, own) {
      let (x, y) = (Double(a), Double(b))
      product += x * y
      first += x * x
      second += y * y
      difference += (x - y) * (x - y)
      largestDifference = max(largestDifference, abs(x - y))
      // A number that is none must not pass as a small difference.
      if !(x - y).isFinite { largestDifference = .infinity }
    }
    energy += first
    let lengths = (first * second).squareRoot()
    let cosine = first == 0 && second == 0 ? 1 : lengths > 0 ? product / lengths : 0
    cosines.append(cosine.isNaN ? -1 : cosine)
  }
}

/// Everything that was measured, and the figures made of it.
///
/// Source of the definitions: llama.cpp `tools/perplexity/perplexity.cpp` (mean and percentiles of the divergence,
/// perplexity as exp of the mean loss, the ratio's standard error from the losses' differences).
public struct Measures: Sendable {
  /// Positions that count, prompts in order.
  public let positions: [PositionMeasure]
  public let stages: [StageMeasure]
  public let vectors: [VectorMeasure]
  /// How many logits of a row were kept, and whether that is all of them.
  public let keptCount: Int
  public let isFull: Bool
  /// Whether sketches tell of the logits that were not kept.
  public let hasTails: Bool
  /// How many positions the figures are made of: those that count of a decoder's, all tokens of an encoder's prompts.
  public let comparedCount: Int
  /// Divergences, ascending; those that are no numbers stand at the end, as infinities.
  public let sortedDivergences: [Double]
  /// The same of their proven upper bounds.
  public let sortedBounds: [Double]

  /// The measures of nothing: where two cannot be compared.
  package static var none: Measures {
    Measures(
      positions: [], stages: [], vectors: [], keptCount: 0, isFull: true, hasTails: false,
      tokenCount: 0)
  }

  init(
    positions: [PositionMeasure], stages: [StageMeasure], vectors: [VectorMeasure],
    keptCount: Int, isFull: Bool, hasTails: Bool, tokenCount: Int
  ) {
    self.positions = positions
    self.stages = stages
    self.vectors = vectors
    self.keptCount = keptCount
    self.isFull = isFull
    self.hasTails = hasTails
    comparedCount = positions.isEmpty ? tokenCount : positions.count
    func sorted(_ value: (PositionMeasure) -> Double) -> [Double] {
      positions.map { value($0).isNaN ? .infinity : value($0) }.sorted()
    }
    sortedDivergences = sorted(\.divergence)
    sortedBounds = sorted(\.most)
  }

  public var hasLogits: Bool { !positions.isEmpty }

  private func mean(_ value: (PositionMeasure) -> Double) -> Double {
    positions.reduce(0) { $0 + value($1) } / Double(max(1, positions.count))
  }

  public var meanDivergence: Double { mean(\.divergence) }
  /// The mean divergence is proven to be at least and at most these.
  public var leastMeanDivergence: Double { mean(\.least) }
  public var mostMeanDivergence: Double { mean(\.most) }

  /// Standard error of the mean divergence, positions taken as independent.
  public var meanDivergenceError: Double {
    let center = meanDivergence
    let square = mean { ($0.divergence - center) * ($0.divergence - center) }
    return positions.count > 1 ? (square / Double(positions.count - 1)).squareRoot() : 0
  }

  /// The divergence that `fraction` of the positions do not pass, between positions linearly interpolated.
  public func divergence(at fraction: Double) -> Double {
    Measures.percentile(sortedDivergences, fraction)
  }

  /// The same of the proven upper bounds.
  public func mostDivergence(at fraction: Double) -> Double {
    Measures.percentile(sortedBounds, fraction)
  }

  static func percentile(_ sorted: [Double], _ fraction: Double) -> Double {
    guard let last = sorted.last else { return 0 }
    let place = fraction * Double(sorted.count - 1)
    let index = Int(place)
    let part = place - Double(index)
    // Also where the next one is infinite and has no part.
    guard index + 1 < sorted.count, part > 0 else {
      return index + 1 < sorted.count ? sorted[index] : last
    }
    return (1 - part) * sorted[index] + part * sorted[index + 1]
  }

  public var largestDivergence: Double { sortedDivergences.last ?? 0 }

  /// Share of positions whose greatest logit is the same token's.
  public var topAgreement: Double { mean { $0.referenceTop == $0.candidateTop ? 1 : 0 } }
  /// Mean share of the reference's ten greatest that are among the candidate's.
  public func topTenAgreement() -> Double {
    mean { Double($0.sharedTopTen) } / Double(max(1, min(10, keptCount)))
  }

  /// Σ variances of the rows' differences / Σ variances of the reference's rows. Variances, because what is added to all
  /// logits of a row changes no probability: the share that it has in the squared difference says nothing.
  public var normalizedError: Double {
    let difference = positions.reduce(0) { $0 + $1.meanSquare }
    return difference == 0 ? 0 : difference / positions.reduce(0) { $0 + $1.variance }
  }

  public var largestDifference: Double { positions.map(\.largestDifference).max() ?? 0 }

  /// Positions where the candidate's logits are not all numbers.
  public var notFinite: [PositionMeasure] { positions.filter { $0.divergence.isNaN } }

  /// Perplexities over the positions that have a next token; nil when none has.
  public var perplexity: Perplexity? {
    let losses = positions.compactMap { position in
      position.referenceLoss.flatMap { reference in
        position.candidateLoss.map { (reference, $0) }
      }
    }
    return losses.isEmpty ? nil : Perplexity(losses)
  }

  /// The positions with the greatest divergence, the greatest first; of equal ones the earlier first.
  public func worst(_ count: Int) -> [PositionMeasure] {
    Array(
      positions.enumerated()
        .sorted {
          let (a, b) = ($0.element.divergence, $1.element.divergence)
          return (b.isNaN ? .infinity : b, $0.offset) < (a.isNaN ? .infinity : a, $1.offset)
        }
        .prefix(count).map(\.element))
  }

  /// The vectors' measures of one kind, all prompts together; nil when there are none.
  func combined(_ kind: VectorKind) -> VectorSummary? {
    let own = vectors.filter { $0.kind == kind }
    return own.isEmpty ? nil : VectorSummary(own)
  }
}

/// The measures of several prompts' vectors together.
struct VectorSummary {
  let error: Double
  /// The cosine that 99 in 100 rows reach, between rows linearly interpolated; the least one.
  let lowCosine, leastCosine: Double
  let largest: Double

  init(_ measures: [VectorMeasure]) {
    let difference = measures.reduce(0) { $0 + $1.difference }
    error = difference == 0 ? 0 : difference / measures.reduce(0) { $0 + $1.energy }
    let cosines = measures.flatMap(\.cosines).sorted()
    lowCosine = cosines.isEmpty ? 1 : Measures.percentile(cosines, 0.01)
    leastCosine = cosines.first ?? 1
    largest = measures.map(\.largestDifference).max() ?? 0
  }
}

/// Perplexity of both and their ratio.
public struct Perplexity: Sendable {
  /// exp of the mean loss.
  public let reference: Double
  public let candidate: Double
  /// candidate / reference, and its standard error from the differences of the losses.
  public let ratio: Double
  public let ratioError: Double
  /// Positions that count.
  public let count: Int

  package init(_ losses: [(reference: Double, candidate: Double)]) {
    count = losses.count
    let total = Double(count)
    reference = Elementary.exponential(losses.reduce(0) { $0 + $1.reference } / total)
    candidate = Elementary.exponential(losses.reduce(0) { $0 + $1.candidate } / total)
    let mean = losses.reduce(0) { $0 + ($1.candidate - $1.reference) } / total
    let square = losses.reduce(0.0) {
      let d = $1.candidate - $1.reference - mean
      return $0 + d * d
    }
    ratio = Elementary.exponential(mean)
    ratioError = count > 1 ? ratio * (square / total / (total - 1)).squareRoot() : 0
  }

  /// The ratio or its inverse, whichever is greater.
  public var departure: Double { max(ratio, 1 / ratio) }

  /// The least that the departure may be in very many positions, so that an honest file does not fail by bad luck: the
  /// end of the one-sided 99 % interval of the losses' mean difference, which is taken as normally distributed and the
  /// positions as independent.
  public var leastDeparture: Double {
    let deviation = Agreement.deviations * ratioError / ratio
    // A value that is no number is not let pass by chance.
    guard departure.isFinite, deviation.isFinite else { return .infinity }
    return max(1, departure * Elementary.exponential(-deviation))
  }
}
