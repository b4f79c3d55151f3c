import TinctureCore

extension ParityReport {
  /// One page that needs nothing else: style and plots inside, no script.
  package func html() -> [UInt8] {
    let title = "tincture verify: \(candidate.modelName)"
    var body: [String] = []
    let state = isPassed ? "pass" : "fail"
    body.append(
      """
      <header class="\(state)"><p class="word">\(isPassed ? "PASS" : "FAIL")</p>
      <div><h1>\(Markup.escaped(candidate.modelName)) against \(Markup.escaped(reference.modelName))</h1>
      <p>\(Markup.escaped(sentence))</p></div></header>
      """)
    body.append(Self.section("The limits", checksTable))
    if !reading.isEmpty { body.append(Self.section("How texts are read", readingTable)) }
    body.append(Self.section("Who was compared", sidesTable))
    if measures.hasLogits {
      let limit = verdict.checks.first { $0.key == .meanDivergence }?.limit
      body.append(Self.section("The figures", figuresTable))
      body.append(
        Self.section(
          "Divergence per position",
          "<p>Where in the texts the model departs. Even noise is rounding; a step at some position points to attention windows or positions, single towers to single tokens.</p>"
            + Plot.divergence(measures, limit: limit)))
      body.append(
        Self.section(
          "How many positions have which divergence",
          "<p>One hump far to the left is a faithful model. A second hump to the right means that some positions are computed differently.</p>"
            + Plot.histogram(measures)))
    }
    if !measures.stages.isEmpty {
      let limit = verdict.checks.first { $0.key == .stageError }?.limit
      let words =
        departure.map {
          "<p>The model departs at <b>\(Markup.escaped($0.name))</b> (\(Markup.escaped($0.reason))): look there for what is wrong.</p>"
        }
        ?? "<p>Errors grow slowly from layer to layer; a jump would point to the layer at fault.</p>"
      body.append(
        Self.section(
          "Error per layer",
          words + Plot.stages(measures.stages, limit: limit, departure: departure)))
    }
    if !measures.vectors.isEmpty {
      let limit = verdict.checks.first { $0.key == .vectorError }?.limit
      body.append(
        Self.section("Error per prompt", vectorsTable + Plot.prompts(prompts, limit: limit)))
    }
    if !worst.isEmpty { body.append(Self.section("The worst positions", worstTable)) }
    if !prompts.isEmpty { body.append(Self.section("The prompts", promptsTable)) }
    if !notes.isEmpty {
      body.append(
        Self.section(
          "Notes", "<ul>" + notes.map { "<li>\(Markup.escaped($0))</li>" }.joined() + "</ul>"))
    }
    body.append(Self.section("What the words mean", definitions))
    return ParityReport.page(title, body)
  }

  /// A whole page of these parts.
  fileprivate static func page(_ title: String, _ body: [String]) -> [UInt8] {
    let page = """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(Markup.escaped(title))</title><style>\(style)</style></head>
      <body>
      \(body.joined(separator: "\n"))
      </body></html>

      """
    return Array(page.utf8)
  }

  fileprivate static func section(_ title: String, _ content: String) -> String {
    "<section><h2>\(title)</h2>\(content)</section>"
  }

  fileprivate static func table(_ head: [String], _ rows: [[String]], style: String = "") -> String
  {
    let header = head.isEmpty ? "" : "<tr>" + head.map { "<th>\($0)</th>" }.joined() + "</tr>"
    return "<div class=\"scroll\"><table class=\"\(style)\">" + header
      + rows.map { "<tr>" + $0.map { "<td>\($0)</td>" }.joined() + "</tr>" }.joined()
      + "</table></div>"
  }

  private var checksTable: String {
    Self.table(
      ["", "what", "value", "limit", ""],
      verdict.checks.map {
        [
          "<span class=\"\($0.isPassed ? "ok" : "bad")\">\($0.isPassed ? "holds" : "fails")</span>",
          Markup.escaped($0.key.title), Figure.text($0.value, of: $0.key),
          ($0.key.isFloor ? "at least " : "at most ") + Figure.text($0.limit, of: $0.key),
          Markup.escaped($0.detail ?? ""),
        ]
      })
  }

  private var readingTable: String {
    Self.table(
      ["", "what", ""],
      reading.map { check in
        let style = check.result == .holds ? "ok" : check.result == .fails ? "bad" : ""
        return [
          "<span class=\"\(style)\">\(check.result.word.lowercased())</span>",
          Markup.escaped(check.subject.title), Markup.escaped(check.detail),
        ]
      })
  }

  private var sidesTable: String {
    func cells(_ name: String, _ side: Side) -> [String] {
      [
        name, Markup.escaped(side.path), Markup.escaped(side.architecture),
        Markup.escaped(side.storedTypes.joined(separator: ", ")),
        Markup.escaped(side.arithmetic + (side.instructionSet.map { ", " + $0 } ?? "")),
        Markup.escaped(side.producer),
        "<code>" + Markup.escaped(String((side.modelDigest ?? "not computed").prefix(16)))
          + "</code>",
      ]
    }
    return Self.table(
      ["", "path", "architecture", "stored as", "arithmetic", "computed by", "weights' SHA-256"],
      [cells("reference", reference), cells("candidate", candidate)])
      + "<p>\(prompts.count) prompt\(prompts.count == 1 ? "" : "s"), \(tokenCount) token\(tokenCount == 1 ? "" : "s")"
      + (skipFirst > 0 ? "; the first \(skipFirst) positions of each are left out" : "") + ".</p>"
  }

  private var figuresTable: String {
    var rows: [[String]] = [
      [
        "KL divergence, mean",
        "\(Figure.text(measures.meanDivergence)) ± \(Figure.text(measures.meanDivergenceError, digits: 2))",
        measures.isFull
          ? "exact: all logits were kept"
          : "proven: from \(Figure.text(measures.leastMeanDivergence)) to \(Figure.text(measures.mostMeanDivergence)), as \(measures.keptCount) logits of each row were kept",
      ],
      ["median", Figure.text(measures.divergence(at: 0.5)), ""],
      [
        "99 %, 99.9 %, largest",
        [0.99, 0.999, 1].map { Figure.text(measures.divergence(at: $0)) }.joined(separator: ", "),
        "",
      ],
      ["top-1 agreement", Figure.percent(measures.topAgreement), "same most likely token"],
      [
        "top-10 agreement", Figure.percent(measures.topTenAgreement()),
        "of the ten most likely tokens",
      ],
    ]
    if let perplexity = measures.perplexity {
      rows.append([
        "perplexity",
        "\(Figure.text(perplexity.candidate, digits: 5)) (reference \(Figure.text(perplexity.reference, digits: 5)))",
        "ratio \(Figure.fixed(perplexity.ratio, 4)) ± \(Figure.text(perplexity.ratioError, digits: 2))",
      ])
    }
    rows += [
      [
        "NMSE of logits", Figure.text(measures.normalizedError),
        measures.isFull
          ? "over all logits"
          : measures.hasTails
            ? "over all logits, those not kept estimated from sketches"
            : "over the kept logits, by the whole rows' variance",
      ],
      ["largest difference of logits", Figure.text(measures.largestDifference), ""],
    ]
    return Self.table([], rows)
  }

  private var vectorsTable: String {
    let rows = VectorKind.allCases.compactMap { kind in
      measures.combined(kind).map {
        [
          kind.rawValue, Figure.text($0.error), Figure.fixed(max(0, $0.lowCosine), 7),
          Figure.fixed(max(0, $0.leastCosine), 7), Figure.text($0.largest),
        ]
      }
    }
    return Self.table(
      ["rows", "NMSE", "cosine of 99 %", "least cosine", "largest difference"], rows)
  }

  private var worstTable: String {
    Self.table(
      ["KL", "prompt", "position", "text", "next in text", "reference says", "candidate says"],
      worst.map {
        [
          Figure.text($0.measure.divergence), "\($0.measure.prompt)", "\($0.measure.position)",
          "<code>\(Markup.escaped($0.before))</code>",
          $0.next.map { "<code>\(Markup.escaped($0))</code>" } ?? "(end)",
          "<code>\(Markup.escaped($0.referenceTop))</code>",
          "<code>\(Markup.escaped($0.candidateTop))</code>",
        ]
      }, style: "worst")
  }

  private var promptsTable: String {
    let shown = prompts.prefix(200)
    let rows = shown.map { prompt in
      [
        "\(prompt.prompt)", "\(prompt.tokenCount)",
        prompt.meanDivergence.map { Figure.text($0) } ?? "",
        prompt.topAgreement.map { Figure.percent($0) } ?? "",
        prompt.vectorError.map { Figure.text($0) } ?? "",
        "<code>\(Markup.escaped(prompt.text))</code>",
      ]
    }
    let more =
      prompts.count > shown.count ? "<p>and \(prompts.count - shown.count) more</p>" : ""
    return Self.table(["", "tokens", "mean KL", "top-1", "NMSE of vectors", "begins with"], rows)
      + more
  }

  private var definitions: String {
    """
    <dl>
    <dt>KL divergence</dt><dd>How much the candidate's probabilities for the next token differ from the \
    reference's, in nats; 0 when they are the same. Below 0.01 a difference is hard to notice in text, \
    above 0.1 it is plain. Limits for models with fewer than \(Tolerance.smallWeightCount / 1_000_000) million weights in \
    their layers are wider, in few bits wider than that: quantization costs a small model more, and an honest file must \
    pass. There a verdict says that the file is no worse than its format makes such a model, not that the difference \
    cannot be noticed.</dd>
    <dt>Top-1, top-10 agreement</dt><dd>How often both hold the same token for the most likely one; how many of the \
    reference's ten most likely tokens are among the candidate's ten.</dd>
    <dt>Perplexity</dt><dd>How surprised a model is by the prompts' own text; a ratio of 1 means equally. The ± is \
    one standard error. The limit holds for the larger of the ratio and its inverse: a text that surprises a model less \
    than the reference is a departure too.</dd>
    <dt>NMSE</dt><dd>For logits the variance of the difference in each row, what is added to a whole row changing no \
    probability, divided by the reference's variance; for hidden states and vectors the mean squared difference divided \
    by the mean square. For hidden states it is estimated from sketches of \
    16 numbers or so a position.</dd>
    <dt>Exact, engine</dt><dd>Exact arithmetic decodes the weights and computes in double, logits in single precision: the truth \
    about the weights. Engine arithmetic rounds activations as llama.cpp does on a processor: what will be computed in \
    use.</dd>
    </dl>
    """
  }

  private static let style = """
    :root{color-scheme:light dark;--ink:#1d2330;--soft:#5b6475;--paper:#fff;--line:#d9dee7;--bar:#5b8def;\
    --mean:#0b3c9c;--good:#14713b;--goodbg:#e3f4e9;--bad:#b3261e;--badbg:#fbe6e4}
    @media(prefers-color-scheme:dark){:root{--ink:#e5e9f0;--soft:#9aa5b8;--paper:#14171d;--line:#2e3542;\
    --bar:#4a78d0;--mean:#a9c4ff;--good:#7fd6a1;--goodbg:#15301f;--bad:#ff9b92;--badbg:#3b1a18}}
    body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:980px;\
    margin:24px auto;padding:0 16px}
    header{display:flex;gap:20px;align-items:center;border-radius:10px;padding:16px 20px;margin-bottom:8px}
    header.pass{background:var(--goodbg)}header.fail{background:var(--badbg)}
    .word{font-size:30px;font-weight:800;margin:0}.pass .word,.ok{color:var(--good)}.fail .word,.bad{color:var(--bad)}
    h1{font-size:20px;margin:0;overflow-wrap:anywhere}header p{margin:4px 0 0}
    h2{font-size:17px;margin:28px 0 6px}section p{margin:4px 0 10px;color:var(--soft)}
    .scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
    td,th{border-bottom:1px solid var(--line);padding:5px 10px 5px 0;text-align:left;vertical-align:top}
    th{font-weight:600;color:var(--soft);font-size:13px}.ok,.bad{font-weight:700}
    code{font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
    svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
    .end{text-anchor:end}.middle{text-anchor:middle}svg text.bad{fill:var(--bad);font-weight:700}svg text{paint-order:stroke;stroke:var(--paper);stroke-width:3px}
    .grid{stroke:var(--line)}.bar{fill:var(--bar)}.bar.first{fill:var(--bad)}
    .mean{fill:none;stroke:var(--mean);stroke-width:1.5}.limit{stroke:var(--bad);stroke-dasharray:5 4}
    .limit.quiet{stroke:var(--soft)}.prompt{stroke:var(--soft);stroke-dasharray:2 4;opacity:.6}
    dt{font-weight:600}dd{margin:0 0 8px}
    """
}

extension TinctureError {
  /// One page, in the manner of a report's, of a comparison that was not made: what is wrong, where, and what to do.
  ///
  /// - Parameters:
  ///   - candidate: the model's path.
  ///   - reference: that of what it was to be held against.
  package func html(candidate: String, reference: String) -> [UInt8] {
    let (own, other) = (Self.name(candidate), Self.name(reference))
    func rows(_ facts: [(label: String, text: String)]) -> String {
      ParityReport.table(
        [], facts.map { [$0.label, "<code>\(Markup.escaped($0.text))</code>"] })
    }
    var body = [
      """
      <header class="fail"><p class="word">ERROR</p>
      <div><h1>\(Markup.escaped(own)) against \(Markup.escaped(other))</h1>
      <p>Nothing was compared: \(Markup.escaped(message)).</p></div></header>
      """,
      ParityReport.section(
        "What is wrong",
        rows(
          facts.filter { $0.label != "advice" } + [
            ("code", code.name), ("exit status", "\(ExitStatus(code.kind).rawValue)"),
          ])),
    ]
    if let advice {
      body.append(ParityReport.section("What to do", "<p>\(Markup.escaped(advice))</p>"))
    }
    body.append(
      ParityReport.section(
        "Who was to be compared", rows([("reference", reference), ("candidate", candidate)])))
    return ParityReport.page("tincture verify: \(own)", body)
  }
}
