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
        "A text for each line {\"text\": …} of a JSON Lines file instead of TEXT: texts with line feeds in them."
      ),
      .flag(
        "no-special", "Put no tokens around the text (no <bos>, no [CLS] and [SEP])."),
      .flag(
        "no-parse-special",
        "Take control tokens that are written in the text, such as <eos>, for ordinary text."),
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
    let tokenizer = try open(invocation.path)
    let texts: [[UInt8]]
    var file: String?
    if let path = parsed.value("file") {
      file = path
      texts = lines(try InputFile(path: path).contents(limit: byteLimit))
    } else if let path = parsed.value("prompts") {
      file = path
      texts = try prompts(path)
    } else {
      texts = [Array(parsed.positionals[1].utf8)]
    }
    try invocation.cancellation.check()
    let ids = try encode(
      texts, tokenizer, addSpecial: !parsed.has("no-special"),
      parseSpecial: !parsed.has("no-parse-special"), file: file, threads: invocation.threads)
    return outcome(ids, tokenizer, invocation, isOne: file == nil)
  }

  /// Files larger than this are no texts.
  private static let byteLimit = 1 << 30

  /// The tokenizer of a model, or of a folder that may lack the weights.
  private static func open(_ path: String) throws(TinctureError) -> Tokenizer {
    if Folder.kind(path) == .folder { return try Tokenizer.open(folder: path) }
    return try Tokenizer.open(Checkpoint.open(path))
  }

  private static func lines(_ bytes: [UInt8]) -> [[UInt8]] {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines
  }

  private static func prompts(_ path: String) throws(TinctureError) -> [[UInt8]] {
    var texts: [[UInt8]] = []
    for line in lines(try InputFile(path: path).contents(limit: byteLimit)) where !line.isEmpty {
      let node = try JSON.parse(line, file: "\(path), line \(texts.count + 1)", code: "prompts")
      texts.append(try node.member("text").stringBytes())
    }
    return texts
  }

  private static func encode(
    _ texts: [[UInt8]], _ tokenizer: Tokenizer, addSpecial: Bool, parseSpecial: Bool,
    file: String?, threads: Int
  ) throws(TinctureError) -> [[Int32]] {
    var ids: [[Int32]] = []
    ids.reserveCapacity(texts.count)
    for (index, text) in texts.enumerated() {
      let place = file.map { texts.count > 1 ? "\($0), line \(index + 1)" : $0 }
      do {
        ids.append(
          try tokenizer.encode(text, addSpecial: addSpecial, parseSpecial: parseSpecial))
      } catch {
        throw error.at(file: place)
      }
    }
    return ids
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
