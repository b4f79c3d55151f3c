import Tincture

/// `tincture help [COMMAND]`.
enum HelpCommand {
  static let spec = CommandSpec(
    name: "help", summary: "Explain the commands, or one of them",
    positionals: [
      .init(
        placeholder: "COMMAND",
        hint: .choices { CommandTable.all.map(\.name) }, isOptional: true,
        summary: "The command to explain.")
    ], options: [.flag("help", short: "h", "Print this help.")], discussion: [], examples: [],
    run: { (invocation) throws(TinctureError) in
      guard let name = invocation.parsed.positionals.first else {
        return .document(Help.overview(CommandTable.all))
      }
      return .document(Help.command(try CommandTable.named(name)))
    })
}

/// `tincture version`.
enum VersionCommand {
  static let spec = CommandSpec(
    name: "version", summary: "Print the version", positionals: [],
    options: [
      .flag("json", "Print one JSON object."), .flag("help", short: "h", "Print this help."),
    ], discussion: [], examples: [],
    run: { (invocation) throws(TinctureError) in
      Outcome(
        text: "tincture \(Version.text)\n", json: [("version", .string(Version.text))],
        isPlainDocument: true)
    })
}

/// `tincture completions SHELL`.
enum CompletionsCommand {
  static let spec = CommandSpec(
    name: "completions", summary: "Print a completion script for a shell",
    positionals: [
      .init(
        placeholder: "SHELL", hint: .choices { Completions.shells }, summary: "bash, zsh or fish.")
    ], options: [.flag("help", short: "h", "Print this help.")],
    discussion: [
      "The script is made from the same table as this help, recipes and formats included."
    ],
    examples: [
      (
        "tincture completions bash > ~/.local/share/bash-completion/completions/tincture",
        "for bash, with its completion package"
      ),
      ("tincture completions zsh > ~/.zfunc/_tincture", "for zsh, with ~/.zfunc in fpath"),
      (
        "tincture completions fish > ~/.config/fish/completions/tincture.fish", "for fish"
      ),
    ],
    run: { (invocation) throws(TinctureError) in
      .document(Completions.script(try Completions.shell(invocation.path)))
    })
}
