import Tincture

/// `tincture tokenize`.
enum TokenizeCommand {
  static let spec = CommandSpec(
    name: "tokenize", summary: "Print the token ids of a text",
    positionals: [
      .init(
        placeholder: "MODEL|CHECKPOINT",
        summary: "A GGUF file, or a folder with the tokenizer files of a checkpoint."),
      .init(
        placeholder: "TEXT", hint: .text, isOptional: true,
        summary: "The text, unless --file or --prompts is given."),
    ],
    options: [
      .value(
        "file", "F", hint: .path,
        "A text for each line of F instead of TEXT. A line ends at its line feed, nothing else is taken off."
      ),
      .value(
        "prompts", "FILE", hint: .path,
        """
        A text for each line {"text": …}, {"messages": […]} or {"ids": […]} of a JSON Lines file instead of TEXT; \
        messages go through the chat template.
        """),
      .flag("chat", "Take each text as a user's turn and put the model's chat template around it."),
      .flag(
        "no-special",
        """
        Put no tokens around the text (no <bos>, no [CLS] and [SEP]). Not with --chat, nor for messages: their \
        template writes such tokens.
        """),
      .flag(
        "no-parse-special",
        """
        Take control tokens that are written in the text, such as <eos>, for ordinary text. Not with --chat, \
        nor for messages: their template writes such tokens.
        """),
      .flag("ids", "Print ids only, without the tokens' texts."),
      .flag("decode", "Also print the text that the ids decode to."),
    ] + CommonOptions.all.filter { ["threads", "quiet", "json", "help"].contains($0.name) },
    discussion: [
      """
      Ids are those of the tokenizers library. A GGUF does not keep everything that a checkpoint's files say; \
      'tincture inspect CHECKPOINT' tells what is lost.
      """
    ],
    examples: [
      ("tincture tokenize model.gguf 'Hello, world'", "ids and tokens of one text"),
      (
        "tincture tokenize gemma-3-270m --file notes.txt --json",
        "{\"ids\": [[…], …]}, a list for each line"
      ),
    ],
    run: { (invocation) throws(TinctureError) in try run(invocation) })

  private static func run(_ invocation: Invocation) throws(TinctureError) -> Outcome {
    let parsed = invocation.parsed
    let given = [
      parsed.positionals.count > 1 ? "TEXT" : nil, parsed.value("file").map { _ in "--file" },
      parsed.value("prompts").map { _ in "--prompts" },
    ].compactMap { $0 }
    guard given.count == 1 else {
      throw ArgumentParser.usage(
        given.isEmpty ? "argument.missing" : "argument.conflict",
        given.isEmpty
          ? "a text is missing" : "\(given.joined(separator: " and ")) exclude each other",
        command: invocation.command, expected: "one of TEXT, --file F and --prompts FILE")
    }
    guard !parsed.has("chat") || !parsed.has("no-parse-special") else {
      throw ArgumentParser.usage(
        "argument.conflict", "--chat and --no-parse-special exclude each other",
        command: invocation.command,
        advice: "leave one out: the control tokens that a chat template writes must be found")
    }
    guard !parsed.has("chat") || !parsed.has("no-special") else {
      throw ArgumentParser.usage(
        "argument.conflict", "--chat and --no-special exclude each other",
        command: invocation.command,
        advice: "leave one out: the chat template writes the tokens around a conversation")
    }
    let model = try Model(invocation.path)
    var prompts: [Prompt] = []
    var file: String?
    var lines: [Int] = []
    if let path = parsed.value("prompts") {
      file = path
      let read = try PromptFile.open(path: path)
      (prompts, lines) = (read.prompts, read.lines)
    } else if let path = parsed.value("file") {
      file = path
      let bytes = try InputFile(path: path).contents(
        limit: byteLimit, advice: "split the texts into several files")
      for line in split(bytes) {
        lines.append(lines.count + 1)
        guard let text = String(validating: line, as: UTF8.self) else {
          throw TinctureError(
            .init("tokenizer.text", .invalidInput), "line \(lines.count) is not well-formed UTF-8",
            place: .init(file: path), advice: "convert the file to UTF-8")
        }
        prompts.append(.text(text))
      }
    } else {
      prompts = [.text(parsed.positionals[1])]
    }
    var ids: [[Int32]] = []
    ids.reserveCapacity(prompts.count)
    for (index, prompt) in prompts.enumerated() {
      if index % 1024 == 0 { try invocation.cancellation.check() }
      do {
        let list = try model.ids(prompt, parsed)
        try check(list, model.tokenizer)
        ids.append(list)
      } catch {
        throw error.at(file: file.map { "\($0), line \(lines[index])" })
      }
    }
    return outcome(ids, model.tokenizer, invocation, isOne: file == nil)
  }

  /// - Throws: `tokenizer.id` for an id that the vocabulary has no token for.
  private static func check(_ ids: [Int32], _ tokenizer: Tokenizer) throws(TinctureError) {
    guard let position = ids.firstIndex(where: { tokenizer.text(of: $0) == nil }) else { return }
    let count = tokenizer.count
    throw TinctureError(
      .init("tokenizer.id", .invalidInput), "the vocabulary has no token of this id",
      place: .init(key: "ids[\(position)]"),
      expected: "ids of the vocabulary, 0 to \(count - 1): it has \(count) tokens",
      found: "\(ids[position])", advice: "take ids that this model's own tokenizer made")
  }

  /// Files larger than this are no texts.
  private static let byteLimit = 1 << 30

  /// A tokenizer with the chat template that belongs to it.
  private struct Model {
    let tokenizer: Tokenizer
    private let chat: Result<ChatFormat, TinctureError>

    /// Of a model, or of a folder that may lack the weights.
    init(_ path: String) throws(TinctureError) {
      let own: Tokenizer
      if Folder.kind(path) == .folder {
        let files = try TokenizerFiles.open(folder: path, wholeJSON: true)
        own = try Tokenizer(files)
        chat = Result { () throws(TinctureError) in
          try ChatFormat(files, tokenizer: own, now: .present())
        }
      } else {
        let checkpoint = try Checkpoint.open(path)
        own = try Tokenizer.open(checkpoint)
        chat = Result { () throws(TinctureError) in
          try ChatFormat(checkpoint, tokenizer: own, now: .present())
        }
      }
      tokenizer = own
    }

    func ids(_ prompt: Prompt, _ parsed: ParsedArguments) throws(TinctureError) -> [Int32] {
      let parsesSpecial = !parsed.has("no-parse-special")
      switch prompt {
      case .ids(let ids): return ids
      case .text(let text) where !parsed.has("chat"):
        return tokenizer.encode(
          text, addSpecial: !parsed.has("no-special"), parseSpecial: parsesSpecial)
      case .text(let text):
        return try conversation([ChatMessage(role: "user", content: text)], parsed)
      case .messages(let messages): return try conversation(messages, parsed)
      }
    }

    private func conversation(
      _ messages: [ChatMessage], _ parsed: ParsedArguments
    ) throws(TinctureError) -> [Int32] {
      for option in ["no-parse-special", "no-special"] where parsed.has(option) {
        throw TinctureError(
          .init("argument.conflict", .usage),
          "--\(option) does not go with a conversation",
          expected: "texts: a chat template writes the tokens around them, which must be found",
          advice: "leave --\(option) out")
      }
      return try chat.get().tokens(messages, addGenerationPrompt: true)
    }
  }

  private static func split(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines
  }

  // MARK: What is printed

  private static func outcome(
    _ ids: [[Int32]], _ tokenizer: Tokenizer, _ invocation: Invocation, isOne: Bool
  ) -> Outcome {
    let parsed = invocation.parsed
    let texts =
      parsed.has("decode")
      ? ids.map { String(decoding: tokenizer.decode($0, skipSpecial: false), as: UTF8.self) } : []
    let total = ids.reduce(0) { $0 + $1.count }
    if invocation.isJSON {
      return Outcome(text: "", json: json(ids, texts, tokenizer, isOne: isOne, total, parsed))
    }
    var text = ""
    for (index, list) in ids.enumerated() {
      if isOne, !parsed.has("ids") {
        let rows = list.map { ["\($0)", quoted(tokenizer.text(of: $0) ?? [])] }
        text += Text.table(rows, rightAligned: [0]) + (rows.isEmpty ? "" : "\n")
      } else {
        text += list.map { "\($0)" }.joined(separator: " ") + "\n"
      }
      if !texts.isEmpty { text += quoted(Array(texts[index].utf8)[...]) + "\n" }
    }
    return Outcome(text: text, json: [])
  }

  private static func json(
    _ ids: [[Int32]], _ texts: [String], _ tokenizer: Tokenizer, isOne: Bool, _ total: Int,
    _ parsed: ParsedArguments
  ) -> [(String, JSONValue)] {
    func numbers(_ list: [Int32]) -> JSONValue { .array(list.map { .int(Int($0)) }) }
    var members: [(String, JSONValue)] = [
      ("tokenCount", .int(total)),
      ("ids", isOne ? numbers(ids.first ?? []) : .array(ids.map(numbers))),
    ]
    if isOne, !parsed.has("ids") {
      members.append(
        (
          "pieces",
          .array(
            (ids.first ?? []).map {
              .string(String(decoding: tokenizer.text(of: $0) ?? [], as: UTF8.self))
            })
        ))
    }
    if !texts.isEmpty {
      members.append(
        ("texts", isOne ? .string(texts[0]) : .array(texts.map { .string($0) })))
    }
    members.append(("notes", .array(tokenizer.notes.map { .string($0) })))
    return members
  }

  /// The text in quotes, what cannot be seen as escapes.
  private static func quoted(_ bytes: ArraySlice<UInt8>) -> String {
    var text = "'"
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      switch scalar {
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\\", "'": text += "\\\(scalar)"
      default:
        let isVisible =
          ![.control, .format, .privateUse, .surrogate, .unassigned].contains(
            scalar.properties.generalCategory)
        if isVisible {
          text.unicodeScalars.append(scalar)
        } else {
          text += "\\u{" + String(scalar.value, radix: 16) + "}"
        }
      }
    }
    return text + "'"
  }
}
