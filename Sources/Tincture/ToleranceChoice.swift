import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity

/// How many weights of a model's matrices are stored in which type, the most frequent first.
struct StoredShares {
  let counts: [(type: String, count: UInt64)]

  init(_ tensors: [TensorInfo]) {
    var counts: [(type: String, count: UInt64)] = []
    for tensor in tensors where tensor.shape.rank > 1 {
      let name = tensor.type.description
      let count = UInt64(tensor.shape.elementCount)
      if let index = counts.firstIndex(where: { $0.type == name }) {
        counts[index].count += count
      } else {
        counts.append((name, count))
      }
    }
    self.counts = counts.sorted { ($1.count, $0.type) < ($0.count, $1.type) }
  }

  var total: UInt64 { counts.reduce(0) { $0 + $1.count } }

  /// `Q8_0 62.9 %, Q5_0 24.0 %`.
  var text: String {
    counts.map { "\($0.type) \(Figure.percent(Double($0.count) / Double(max(1, total))))" }
      .joined(separator: ", ")
  }

  /// Whether every matrix is in a type that holds every value of `types` as it is. F16 holds BF16 within its range:
  /// weights below 2^-14 lose bits that no logit shows, those too large stop the conversion.
  func hold(_ types: [String]) -> Bool {
    let holders: [String: Set<String>] = [
      "F32": ["F32"], "BF16": ["BF16", "F32", "F16"], "F16": ["F16", "F32"],
    ]
    guard !types.isEmpty, !counts.isEmpty else { return false }
    return types.allSatisfy { type in
      counts.allSatisfy { holders[type]?.contains($0.type) ?? false }
    }
  }
}

/// Which tolerance a candidate is judged by when none is named, and whether it stores what it claims to.
enum ToleranceChoice {
  /// Words for arithmetic that only rounds as floats do.
  static let plainArithmetic: Set<String> = ["exact", "float32", "float64"]

  /// The tolerance for what is stored (``Tolerance/matching(stored:)``); the one for equal weights where the candidate
  /// holds every value of the reference and both compute in floats.
  ///
  /// - Throws: `tolerance.choose`.
  static func make(
    stored: StoredShares, reference: (types: [String], arithmetic: String), arithmetic: Arithmetic
  ) throws(TinctureError) -> Tolerance {
    if arithmetic == .exact, plainArithmetic.contains(reference.arithmetic),
      stored.hold(reference.types)
    {
      return try Tolerance.named("f32")
    }
    return try Tolerance.matching(stored: stored.counts)
  }

  /// What each stored type costs a weight. Other types than those that the runtime reads cost nothing: they are let off
  /// nothing.
  ///
  /// - Throws: `tolerance.cost` when no tolerance is for a type that the runtime reads.
  static func costs() throws(TinctureError) -> @Sendable (String) -> Double {
    let costs = try Tolerance.costs()
    let types = ["F32", "F16", "BF16"] + BlockFormat.all.map(\.name)
    guard let type = types.first(where: { costs[$0] == nil }) else { return { costs[$0] ?? 0 } }
    throw TinctureError(
      .init("tolerance.cost", .invalidInput), "no tolerance says what \(type) costs",
      place: .init(file: BundledFile.path("tolerances")),
      expected: "each of \(types.joined(separator: ", ")) among the storedTypes of one tolerance",
      advice: "add \(type) to the storedTypes of the tolerance that fits it")
  }

  /// Holds a GGUF file's `general.file_type` against the types of its matrices.
  ///
  /// The claim's recipe says which formats such a file may hold: its own, those of its rules, and their fallbacks. Two
  /// things contradict it: weights in a format that loses more than twice as much as any of these; and no matrix at all
  /// in a format that loses as much as the claim's own would for its rows. nil when the file claims nothing that a
  /// recipe knows.
  static func claim(of candidate: Checkpoint, stored: StoredShares) throws(TinctureError)
    -> Verdict.Check?
  {
    guard case .gguf(let file) = candidate.container,
      case .uint32(let type) = file.value("general.file_type"),
      let recipe = try Recipe.all().first(where: { $0.fileType == type })
    else { return nil }
    let tolerances = try Tolerance.all()
    func loss(_ type: String) -> Double {
      tolerances.first { $0.storedTypes.contains(type) }?.weightError ?? 1
    }
    var allowed = [recipe.format] + recipe.rules.map(\.format)
    allowed += allowed.compactMap(\.fallback)
    let most = allowed.map { loss($0.name) }.max() ?? 0
    var coarser: UInt64 = 0
    var isAsClaimed = false
    for tensor in file.tensors where tensor.shape.rank > 1 {
      let own = loss(tensor.type.description)
      if own > 2 * most { coarser += UInt64(tensor.shape.elementCount) }
      let usable = recipe.format.usable(rowLength: tensor.shape.rowLength)
      if own >= loss(usable.name) / 2 { isAsClaimed = true }
    }
    let share = isAsClaimed ? Double(coarser) / Double(max(1, stored.total)) : 1
    return Verdict.Check(
      key: .storedOtherwise, value: share, limit: Verdict.otherwiseLimit,
      isPassed: share <= Verdict.otherwiseLimit,
      detail: "claims \(recipe.name), stores \(stored.text)")
  }
}
