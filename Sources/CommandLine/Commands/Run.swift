import Tincture

/// `tincture run`.
enum RunCommand {
  static let spec = CommandSpec(
    name: "run", summary: "Continue a text, or talk with a model",
    positionals: [
      .init(
        placeholder: "MODEL", summary: "A GGUF file, or a folder with a checkpoint's safetensors.")
    ],
    options: [
      .value("prompt", short: "p", "TEXT", "The text to continue."),
      .flag(
        "chat",
        "Talk: each line of standard input is a turn, put into words by the model's own template."),
      .value(
        "tokens", short: "n", "N", hint: .number,
        "Most tokens of an answer. Default: until the model ends it or the context is full."),
      .value("temp", "T", "Temperature; 0, the default, always takes the best token."),
      .value(
        "top-k", "K", hint: .number,
        "Choose among the K best tokens only; 0, the default: among all."),
      .value("top-p", "P", "Choose among the best tokens that together have this probability."),
      .value(
        "seed", "S", hint: .number,
        "Seed of the choice, 0 by default: the same seed gives the same text."),
      .value(
        "context", "N", hint: .number,
        "Most tokens of prompt and answer. Default: what the model was made for."),
      .value(
        "arithmetic", "NAME", hint: .choices { Arithmetic.allCases.map(\.rawValue) },
        """
        engine, the default, rounds activations as llama.cpp does and is fast; exact computes with the \
        weights' exact values.
        """),
      .flag("ignore-end", "Go on after tokens that end the text, for measuring."),
    ] + CommonOptions.all.filter { !["force", "dry-run"].contains($0.name) },
    discussion: [
      """
      The text comes on standard output as it is made, whole characters only; rates come on standard error. \
      With --json one object comes at the end.
      """
    ],
    examples: [
      ("tincture run gemma.gguf -p 'The patient presented with' -n 64", "continue a text"),
      ("tincture run gemma.gguf --chat --temp 0.8 --top-p 0.95", "talk"),
    ],
    run: { (invocation) throws(TinctureError) in try run(invocation) })

  private static func run(_ invocation: Invocation) throws(TinctureError) -> Outcome {
    let parsed = invocation.parsed
    guard (parsed.value("prompt") != nil) != parsed.has("chat") else {
      throw ArgumentParser.usage(
        parsed.has("chat") ? "argument.conflict" : "argument.missing",
        parsed.has("chat") ? "--prompt and --chat exclude each other" : "a text is missing",
        command: invocation.command, expected: "one of --prompt TEXT and --chat")
    }
    let limit = try parsed.value("tokens").map { (text) throws(TinctureError) in
      try ValueParser.count(text, option: "tokens", limit: 1 << 30)
    }
    let context = try parsed.value("context").map { (text) throws(TinctureError) in
      try ValueParser.count(text, option: "context", limit: 1 << 30)
    }
    let name = try ValueParser.choice(
      parsed.value("arithmetic") ?? "engine", option: "arithmetic",
      among: Arithmetic.allCases.map(\.rawValue))
    var sampler = try sampler(parsed)
    let generator = try TextGenerator(
      invocation.path, arithmetic: Arithmetic(rawValue: name) ?? .engine, contextLength: context,
      resources: invocation.resources)
    if parsed.has("chat") {
      return try chat(invocation, generator, &sampler, limit: limit)
    }
    let prompt = generator.tokenizer.encode(parsed.value("prompt") ?? "")
    guard !prompt.isEmpty else {
      throw ArgumentParser.usage(
        "argument.prompt", "the text has no tokens", command: invocation.command,
        expected: "a text that is not empty")
    }
    let report = try generator.generate(
      prompt, limit: limit, sampler: &sampler, ignoresEnd: parsed.has("ignore-end"),
      onText: stream(invocation))
    if invocation.isJSON {
      return Outcome(text: "", json: json(report, generator, invocation))
    }
    try finish([report], invocation)
    return Outcome(text: "", json: [])
  }

  private static func sampler(_ parsed: ParsedArguments) throws(TinctureError) -> Sampler {
    let temperature = try number(parsed, "temp") ?? 0
    if temperature == 0 {
      for name in ["top-k", "top-p", "seed"] where parsed.value(name) != nil {
        throw TinctureError(
          .init("argument.conflict", .usage), "--\(name) needs a temperature above 0",
          advice: "add --temp 1, or leave --\(name) out")
      }
    }
    let topK = try parsed.value("top-k").map { (text) throws(TinctureError) in
      try ValueParser.count(text, option: "top-k", from: 0, limit: 1 << 30)
    }
    var seed: UInt64 = 0
    if let text = parsed.value("seed") {
      guard let value = UInt64(text) else {
        throw TinctureError(
          .init("argument.count", .usage), "--seed is no such number",
          expected: "a whole number from 0 to 2^64 - 1", found: "'\(text)'",
          advice: "give --seed a number in digits, or leave it out")
      }
      seed = value
    }
    return try Sampler(
      temperature: temperature, topK: topK ?? 0, topP: try number(parsed, "top-p") ?? 1, seed: seed)
  }

  private static func number(
    _ parsed: ParsedArguments, _ name: String
  ) throws(TinctureError) -> Float? {
    guard let text = parsed.value(name) else { return nil }
    guard let value = Float(text), value.isFinite else {
      throw TinctureError(
        .init("argument.number", .usage), "--\(name) is no number", expected: "such as 0.8",
        found: "'\(text)'")
    }
    return value
  }

  // MARK: Chat

  private static func chat(
    _ invocation: Invocation, _ generator: TextGenerator, _ sampler: inout Sampler, limit: Int?
  ) throws(TinctureError) -> Outcome {
    let template = try ChatFormat(
      generator.checkpoint, tokenizer: generator.tokenizer, now: .present())
    let isTerminal = Console.isTerminal(.input) && Console.isTerminal(.output)
    let input = LineReader(cancellation: invocation.cancellation)
    var messages: [ChatMessage] = []
    var reports: [TextGenerator.Report] = []
    while true {
      if isTerminal, !invocation.isJSON { try Console.write(Array("> ".utf8), to: .output) }
      guard let line = try input.next() else { break }
      if line.isEmpty { continue }
      messages.append(ChatMessage(role: "user", content: line))
      let prompt = try template.tokens(messages, addGenerationPrompt: true)
      let report = try generator.generate(
        prompt, limit: limit, sampler: &sampler, ignoresEnd: invocation.parsed.has("ignore-end"),
        onText: stream(invocation))
      reports.append(report)
      messages.append(
        ChatMessage(role: "assistant", content: String(decoding: report.text, as: UTF8.self)))
      if report.end == .reader { break }
      if !invocation.isJSON { try Console.write([0x0A], to: .output) }
    }
    if invocation.isJSON {
      return Outcome(
        text: "",
        json: [("turns", .array(reports.map { .object(json($0, generator, invocation)) }))])
    }
    return Outcome(text: "", json: [])
  }

  // MARK: What is printed

  private static func stream(
    _ invocation: Invocation
  ) -> ([UInt8]) throws(TinctureError) -> Bool {
    guard !invocation.isJSON else { return { (_) throws(TinctureError) in true } }
    return { (text) throws(TinctureError) in try Console.write(text, to: .output) }
  }

  private static func finish(
    _ reports: [TextGenerator.Report], _ invocation: Invocation
  ) throws(TinctureError) {
    guard let report = reports.last, report.end != .reader else { return }
    if report.text.last != 0x0A { try Console.write([0x0A], to: .output) }
    if invocation.isQuiet { return }
    var text =
      "prompt \(report.promptCount) tokens, \(rate(report.promptCount, report.promptSeconds))"
    if report.generatedCount > 0 {
      text +=
        "; text \(report.ids.count) tokens, \(rate(report.generatedCount, report.generationSeconds))"
    }
    if report.end == .context { text += "; the context is full" }
    try Console.write(Array((text + "\n").utf8), to: .error)
  }

  private static func rate(_ count: Int, _ seconds: Double) -> String {
    "\(Int((Double(count) / max(seconds, 1e-9)).rounded())) a second"
  }

  private static func json(
    _ report: TextGenerator.Report, _ generator: TextGenerator, _ invocation: Invocation
  ) -> [(String, JSONValue)] {
    [
      ("model", .string(generator.checkpoint.path)),
      ("architecture", .string(generator.model.architecture)),
      ("arithmetic", .string(generator.session.arithmetic.rawValue)),
      ("threads", .int(invocation.threads)),
      ("contextLength", .int(generator.session.contextLength)),
      ("text", .string(String(decoding: report.text, as: UTF8.self))),
      ("ids", .array(report.ids.map { .int(Int($0)) })),
      ("end", .string(report.end.rawValue)),
      ("promptTokenCount", .int(report.promptCount)),
      ("keptTokenCount", .int(report.keptCount)),
      ("tokenCount", .int(report.ids.count)),
      ("secondsToFirstToken", report.secondsToFirst.map { .double($0) } ?? .null),
      ("promptSeconds", .double(report.promptSeconds)),
      ("generatedTokenCount", .int(report.generatedCount)),
      ("generationSeconds", .double(report.generationSeconds)),
      ("notes", .array(generator.notes.map { .string($0) })),
    ]
  }
}
