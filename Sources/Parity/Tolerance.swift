import TinctureCore

/// What a limit is about: the closed vocabulary of `formats/tolerances`.
public enum LimitKey: String, Sendable, CaseIterable {
  /// Mean, 99th percentile and maximum of the KL divergence, in nats.
  case meanDivergence, p99Divergence, largestDivergence
  /// Share of positions with the same greatest logit; mean share of the ten greatest in common.
  case topAgreement, topTenAgreement
  /// The perplexities' ratio, or its inverse where that is greater.
  case perplexityRatio
  /// Mean squared difference of logits over their variance; largest absolute difference.
  case normalizedError, largestDifference
  /// Σ|x − y|² / Σ|x|² of the hidden states of any stage.
  case stageError
  /// The same of an encoder's rows; their least cosine; largest absolute difference.
  case vectorError, leastCosine, vectorDifference

  /// Whether the limit is the least allowed value; else it is the most.
  public var isFloor: Bool {
    switch self {
    case .topAgreement, .topTenAgreement, .leastCosine: true
    case .meanDivergence, .p99Divergence, .largestDivergence, .perplexityRatio, .normalizedError,
      .largestDifference, .stageError, .vectorError, .vectorDifference:
      false
    }
  }

  /// Its name for people.
  public var title: String {
    switch self {
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
    case .leastCosine: "least cosine of vectors"
    case .vectorDifference: "largest difference of vectors"
    }
  }
}

/// A named set of limits, read from `formats/tolerances/`.
public struct Tolerance: Sendable {
  public let name: String
  /// One line for lists.
  public let summary: String
  /// Values of `general.file_type` it is chosen for.
  public let fileTypes: [UInt32]
  /// Stored types of a checkpoint's matrices it is chosen for.
  public let storedTypes: [String]
  /// Limits by key; those for `engine` arithmetic replace the others of the same key.
  public let limits: [LimitKey: Double]
  public let engineLimits: [LimitKey: Double]

  /// The limits that hold for one arithmetic, in the vocabulary's order.
  public func limits(isEngine: Bool) -> [(key: LimitKey, limit: Double)] {
    LimitKey.allCases.compactMap { key in
      let limit = isEngine ? engineLimits[key] ?? limits[key] : limits[key]
      return limit.map { (key, $0) }
    }
  }

  /// Every tolerance, by name.
  ///
  /// - Throws: what is wrong with a file, with its name and offset; `tolerance.duplicate`.
  public static func all() throws(TinctureError) -> [Tolerance] {
    var all: [Tolerance] = []
    var owners: [String: String] = [:]
    for file in try BundledFile.all(in: "tolerances") {
      let tolerance = try Tolerance(file: file.name, bytes: file.bytes)
      for key in tolerance.fileTypes.map({ "file type \($0)" })
        + tolerance.storedTypes.map({ "stored type \($0)" })
      {
        if let owner = owners.updateValue(file.name, forKey: key) {
          throw TinctureError(
            .init("tolerance.duplicate", .invalidInput), "two tolerances are for \(key)",
            place: .init(file: file.name), found: owner)
        }
      }
      all.append(tolerance)
    }
    return all
  }

  /// The tolerance of that name, upper or lower case.
  ///
  /// - Throws: `tolerance.unknown` with the names there are.
  public static func named(_ name: String) throws(TinctureError) -> Tolerance {
    let all = try all()
    if let found = all.first(where: { $0.name == name.lowercased() }) { return found }
    throw TinctureError(
      .init("tolerance.unknown", .usage), "there is no tolerance \"\(name)\"",
      expected: all.map(\.name).joined(separator: ", "), found: name)
  }

  /// The tolerance for a GGUF file's type.
  ///
  /// - Throws: `tolerance.choose` when there is none: one must be named.
  public static func matching(fileType: UInt32?) throws(TinctureError) -> Tolerance {
    if let fileType, let found = try all().first(where: { $0.fileTypes.contains(fileType) }) {
      return found
    }
    throw try mustChoose(found: fileType.map { "general.file_type \($0)" } ?? "no file type")
  }

  /// The tolerance for a checkpoint's stored type.
  ///
  /// - Throws: `tolerance.choose` when there is none: one must be named.
  public static func matching(storedType: String) throws(TinctureError) -> Tolerance {
    if let found = try all().first(where: { $0.storedTypes.contains(storedType) }) { return found }
    throw try mustChoose(found: "matrices of \(storedType)")
  }

  private static func mustChoose(found: String) throws(TinctureError) -> TinctureError {
    TinctureError(
      .init("tolerance.choose", .usage), "no tolerance belongs to this type of file",
      expected: try all().map(\.name).joined(separator: ", "), found: found,
      advice: "name one with --tolerance")
  }

  /// Reads a tolerance file; `file` is its path below `formats/`.
  ///
  /// - Throws: `tolerance.*` with file and byte offset.
  package init(file: String, bytes: [UInt8]) throws(TinctureError) {
    let json = try JSON.parse(bytes, file: file, mode: .lenient, code: "tolerance")
    let known = ["name", "summary", "fileTypes", "storedTypes", "limits", "engine"]
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
    var fileTypes: [UInt32] = []
    if let list = json["fileTypes"] {
      for node in try list.array() {
        guard let type = UInt32(exactly: try node.uint64()) else {
          throw node.error("range", "a file type has 32 bits", found: node.shortText)
        }
        fileTypes.append(type)
      }
    }
    self.fileTypes = fileTypes
    var storedTypes: [String] = []
    if let list = json["storedTypes"] {
      for node in try list.array() { storedTypes.append(try node.string()) }
    }
    self.storedTypes = storedTypes
    let limitsNode = try json.member("limits")
    limits = try Tolerance.limits(limitsNode)
    guard !limits.isEmpty else { throw limitsNode.error("empty", "a tolerance needs a limit") }
    engineLimits = if let node = json["engine"] { try Tolerance.limits(node) } else { [:] }
  }

  private static func limits(_ node: JSON) throws(TinctureError) -> [LimitKey: Double] {
    var limits: [LimitKey: Double] = [:]
    for (key, value) in try node.object() {
      guard let limit = LimitKey(rawValue: try key.string()) else {
        throw key.error(
          "unknownKey", "not a limit",
          expected: LimitKey.allCases.map(\.rawValue).joined(separator: ", "),
          found: key.shortText)
      }
      let number = try value.double()
      guard number >= 0, !limit.isFloor || number <= 1, limit != .perplexityRatio || number >= 1
      else { throw value.error("range", "the limit is out of range", found: value.shortText) }
      limits[limit] = number
    }
    return limits
  }
}
