import Tincture

/// What a value may be; used for help and for shell completions.
enum ValueHint: Sendable {
  case text
  case number
  case size
  case path
  case folderOrFile
  case choices(@Sendable () -> [String])
}

/// One option of a command.
struct OptionSpec: Sendable {
  /// How often it may be given and whether it takes a value.
  enum Arity: Sendable { case flag, single, repeated }

  /// The long name without dashes.
  let name: String
  /// The one-letter name, without a dash.
  var short: String?
  let arity: Arity
  /// How its value is written in the help: `N`, `OUT.gguf`.
  var placeholder = ""
  var hint = ValueHint.text
  /// One sentence; the help wraps it.
  let summary: String

  static func flag(_ name: String, short: String? = nil, _ summary: String) -> OptionSpec {
    OptionSpec(name: name, short: short, arity: .flag, summary: summary)
  }

  static func value(
    _ name: String, short: String? = nil, _ placeholder: String, hint: ValueHint = .text,
    repeated: Bool = false, _ summary: String
  ) -> OptionSpec {
    OptionSpec(
      name: name, short: short, arity: repeated ? .repeated : .single, placeholder: placeholder,
      hint: hint, summary: summary)
  }

  /// The option as people type it: `-o OUT.gguf, --output OUT.gguf`.
  var usage: String {
    let value = arity == .flag ? "" : " " + placeholder
    return (short.map { "-\($0)\(value), " } ?? "") + "--" + name + value
  }
}

/// A positional argument of a command.
struct PositionalSpec: Sendable {
  let placeholder: String
  var hint = ValueHint.folderOrFile
  var isOptional = false
  let summary: String
}

/// One command: its words, its help and what it does.
struct CommandSpec: Sendable {
  let name: String
  /// One line for the list of commands.
  let summary: String
  let positionals: [PositionalSpec]
  let options: [OptionSpec]
  /// Paragraphs between the usage line and the options.
  let discussion: [String]
  /// Command lines with what they do.
  let examples: [(command: String, meaning: String)]
  let run: @Sendable (Invocation) throws(TinctureError) -> Outcome
  /// What is left of a run that ended in an error, and what went wrong with that.
  var afterError: @Sendable (TinctureError, Invocation) -> [TinctureError] = { _, _ in [] }

  var usage: String {
    var words = ["tincture", name]
    words += positionals.map { $0.isOptional ? "[\($0.placeholder)]" : $0.placeholder }
    words += options.filter { $0.name == "output" || $0.name == "recipe" }.map {
      "\($0.short.map { "-" + $0 } ?? "--" + $0.name) \($0.placeholder)"
    }
    if options.count > 0 { words.append("[options]") }
    return words.joined(separator: " ")
  }
}
