import TinctureCore

/// One word of a template.
struct TemplateToken: Sendable {
  enum Kind: Sendable, Equatable {
    /// Text between the tags, whitespace control applied.
    case data(TemplateText)
    case variableBegin, variableEnd, blockBegin, blockEnd
    case name(String)
    case string(TemplateText)
    case integer(Int)
    case float(Double)
    case mark(String)
    case end
  }

  var kind: Kind
  var line: Int
}

/// Cuts a template into words: the syntax of Jinja 3.1 with `trim_blocks` and `lstrip_blocks`, as transformers sets
/// them. A newline at the very end is dropped; `\r\n` and `\r` count as `\n`.
///
/// Cost: one pass.
struct TemplateLexer {
  let source: TemplateText
  var position = 0
  var line = 1
  var tokens: [TemplateToken] = []
  /// Whether what was read last ended with a newline, so that the next tag may start its line.
  private var startsLine = true
  /// Closing marks that are still due in the tag being read.
  private var due: [Unicode.Scalar] = []

  /// The words of `source`, with an `end` last.
  static func tokens(of source: TemplateText) throws(TinctureError) -> [TemplateToken] {
    var lexer = TemplateLexer(source: normalized(source))
    try lexer.readAll()
    return lexer.tokens
  }

  private init(source: TemplateText) { self.source = source }

  /// `\r\n` and `\r` become `\n`; one newline at the end goes.
  private static func normalized(_ source: TemplateText) -> TemplateText {
    var result = unifiedNewlines(source)
    if result.last == "\n" { result.removeLast() }
    return result
  }

  static func unifiedNewlines(_ source: TemplateText) -> TemplateText {
    guard source.contains("\r") else { return source }
    var result: TemplateText = []
    result.reserveCapacity(source.count)
    for (index, scalar) in source.enumerated() {
      if scalar == "\r" {
        result.append("\n")
      } else if scalar != "\n" || index == 0 || source[index - 1] != "\r" {
        result.append(scalar)
      }
    }
    return result
  }

  func at(_ index: Int) -> Unicode.Scalar? { index < source.count ? source[index] : nil }

  func matches(_ text: StaticString, at index: Int) -> Bool {
    for offset in 0..<text.utf8CodeUnitCount
    where at(index + offset) != Unicode.Scalar(text.utf8Start[offset]) {
      return false
    }
    return true
  }

  func spaceEnd(_ start: Int) -> Int {
    var index = start
    while let scalar = at(index), scalar.isTemplateSpace { index += 1 }
    return index
  }

  mutating func advance(to end: Int) {
    for index in position..<end where source[index] == "\n" { line += 1 }
    if end > position { startsLine = source[end - 1] == "\n" }
    position = end
  }

  private mutating func readAll() throws(TinctureError) {
    while position < source.count {
      guard let tag = nextTag() else {
        append(.data(TemplateText(source[position...])))
        break
      }
      if let end = rawBegin(tag) {
        appendText(upTo: tag, isVariable: false)
        advance(to: end)
        try readRaw()
      } else {
        let isVariable = source[tag + 1] == "{"
        appendText(upTo: tag, isVariable: isVariable)
        let hasSign = at(tag + 2) == "-" || at(tag + 2) == "+"
        advance(to: tag + (hasSign ? 3 : 2))
        if source[tag + 1] == "#" {
          try skipComment()
        } else {
          try readTag(isVariable: isVariable)
        }
      }
    }
    append(.end)
  }

  mutating func append(_ kind: TemplateToken.Kind) {
    tokens.append(TemplateToken(kind: kind, line: line))
  }

  private func nextTag() -> Int? {
    var index = position
    while index + 1 < source.count {
      if source[index] == "{", [0x7B, 0x25, 0x23].contains(source[index + 1].value) {
        return index
      }
      index += 1
    }
    return nil
  }

  /// The text before a tag or raw end at `tag`, cut as its sign and `lstrip_blocks` say.
  private mutating func appendText(upTo tag: Int, isVariable: Bool) {
    var end = tag
    let sign = at(tag + 2)
    if sign == "-" {
      while end > position, source[end - 1].isTemplateSpace { end -= 1 }
    } else if sign != "+", !isVariable {
      var lineStart = tag
      while lineStart > position, source[lineStart - 1] != "\n" { lineStart -= 1 }
      if lineStart > position || startsLine,
        source[lineStart..<tag].allSatisfy(\.isTemplateSpace)
      {
        end = lineStart
      }
    }
    if end > position { append(.data(TemplateText(source[position..<end]))) }
  }

  /// Where the text after `{% raw %}` starts when one stands at `tag`.
  private func rawBegin(_ tag: Int) -> Int? {
    guard let word = wordStart(tag), matches("raw", at: word) else { return nil }
    let end = spaceEnd(word + 3)
    if matches("-%}", at: end) { return spaceEnd(end + 3) }
    return matches("%}", at: end) ? end + 2 : nil
  }

  /// Where the first word of the block tag at `tag` starts.
  private func wordStart(_ tag: Int) -> Int? {
    guard matches("{%", at: tag) else { return nil }
    let hasSign = at(tag + 2) == "-" || at(tag + 2) == "+"
    return spaceEnd(tag + (hasSign ? 3 : 2))
  }

  /// Where the text after a block's or comment's end goes on, when that end, `close`, stands at `index`.
  private func tagEnd(_ close: StaticString, at index: Int) -> Int? {
    let sign = at(index)
    if sign == "+" || sign == "-", matches(close, at: index + 1) {
      return sign == "-" ? spaceEnd(index + 3) : index + 3
    }
    guard matches(close, at: index) else { return nil }
    return at(index + 2) == "\n" ? index + 3 : index + 2
  }

  private mutating func readRaw() throws(TinctureError) {
    var tag = position
    while tag < source.count {
      if let word = wordStart(tag), matches("endraw", at: word),
        let end = tagEnd("%}", at: spaceEnd(word + 6))
      {
        appendText(upTo: tag, isVariable: false)
        advance(to: end)
        return
      }
      tag += 1
    }
    throw TemplateFault.syntax.at(line, "a raw block without end", expected: "{% endraw %}")
  }

  private mutating func skipComment() throws(TinctureError) {
    for index in position..<source.count {
      if let end = tagEnd("#}", at: index) {
        advance(to: end)
        return
      }
    }
    throw TemplateFault.syntax.at(line, "a comment without end", expected: "#}")
  }

  private mutating func readTag(isVariable: Bool) throws(TinctureError) {
    append(isVariable ? .variableBegin : .blockBegin)
    due = []
    while position < source.count {
      if due.isEmpty, let end = isVariable ? variableEnd() : tagEnd("%}", at: position) {
        append(isVariable ? .variableEnd : .blockEnd)
        advance(to: end)
        return
      }
      if source[position].isTemplateSpace {
        advance(to: spaceEnd(position))
      } else {
        try readWord()
      }
    }
    throw TemplateFault.syntax.at(
      line, "the template ends inside a tag", expected: isVariable ? "}}" : "%}")
  }

  private func variableEnd() -> Int? {
    if matches("-}}", at: position) { return spaceEnd(position + 3) }
    return matches("}}", at: position) ? position + 2 : nil
  }

  /// Two-character marks come before their first characters.
  private static let marks: [String] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
  ]

  private mutating func readWord() throws(TinctureError) {
    let scalar = source[position]
    if scalar.isTemplateDigit {
      let isAfterDot = position > 0 && source[position - 1] == "."
      return try readNumber(mayBeFloat: !isAfterDot)
    }
    if scalar.isTemplateWord {
      var end = position
      while let next = at(end), next.isTemplateWord { end += 1 }
      append(.name(TemplateText(source[position..<end]).string))
      return advance(to: end)
    }
    if scalar == "'" || scalar == "\"" { return try readString(quote: scalar) }
    for mark in TemplateLexer.marks
    where zip(mark.unicodeScalars, source[position...]).allSatisfy(==)
      && position + mark.unicodeScalars.count <= source.count
    {
      try balance(scalar)
      append(.mark(mark))
      return advance(to: position + mark.unicodeScalars.count)
    }
    guard scalar.isASCII else {
      throw TemplateFault.unsupported.at(
        line, "a character beyond ASCII outside of a string", found: String(scalar))
    }
    throw TemplateFault.syntax.at(line, "an unexpected character", found: "'\(scalar)'")
  }

  /// Brackets must pair within a tag.
  private mutating func balance(_ scalar: Unicode.Scalar) throws(TinctureError) {
    switch scalar {
    case "{": due.append("}")
    case "(": due.append(")")
    case "[": due.append("]")
    case "}", ")", "]":
      guard let wanted = due.popLast(), wanted == scalar else {
        throw TemplateFault.syntax.at(line, "brackets do not pair", found: "'\(scalar)'")
      }
    default: break
    }
  }
}

extension Unicode.Scalar {
  /// What Python's `str.isspace` and `\s` mean.
  var isTemplateSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F,
      0x205F, 0x3000:
      true
    default: false
    }
  }

  var isTemplateDigit: Bool { ("0"..."9").contains(self) }

  var isTemplateWord: Bool {
    ("a"..."z").contains(self) || ("A"..."Z").contains(self) || isTemplateDigit || self == "_"
  }
}
