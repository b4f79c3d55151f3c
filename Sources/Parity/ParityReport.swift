import TinctureCore

/// What `verify` found: who was compared with whom, the figures, the verdict, the worst positions with their text.
public struct ParityReport: Sendable {
  /// One side of the comparison.
  public struct Side: Sendable {
    /// The path as given.
    public var path: String
    public var modelName: String
    public var architecture: String
    public var producer: String
    public var arithmetic: String
    public var instructionSet: String?
    public var storedTypes: [String]
    /// SHA-256 of the weights (formats/spec/parity-pack.md), nil when not computed.
    public var modelDigest: String?

    public init(
      path: String, modelName: String, architecture: String, producer: String, arithmetic: String,
      instructionSet: String?, storedTypes: [String], modelDigest: String?
    ) {
      self.path = path
      self.modelName = modelName
      self.architecture = architecture
      self.producer = producer
      self.arithmetic = arithmetic
      self.instructionSet = instructionSet
      self.storedTypes = storedTypes
      self.modelDigest = modelDigest
    }

    package init(_ description: PackDescription, path: String) {
      self.init(
        path: path, modelName: description.modelName, architecture: description.architecture,
        producer: description.producer, arithmetic: description.arithmetic,
        instructionSet: description.instructionSet, storedTypes: description.storedTypes,
        modelDigest: description.modelDigest)
    }
  }

  /// A position with what stands around it.
  public struct Place: Sendable {
    public let measure: PositionMeasure
    /// The text up to and with the position's own token, cut to its last 80 bytes or so.
    public let before: String
    /// The token that follows in the prompt.
    public let next: String?
    /// What either side says comes next.
    public let referenceTop: String
    public let candidateTop: String
  }

  /// The figures of one prompt.
  public struct PromptSummary: Sendable {
    public let prompt: Int
    public let text: String
    public let tokenCount: Int
    public let meanDivergence: Double?
    public let topAgreement: Double?
    public let vectorError: Double?
  }

  public let reference: Side
  public let candidate: Side
  public let measures: Measures
  public let verdict: Verdict
  /// Whether the candidate reads texts as the reference does.
  public let reading: [ReadingCheck]
  /// Positions left out at each prompt's start.
  public let skipFirst: Int
  public let notes: [String]
  public let worst: [Place]
  public let prompts: [PromptSummary]
  public let tokenCount: Int
  /// Where the candidate parts from the reference; nil when it passes, or nothing tells where.
  public var departure: Departure? { verdict.departure }

  /// - Parameters:
  ///   - given: the prompts that were run; none where nothing was.
  ///   - tokenText: what the candidate's vocabulary has for an id.
  package init(
    reference: Side, candidate: Side, prompts given: [PackPrompt], measures: Measures,
    verdict: Verdict, reading: [ReadingCheck], skipFirst: Int, notes: [String],
    tokenText: (Int32) -> [UInt8]?
  ) {
    self.reference = reference
    self.candidate = candidate
    self.measures = measures
    self.verdict = verdict
    self.reading = reading
    self.skipFirst = skipFirst
    self.notes = [verdict.hint].compactMap { $0 } + notes
    tokenCount = given.reduce(0) { $0 + $1.ids.count }
    func token(_ id: Int32) -> String {
      if id < 0 { return "(no number)" }
      guard let bytes = tokenText(id), !bytes.isEmpty else { return "token \(id)" }
      return String(decoding: bytes, as: UTF8.self)
    }
    worst = measures.worst(10).map { measure in
      let prompt = given[measure.prompt]
      let next = measure.position + 1
      return Place(
        measure: measure, before: ParityReport.context(prompt, measure.position),
        next: next < prompt.ids.count ? token(prompt.ids[next]) : nil,
        referenceTop: token(measure.referenceTop), candidateTop: token(measure.candidateTop))
    }
    var byPrompt: [Int: (divergence: Double, same: Int, count: Int)] = [:]
    for position in measures.positions {
      var sums = byPrompt[position.prompt] ?? (0, 0, 0)
      sums.divergence += position.divergence
      sums.same += position.referenceTop == position.candidateTop ? 1 : 0
      sums.count += 1
      byPrompt[position.prompt] = sums
    }
    prompts = given.enumerated().map { number, prompt in
      let sums = byPrompt[number]
      let vectors = measures.vectors.filter { $0.prompt == number }
      let energy = vectors.reduce(0) { $0 + $1.energy }
      return PromptSummary(
        prompt: number, text: ParityReport.excerpt(prompt), tokenCount: prompt.ids.count,
        meanDivergence: sums.map { $0.divergence / Double($0.count) },
        topAgreement: sums.map { Double($0.same) / Double($0.count) },
        vectorError: vectors.isEmpty
          ? nil : energy > 0 ? vectors.reduce(0) { $0 + $1.difference } / energy : 0)
    }
  }

  private static func context(_ prompt: PackPrompt, _ position: Int) -> String {
    var pieces: [[UInt8]] = []
    var count = 0
    var index = position
    while index >= 0, count < 80 {
      pieces.append(prompt.pieces[index])
      count += prompt.pieces[index].count
      index -= 1
    }
    let text = String(decoding: pieces.reversed().flatMap { $0 }, as: UTF8.self)
    return (index >= 0 ? "…" : "") + text
  }

  private static func excerpt(_ prompt: PackPrompt) -> String {
    let bytes = prompt.text.map { Array($0.utf8) } ?? prompt.pieces.flatMap { $0 }
    let text = String(decoding: bytes.prefix(90), as: UTF8.self)
    return bytes.count > 90 ? text + "…" : text
  }

  /// Whether every limit holds and texts are read as the reference reads them.
  public var isPassed: Bool {
    verdict.isPassed && reading.allSatisfy { $0.result != .fails }
  }

  /// The verdict in one sentence, or two.
  public var sentence: String {
    let misread = reading.filter { $0.result == .fails }.map(\.subject.title)
    guard !misread.isEmpty else { return figuresSentence }
    return
      "The model does not read texts as the reference does: \(misread.joined(separator: ", ")). "
      + (verdict.isPassed
        ? "Given the reference's tokens it says what the reference says, within the tolerance "
          + "\(verdict.toleranceName)." : figuresSentence)
  }

  private var figuresSentence: String {
    if let obstacle = verdict.obstacle {
      return "The model and the reference cannot be compared: \(obstacle)."
    }
    if verdict.isPassed {
      return
        "The model says what the reference says, within the tolerance \(verdict.toleranceName)."
    }
    let failed = verdict.failed.map(\.key.title).joined(separator: ", ")
    var text =
      "The model does not say what the reference says: outside the tolerance \(verdict.toleranceName) in \(failed)."
    if let departure { text += " It departs at \(departure.name): \(departure.reason)." }
    return text
  }
}

/// Numbers as reports write them.
public enum Figure {
  /// `value` with about `digits` figures; in powers of ten when it is very small or large.
  public static func text(_ value: Double, digits: Int = 3) -> String {
    guard value.isFinite else { return value.isNaN ? "not a number" : value < 0 ? "-∞" : "∞" }
    if value == 0 { return "0" }
    let size = abs(value)
    var exponent = Int((Elementary.logarithm(size) / Elementary.logarithm(10)).rounded(.down))
    var mantissa = size / Elementary.power(10, Double(exponent))
    // Rounding may carry into the next power of ten.
    let scale = Elementary.power(10, Double(digits - 1))
    mantissa = (mantissa * scale).rounded() / scale
    if mantissa >= 10 {
      mantissa /= 10
      exponent += 1
    }
    let sign = value < 0 ? "-" : ""
    if exponent < -4 || exponent > 6 {
      return sign + fixed(mantissa, digits - 1) + "e" + String(exponent)
    }
    return sign + fixed(size, max(0, digits - 1 - exponent))
  }

  /// `value`, not negative, with `decimals` digits after the point; in words or powers of ten where it is no such number.
  static func fixed(_ value: Double, _ decimals: Int) -> String {
    guard value >= 0, value < 1e9 else { return value < 0 ? "\(value)" : large(value) }
    var scale = 1
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int((value * Double(scale)).rounded())
    guard decimals > 0 else { return String(scaled) }
    let fraction = String(scaled % scale)
    return String(scaled / scale) + "."
      + String(repeating: "0", count: decimals - fraction.utf8.count) + fraction
  }

  private static func large(_ value: Double) -> String {
    value.isNaN ? "not a number" : value == .infinity ? "∞" : text(value)
  }

  /// A share as `97.31 %`.
  public static func percent(_ share: Double) -> String {
    share.isFinite ? fixed(share * 100, 2) + " %" : text(share)
  }

  /// A check's value or limit in its unit.
  public static func text(_ value: Double, of key: LimitKey) -> String {
    switch key {
    case .positions, .settings, .obstacles: fixed(value, 0)
    case .topAgreement, .topTenAgreement, .storedOtherwise: percent(value)
    case .perplexityRatio: value.isFinite ? fixed(value, 4) : text(value)
    case .lowCosine, .leastCosine: value.isFinite && value >= 0 ? fixed(value, 6) : text(value)
    default: text(value)
    }
  }
}
