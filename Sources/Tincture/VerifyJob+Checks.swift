import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureRuntime

/// Checks that need no logits: what the file itself shows.
extension VerifyJob {
  /// The limits for weights, when every limit that this comparison needs is there: what has none would be passed over.
  ///
  /// - Throws: `tolerance.limit`.
  func limits(
    _ model: ParityModel, _ about: PackDescription, _ tolerance: Tolerance
  ) throws(TinctureError) -> WeightLimits {
    func require(_ keys: LimitKey...) throws(TinctureError) {
      try tolerance.require(keys, isEngine: arithmetic == .engine, isSmall: model.isSmall)
    }
    try require(.positions)
    if about.vocabularySize == nil {
      try require(.vectorError, .vectorDifference)
    } else {
      try require(.meanDivergence)
    }
    if about.stages != nil { try require(.stageError) }
    var keys: [LimitKey] = []
    var typeKeys: [LimitKey] = []
    switch reference {
    case .model:
      keys = [.blockError]
      // A tolerance for no stored type, such as that of identical files, holds every type to its own.
      if !tolerance.storedTypes.isEmpty { typeKeys = keys }
    case .pack:
      if let kept = about.weights {
        // Only packs of version 3 keep something of the parts of rows.
        if kept.runs != nil { typeKeys = [.lengthError, .signError] }
        keys = [.rowError] + typeKeys
      }
    }
    let types = model.bound.tensors.compactMap { WeightCheck.storedType($0)?.description }
    return try WeightLimits(
      keys, typeKeys: typeKeys, tolerance, types: Set(types), isWeighted: isWeighted)
  }

  /// - Throws: what reading the weights throws.
  func fileChecks(
    _ model: ParityModel, _ pack: ParityPack, _ limits: WeightLimits, _ resources: Resources
  ) throws(TinctureError) -> [Verdict.Check] {
    var checks: [Verdict.Check] = []
    if let check = settings(model, pack.description) { checks.append(check) }
    switch reference {
    case .model(let checkpoint, _):
      let check = WeightCheck(
        reference: try checkpoint.bind(binding), candidate: model.bound,
        limits: limits, cost: try ToleranceChoice.costs())
      checks.append(weights(.blockError, try check.run(resources), limits[.blockError], model))
    case .pack:
      if let kept = pack.description.weights {
        let row = kept.limit(limits[.rowError])
        let sketcher = WeightSketcher(model: model.bound, about: kept, resources: resources)
        let result = try sketcher.compare(
          with: pack, row: row, limits: limits, cost: try ToleranceChoice.costs())
        checks.append(weights(.rowError, result.rows, row, model))
        if kept.runs != nil {
          for (key, found) in [(LimitKey.lengthError, result.lengths), (.signError, result.signs)] {
            checks.append(weights(key, found, limits[key], model))
          }
        }
      }
    }
    // A tolerance that is named says what the file may store.
    if toleranceName == nil {
      let stored = StoredShares(model.computed)
      if let check = try ToleranceChoice.claim(of: candidate, stored: stored) {
        checks.append(check)
      }
    }
    return checks
  }

  /// Whether the file says that an importance matrix led its encoder, as llama-quantize and `quantize` write it.
  private var isWeighted: Bool { !importanceKeys.isEmpty }

  /// The keys that say it, of which a quantizer writes either or both.
  var importanceKeys: [String] {
    guard case .gguf(let file) = candidate.container else { return [] }
    return ["quantize.imatrix.file", "quantize.imatrix.entries_count"].filter {
      file.value($0) != nil
    }
  }

  /// Settings that both sides know and that differ. nil for a pack that says none, or of another architecture.
  private func settings(_ model: ParityModel, _ about: PackDescription) -> Verdict.Check? {
    guard !about.settings.isEmpty, about.architecture == model.bound.architecture else {
      return nil
    }
    var words: [String] = []
    var stage: Int?
    for setting in model.runtime.graph.settings {
      // The engine has a form of its own, whatever the file says: the limits allow for it, and a note tells.
      if setting.name == "activation", model.computesEnginesActivation { continue }
      guard let other = about.settings.first(where: { $0.name == setting.name })?.value,
        other != setting.value
      else { continue }
      words.append("\(setting.name) \(setting.value) in place of \(other)")
      if let layer = setting.layer { stage = min(stage ?? .max, layer + 1) }
    }
    let text = words.joined(separator: "; ")
    let fault = stage.map { Departure(stage: $0, name: "layer \($0 - 1)", reason: text) }
    return Verdict.Check(
      key: .settings, value: Double(words.count), limit: 0, isPassed: words.isEmpty,
      detail: words.isEmpty ? nil : text, fault: fault)
  }

  /// The check of what was found; `limit` is the file's, told when nothing was found that has one of its own.
  private func weights(
    _ key: LimitKey, _ result: WeightCheck.Result, _ limit: Double, _ model: ParityModel
  ) -> Verdict.Check {
    var detail = result.place
    if result.tensors.count > 1 {
      detail += "; in \(result.tensors.count) tensors, \(result.tensors[0]) the first"
    }
    let fault = result.stage.map { stage in
      let name =
        stage == 0
        ? "input embeddings"
        : stage <= model.runtime.layerCount
          ? "layer \(stage - 1)"
          : result.place.hasPrefix("output_norm") ? "final norm" : "output head"
      return Departure(
        stage: stage, name: name, reason: "its weights are not the reference's (\(result.place))")
    }
    return Verdict.Check(
      key: key, value: result.worst, limit: result.limit ?? limit, isPassed: result.faultCount == 0,
      detail: detail.isEmpty ? nil : detail, fault: fault)
  }
}

extension ParityModel {
  /// Whether the layers' matrices have so few weights that the limits of small models apply.
  var isSmall: Bool {
    let count = bound.tensors.reduce(UInt64(0)) {
      $0 + ($1.layer != nil && $1.shape.rank > 1 ? UInt64($1.shape.elementCount) : 0)
    }
    return count < Tolerance.smallWeightCount
  }
}
