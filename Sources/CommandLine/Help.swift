import Tincture

/// Help texts, all made from the command table.
enum Help {
  static let width = 92

  /// `tincture --help`.
  static func overview(_ commands: [CommandSpec]) -> String {
    var blocks: [String] = [
      """
      tincture \(Version.text): safetensors checkpoints to quantized GGUF files for llama.cpp

      Usage: tincture COMMAND [arguments]
      """
    ]
    let rows = commands.map { [$0.name, $0.summary] }
    blocks.append("Commands:\n" + list(rows))
    blocks.append(
      """
      Begin with:
        tincture inspect CHECKPOINT --plan q4_k_m
        tincture quantize CHECKPOINT -o OUT.gguf --recipe q4_k_m

      'tincture help COMMAND' explains a command and its options.
      """)
    blocks.append(statuses)
    return blocks.joined(separator: "\n\n") + "\n"
  }

  /// `tincture COMMAND --help`.
  static func command(_ command: CommandSpec) -> String {
    var blocks = ["Usage: \(command.usage)", Text.wrapped(command.summary + ".", width: width)]
    blocks += command.discussion.map { Text.wrapped($0, width: width) }
    if !command.positionals.isEmpty {
      blocks.append(
        "Arguments:\n" + list(command.positionals.map { [$0.placeholder, $0.summary] }))
    }
    if !command.options.isEmpty {
      blocks.append("Options:\n" + list(command.options.map { [$0.usage, describe($0)] }))
    }
    if !command.examples.isEmpty {
      let lines = command.examples.map { "  \($0.command)\n      \($0.meaning)" }
      blocks.append("Examples:\n" + lines.joined(separator: "\n"))
    }
    return blocks.joined(separator: "\n\n") + "\n"
  }

  private static func describe(_ option: OptionSpec) -> String {
    var text = option.summary
    if option.arity == .repeated { text += " May be given several times." }
    return text
  }

  /// A term on its line, or beside its text when it is short.
  private static func list(_ rows: [[String]]) -> String {
    rows.map { row in
      let indent = 16
      let body = Text.wrapped(row[1], width: width, indent: indent)
      if row[0].count + 4 <= indent {
        return "  " + Text.padded(row[0], indent - 2) + body.dropFirst(indent)
      }
      return "  " + row[0] + "\n" + body
    }.joined(separator: "\n")
  }

  private static let statuses = """
    Exit status:
      0   done
      1   a check said no
      2   the command line is wrong
      3   an input file is malformed, or contradicts another
      4   the input is well-formed but not supported
      5   the output cannot be written
      6   too little memory or disk
      70  a mistake in tincture itself
      130 interrupted
    """
}
