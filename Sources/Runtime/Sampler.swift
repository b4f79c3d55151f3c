import TinctureCore

/// Chooses the next token from its scores. The same scores, settings and seed always choose the same tokens.
///
/// In the order of transformers' generate: scores are divided by the temperature, then the `topK` best are kept, then
/// of those the best whose probabilities reach `topP`; one is drawn by its share. Tokens of equal score count as
/// better the lower their id.
public struct Sampler: Sendable {
  /// 0 always takes the best token.
  public let temperature: Float
  /// Best tokens kept; 0 keeps all.
  public let topK: Int
  /// Share of probability kept, above 0, at most 1.
  public let topP: Float
  private var random: Xoshiro256

  /// - Throws: `sampler.temperature`, `sampler.topK`, `sampler.topP` for numbers out of range.
  public init(
    temperature: Float = 0, topK: Int = 0, topP: Float = 1, seed: UInt64 = 0
  ) throws(TinctureError) {
    func failure(_ name: String, _ expected: String, _ found: String) -> TinctureError {
      TinctureError(
        .init("sampler." + name, .usage), "the number is out of range", expected: expected,
        found: found)
    }
    guard temperature >= 0, temperature <= 1000 else {
      throw failure("temperature", "0 to 1000", "\(temperature)")
    }
    guard topK >= 0 else { throw failure("topK", "0 or more", "\(topK)") }
    guard topP > 0, topP <= 1 else { throw failure("topP", "above 0, at most 1", "\(topP)") }
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    random = Xoshiro256(seed: seed)
  }

  /// The next token's id.
  ///
  /// - Throws: `sampler.notFinite` when a score is NaN or all are -infinity.
  /// - Complexity: O(scores + kept · log scores).
  public mutating func next(_ scores: UnsafeBufferPointer<Float>) throws(TinctureError) -> Int32 {
    guard let base = scores.baseAddress, !scores.isEmpty else { throw notFinite(0) }
    let best = Int(Operations.table.pointee.best(base, Int64(scores.count)))
    guard best >= 0 else { throw notFinite(-1 - best) }
    guard scores[best].isFinite else { throw notFinite(best) }
    if temperature == 0 { return Int32(best) }
    let top = scores[best]
    // Below this share a token is never drawn: e^-60 of the best.
    var heap = CandidateHeap()
    for index in scores.indices where (scores[index] - top) / temperature > -60 {
      heap.append(.init(score: scores[index], id: Int32(index)))
    }
    let limit = topK == 0 ? heap.count : min(topK, heap.count)
    var kept: [(weight: Double, id: Int32)] = []
    if topP >= 1, limit == heap.count {
      // All of them, in the order of ids: the draw needs no sorting.
      for candidate in heap.items {
        kept.append((weight(candidate.score, top), candidate.id))
      }
    } else {
      heap.order()
      var whole = 0.0
      if limit == heap.count { for item in heap.items { whole += weight(item.score, top) } }
      if limit < heap.count {
        for _ in 0..<limit {
          let candidate = heap.pop()
          kept.append((weight(candidate.score, top), candidate.id))
        }
        whole = kept.reduce(0) { $0 + $1.weight }
        kept = cut(kept, whole)
      } else {
        var reached = 0.0
        while heap.count > 0, reached < Double(topP) * whole {
          let candidate = heap.pop()
          let share = weight(candidate.score, top)
          kept.append((share, candidate.id))
          reached += share
        }
      }
    }
    let total = kept.reduce(0) { $0 + $1.weight }
    var rest = random.unit() * total
    for candidate in kept {
      rest -= candidate.weight
      if rest < 0 { return candidate.id }
    }
    return kept.last?.id ?? Int32(best)
  }

  /// The first of `sorted` whose shares reach `topP`.
  private func cut(
    _ sorted: [(weight: Double, id: Int32)], _ whole: Double
  ) -> [(weight: Double, id: Int32)] {
    var reached = 0.0
    for (index, item) in sorted.enumerated() {
      reached += item.weight
      if reached >= Double(topP) * whole { return Array(sorted[...index]) }
    }
    return sorted
  }

  private func weight(_ score: Float, _ top: Float) -> Double {
    Elementary.exponential((Double(score) - Double(top)) / Double(temperature))
  }

  private func notFinite(_ index: Int) -> TinctureError {
    TinctureError(
      .init("sampler.notFinite", .invalidInput), "the model gives scores that are no numbers",
      found: "token \(index)", advice: "the weights are damaged, or overflow in their format")
  }
}

/// Candidates, the best first.
private struct CandidateHeap {
  struct Candidate {
    var score: Float
    var id: Int32

    func isBetter(than other: Candidate) -> Bool {
      score > other.score || (score == other.score && id < other.id)
    }
  }

  private(set) var items: [Candidate] = []

  var count: Int { items.count }

  mutating func append(_ candidate: Candidate) { items.append(candidate) }

  /// Makes a heap of the items, in linear time.
  mutating func order() {
    for start in stride(from: items.count / 2 - 1, through: 0, by: -1) { sink(start) }
  }

  mutating func pop() -> Candidate {
    let first = items[0]
    let last = items.removeLast()
    if !items.isEmpty {
      items[0] = last
      sink(0)
    }
    return first
  }

  private mutating func sink(_ start: Int) {
    var parent = start
    while true {
      var best = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < items.count {
        if items[child].isBetter(than: items[best]) { best = child }
      }
      if best == parent { return }
      items.swapAt(parent, best)
      parent = best
    }
  }
}

/// Blackman and Vigna's xoshiro256**, its state filled by SplitMix64 from the seed.
struct Xoshiro256: Sendable {
  private var state: (UInt64, UInt64, UInt64, UInt64)

  init(seed: UInt64) {
    var mixer = seed
    func next() -> UInt64 {
      mixer &+= 0x9E37_79B9_7F4A_7C15
      var z = mixer
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    state = (next(), next(), next(), next())
  }

  mutating func next() -> UInt64 {
    func rotated(_ x: UInt64, _ count: UInt64) -> UInt64 { x << count | x >> (64 - count) }
    let result = rotated(state.1 &* 5, 7) &* 9
    let shifted = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = rotated(state.3, 45)
    return result
  }

  /// From 0 to below 1, in steps of 2^-53.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
