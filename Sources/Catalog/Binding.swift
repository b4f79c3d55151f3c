import TinctureContainers
import TinctureCore

/// Binds every tensor of a checkpoint to its GGUF name: the coverage ledger.
package struct Binding {
  let architecture: Architecture
  let hyperparameters: Hyperparameters
  let conditions: Set<Condition>
  /// What query rows are multiplied with (see ``QueryScaleRule``).
  let queryFactor: Float
  /// Factors of llama3 scaling, when there are any.
  let rotaryFactors: [Float]?
  /// File the hyperparameters come from, for errors.
  let configPath: String?
  /// What holds the weights, for errors about tensors that are not there: the file, or the folder of several.
  let weightsPath: String?
  /// The weights' files by number, for errors.
  let files: [String]

  private var claims: [String: TensorInfo] = [:]
  package private(set) var coverage: [(source: String, outcome: Coverage)] = []
  package private(set) var leftOutCounts: [(reason: String, count: Int)] = []
  /// Tensors that are left out because they hold the numbers 0, 1, 2, …
  private(set) var counting: [TensorInfo] = []
  /// Tensors that are left out because another one, already claimed or not, holds the same values.
  private(set) var repeats: [(info: TensorInfo, target: String, reason: String)] = []

  package init(
    architecture: Architecture, hyperparameters: Hyperparameters, conditions: Set<Condition>,
    queryFactor: Float, rotaryFactors: [Float]?, configPath: String?, weightsPath: String? = nil,
    files: [String] = []
  ) {
    self.architecture = architecture
    self.hyperparameters = hyperparameters
    self.conditions = conditions
    self.queryFactor = queryFactor
    self.rotaryFactors = rotaryFactors
    self.configPath = configPath
    self.weightsPath = weightsPath
    self.files = files
  }

  /// The file that `tensor` stands in.
  private func file(_ tensor: TensorInfo) -> String? {
    files.indices.contains(tensor.fileIndex) ? files[tensor.fileIndex] : nil
  }

  private struct Claim {
    var target: String
    var layer: Int?
  }

  /// Gives every source tensor to the rule that claims it.
  ///
  /// - Throws: `tensors.unknown`, `tensors.twice`, `tensors.layer`.
  /// - Complexity: O(tensors × rules × prefixes).
  package mutating func claim(_ tensors: [TensorInfo]) throws(TinctureError) {
    let layers = try hyperparameters.require(.layers)
    var unknown: [TensorInfo] = []
    for tensor in tensors {
      let name = spelled(Wrappers.stripped(tensor.name))
      if let claim = claim(name) {
        if let layer = claim.layer, layer >= layers {
          throw TinctureError(
            .init("tensors.layer", .invalidInput),
            "the checkpoint has more layers than config.json says",
            place: .init(file: file(tensor), tensor: tensor.name, layer: layer),
            expected: "layers 0 to \(layers - 1)",
            found: "layer \(layer)",
            advice: "take config.json and weights of the same model")
        }
        if let other = claims[claim.target] {
          throw TinctureError(
            .init("tensors.twice", .invalidInput), "two tensors of the checkpoint are the same one",
            place: .init(file: file(tensor), tensor: tensor.name),
            expected: "one tensor for \(claim.target)",
            found: "\(other.name) and \(tensor.name)", advice: "remove one of them")
        }
        claims[claim.target] = tensor
        coverage.append((tensor.name, .written(as: claim.target)))
      } else if let rule = leftOut(name) {
        coverage.append((tensor.name, .leftOut(rule: rule.reason)))
        if rule.isCounting { counting.append(tensor) }
        if let target = rule.repeats { repeats.append((tensor, target, rule.reason)) }
        if rule.isNoted { count(rule.reason) }
      } else {
        unknown.append(tensor)
      }
    }
    guard unknown.isEmpty else {
      throw TinctureError(
        .init("tensors.unknown", .unsupported),
        "no rule of \(BundledFile.path(architecture.fileName)) says what becomes of these tensors",
        place: .init(file: unknown.first.flatMap(file), tensor: unknown.first?.name),
        found: Self.list(unknown.map(\.name)),
        advice: "they would be lost, so nothing is written; add a rule to the architecture file")
    }
  }

  private mutating func count(_ reason: String) {
    if let index = leftOutCounts.firstIndex(where: { $0.reason == reason }) {
      leftOutCounts[index].count += 1
    } else {
      leftOutCounts.append((reason, 1))
    }
  }

  /// The name's bytes with old endings spelled the new way.
  private func spelled(_ name: Substring) -> ArraySlice<UInt8> {
    var bytes = Array(name.utf8)
    for (old, new) in architecture.spellings
    where name.utf8.count >= old.utf8.count && bytes.suffix(old.utf8.count).elementsEqual(old.utf8)
    {
      bytes.removeLast(old.utf8.count)
      bytes += Array(new.utf8)
      break
    }
    return bytes[...]
  }

  private func holds(_ condition: Condition?) -> Bool {
    condition.map(conditions.contains) ?? true
  }

  private func claim(_ name: ArraySlice<UInt8>) -> Claim? {
    for group in architecture.groups {
      for prefix in group.prefixes where name.starts(with: prefix.utf8) {
        let rest = name.dropFirst(prefix.utf8.count)
        for rule in group.tensors where holds(rule.condition) {
          for from in rule.from {
            if let match = from.match(rest) {
              return Claim(target: rule.to.name(layer: match.layer), layer: match.layer)
            }
          }
        }
      }
    }
    return nil
  }

  /// The tensors that the runtime computes with and no GGUF file holds, those that are there.
  ///
  /// - Throws: `tensors.shape`, `tensors.type`, `tensors.twice`.
  package func heads(_ tensors: [TensorInfo]) throws(TinctureError) -> [CanonicalTensor] {
    var found: [CanonicalTensor] = []
    for tensor in tensors {
      let name = spelled(Wrappers.stripped(tensor.name))
      for group in architecture.heads {
        for prefix in group.prefixes where name.starts(with: prefix.utf8) {
          let rest = name.dropFirst(prefix.utf8.count)
          for rule in group.tensors where rule.from.contains(where: { $0.match(rest) != nil }) {
            found.append(
              try located(file: configPath, tensor: tensor.name) { () throws(TinctureError) in
                try head(rule, tensor)
              })
          }
        }
      }
    }
    var seen: Set<String> = []
    for tensor in found where !seen.insert(tensor.name).inserted {
      throw TinctureError(
        .init("tensors.twice", .invalidInput), "two tensors of the checkpoint are the same one",
        place: .init(file: configPath, tensor: tensor.name))
    }
    return found
  }

  private func head(_ rule: TensorRule, _ info: TensorInfo) throws(TinctureError)
    -> CanonicalTensor
  {
    let sizes = info.shape.dimensions
    let fits =
      sizes.count == rule.shape.count
      && zip(rule.shape, sizes).allSatisfy { dimension, size in
        dimension == .any ? size > 0 : hyperparameters.size(dimension) == size
      }
    guard fits else {
      throw TinctureError(
        .init("tensors.shape", .invalidInput), "the tensor's shape is not what config.json says",
        expected: rule.shape.map(\.rawValue).joined(separator: " × "),
        found: info.shape.description, advice: "take config.json and weights of the same model")
    }
    try checkType(info)
    return CanonicalTensor(
      name: rule.to.text, shape: info.shape, role: rule.role, layer: nil,
      expression: RowExpression(pieces: [
        .source(
          SourceTensor(info), firstRow: 0, rowCount: info.shape.rowCount, order: .identity,
          scale: 1, add: 0)
      ]))
  }

  private func leftOut(_ name: ArraySlice<UInt8>) -> Architecture.LeftOutRule? {
    architecture.leftOut.first { rule in
      holds(rule.condition)
        && rule.prefixes.contains { prefix in
          name.starts(with: prefix.utf8)
            && rule.pattern.match(name.dropFirst(prefix.utf8.count)) != nil
        }
    }
  }

  /// The checkpoint's tensor that is written as `target`.
  func source(of target: String) -> TensorInfo? { claims[target] }

  /// Token embedding's rows in the checkpoint, for the vocabulary.
  package func embeddingRows() throws(TinctureError) -> Int {
    let rule = architecture.tensors.first { $0.role == .tokenEmbedding }
    guard let rule, let info = claims[rule.to.text] else {
      throw missing(NameCount(["token_embd.weight"]))
    }
    return info.shape.dimensions.first ?? 0
  }

  /// The tensors of the GGUF: those outside the layers, then layer by layer, in the order of the file's
  /// rules.
  ///
  /// - Parameter tokenCount: rows of tensors that follow the vocabulary.
  /// - Throws: `tensors.missing`, `tensors.shape`, `tensors.type`.
  package func canonicalTensors(tokenCount: Int) throws(TinctureError) -> [CanonicalTensor] {
    let layers = try hyperparameters.require(.layers)
    var tensors: [CanonicalTensor] = []
    var absent = NameCount()
    func add(_ rule: TensorRule, _ layer: Int?) throws(TinctureError) {
      guard holds(rule.condition) else { return }
      let name = rule.to.name(layer: layer)
      if let info = claims[name] {
        tensors.append(
          try located(file: file(info), tensor: info.name, layer: layer) {
            () throws(TinctureError) in
            try canonical(rule, name, layer, info, tokenCount)
          })
      } else if rule.role == .ropeFactors, let rotaryFactors {
        tensors.append(
          CanonicalTensor(
            name: name, shape: Shape(rotaryFactors.count), role: rule.role, layer: nil,
            expression: RowExpression(pieces: [.values(rotaryFactors)])))
      } else if !rule.isOptional {
        absent.append(rule.from.first?.name(layer: layer) ?? name)
      }
    }
    for rule in architecture.tensors where !rule.to.hasLayer { try add(rule, nil) }
    for layer in 0..<layers {
      for rule in architecture.tensors where rule.to.hasLayer { try add(rule, layer) }
    }
    guard absent.count == 0 else { throw missing(absent) }
    return tensors
  }

  private func missing(_ names: NameCount) -> TinctureError {
    TinctureError(
      .init("tensors.missing", .invalidInput), "the checkpoint lacks tensors of its architecture",
      place: .init(file: weightsPath, tensor: names.first),
      expected: names.text,
      advice: "download all weights, and config.json of the same model")
  }

  private func canonical(
    _ rule: TensorRule, _ name: String, _ layer: Int?, _ info: TensorInfo, _ tokenCount: Int
  ) throws(TinctureError) -> CanonicalTensor {
    var expected: [Int] = []
    for dimension in rule.shape {
      guard let size = hyperparameters.size(dimension) else {
        throw TinctureError(
          .init("tensors.shape", .invalidInput), "config.json gives impossible sizes",
          place: .init(file: configPath, key: dimension.rawValue))
      }
      expected.append(size)
    }
    guard info.shape.dimensions == expected else {
      throw TinctureError(
        .init("tensors.shape", .invalidInput), "the tensor's shape is not what config.json says",
        expected: "\(expected) (\(rule.shape.map(\.rawValue).joined(separator: " × ")))",
        found: info.shape.description, advice: "take config.json and weights of the same model")
    }
    try checkType(info)
    var order = RowExpression.RowOrder.identity
    switch rule.order {
    case .queryRotary: order = .interleavedRotary(heads: try hyperparameters.require(.heads))
    case .keyValueRotary:
      order = .interleavedRotary(heads: try hyperparameters.require(.keyValueHeads))
    case nil: break
    }
    let scale = rule.fold == .queryScale ? queryFactor : 1
    let rows = info.shape.rowCount
    let kept = rule.followsVocabulary ? min(rows, tokenCount) : rows
    var pieces: [RowExpression.Piece] = [
      .source(
        SourceTensor(info), firstRow: 0, rowCount: kept, order: order, scale: scale,
        add: rule.add * scale)
    ]
    var dimensions = expected
    if rule.followsVocabulary {
      dimensions[0] = tokenCount
      if tokenCount > rows { pieces.append(.constant(0, rowCount: tokenCount - rows)) }
    }
    guard let shape = Shape(checking: dimensions) else {
      throw TinctureError(
        .init("tensors.shape", .invalidInput), "the shape overflows", found: "\(dimensions)")
    }
    return CanonicalTensor(
      name: name, shape: shape, role: rule.role, layer: layer,
      expression: RowExpression(pieces: pieces))
  }

  private func checkType(_ info: TensorInfo) throws(TinctureError) {
    switch info.type {
    case .element(.f32), .element(.f16), .element(.bf16), .element(.f64), .block: return
    case .element(let type):
      throw TinctureError(
        .init("tensors.type", .unsupported), "weights of this element type are not converted",
        expected: "F32, F16, BF16 or F64", found: type.rawValue.uppercased(),
        advice: type.isFloat
          ? "8-bit floats need their scales; convert the original 16-bit checkpoint instead"
          : "convert the original checkpoint with float weights")
    }
  }

  static func list(_ names: [String]) -> String { NameCount(names).text }
}

/// Names for an error: the first few, and how many there are. A file that claims many layers makes no long list.
struct NameCount {
  private(set) var count = 0
  private var shown: [String] = []
  private static let most = 12

  init(_ names: [String] = []) { for name in names { append(name) } }

  var first: String? { shown.first }

  var text: String {
    shown.joined(separator: ", ") + (count > shown.count ? " and \(count - shown.count) more" : "")
  }

  mutating func append(_ name: @autoclosure () -> String) {
    count += 1
    if shown.count < Self.most { shown.append(name()) }
  }
}
