import Tincture

/// Completion scripts, made from the command table.
enum Completions {
  static let shells = ["bash", "zsh", "fish"]

  /// The shell of that name, letter case ignored.
  static func shell(_ name: String) throws(TinctureError) -> String {
    if let shell = shells.first(where: { $0 == name.lowercased() }) { return shell }
    throw ArgumentParser.usage(
      "argument.choice", "there is no completion script for this shell",
      command: CompletionsCommand.spec, expected: "bash, zsh or fish", found: "'\(name)'")
  }

  static func script(_ shell: String) -> String {
    switch shell {
    case "zsh": zsh
    case "fish": fish
    default: bash
    }
  }

  private static var commandNames: String {
    CommandTable.all.map(\.name).joined(separator: " ")
  }

  private static func choices(_ hint: ValueHint) -> [String]? {
    if case .choices(let make) = hint { return make() }
    return nil
  }

  /// The first sentence of a summary, without what follows a colon: menus are narrow.
  private static func brief(_ summary: String) -> String {
    var text = ""
    for character in summary {
      if character == " ", text.hasSuffix(".") || text.hasSuffix(":") || text.hasSuffix(";") {
        break
      }
      text.append(character)
    }
    return String(
      text.hasSuffix(".") || text.hasSuffix(":") || text.hasSuffix(";")
        ? text.dropLast() : text[...])
  }

  private static func takesPath(_ hint: ValueHint) -> Bool {
    switch hint {
    case .path, .folderOrFile: true
    case .text, .number, .size, .choices: false
    }
  }

  /// The option's names as typed, long first.
  private static func names(_ option: OptionSpec) -> [String] {
    ["--" + option.name] + (option.short.map { ["-" + $0] } ?? [])
  }

  private static var bash: String {
    var lines = [
      "# bash completion for tincture",
      "_tincture() {",
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"",
      "  local command=\"${COMP_WORDS[1]}\"",
      "  COMPREPLY=()",
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then",
      "    mapfile -t COMPREPLY < <(compgen -W '\(commandNames) --help --version' -- \"$word\")",
      "    return",
      "  fi",
      "  case \"$command\" in",
    ]
    for command in CommandTable.all {
      lines.append("    \(command.name))")
      let valued = command.options.filter { $0.arity != .flag }
      if !valued.isEmpty {
        lines.append("      case \"$previous\" in")
        for option in valued {
          let pattern = names(option).joined(separator: "|")
          if let words = choices(option.hint) {
            let list = words.joined(separator: " ")
            lines.append(
              "        \(pattern)) mapfile -t COMPREPLY < <(compgen -W '\(list)' -- \"$word\"); return ;;"
            )
          } else if takesPath(option.hint) {
            lines.append(
              "        \(pattern)) mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;")
          } else {
            lines.append("        \(pattern)) return ;;")
          }
        }
        lines.append("      esac")
      }
      let options = command.options.flatMap(names).joined(separator: " ")
      lines.append("      if [ \"${word#-}\" != \"$word\" ]; then")
      lines.append("        mapfile -t COMPREPLY < <(compgen -W '\(options)' -- \"$word\")")
      if let positional = command.positionals.first {
        lines.append("      else")
        if let words = choices(positional.hint) {
          let list = words.joined(separator: " ")
          lines.append("        mapfile -t COMPREPLY < <(compgen -W '\(list)' -- \"$word\")")
        } else {
          lines.append("        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")")
        }
      }
      lines.append("      fi ;;")
    }
    lines += ["  esac", "}", "complete -o filenames -F _tincture tincture"]
    return lines.joined(separator: "\n") + "\n"
  }

  private static var zsh: String {
    var lines = [
      "#compdef tincture", "# zsh completion for tincture", "_tincture() {", "  local -a commands",
      "  commands=(",
    ]
    lines += CommandTable.all.map { "    '\($0.name):\(zshText($0.summary))'" }
    lines += [
      "  )", "  if (( CURRENT == 2 )); then", "    _describe command commands", "    return",
      "  fi",
      "  local command=$words[2]", "  shift words", "  (( CURRENT-- ))", "  case $command in",
    ]
    for command in CommandTable.all {
      lines.append("    \(command.name))")
      lines.append("      _arguments -s \\")
      for option in command.options {
        for name in names(option) {
          var spec = option.arity == .repeated ? "'*'" : ""
          spec += "'" + name + (option.arity == .flag ? "" : name.hasPrefix("--") ? "=" : "+")
          spec += "[\(zshText(brief(option.summary)))]"
          if option.arity != .flag {
            spec += ":\(zshText(option.placeholder)):" + zshAction(option.hint)
          }
          lines.append("        \(spec)' \\")
        }
      }
      if let positional = command.positionals.first {
        lines.append(
          "        '1:\(zshText(positional.placeholder)):\(zshAction(positional.hint))' ;;")
      } else {
        lines.append("        ;;")
      }
    }
    lines += ["  esac", "}", "_tincture \"$@\""]
    return lines.joined(separator: "\n") + "\n"
  }

  private static func zshAction(_ hint: ValueHint) -> String {
    if let words = choices(hint) { return "(" + words.joined(separator: " ") + ")" }
    return takesPath(hint) ? "_files" : " "
  }

  private static func zshText(_ text: String) -> String {
    var safe = ""
    for character in text {
      switch character {
      case "'": safe += "'\\''"
      case "[", "]", ":", "\\": safe += "\\" + String(character)
      default: safe.append(character)
      }
    }
    return safe
  }

  private static var fish: String {
    let none = "__fish_use_subcommand"
    var lines = ["# fish completion for tincture", "complete -c tincture -f"]
    for command in CommandTable.all {
      lines.append(
        "complete -c tincture -n \(none) -a \(command.name) -d '\(fishText(command.summary))'")
    }
    for command in CommandTable.all {
      let condition = "complete -c tincture -n '__fish_seen_subcommand_from \(command.name)'"
      if let positional = command.positionals.first {
        if let words = choices(positional.hint) {
          lines.append("\(condition) -a '\(words.joined(separator: " "))'")
        } else {
          lines.append("\(condition) -F")
        }
      }
      for option in command.options {
        var line = condition + " -l \(option.name)"
        if let short = option.short { line += " -s \(short)" }
        if option.arity != .flag {
          if let words = choices(option.hint) {
            line += " -x -a '\(words.joined(separator: " "))'"
          } else {
            line += takesPath(option.hint) ? " -r -F" : " -x"
          }
        }
        lines.append(line + " -d '\(fishText(brief(option.summary)))'")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func fishText(_ text: String) -> String {
    var safe = ""
    for character in text {
      if character == "'" || character == "\\" { safe += "\\" }
      safe.append(character)
    }
    return safe
  }
}
