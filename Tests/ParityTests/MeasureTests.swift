import Foundation
import FoundationXML
import Testing
import TinctureCore
import TinctureParity
import TinctureTestSupport

/// The streaming measures against plain loops in Double over all logits.
@Suite("Measures")
struct MeasureTests {
  /// KL divergence, losses and agreement of two rows, by definition.
  struct Plain {
    var divergence = 0.0
    var sameTop = false
    var shared = 0
    var square = 0.0
    var variance = 0.0
    var losses: (Double, Double) = (0, 0)

    init(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>, next: Int32?) {
      let x = a.map(Double.init)
      let y = b.map(Double.init)
      func normalizer(_ v: [Double]) -> Double {
        let top = v.max()!
        return top + log(v.reduce(0) { $0 + exp($1 - top) })
      }
      let (zx, zy) = (normalizer(x), normalizer(y))
      for (p, q) in zip(x, y) {
        divergence += exp(p - zx) * ((p - zx) - (q - zy))
      }
      let mean = x.reduce(0, +) / Double(x.count)
      let other = y.reduce(0, +) / Double(y.count)
      for (p, q) in zip(x, y) { square += (p - mean - q + other) * (p - mean - q + other) }
      square /= Double(x.count)
      variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
      func order(_ v: [Double]) -> [Int] {
        v.indices.sorted { (v[$1], $0) < (v[$0], $1) }
      }
      let (first, second) = (order(x), order(y))
      sameTop = first[0] == second[0]
      shared = Set(first.prefix(10)).intersection(second.prefix(10)).count
      if let next { losses = (zx - x[Int(next)], zy - y[Int(next)]) }
    }
  }

  static func plain(_ reference: SyntheticRows, _ candidate: SyntheticRows) -> [Plain] {
    let prompts = reference.prompts
    return reference.lengths.indices.flatMap { prompt in
      let a = reference.logits(prompt)
      let b = candidate.logits(prompt)
      let ids = prompts[prompt].ids
      return ids.indices.map { position in
        let range = position * reference.vocabulary..<(position + 1) * reference.vocabulary
        return Plain(
          a[range], b[range], next: position + 1 < ids.count ? ids[position + 1] : nil)
      }
    }
  }

  @Test("whole rows give the figures of the definitions")
  func full() throws {
    let reference = SyntheticRows()
    var candidate = reference
    candidate.noise = 0.3
    let measures = try candidate.measures(against: try reference.pack(top: nil).pack)
    let plain = Self.plain(reference, candidate)
    #expect(measures.positions.count == plain.count)
    for (own, other) in zip(measures.positions, plain) {
      #expect(abs(own.divergence - other.divergence) < 2e-6 + 1e-6 * other.divergence)
      #expect(own.least == own.divergence && own.most == own.divergence)
      #expect((own.referenceTop == own.candidateTop) == other.sameTop)
      #expect(own.sharedTopTen == other.shared)
      #expect(abs(own.meanSquare - other.square) < 1e-9)
      #expect(abs(own.variance - other.variance) < 1e-6)
      if let loss = own.referenceLoss { #expect(abs(loss - other.losses.0) < 1e-5) }
      if let loss = own.candidateLoss { #expect(abs(loss - other.losses.1) < 1e-5) }
    }
    let mean = plain.reduce(0) { $0 + $1.divergence } / Double(plain.count)
    #expect(abs(measures.meanDivergence - mean) < 1e-6)
    let sorted = plain.map(\.divergence).sorted()
    #expect(abs(measures.divergence(at: 0.5) - (sorted[23] + sorted[24]) / 2) < 2e-6)
    let perplexity = try #require(measures.perplexity)
    // The last position of each prompt has no next token.
    #expect(perplexity.count == plain.count - 3)
  }

  @Test("kept logits keep the bounds, and the estimate is near", arguments: [100, 400, 1500])
  func kept(top: Int) throws {
    let reference = SyntheticRows()
    var candidate = reference
    candidate.noise = 0.3
    let measures = try candidate.measures(against: try reference.pack(top: top).pack)
    let plain = Self.plain(reference, candidate)
    for (own, other) in zip(measures.positions, plain) {
      #expect(own.least <= other.divergence + 2e-6)
      #expect(own.most >= other.divergence - 2e-6)
    }
    let mean = plain.reduce(0) { $0 + $1.divergence } / Double(plain.count)
    #expect(measures.leastMeanDivergence < mean && mean < measures.mostMeanDivergence)
    #expect(abs(measures.meanDivergence / mean - 1) < 0.05)
    // The tail's part is known up to a small factor: c(V) is below 12 here where the truth is about 2.
    #expect(measures.mostMeanDivergence < 8 * mean)
    let square = plain.reduce(0) { $0 + $1.square } / plain.reduce(0) { $0 + $1.variance }
    #expect(abs(measures.normalizedError / square - 1) < 0.1)
  }

  @Test("other logits below the kept ones are seen", arguments: [400, 1500])
  func shuffledTail(top: Int) throws {
    var reference = SyntheticRows()
    reference.lengths = [60, 60]
    var candidate = reference
    candidate.shuffledBelow = top
    let pack = try reference.pack(top: top).pack
    let measures = try candidate.measures(against: pack)
    // What is kept is the same, and the masses too: nothing but the sketches can tell.
    #expect(measures.leastMeanDivergence < 1e-9)
    #expect(measures.largestDifference == 0)
    #expect(measures.topAgreement == 1)
    let verdict = try Verdict(measures, Tolerance.named("q4_k_m"), isEngine: false)
    #expect(verdict.failed.contains { $0.key == .normalizedError })
    let mean =
      Self.plain(reference, candidate).reduce(0) { $0 + $1.divergence }
      / Double(measures.positions.count)
    #expect(mean < measures.mostMeanDivergence)
    #expect(measures.mostMeanDivergence < 12 * mean)
    // Without the shuffle the same file passes the strictest limits.
    let same = try reference.measures(against: pack)
    #expect(try Verdict(same, Tolerance.named("identical"), isEngine: false).isPassed)
  }

  @Test("a bound that is outside alone says what to do")
  func onlyTheBoundIsOutside() throws {
    let reference = SyntheticRows()
    var candidate = reference
    candidate.noise = 0.3
    let pack = try reference.pack(top: 100).pack
    let measures = try candidate.measures(against: pack)
    func verdict(_ limit: Double, _ measures: Measures) throws -> Verdict {
      let text =
        "{name: \"made\", summary: \"s\", storedTypes: [\"F32\"], weightError: 0.1, "
        + "limits: {meanDivergence: \(limit)}}"
      return try Verdict(
        measures, Tolerance(file: "tolerances/made.json5", bytes: Array(text.utf8)),
        isEngine: false)
    }
    let between = (measures.meanDivergence + measures.mostMeanDivergence) / 2
    let outside = try verdict(between, measures)
    #expect(!outside.isPassed)
    let hint = try #require(outside.hint)
    #expect(hint.contains("mean KL divergence") && hint.contains("--full"))
    #expect(try verdict(measures.meanDivergence / 2, measures).hint == nil)
    #expect(try verdict(measures.mostMeanDivergence * 2, measures).hint == nil)
    let full = try candidate.measures(against: try reference.pack(top: nil).pack)
    #expect(try verdict(full.meanDivergence / 2, full).hint == nil)
    let side = ParityReport.Side(reference.description(top: 100), path: "made up")
    let report = ParityReport(
      reference: side, candidate: side, prompts: pack.prompts, measures: measures,
      verdict: outside, reading: [], skipFirst: 0, notes: ["another"], tokenText: { _ in nil })
    #expect(report.notes == [hint, "another"])
    #expect(String(decoding: report.html(), as: UTF8.self).contains("--full"))
  }

  @Test("c(V) is what its definition says, and ascends")
  func factor() {
    var last = 0.0
    for l in [0, 1e-5, 1e-3, 0.01, 0.1, 0.5, 1, 3, 10, 30] {
      let v = exp(l)
      let defined = (v * l - v + 1) / (v.squareRoot() - 1) / (v.squareRoot() - 1)
      let own = TailBound.factor(l)
      if l >= 0.01 { #expect(abs(own / defined - 1) < 1e-9) }
      #expect(own >= 2 && own > last)
      last = own
    }
    #expect(TailBound.factor(-5) == 2)
    #expect(abs(TailBound.factor(600) - 599) < 1e-9)
  }

  @Test("what is added to all logits of a row is no error of them", arguments: [nil, 400])
  func shift(top: Int?) throws {
    let reference = SyntheticRows()
    var candidate = reference
    candidate.shift = 50
    let pack = try reference.pack(top: top).pack
    let measures = try candidate.measures(against: pack)
    for position in measures.positions { #expect(abs(position.shift - 50) < 1e-4) }
    // The logits of the candidate are rounded at another size.
    #expect(measures.normalizedError < 1e-11)
    #expect(measures.largestDifference > 49)
    candidate.noise = 0.3
    let both = try candidate.measures(against: pack)
    candidate.shift = 0
    let plain = Self.plain(reference, candidate)
    let square = plain.reduce(0) { $0 + $1.square } / plain.reduce(0) { $0 + $1.variance }
    #expect(abs(both.normalizedError / square - 1) < (top == nil ? 1e-4 : 0.1))
  }

  @Test("few positions are no evidence, and chance is allowed for in agreement")
  func evidence() throws {
    var reference = SyntheticRows()
    reference.lengths = [20]
    let few = try reference.measures(against: try reference.pack(top: nil).pack)
    let tolerance = try Tolerance.named("identical")
    let verdict = try Verdict(few, tolerance, isEngine: false)
    #expect(verdict.failed.map(\.key) == [.positions])
    #expect(try Verdict(few, tolerance, isEngine: false, minimumPositions: 20).isPassed)
    #expect(try !Verdict(few, tolerance, isEngine: false, minimumPositions: 21).isPassed)
    // Of 100 positions 84 may be 90 % in the long run, 82 not; of 10,000 no 89 %.
    #expect(Agreement.mayReach(0.9, share: 0.84, count: 100))
    #expect(!Agreement.mayReach(0.9, share: 0.8, count: 100))
    #expect(!Agreement.mayReach(0.9, share: 0.89, count: 10_000))
    #expect(!Agreement.mayReach(1, share: 0.999, count: 1000))
  }

  @Test("chance is allowed for in the perplexity ratio, and only chance")
  func perplexityRatio() throws {
    // Losses that differ by 0.1 on average, with a deviation of 1.
    func ratio(_ count: Int) -> Perplexity {
      Perplexity((0..<count).map { (2.0, 2.1 + ($0 % 2 == 0 ? 1 : -1)) })
    }
    let few = ratio(100)
    #expect(abs(few.departure - exp(0.1)) < 1e-9)
    // Standard error 1/√99: 2.326 of them are more than 0.1.
    #expect(few.leastDeparture == 1)
    let many = ratio(10_000)
    #expect(abs(many.leastDeparture - exp(0.1 - 2.326 / 9999.0.squareRoot())) < 1e-9)
  }

  @Test("equal rows are exactly equal", arguments: [10, 100, 2999, nil])
  func identical(top: Int?) throws {
    let rows = SyntheticRows()
    let measures = try rows.measures(
      against: try rows.pack(top: top, layers: true).pack, layers: true)
    for position in measures.positions {
      #expect(position.divergence == 0 && position.least == 0)
      #expect(position.largestDifference == 0 && position.sharedTopTen == 10)
      #expect(position.referenceLoss == position.candidateLoss)
    }
    #expect(measures.stages.count == 5)
    #expect(measures.stages.allSatisfy { $0.normalizedError == 0 })
    let verdict = try Verdict(measures, Tolerance.named("identical"), isEngine: false)
    #expect(verdict.isPassed, "\(verdict.checks)")
  }

  @Test("bytes and figures do not depend on threads and pieces")
  func determinism() throws {
    let reference = SyntheticRows()
    var candidate = reference
    candidate.noise = 0.1
    let first = try reference.pack(top: 300, layers: true, chunk: 5, threads: 1)
    let expected = try candidate.measures(against: first.pack, layers: true, chunk: 4, threads: 1)
    for (chunk, threads) in [(1, 1), (40, 2), (3, 7)] {
      let other = try reference.pack(top: 300, layers: true, chunk: chunk, threads: threads)
      #expect(other.bytes == first.bytes)
      let measures = try candidate.measures(
        against: other.pack, layers: true, chunk: chunk, threads: threads)
      #expect(measures.positions.map(\.divergence) == expected.positions.map(\.divergence))
      #expect(measures.stages.map(\.normalizedError) == expected.stages.map(\.normalizedError))
    }
  }

  @Test("sketches tell the error of a stage, and the first broken layer is named")
  func stages() throws {
    var reference = SyntheticRows()
    reference.lengths = [300]
    reference.vocabulary = 40
    var candidate = reference
    candidate.brokenLayer = 1
    let pack = try reference.pack(top: nil, layers: true).pack
    let measures = try candidate.measures(against: pack, layers: true)
    for stage in measures.stages {
      let x = reference.states(stage.stage, 0)
      let y = candidate.states(stage.stage, 0)
      let difference = zip(x, y).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
      let energy = x.reduce(0.0) { $0 + Double($1 * $1) }
      #expect(abs(stage.normalizedError - difference / energy) <= 0.1 * difference / energy)
    }
    let verdict = try Verdict(measures, Tolerance.named("f32"), isEngine: false)
    #expect(!verdict.isPassed)
    #expect(verdict.departure?.name == "layer 1")
    #expect(verdict.departure?.stage == 2)
  }

  /// Errors as measured on Gemma 3 270M in q4_k_m, where they grow a hundredfold of themselves, and what a broken layer
  /// makes of them.
  @Test("a broken layer is told from growth that is only rounding")
  func departures() {
    let honest = [
      4.9e-5, 2.7e-4, 2.3e-4, 6.4e-4, 1.4e-3, 1.1e-3, 7.4e-4, 1.0e-3, 8.4e-4, 6.0e-4, 7.3e-4,
      9.4e-4, 3.2e-3, 8.4e-3, 6.2e-3, 7.0e-3, 1.0e-2, 8.2e-3, 9.8e-3, 2.0e-2,
    ]
    func departure(_ errors: [Double], limit: Double = 0.05) -> String? {
      let about = StageDescription(layerCount: errors.count - 2, width: 1)
      let stages = errors.enumerated().map {
        StageMeasure(
          stage: $0.offset, name: about.name($0.offset), layer: about.layer($0.offset),
          normalizedError: $0.element)
      }
      return DepartureFinder.find(stages, limit: limit)?.name
    }
    #expect(departure(honest) == nil)
    for layer in [0, 8, 17] {
      var broken = honest
      for stage in (layer + 1)..<broken.count { broken[stage] += 0.08 }
      #expect(departure(broken) == "layer \(layer)")
      broken[layer + 1] = .nan
      #expect(departure(broken) == "layer \(layer)")
    }
    #expect(departure([1.6] + honest.dropFirst().map { $0 + 1 }) == "input embeddings")
    #expect(departure([0, 0, 0, 1e-9, 1e-9, 2e-9], limit: 0) == "layer 2")
    // Rounding of the computation before the fault, and none to speak of.
    #expect(
      departure([1e-16, 3e-14, 5e-14, 2e-3, 3e-3, 2e-3, 4e-3, 6e-3], limit: 1e-8) == "layer 2")
  }

  @Test func leftOutPositionsAreLeftOut() throws {
    let reference = SyntheticRows()
    var candidate = reference
    candidate.noise = 0.3
    let pack = try reference.pack(top: nil).pack
    let measures = try candidate.measures(against: pack, skipFirst: 10)
    #expect(measures.positions.count == 30)
    #expect(measures.positions.allSatisfy { $0.position >= 10 })
    #expect(throws: TinctureError.self) { try candidate.measures(against: pack, skipFirst: 40) }
  }

  @Test("a logit that is no number fails every figure and is told, and the reports are written")
  func notFinite() throws {
    var rows = SyntheticRows()
    rows.lengths = [30, 30]
    let pack = try rows.pack(top: 100).pack
    var broken = rows
    broken.brokenPosition = 3
    let measures = try broken.measures(against: pack)
    #expect(measures.notFinite.map(\.position) == [3])
    #expect(measures.worst(1).first?.position == 3)
    #expect(measures.divergence(at: 0.5) < 1e-9)
    let verdict = try Verdict(measures, Tolerance.named("q2_k"), isEngine: false)
    #expect(verdict.failed.contains { $0.key == .meanDivergence })
    #expect(verdict.failed.contains { $0.key == .normalizedError })
    #expect(verdict.failed.contains { $0.key == .perplexityRatio })
    let ratio = try #require(verdict.checks.first { $0.key == .perplexityRatio })
    #expect(ratio.detail?.contains("its inverse") == true)
    let side = ParityReport.Side(rows.description(top: 100), path: "made up")
    let report = ParityReport(
      reference: side, candidate: side, prompts: pack.prompts, measures: measures, verdict: verdict,
      reading: [], skipFirst: 0, notes: ["a < b", "another"], tokenText: { _ in nil })
    let page = String(decoding: report.html(), as: UTF8.self)
    #expect(page.contains("not a number") && page.contains("FAIL"))
    let junit = report.junit(seconds: 1)
    #expect(XMLParser(data: Data(junit)).parse())
    #expect(String(decoding: junit, as: UTF8.self).contains("not a number"))
    #expect(
      String(decoding: junit, as: UTF8.self).contains(
        "    <system-out>a &lt; b\nanother</system-out>\n  </testsuite>"))
    let json = JSONValue.object(report.json(withPositions: true)).serialized(pretty: false)
    let parsed = try JSON.parse(json, file: "report")
    #expect(try parsed.member("divergence").member("mean").kind == .null)
    #expect(try parsed.member("passed").bool() == false)
  }

  /// Of weights each stored type has its own limit, the same in whatever a file stores beside it, wider where a matrix led.
  @Test func limitsOfStoredTypes() throws {
    let all = try Tolerance.all()
    var count = 0
    for tolerance in all {
      for type in tolerance.storedTypes {
        func limit(_ tolerance: Tolerance, _ isWeighted: Bool) throws -> Double {
          try WeightLimits(
            [.blockError], typeKeys: [.blockError], tolerance, types: [type],
            isWeighted: isWeighted)[.blockError, type]
        }
        for other in all where !other.storedTypes.isEmpty {
          #expect(try limit(other, false) == limit(tolerance, false), "\(type), \(other.name)")
          #expect(try limit(other, true) == limit(tolerance, true), "\(type), \(other.name)")
        }
        guard type.contains("Q") else { continue }
        count += 1
        #expect(try limit(tolerance, false) >= 2 && limit(tolerance, false) <= 5, "\(type)")
        #expect(try limit(tolerance, true) > limit(tolerance, false), "\(type)")
      }
    }
    #expect(count == 12)
    let named = try Tolerance.named("q5_k_m")
    #expect(
      try #require(named.weightLimit(.blockError, type: "Q5_1", isWeighted: true))
        > #require(named.weightLimit(.blockError, type: "Q5_K", isWeighted: true)))
  }

  @Test(
    "members of a tolerance's stored types",
    arguments: [
      ("Q4_1: {limits: {blockError: 2}}", "tolerance.unknownKey", "Q4_1"),
      ("Q4_0: {small: {blockError: 2}}", "tolerance.unknownKey", "\"small\""),
      ("Q4_0: {limits: {rowError: 2}}", "tolerance.unknownKey", "stored type"),
      ("Q4_0: {weighted: {meanDivergence: 2}}", "tolerance.unknownKey", "stored type"),
      ("Q4_0: {limits: {blockError: -2}}", "tolerance.range", "out of range"),
      ("Q4_0: 2", "tolerance.type", "object"),
    ])
  func membersOfStoredTypes(member: String, code: String, word: String) throws {
    let text =
      "{name: \"x\", summary: \"\", storedTypes: [\"Q4_0\"], weightError: 0.1, "
      + "limits: {blockError: 3}, types: {\(member)}}"
    do {
      _ = try Tolerance(file: "tolerances/x.json5", bytes: Array(text.utf8))
      Issue.record("accepted: \(member)")
    } catch {
      #expect(error.code.name == code, "\(error)")
      #expect("\(error)".contains(word), "\(error)")
    }
  }

  /// Fewer sums of a row leave more to chance: the limit rises as the chi-square distribution's quantile does (11.4 of 8
  /// degrees and 4.3 of 32, by the tail of one in 10^14).
  @Test func limitsOfRowsGoByTheirSums() {
    #expect(WeightSketchDescription(projectionCount: 32).limit(16) == 16)
    #expect(WeightSketchDescription(projectionCount: 256).limit(16) == 16)
    let few = WeightSketchDescription(projectionCount: 8).limit(16)
    #expect(few > 41 && few < 43, "\(few)")
  }
}
