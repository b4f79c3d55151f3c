import TinctureCore

/// What a limit is about: the closed vocabulary of `formats/tolerances`.
public enum LimitKey: String, Sendable, CaseIterable {
  /// How many positions were compared: below the limit a verdict has too little to stand on.
  case positions
  /// Mean, 99th percentile and maximum of the KL divergence, in nats. Where not all logits were kept, it is the proven
  /// upper bound that is held against the limit.
  case meanDivergence, p99Divergence, largestDivergence
  /// Share of positions with the same greatest logit; mean share of the ten greatest in common.
  case topAgreement, topTenAgreement
  /// The perplexities' ratio, or its inverse where that is greater.
  case perplexityRatio
  /// Mean squared difference of logits over their variance; largest absolute difference.
  case normalizedError, largestDifference
  /// Σ|x − y|² / Σ|x|² of the hidden states of any stage.
  case stageError
  /// The same of an encoder's rows; the cosine that 99 in 100 of them reach; the least; largest absolute difference. The
  /// least sinks with the number of rows: its limit is for single rows that say something else.
  case vectorError, lowCosine, leastCosine, vectorDifference
  /// Squared error of the worst 32 weights, in multiples of what their format costs; where the reference's weights are at
  /// hand.
  case blockError
  /// The same of the worst row, estimated from sketches; where a pack has them.
  case rowError
  /// Squared error of the worst block of 32 weights as far as its length shows it, and of the worst run as far as the signs of
  /// its sums do, in multiples of what the format costs; where a pack has them.
  case lengthError, signError
  /// What keeps the two from being compared at all: no limit of a tolerance, nothing may.
  case obstacles
  /// How many settings that change the computation or the use differ: no limit of a tolerance, none may.
  case settings
  /// Share of the weights stored otherwise than the file says of itself: no limit of a tolerance, see
  /// ``Verdict/otherwiseLimit``.
  case storedOtherwise

  /// Whether the limit is the least allowed value; else it is the most.
  public var isFloor: Bool {
    switch self {
    case .positions, .topAgreement, .topTenAgreement, .lowCosine, .leastCosine: true
    case .meanDivergence, .p99Divergence, .largestDivergence, .perplexityRatio, .normalizedError,
      .largestDifference, .stageError, .vectorError, .vectorDifference, .storedOtherwise,
      .blockError, .rowError, .lengthError, .signError, .settings, .obstacles:
      false
    }
  }

  /// Its name for people.
  public var title: String {
    switch self {
    case .positions: "positions compared"
    case .meanDivergence: "mean KL divergence"
    case .p99Divergence: "99th percentile of KL divergence"
    case .largestDivergence: "largest KL divergence"
    case .topAgreement: "top-1 agreement"
    case .topTenAgreement: "top-10 agreement"
    case .perplexityRatio: "perplexity ratio"
    case .normalizedError: "NMSE of logits"
    case .largestDifference: "largest difference of logits"
    case .stageError: "NMSE of hidden states"
    case .vectorError: "NMSE of vectors"
    case .lowCosine: "cosine of all but 1 % of vectors"
    case .leastCosine: "least cosine of vectors"
    case .vectorDifference: "largest difference of vectors"
    case .blockError: "worst block of weights, in its format's costs"
    case .rowError: "worst row of weights, in its format's costs"
    case .lengthError: "worst length of 32 weights, in its format's costs"
    case .signError: "worst signs of weights' sums, in their format's costs"
    case .obstacles: "obstacles to a comparison"
    case .settings: "settings that differ"
    case .storedOtherwise: "weights stored otherwise than the file says"
    }
  }
}

/// A named set of limits, read from `formats/tolerances/`.
public struct Tolerance: Sendable {
  public let name: String
  /// One line for lists.
  public let summary: String
  /// Stored types of matrices it is chosen for.
  public let storedTypes: [String]
  /// What these types cost: about the squared error of normally distributed weights over their energy. Of a file with
  /// several types the one that costs most decides.
  public let weightError: Double
  /// Limits by key; those for `engine` arithmetic replace the others of the same key.
  public let limits: [LimitKey: Double]
  public let engineLimits: [LimitKey: Double]
  /// Limits of small models, which replace the others of the same key: quantization costs them more.
  public let smallLimits: [LimitKey: Double]
  public let smallEngineLimits: [LimitKey: Double]
  /// Limits for weights of files made with an importance matrix, which replace the others of the same key: where some columns
  /// count far more than others, an encoder gives away much of the others.
  package let weightedLimits: [LimitKey: Double]
  /// Limits for weights stored in one of its types, where the types differ in what is honest; they replace the others of the
  /// same key.
  private let typeLimits: [String: TypeLimits]

  private struct TypeLimits: Sendable {
    let limits: [LimitKey: Double]
    let weighted: [LimitKey: Double]
  }

  /// Models with fewer weights in their layers' matrices than this are small.
  public static let smallWeightCount: UInt64 = 500_000_000

  /// The limits that hold for one arithmetic and size, in the vocabulary's order.
  public func limits(isEngine: Bool, isSmall: Bool) -> [(key: LimitKey, limit: Double)] {
    var sets = [limits]
    if isEngine { sets.append(engineLimits) }
    if isSmall { sets.append(smallLimits) }
    if isSmall, isEngine { sets.append(smallEngineLimits) }
    return LimitKey.allCases.compactMap { key in
      sets.last { $0[key] != nil }.flatMap { $0[key] }.map { (key, $0) }
    }
  }

  /// Whether being small changes a limit.
  public var knowsSmall: Bool { !smallLimits.isEmpty || !smallEngineLimits.isEmpty }

  /// Every tolerance, by name.
  ///
  /// - Throws: what is wrong with a file, with its name and offset; `tolerance.duplicate`.
  public static func all() throws(TinctureError) -> [Tolerance] {
    var all: [Tolerance] = []
    var owners: [String: String] = [:]
    for file in try BundledFile.all(in: "tolerances") {
      let tolerance = try Tolerance(file: file.name, bytes: file.bytes)
      for type in tolerance.storedTypes {
        if let owner = owners.updateValue(file.name, forKey: type) {
          throw TinctureError(
            .init("tolerance.duplicate", .invalidInput), "two tolerances are for \(type)",
            place: .init(file: file.name), found: owner)
        }
      }
      all.append(tolerance)
    }
    return all
  }

  /// What each stored type costs: ``weightError`` of its tolerance.
  package static func costs() throws(TinctureError) -> [String: Double] {
    var costs: [String: Double] = [:]
    for tolerance in try all() {
      for type in tolerance.storedTypes { costs[type] = tolerance.weightError }
    }
    return costs
  }

  /// A limit for weights, for those stored in `type` if it has one of its own; `isWeighted`: of a file that an importance
  /// matrix led.
  package func weightLimit(_ key: LimitKey, type: String?, isWeighted: Bool) -> Double? {
    let own = type.flatMap { typeLimits[$0] }
    let plain = own?.limits[key] ?? limits[key]
    return isWeighted ? own?.weighted[key] ?? weightedLimits[key] ?? plain : plain
  }

  /// Its file, for errors.
  private var file: String { BundledFile.path("tolerances/\(name).json5") }

  /// Holds that the file has one of `keys` for that arithmetic and size: a check without a limit would pass over what it is
  /// about in silence.
  ///
  /// - Throws: `tolerance.limit`.
  package func require(
    _ keys: [LimitKey], isEngine: Bool, isSmall: Bool
  ) throws(TinctureError) {
    let known = limits(isEngine: isEngine, isSmall: isSmall).map(\.key)
    guard !known.contains(where: { keys.contains($0) }) else { return }
    throw lacks(keys, for: "")
  }

  fileprivate func lacks(_ keys: [LimitKey], for what: String) -> TinctureError {
    let names = keys.map(\.rawValue).joined(separator: " or ")
    return TinctureError(
      .init("tolerance.limit", .invalidInput),
      "the tolerance \(name) does not limit the \(keys[0].title)\(what)",
      place: .init(file: file, key: "limits"), expected: names,
      found: limits.keys.map(\.rawValue).sorted().joined(separator: ", "),
      advice: "add \(names) to the limits of this file: without it nothing would be held against it"
    )
  }

  /// The tolerance of that name, upper or lower case.
  ///
  /// - Throws: `tolerance.unknown` with the names there are.
  public static func named(_ name: String) throws(TinctureError) -> Tolerance {
    let all = try all()
    if let found = all.first(where: { $0.name == name.lowercased() }) { return found }
    throw TinctureError(
      .init("tolerance.unknown", .usage), "there is no tolerance \"\(name)\"",
      expected: all.map(\.name).joined(separator: ", "), found: name,
      advice: "name one of these, or leave --tolerance out: the file's stored types then choose")
  }

  /// The tolerance for what is stored: that of the type which costs the model most, by its number of weights times the
  /// error of one. What a file says of itself (`general.file_type`) does not enter.
  ///
  /// - Parameter elements: how many weights of matrices are stored in each type.
  /// - Throws: `tolerance.choose` when a type has none: one must be named.
  public static func matching(stored elements: [(type: String, count: UInt64)])
    throws(TinctureError) -> Tolerance
  {
    let all = try all()
    var costs: [(tolerance: Tolerance, cost: Double)] = []
    for (type, count) in elements {
      guard let tolerance = all.first(where: { $0.storedTypes.contains(type) }) else {
        throw mustChoose(all, found: "matrices of \(type)")
      }
      let cost = tolerance.weightError * Double(count)
      if let index = costs.firstIndex(where: { $0.tolerance.name == tolerance.name }) {
        costs[index].cost += cost
      } else {
        costs.append((tolerance, cost))
      }
    }
    // Of equal costs the strictest.
    let chosen = costs.max {
      ($0.cost, -$0.tolerance.weightError) < ($1.cost, -$1.tolerance.weightError)
    }
    guard let chosen else { throw mustChoose(all, found: "no matrices") }
    return chosen.tolerance
  }

  private static func mustChoose(_ all: [Tolerance], found: String) -> TinctureError {
    TinctureError(
      .init("tolerance.choose", .usage), "no tolerance belongs to what the file stores",
      expected: all.map(\.name).joined(separator: ", "), found: found,
      advice: "name one with --tolerance")
  }

  /// Reads a tolerance file; `file` is its path below `formats/`.
  ///
  /// - Throws: `tolerance.*` with file and byte offset.
  package init(file: String, bytes: [UInt8]) throws(TinctureError) {
    let json = try JSON.parse(bytes, file: file, mode: .lenient, code: "tolerance")
    let known = [
      "name", "summary", "storedTypes", "weightError", "limits", "engine", "small", "smallEngine",
      "weighted", "types",
    ]
    for (key, _) in try json.object() {
      let name = try key.string()
      guard known.contains(name) else {
        throw key.error(
          "unknownKey", "a tolerance has no member \"\(name)\"",
          expected: known.joined(separator: ", "))
      }
    }
    let nameNode = try json.member("name")
    name = try nameNode.string()
    guard file.split(separator: "/").last.map(String.init) == name + ".json5" else {
      throw nameNode.error("name", "the name is not that of the file", found: name)
    }
    summary = try json.member("summary").string()
    var storedTypes: [String] = []
    if let list = json["storedTypes"] {
      for node in try list.array() { storedTypes.append(try node.string()) }
    }
    self.storedTypes = storedTypes
    let errorNode = storedTypes.isEmpty ? json["weightError"] : try json.member("weightError")
    weightError = try errorNode?.double() ?? 0
    guard weightError >= 0, weightError <= 1 else {
      throw json.error("range", "the error of a weight is a share", found: "\(weightError)")
    }
    let limitsNode = try json.member("limits")
    limits = try Tolerance.limits(limitsNode)
    guard !limits.isEmpty else { throw limitsNode.error("empty", "a tolerance needs a limit") }
    engineLimits = if let node = json["engine"] { try Tolerance.limits(node) } else { [:] }
    smallLimits = if let node = json["small"] { try Tolerance.limits(node) } else { [:] }
    smallEngineLimits =
      if let node = json["smallEngine"] { try Tolerance.limits(node) } else { [:] }
    weightedLimits = if let node = json["weighted"] { try Tolerance.limits(node) } else { [:] }
    typeLimits =
      if let node = json["types"] { try Tolerance.typeLimits(node, of: storedTypes) } else { [:] }
  }

  private static func typeLimits(_ node: JSON, of storedTypes: [String]) throws(TinctureError)
    -> [String: TypeLimits]
  {
    var all: [String: TypeLimits] = [:]
    for (key, value) in try node.object() {
      let type = try key.string()
      guard storedTypes.contains(type) else {
        throw key.error(
          "unknownKey", "not a stored type of this tolerance",
          expected: storedTypes.joined(separator: ", "), found: type)
      }
      var sets: [String: [LimitKey: Double]] = [:]
      for (name, set) in try value.object() {
        let name = try name.string()
        let known = ["limits", "weighted"]
        guard known.contains(name) else {
          throw value.error(
            "unknownKey", "a stored type has no member \"\(name)\"",
            expected: known.joined(separator: ", "))
        }
        sets[name] = try limits(set)
        // Limits of the whole file, which are asked for without a type, would never be found here.
        let byType: [LimitKey] = [.blockError, .lengthError, .signError]
        guard sets[name, default: [:]].keys.allSatisfy(byType.contains) else {
          throw set.error(
            "unknownKey", "not a limit that a stored type has of its own",
            expected: byType.map(\.rawValue).joined(separator: ", "))
        }
      }
      all[type] = TypeLimits(limits: sets["limits"] ?? [:], weighted: sets["weighted"] ?? [:])
    }
    return all
  }

  private static func limits(_ node: JSON) throws(TinctureError) -> [LimitKey: Double] {
    var limits: [LimitKey: Double] = [:]
    for (key, value) in try node.object() {
      guard let limit = LimitKey(rawValue: try key.string()), limit != .storedOtherwise,
        limit != .settings, limit != .obstacles
      else {
        throw key.error(
          "unknownKey", "not a limit",
          expected: LimitKey.allCases.map(\.rawValue).joined(separator: ", "),
          found: key.shortText)
      }
      let number = try value.double()
      guard number >= 0, !limit.isFloor || limit == .positions || number <= 1,
        limit != .perplexityRatio || number >= 1
      else { throw value.error("range", "the limit is out of range", found: value.shortText) }
      limits[limit] = number
    }
    return limits
  }
}

/// The limits for the weights of one file: those of its tolerance, and for each stored type those of its own.
package struct WeightLimits: Sendable {
  private let own: [LimitKey: Double]
  private let byType: [String: [LimitKey: Double]]
  /// Whether one of them is wider than it would be without an importance matrix.
  package let isWidened: Bool

  /// - Parameters:
  ///   - keys: limits of the file.
  ///   - typeKeys: those of them that each stored type has of its own.
  ///   - types: what the file stores. A type of no tolerance has the file's limits.
  /// - Throws: `tolerance.limit` when one that is needed is missing.
  package init(
    _ keys: [LimitKey], typeKeys: [LimitKey], _ tolerance: Tolerance, types: Set<String>,
    isWeighted: Bool
  ) throws(TinctureError) {
    var isWidened = false
    func limits(_ keys: [LimitKey], _ tolerance: Tolerance, _ type: String?) throws(TinctureError)
      -> [LimitKey: Double]
    {
      var limits: [LimitKey: Double] = [:]
      for key in keys {
        guard let limit = tolerance.weightLimit(key, type: type, isWeighted: isWeighted) else {
          throw tolerance.lacks([key], for: type.map { " of \($0)" } ?? "")
        }
        limits[key] = limit
        let plain = tolerance.weightLimit(key, type: type, isWeighted: false)
        if let plain, limit > plain { isWidened = true }
      }
      return limits
    }
    own = try limits(keys, tolerance, nil)
    var byType: [String: [LimitKey: Double]] = [:]
    for tolerance in typeKeys.isEmpty ? [] : try Tolerance.all() {
      for type in tolerance.storedTypes where types.contains(type) {
        byType[type] = try limits(typeKeys, tolerance, type)
      }
    }
    self.byType = byType
    self.isWidened = isWidened
  }

  /// The file's limit, one of those that were asked for.
  package subscript(key: LimitKey) -> Double {
    guard let limit = own[key] else { preconditionFailure("no limit was asked for: \(key)") }
    return limit
  }

  /// The limit for weights stored in `type`.
  package subscript(key: LimitKey, type: String?) -> Double {
    type.flatMap { byType[$0]?[key] } ?? self[key]
  }
}
