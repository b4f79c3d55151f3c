import Tincture

/// Options that every command shares.
enum CommonOptions {
  static let defaultMemory = "1G"

  static let all: [OptionSpec] = [
    .value(
      "threads", "N", hint: .number,
      "Worker threads. Default: the processors this process may use. The output does not depend on it."
    ),
    .value(
      "memory", "SIZE", hint: .size,
      """
      Most memory for large buffers and the tokenizer, such as 512M or 2G. Default: 1G. The output does \
      not depend on it.
      """
    ),
    .flag("force", "Replace the output if it exists."),
    .flag("quiet", short: "q", "Print errors only: no summary, no progress line."),
    .flag("json", "Print one JSON object on standard output, for errors too; no progress line."),
    .flag(
      "dry-run",
      """
      Check everything except the weights, which are not read, and say what would be written, but write \
      nothing.
      """),
    .flag("help", short: "h", "Print this help."),
  ]

  static func threads(_ parsed: ParsedArguments) throws(TinctureError) -> Int {
    guard let text = parsed.value("threads") else { return Parallel.processorCount }
    return try ValueParser.count(text, option: "threads", limit: 1024)
  }

  static func memory(_ parsed: ParsedArguments) throws(TinctureError) -> UInt64 {
    try ValueParser.size(parsed.value("memory") ?? defaultMemory, option: "memory")
  }
}
