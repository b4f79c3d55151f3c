import Tincture

/// `tincture verify`.
enum VerifyCommand {
  static let spec = CommandSpec(
    name: "verify", summary: "Say whether a model says what a reference says, and where they part",
    positionals: [.init(placeholder: "MODEL.gguf", summary: Export.source)],
    options: [
      .value(
        "against", "REF.pack|CHECKPOINT", hint: .folderOrFile,
        """
        A pack of 'tincture record', or a model (a checkpoint's folder or a GGUF file) that is run first, in \
        exact arithmetic.
        """),
      .value(
        "tolerance", "NAME", hint: .choices { toleranceNames },
        "The limits: \(toleranceNames.joined(separator: " ")). Default: by how the model stores its weights."
      ),
      Parity.arithmetic,
      .value(
        "prompts", "FILE", hint: .path,
        """
        Prompts for a reference that is a model, as for 'record'. Default: ten built-in texts, and two \
        conversations for a model with a chat template.
        """),
      .value(
        "tokens", "N", hint: .number,
        "Cut each of these prompts to its first N tokens."),
      .value(
        "skip-first", "N", hint: .number,
        "Leave the first N positions of each prompt out of the figures."),
      .value(
        "min-positions", "N", hint: .number,
        "Let N positions be enough for a verdict; a tolerance asks for a hundred or so."),
      .value(
        "report", "OUT.html", hint: .path,
        "Write a page with plots for people; of an error of the model or the reference one that states it."
      ),
      .value(
        "junit", "OUT.xml", hint: .path,
        """
        Write JUnit XML for a continuous integration; an error of the model or the reference stands there too.
        """),
      .flag("positions", "With --json: also the figures of every position."),
    ] + CommonOptions.all,
    discussion: [
      """
      Exit status 0 when every limit holds, 1 when one does not, or when the two cannot be compared: another \
      vocabulary, other shapes. The prompts are the pack's. When layers were recorded, the first one that departs \
      is named.
      """,
      """
      The model's own tokenizer reads the prompts' texts too, and what it is made of is compared: a token \
      that differs is a no. The logits compared are those of the reference's tokens.
      """,
    ],
    examples: [
      ("tincture verify q4.gguf --against gemma-3-270m", "in one go, with built-in texts"),
      (
        "tincture verify q4.gguf --against ref.pack --report out.html --junit out.xml",
        "for a build: a verdict, a page, a list of checks"
      ),
    ],
    run: { (invocation) throws(TinctureError) in
      try run(invocation)
    },
    afterError: { report($0, $1) })

  /// Names of the tolerances, for help and completions; none when `formats/` cannot be read, which a run then says.
  static let toleranceNames: [String] = {
    do throws(TinctureError) {
      return try Tolerance.all().map(\.name)
    } catch {
      return []
    }
  }()

  /// Leaves JUnit XML and a page of an error, so that a build which collects them finds them; returns why one could not be
  /// written.
  private static func report(_ error: TinctureError, _ invocation: Invocation) -> [TinctureError] {
    let parsed = invocation.parsed
    guard !invocation.isDryRun, let against = parsed.value("against") else { return [] }
    return outputs(invocation).write(
      error, candidate: invocation.path, reference: against,
      inputs: [parsed.value("prompts")].compactMap { $0 },
      seconds: Text.seconds(ContinuousClock.now - invocation.start))
  }

  private static func outputs(_ invocation: Invocation) -> ParityReport.Outputs {
    ParityReport.Outputs(
      html: invocation.parsed.value("report"), junit: invocation.parsed.value("junit"),
      replacing: invocation.replaces)
  }

  private static func run(_ invocation: Invocation) throws(TinctureError) -> Outcome {
    let parsed = invocation.parsed
    let against = try invocation.required("against")
    for option in ["report", "junit"] {
      if let path = parsed.value(option) { _ = try ValueParser.output(path, option: option) }
    }
    if let page = parsed.value("report"), let results = parsed.value("junit"),
      page == results || Folder.identity(page).map({ $0 == Folder.identity(results) }) == true
    {
      throw ArgumentParser.usage(
        "argument.conflict", "--report and --junit name one file", command: invocation.command,
        found: page, advice: "give two names")
    }
    let promptFile: PromptFile? =
      if let path = parsed.value("prompts") { try PromptFile.open(path: path) } else { nil }
    let prompts = promptFile?.prompts
    var skipFirst = 0
    if let text = parsed.value("skip-first") {
      skipFirst = try ValueParser.count(text, option: "skip-first", limit: 1 << 22)
    }
    var minimumPositions: Int?
    if let text = parsed.value("min-positions") {
      minimumPositions = try ValueParser.count(text, option: "min-positions", limit: 1 << 26)
    }
    let candidate = try Checkpoint.open(invocation.path)
    let reference = try VerifyJob.reference(at: against, prompts: prompts)
    let tokenLimit = try Parity.tokenLimit(parsed)
    if case .pack = reference, prompts != nil || tokenLimit != nil {
      throw ArgumentParser.usage(
        "argument.conflict", "a pack has its own prompts", command: invocation.command,
        advice: "leave --prompts and --tokens out")
    }
    let job = VerifyJob(
      candidate, against: reference, tolerance: parsed.value("tolerance"),
      arithmetic: try Parity.arithmetic(parsed), skipFirst: skipFirst, tokenLimit: tokenLimit,
      minimumPositions: minimumPositions, promptFile: promptFile)
    let outputs = outputs(invocation)
    try job.check(outputs, otherInputs: [against, parsed.value("prompts")].compactMap { $0 })
    if invocation.isDryRun {
      let (name, obstacle) = try job.rehearse()
      let files = [outputs.html, outputs.junit].compactMap { $0 }
      let text =
        obstacle.map { "would not compare: \($0)\n" }
        ?? "would compare \(invocation.path) with \(against), tolerance \(name)\n"
      return Outcome(
        status: obstacle == nil ? .success : .negative,
        text: text + files.map { "would write \($0)\n" }.joined()
          + (files.isEmpty ? "" : "  dry run: nothing was written\n"),
        json: [
          ("candidate", .string(invocation.path)), ("reference", .string(against)),
          ("tolerance", .string(name)), ("dryRun", .bool(true)),
          ("obstacle", obstacle.map { .string($0) } ?? .null),
          ("outputs", .array(files.map { .string($0) })),
        ])
    }
    let report = try job.run(invocation.resources)
    let seconds = Text.seconds(ContinuousClock.now - invocation.start)
    try report.write(outputs, seconds: seconds)
    return Outcome(
      status: report.isPassed ? .success : .negative,
      text: ReportText.verdict(report, seconds: seconds),
      json: report.json(withPositions: parsed.has("positions"))
        + [("threads", .int(invocation.threads)), ("seconds", .double(seconds))])
  }
}
