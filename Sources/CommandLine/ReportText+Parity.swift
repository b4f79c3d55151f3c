import Tincture

extension ReportText {
  /// What `record` says at the end.
  static func record(_ report: RecordReport) -> String {
    var lines: [String] = []
    let what = counts(report.promptCount, report.tokenCount)
    if let bytes = report.byteCount {
      lines.append("wrote \(report.path)  \(Text.bytes(bytes))")
    } else {
      lines.append("would write \(report.path)")
    }
    lines.append("  \(report.architecture), \(report.arithmetic.rawValue) arithmetic: \(what)")
    if let kept = report.keptCount {
      lines.append(
        "  \(Text.grouped(kept)) logits of each position" + (report.withLayers ? ", layers" : ""))
    } else if report.withLayers {
      lines.append("  with layers")
    }
    if report.byteCount != nil {
      let rate = report.seconds > 0 ? Double(report.tokenCount) / report.seconds : 0
      lines.append(
        "  \(Text.fixed(report.seconds, 2)) s, \(Text.fixed(rate, 0)) tokens a second, \(report.threads) thread\(report.threads == 1 ? "" : "s")"
      )
    } else {
      lines.append("  dry run: nothing was written")
    }
    lines += report.notes.map { "  note: \($0)" }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func counts(_ prompts: Int, _ tokens: Int) -> String {
    "\(prompts) prompt\(prompts == 1 ? "" : "s"), \(Text.grouped(tokens)) token\(tokens == 1 ? "" : "s")"
  }

  /// What `verify` says at the end.
  static func verdict(_ report: ParityReport, seconds: Double) -> String {
    var blocks = ["\(report.isPassed ? "PASS" : "FAIL")  \(report.sentence)"]
    let sides = [
      ["candidate", report.candidate.path, report.candidate.arithmetic + " arithmetic"],
      ["reference", report.reference.path, report.reference.arithmetic + " arithmetic"],
    ]
    blocks.append(Text.table(sides, indent: 2))
    let checks = report.verdict.checks.map {
      [
        $0.isPassed ? "holds" : "FAILS", $0.key.title, Figure.text($0.value, of: $0.key),
        ($0.key.isFloor ? "at least " : "at most ") + Figure.text($0.limit, of: $0.key),
        $0.detail ?? "",
      ]
    }
    blocks.append(Text.table(checks, rightAligned: [2], indent: 2))
    let reading = report.reading.map {
      [$0.result.word, $0.subject.title, oneLine($0.detail)]
    }
    if !reading.isEmpty { blocks.append(Text.table(reading, indent: 2)) }
    let measures = report.measures
    if measures.hasLogits { blocks.append(figures(report)) }
    if !measures.stages.isEmpty {
      let rows = measures.stages.map { ["  " + $0.name, Figure.text($0.normalizedError)] }
      blocks.append("  NMSE of hidden states\n" + Text.table(rows, rightAligned: [1], indent: 2))
    }
    if !report.worst.isEmpty {
      let rows = report.worst.prefix(5).map {
        [
          Figure.text($0.measure.divergence),
          "prompt \($0.measure.prompt), position \($0.measure.position)",
          oneLine("…" + String($0.before.suffix(36))),
          "\(oneLine($0.referenceTop)) / \(oneLine($0.candidateTop))",
        ]
      }
      blocks.append("  worst positions (reference / candidate)\n" + Text.table(rows, indent: 4))
    }
    blocks.append(
      "  \(counts(report.prompts.count, report.tokenCount)), \(Text.fixed(seconds, 2)) s"
    )
    if !report.notes.isEmpty {
      blocks.append(report.notes.map { "  note: \($0)" }.joined(separator: "\n"))
    }
    return blocks.joined(separator: "\n\n") + "\n"
  }

  private static func figures(_ report: ParityReport) -> String {
    let measures = report.measures
    var rows = [
      [
        "KL divergence",
        "mean \(Figure.text(measures.meanDivergence)) ± \(Figure.text(measures.meanDivergenceError, digits: 2))"
          + (measures.isFull
            ? ", exact"
            : ", proven \(Figure.text(measures.leastMeanDivergence)) to \(Figure.text(measures.mostMeanDivergence))"),
      ],
      [
        "",
        "median \(Figure.text(measures.divergence(at: 0.5))), 99 % \(Figure.text(measures.divergence(at: 0.99))), "
          + "99.9 % \(Figure.text(measures.divergence(at: 0.999))), largest \(Figure.text(measures.largestDivergence))",
      ],
      [
        "agreement",
        "top-1 \(Figure.percent(measures.topAgreement)), top-10 \(Figure.percent(measures.topTenAgreement()))",
      ],
    ]
    if let perplexity = measures.perplexity {
      rows.append([
        "perplexity",
        "\(Figure.text(perplexity.candidate, digits: 5)) against \(Figure.text(perplexity.reference, digits: 5)), "
          + "ratio \(Text.fixed(perplexity.ratio, 4)) ± \(Figure.text(perplexity.ratioError, digits: 2))",
      ])
    }
    rows.append([
      "logits",
      "NMSE \(Figure.text(measures.normalizedError)), largest difference \(Figure.text(measures.largestDifference))"
        + (measures.isFull
          ? ""
          : measures.hasTails
            ? " (\(Text.grouped(measures.keptCount)) kept a position, the others' part estimated)"
            : " (over \(Text.grouped(measures.keptCount)) kept a position)"),
    ])
    return Text.table(rows, indent: 2)
  }

  /// Control characters written out, so that a text from a model cannot move the terminal's cursor.
  private static func oneLine(_ text: String) -> String {
    var safe = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": safe += "\\n"
      case "\r": safe += "\\r"
      case "\t": safe += "\\t"
      default:
        if scalar.properties.generalCategory == .control
          || scalar.properties.generalCategory == .format
        {
          safe += "\u{FFFD}"
        } else {
          safe.unicodeScalars.append(scalar)
        }
      }
    }
    return safe
  }
}
