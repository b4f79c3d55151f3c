import TinctureCore

extension ParityReport {
  /// The report as members of a JSON object (formats/spec/report.md).
  ///
  /// - Parameter withPositions: also one entry for each position.
  package func json(withPositions: Bool) -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = [
      ("passed", .bool(isPassed)),
      ("verdict", .string(sentence)),
      ("tolerance", .string(verdict.toleranceName)),
      ("checks", .array(verdict.checks.map(\.json))),
      ("reading", .array(reading.map(\.json))),
      ("reference", reference.json),
      ("candidate", candidate.json),
      ("promptCount", .int(prompts.count)),
      ("tokenCount", .int(tokenCount)),
      ("skipFirst", .int(skipFirst)),
      ("positionCount", .int(measures.positions.count)),
    ]
    if measures.hasLogits { members += logitMembers }
    if !measures.stages.isEmpty {
      members.append(
        (
          "stages",
          .array(
            measures.stages.map {
              .object([
                ("stage", .int($0.stage)), ("name", .string($0.name)),
                ("layer", $0.layer.map { .int($0) } ?? .null),
                ("normalizedError", .double($0.normalizedError)),
              ])
            })
        ))
    }
    members.append(("departure", departure.map { .string($0.name) } ?? .null))
    members.append(("departureReason", departure.map { .string($0.reason) } ?? .null))
    for kind in VectorKind.allCases {
      guard let vectors = measures.combined(kind) else { continue }
      members.append(
        (
          kind.rawValue,
          .object([
            ("normalizedError", .double(vectors.error)),
            ("lowCosine", .double(vectors.lowCosine)),
            ("leastCosine", .double(vectors.leastCosine)),
            ("largestDifference", .double(vectors.largest)),
          ])
        ))
    }
    members.append(("prompts", .array(prompts.map(\.json))))
    members.append(("worst", .array(worst.map(\.json))))
    members.append(("notes", .array(notes.map { .string($0) })))
    if withPositions {
      members.append(("positions", .array(measures.positions.map { .object($0.json) })))
    }
    return members
  }

  private var logitMembers: [(String, JSONValue)] {
    [
      (
        "logits",
        .object([
          ("kept", .int(measures.keptCount)), ("full", .bool(measures.isFull)),
        ])
      ),
      (
        "divergence",
        .object([
          ("mean", .double(measures.meanDivergence)),
          ("meanError", .double(measures.meanDivergenceError)),
          ("meanAtLeast", .double(measures.leastMeanDivergence)),
          ("meanAtMost", .double(measures.mostMeanDivergence)),
          ("median", .double(measures.divergence(at: 0.5))),
          ("p99", .double(measures.divergence(at: 0.99))),
          ("p99_9", .double(measures.divergence(at: 0.999))),
          ("largest", .double(measures.largestDivergence)),
        ])
      ),
      ("topAgreement", .double(measures.topAgreement)),
      ("topTenAgreement", .double(measures.topTenAgreement())),
      (
        "perplexity",
        measures.perplexity.map {
          .object([
            ("reference", .double($0.reference)), ("candidate", .double($0.candidate)),
            ("ratio", .double($0.ratio)), ("ratioError", .double($0.ratioError)),
            ("count", .int($0.count)),
          ])
        } ?? .null
      ),
      ("normalizedError", .double(measures.normalizedError)),
      ("largestDifference", .double(measures.largestDifference)),
    ]
  }
}

extension PositionMeasure {
  fileprivate var json: [(String, JSONValue)] {
    [
      ("prompt", .int(prompt)), ("position", .int(position)),
      ("divergence", .double(divergence)), ("atLeast", .double(least)),
      ("atMost", .double(most)),
      ("referenceLoss", referenceLoss.map { .double($0) } ?? .null),
      ("candidateLoss", candidateLoss.map { .double($0) } ?? .null),
      ("referenceTop", .int(Int(referenceTop))), ("candidateTop", .int(Int(candidateTop))),
      ("sharedTopTen", .int(sharedTopTen)), ("shift", .double(shift)),
      ("meanSquare", .double(meanSquare)),
      ("variance", .double(variance)), ("largestDifference", .double(largestDifference)),
    ]
  }
}

extension ParityReport.Place {
  fileprivate var json: JSONValue {
    .object(
      measure.json + [
        ("before", .string(before)), ("next", next.map { .string($0) } ?? .null),
        ("referenceTopText", .string(referenceTop)), ("candidateTopText", .string(candidateTop)),
      ])
  }
}

extension ParityReport.PromptSummary {
  fileprivate var json: JSONValue {
    func double(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
    return .object([
      ("prompt", .int(prompt)), ("text", .string(text)), ("tokenCount", .int(tokenCount)),
      ("meanDivergence", double(meanDivergence)), ("topAgreement", double(topAgreement)),
      ("vectorError", double(vectorError)),
    ])
  }
}

extension ParityReport.Side {
  fileprivate var json: JSONValue {
    func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
    return .object([
      ("path", .string(path)), ("model", .string(modelName)),
      ("architecture", .string(architecture)), ("producer", .string(producer)),
      ("arithmetic", .string(arithmetic)), ("instructionSet", text(instructionSet)),
      ("types", .array(storedTypes.map { .string($0) })), ("digest", text(modelDigest)),
    ])
  }
}

extension ReadingCheck {
  fileprivate var json: JSONValue {
    .object([
      ("key", .string(subject.rawValue)), ("title", .string(subject.title)),
      ("result", .string(result.rawValue)), ("detail", .string(detail)),
    ])
  }
}

extension Verdict.Check {
  fileprivate var json: JSONValue {
    .object([
      ("key", .string(key.rawValue)), ("title", .string(key.title)), ("value", .double(value)),
      ("limit", .double(limit)), ("bound", .string(key.isFloor ? "atLeast" : "atMost")),
      ("passed", .bool(isPassed)), ("detail", detail.map { .string($0) } ?? .null),
    ])
  }
}
