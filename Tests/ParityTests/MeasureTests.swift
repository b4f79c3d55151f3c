import Foundation
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
        square += (p - q) * (p - q)
      }
      square /= Double(x.count)
      let mean = x.reduce(0, +) / Double(x.count)
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
    let check = try #require(verdict.checks.first { $0.key == .stageError })
    #expect(check.detail == "layer 1 departs first")
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

  @Test func aNumberThatIsNoneIsAnError() throws {
    let rows = SyntheticRows()
    let pack = try rows.pack(top: 100).pack
    let comparison = try Comparison(pack, threads: 2, memory: MemoryBudget(limit: 1 << 30))
    var logits = rows.logits(0)
    logits[3 * rows.vocabulary + 77] = .nan
    let error = #expect(throws: TinctureError.self) {
      try logits.withUnsafeBufferPointer {
        try comparison.logits(prompt: 0, first: 0, rows: $0)
      }
    }
    #expect(error?.code.name == "model.notFinite")
    #expect(error?.found?.contains("token 77 at position 3 of prompt 0") == true)
  }
}
