import Tincture

/// `tincture record`.
enum RecordCommand {
  /// Agreement of the ten greatest logits needs them.
  private static let leastTop = 10

  static let spec = CommandSpec(
    name: "record", summary: "Keep what a model says about some prompts in a parity pack",
    positionals: [.init(placeholder: "CHECKPOINT|MODEL.gguf", summary: Export.source)],
    options: [
      .value(
        "output", short: "o", "REF.pack", hint: .path,
        "The pack to write. It appears under this name only when it is whole."),
      .value(
        "prompts", "FILE", hint: .path,
        """
        JSON Lines: {"text": …}, {"messages": […]} for the model's chat template, or {"ids": […]} on each \
        line.
        """),
      .value("tokens", "N", hint: .number, "Cut each prompt to its first N tokens."),
      .flag(
        "layers",
        """
        Also keep sketches of hidden states and weights. By them 'verify' names the layer that departs and the \
        tensor whose weights are not the reference's; norms and biases are kept whole.
        """),
      .value(
        "top", "K", hint: .number,
        "How many logits of each position are kept, \(leastTop) at least. Default: \(RecordOptions.defaultTop)."
      ),
      .flag("full", "Keep all logits: exact figures, and about a megabyte for each position."),
      Parity.arithmetic,
    ] + CommonOptions.all,
    discussion: [
      """
      The model is run layer by layer, so that one layer's weights are in memory at a time, whatever its \
      size. Kept are token ids, the greatest logits of every position with the exact normalizer, and a \
      digest of the weights; divergences computed from a pack have proven bounds, see \
      formats/spec/parity-pack.md.
      """
    ],
    examples: [
      ("tincture record gemma-3-270m --prompts p.jsonl -o ref.pack --layers", "the reference"),
      ("tincture verify q4.gguf --against ref.pack", "and a file held against it"),
    ],
    run: { (invocation) throws(TinctureError) in
      let parsed = invocation.parsed
      let output = try invocation.output()
      let promptsPath = try invocation.required("prompts")
      guard !parsed.has("full") || parsed.value("top") == nil else {
        throw ArgumentParser.usage(
          "argument.conflict", "--full and --top exclude each other", command: invocation.command)
      }
      var options = RecordOptions(
        withLayers: parsed.has("layers"), arithmetic: try Parity.arithmetic(parsed))
      if parsed.has("full") { options.top = nil }
      if let text = parsed.value("top") {
        options.top = try ValueParser.count(text, option: "top", from: leastTop, limit: 1 << 24)
      }
      options.tokenLimit = try Parity.tokenLimit(parsed)
      let checkpoint = try Checkpoint.open(invocation.path)
      let prompts = try PromptFile.open(path: promptsPath)
      let job = RecordJob(
        checkpoint, prompts: prompts.prompts, to: output, replacing: invocation.replaces,
        options: options, otherInputs: [promptsPath], promptFile: prompts)
      let report =
        try invocation.isDryRun ? job.rehearse(invocation.resources) : job.run(invocation.resources)
      return Outcome(text: ReportText.record(report), json: report.json)
    })
}

/// Options that `record` and `verify` share.
enum Parity {
  static let arithmetic = OptionSpec.value(
    "arithmetic", "MODE", hint: .choices { Arithmetic.allCases.map(\.rawValue) },
    """
    exact (the default): weights decoded, computed in double, the truth about the weights. engine: \
    activations rounded as llama.cpp does on a processor.
    """)

  static func arithmetic(_ parsed: ParsedArguments) throws(TinctureError) -> Arithmetic {
    guard let text = parsed.value("arithmetic") else { return .exact }
    let name = try ValueParser.choice(
      text, option: "arithmetic", among: Arithmetic.allCases.map(\.rawValue))
    return Arithmetic(rawValue: name) ?? .exact
  }

  static func tokenLimit(_ parsed: ParsedArguments) throws(TinctureError) -> Int? {
    guard let text = parsed.value("tokens") else { return nil }
    return try ValueParser.count(text, option: "tokens", limit: 1 << 22)
  }
}
