import Tincture

/// Every command, and how the first words choose one.
enum CommandTable {
  static let all: [CommandSpec] = [
    InspectCommand.spec, ConvertCommand.spec, QuantizeCommand.spec, TokenizeCommand.spec,
    RunCommand.spec, RecordCommand.spec, VerifyCommand.spec, CompletionsCommand.spec,
    HelpCommand.spec, VersionCommand.spec,
  ]

  static func named(_ name: String) throws(TinctureError) -> CommandSpec {
    if let command = all.first(where: { $0.name == name }) { return command }
    let advice = Nearest.name(to: name, among: all.map(\.name)).map { "did you mean '\($0)'?" }
    throw ArgumentParser.usage(
      "argument.unknownCommand", "unknown command '\(name)'", command: nil,
      expected: all.map(\.name).joined(separator: " "), advice: advice)
  }

  /// The command and the words after its name; no command at all asks for the overview.
  static func command(for words: [String]) throws(TinctureError) -> (CommandSpec?, [String]) {
    guard let first = words.first else {
      throw ArgumentParser.usage(
        "argument.missing", "a command is missing", command: nil,
        expected: all.map(\.name).joined(separator: " "))
    }
    if first == "--help" || first == "-h" { return (nil, []) }
    if first == "--version" || first == "-V" { return (VersionCommand.spec, []) }
    return (try named(first), Array(words.dropFirst()))
  }
}
