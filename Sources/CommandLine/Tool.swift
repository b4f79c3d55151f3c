import Tincture

/// The whole program: words in, text out, exit status back.
enum Tool {
  /// Runs the command line `arguments`, without the program's name.
  static func run(_ arguments: [Console.Argument]) -> ExitStatus {
    var commandName: String?
    let words = arguments.map(\.text)
    // Whoever writes it anywhere reads JSON, also of a command line that is wrong.
    let json = words.contains { $0 == "--json" || $0.hasPrefix("--json=") }
    do throws(TinctureError) {
      if let index = arguments.firstIndex(where: { !$0.isUTF8 }) {
        let isPath = ArgumentParser.isPath(words, index)
        throw TinctureError(
          .init("argument.encoding", .usage), "argument \(index + 1) is not UTF-8",
          expected: "UTF-8", found: "'\(words[index])'",
          advice: isPath
            ? "rename the file, or link to it under a UTF-8 name"
            : "write it in UTF-8: the terminal or the program that made it uses another encoding")
      }
      let (command, rest) = try CommandTable.command(for: words)
      guard let command else {
        return try emit(.document(Help.overview(CommandTable.all)), command: nil, json: false)
      }
      commandName = command.name
      return try run(command, rest)
    } catch {
      return report(error, command: commandName, json: json, isBare: words.isEmpty)
    }
  }

  private static func run(_ command: CommandSpec, _ words: [String]) throws(TinctureError)
    -> ExitStatus
  {
    let parsed = try ArgumentParser.parse(words, for: command)
    if parsed.has("help") {
      return try emit(.document(Help.command(command)), command: nil, json: false)
    }
    try ArgumentParser.checkPositionals(parsed, for: command)
    try InstructionSet.check()
    let isWatched =
      !parsed.has("quiet") && !parsed.has("json") && Console.isTerminal(.error)
    let line = isWatched ? ProgressLine() : nil
    defer { line?.finish() }
    var progress: (@Sendable (Progress) -> Void)?
    if let line { progress = { line.show($0) } }
    let invocation = Invocation(
      command: command, parsed: parsed, threads: try CommonOptions.threads(parsed),
      memory: try CommonOptions.memory(parsed), cancellation: Interrupts.cancellation,
      progress: progress)
    let outcome: Outcome
    do throws(TinctureError) {
      outcome = try command.run(invocation)
    } catch {
      line?.finish()
      let status = report(error, command: command.name, json: parsed.has("json"), isBare: false)
      for second in command.afterError(error, invocation) {
        _ = try? Console.write(Array(ErrorText.second(second).utf8), to: .error)
      }
      return status
    }
    line?.finish()
    if parsed.has("quiet"), !parsed.has("json"), !outcome.isPlainDocument { return outcome.status }
    return try emit(outcome, command: command.name, json: parsed.has("json"))
  }

  private static func emit(_ outcome: Outcome, command: String?, json: Bool) throws(TinctureError)
    -> ExitStatus
  {
    guard json, let command else {
      try Console.write(Array(outcome.text.utf8), to: .output)
      return outcome.status
    }
    try Console.write(envelope(command, status: "ok", outcome.json), to: .output)
    return outcome.status
  }

  private static func report(
    _ error: TinctureError, command: String?, json: Bool, isBare: Bool
  ) -> ExitStatus {
    let status = ExitStatus(error.code.kind)
    do throws(TinctureError) {
      if json {
        try Console.write(
          envelope(command, status: "error", [("error", ErrorText.json(error))]), to: .output)
      } else {
        // Without any word the reader does not know what to ask for.
        let help = isBare ? "\n" + Help.overview(CommandTable.all) : ""
        try Console.write(Array((ErrorText.plain(error) + help).utf8), to: .error)
      }
    } catch {
      // Nobody can be told any more; the exit status still says it.
      return status
    }
    return status
  }

  private static func envelope(_ command: String?, status: String, _ members: [(String, JSONValue)])
    -> [UInt8]
  {
    let head: [(String, JSONValue)] = [
      ("schemaVersion", .int(JobReport.schemaVersion)),
      ("command", command.map { .string($0) } ?? .null),
      ("status", .string(status)),
    ]
    return JSONValue.object(head + members).serialized(pretty: true) + [UInt8(ascii: "\n")]
  }
}

extension Outcome {
  /// A text that is printed as it is.
  static func document(_ text: String) -> Outcome {
    Outcome(text: text, json: [], isPlainDocument: true)
  }
}
