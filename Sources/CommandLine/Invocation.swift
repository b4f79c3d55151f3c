import Tincture

/// One call of a command: its words understood as far as all commands share them.
struct Invocation: Sendable {
  let command: CommandSpec
  let parsed: ParsedArguments
  let threads: Int
  let memory: UInt64
  let cancellation: Cancellation
  /// Where progress goes; nil when nobody looks.
  let progress: (@Sendable (Progress) -> Void)?
  /// When it began.
  let start = ContinuousClock.now

  var isJSON: Bool { parsed.has("json") }
  var isQuiet: Bool { parsed.has("quiet") }
  var isDryRun: Bool { parsed.has("dry-run") }
  var replaces: Bool { parsed.has("force") }

  /// The resources the library works with.
  var resources: Resources {
    Resources(
      threads: threads, memory: MemoryBudget(limit: Int(clamping: memory)),
      cancellation: cancellation, progress: progress)
  }

  /// The first positional; the parser has checked that it is there.
  var path: String { parsed.positionals.first ?? "" }

  /// The path of the file that must be named with --output.
  func output() throws(TinctureError) -> String {
    try ValueParser.output(required("output"), option: "output")
  }

  /// The value of an option that must be given.
  func required(_ name: String) throws(TinctureError) -> String {
    if let value = parsed.value(name) { return value }
    let option = command.options.first { $0.name == name }
    throw ArgumentParser.usage(
      "argument.missing", "\(option?.usage ?? "--" + name) is missing", command: command,
      expected: command.usage)
  }
}

/// What a command found or did, for people and as JSON.
struct Outcome: Sendable {
  var status = ExitStatus.success
  /// Lines for standard output; empty when there is nothing to say.
  var text: String
  /// Members of the JSON object, after `schemaVersion`, `command` and `status`.
  var json: [(String, JSONValue)]
  /// Printed even with `--quiet` and never inside the JSON envelope: help, completions, the version.
  var isPlainDocument = false
}
