import Tincture

/// A command line taken apart, before its values are understood.
struct ParsedArguments: Sendable {
  var positionals: [String] = []
  var values: [String: [String]] = [:]
  var flags: Set<String> = []

  func has(_ flag: String) -> Bool { flags.contains(flag) }
  func value(_ name: String) -> String? { values[name]?.first }
  func all(_ name: String) -> [String] { values[name] ?? [] }
}

/// Takes the words after a command's name apart by its option table.
///
/// `--name value`, `--name=value`, `-n value`, flags, positionals; `--` ends the options. A value that starts
/// with a dash needs the `=` form, so that a forgotten value never swallows the next option; a negative number does not,
/// since no option begins with a digit.
enum ArgumentParser {
  static func parse(_ words: [String], for command: CommandSpec) throws(TinctureError)
    -> ParsedArguments
  {
    var parsed = ParsedArguments()
    var index = 0
    var optionsEnded = false
    while index < words.count {
      let word = words[index]
      index += 1
      if optionsEnded || word == "-" || !word.hasPrefix("-") {
        guard parsed.positionals.count < command.positionals.count else {
          throw usage(
            "argument.unexpected", "unexpected argument '\(word)'", command: command,
            advice: "quote a path that has spaces in it; options start with '--'")
        }
        parsed.positionals.append(word)
        continue
      }
      if word == "--" {
        optionsEnded = true
        continue
      }
      let (name, attached) = split(word)
      guard let option = find(name, in: command) else {
        throw unknown(name, command: command)
      }
      guard option.arity != .flag else {
        guard attached == nil else {
          throw usage("argument.flagValue", "\(name) takes no value", command: command)
        }
        parsed.flags.insert(option.name)
        continue
      }
      let value: String
      if let attached {
        value = attached
      } else if index < words.count, isValue(words[index]) {
        value = words[index]
        index += 1
      } else {
        throw usage(
          "argument.missingValue", "\(name) needs a value", command: command,
          expected: option.usage,
          advice: index < words.count
            ? "write \(name)=VALUE if the value itself starts with '-'" : nil)
      }
      if option.arity == .single, parsed.values[option.name] != nil {
        throw usage(
          "argument.repeated", "\(name) is given more than once", command: command,
          advice: "keep one of them")
      }
      parsed.values[option.name, default: []].append(value)
    }
    return parsed
  }

  /// Whether the word at `index` of a whole command line stands where a path is expected, as far as its command and the
  /// words before it tell.
  static func isPath(_ words: [String], _ index: Int) -> Bool {
    guard index > 0, let command = CommandTable.all.first(where: { $0.name == words[0] }) else {
      return false
    }
    func takesPath(_ hint: ValueHint?) -> Bool {
      switch hint {
      case .path, .folderOrFile: true
      default: false
      }
    }
    var positionals = command.positionals[...]
    var optionsEnded = false
    var at = 1
    while at < words.count {
      let word = words[at]
      if optionsEnded || word == "-" || !word.hasPrefix("-") {
        let positional = positionals.popFirst()
        if at == index { return takesPath(positional?.hint) }
      } else if word == "--" {
        optionsEnded = true
      } else {
        let (name, attached) = split(word)
        let option = find(name, in: command)
        let takesNext = attached == nil && option.map { $0.arity != .flag } == true
        if at == index || takesNext && at + 1 == index { return takesPath(option?.hint) }
        if takesNext { at += 1 }
      }
      at += 1
    }
    return false
  }

  private static func isValue(_ word: String) -> Bool {
    if !word.hasPrefix("-") || word == "-" { return true }
    let second = word.utf8.dropFirst().first ?? 0
    return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(second)
  }

  /// Checks that every positional that must be there is there.
  static func checkPositionals(_ parsed: ParsedArguments, for command: CommandSpec)
    throws(TinctureError)
  {
    let required = command.positionals.filter { !$0.isOptional }
    guard parsed.positionals.count >= required.count else {
      throw usage(
        "argument.missing", "\(required[parsed.positionals.count].placeholder) is missing",
        command: command, expected: command.usage)
    }
  }

  static func usage(
    _ code: String, _ message: String, command: CommandSpec?, expected: String? = nil,
    found: String? = nil, advice: String? = nil
  ) -> TinctureError {
    let help = command.map { "tincture \($0.name) --help" } ?? "tincture --help"
    return TinctureError(
      .init(code, .usage), message, expected: expected, found: found,
      advice: (advice.map { $0 + "; " } ?? "") + "see '\(help)'")
  }

  private static func split(_ word: String) -> (name: String, value: String?) {
    guard let equals = word.firstIndex(of: "=") else { return (word, nil) }
    return (String(word[..<equals]), String(word[word.index(after: equals)...]))
  }

  private static func find(_ name: String, in command: CommandSpec) -> OptionSpec? {
    command.options.first { "--" + $0.name == name || $0.short.map { "-" + $0 } == name }
  }

  private static func unknown(_ name: String, command: CommandSpec) -> TinctureError {
    let names = command.options.map { "--" + $0.name }
    let advice = Nearest.name(to: name, among: names).map { "did you mean \($0)?" }
    return usage(
      "argument.unknownOption", "unknown option '\(name)'", command: command, advice: advice)
  }
}
