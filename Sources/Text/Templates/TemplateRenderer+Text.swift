import TinctureCore

extension TemplateRenderer {
  /// Python's `str(value)`, which is what output and `~` use.
  mutating func text(
    of value: TemplateValue, _ line: Int
  ) throws(TinctureError) -> TemplateText {
    switch value {
    case .undefined: return []
    case .string(let text): return text
    default:
      var text: TemplateText = []
      try represent(value, into: &text, line)
      return text
    }
  }

  /// Python's `repr(value)`.
  private mutating func represent(
    _ value: TemplateValue, into text: inout TemplateText, _ line: Int
  ) throws(TinctureError) {
    try enter(line)
    defer { depth -= 1 }
    let before = text.count
    switch value {
    case .none: text += "None".unicodeScalars
    case .bool(let value): text += (value ? "True" : "False").unicodeScalars
    case .int(let value): text += "\(value)".unicodeScalars
    case .float(let value): text += "\(value)".unicodeScalars
    case .string(let string): TemplateRenderer.quote(string, into: &text)
    case .sequence(let kind, let items) where kind == .list || kind == .tuple:
      text.append(kind == .list ? "[" : "(")
      for (index, item) in items.values.enumerated() {
        if index > 0 { text += ", ".unicodeScalars }
        try represent(item, into: &text, line)
      }
      if kind == .tuple, items.values.count == 1 { text.append(",") }
      text.append(kind == .list ? "]" : ")")
    case .dict(let dict):
      text.append("{")
      for (index, entry) in dict.entries.enumerated() {
        if index > 0 { text += ", ".unicodeScalars }
        try represent(entry.key, into: &text, line)
        text += ": ".unicodeScalars
        try represent(entry.value, into: &text, line)
      }
      text.append("}")
    case .undefined: text += "Undefined".unicodeScalars
    case .sequence, .lazy, .namespace, .macro, .loop, .function:
      throw TemplateFault.unsupported.at(
        line, "a value of this sort cannot be written out", found: value.sort)
    }
    try spend(text.count - before, line)
  }

  /// A string as Python writes it in a list: in single quotes unless only these occur in it.
  private static func quote(_ string: TemplateText, into text: inout TemplateText) {
    let mark: Unicode.Scalar = string.contains("'") && !string.contains("\"") ? "\"" : "'"
    text.append(mark)
    for scalar in string {
      switch scalar {
      case mark, "\\": text += ["\\", scalar]
      case "\n": text += "\\n".unicodeScalars
      case "\r": text += "\\r".unicodeScalars
      case "\t": text += "\\t".unicodeScalars
      default:
        if isPrintable(scalar) {
          text.append(scalar)
        } else {
          let (letter, width) =
            scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
          let digits = String(scalar.value, radix: 16)
          text += "\\\(letter)".unicodeScalars
          text += String(repeating: "0", count: width - digits.utf8.count).unicodeScalars
          text += digits.unicodeScalars
        }
      }
    }
    text.append(mark)
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar == " " { return true }
    return switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      false
    default: true
    }
  }

  // MARK: JSON

  struct JSONStyle {
    var asciiOnly = false
    var sortsKeys = false
    /// What one level is set in by; nil for all on one line.
    var indent: TemplateText?
    var itemSeparator = TemplateText(", ")
    var keySeparator = TemplateText(": ")
  }

  /// Python's `json.dumps`, which `tojson` is in transformers.
  mutating func json(
    _ value: TemplateValue, _ style: JSONStyle, level: Int = 0, into text: inout TemplateText,
    _ line: Int
  ) throws(TinctureError) {
    try enter(line)
    defer { depth -= 1 }
    let before = text.count
    switch value {
    case .none: text += "null".unicodeScalars
    case .bool(let value): text += (value ? "true" : "false").unicodeScalars
    case .int(let value): text += "\(value)".unicodeScalars
    case .float(let value): text += TemplateRenderer.jsonNumber(value).unicodeScalars
    case .string(let string): TemplateRenderer.jsonQuote(string, style, into: &text)
    case .sequence(let kind, let items) where kind == .list || kind == .tuple:
      text.append("[")
      for (index, item) in items.values.enumerated() {
        if index > 0 { text += style.itemSeparator }
        try breakLine(style, level + 1, &text, line)
        try json(item, style, level: level + 1, into: &text, line)
      }
      if !items.values.isEmpty { try breakLine(style, level, &text, line) }
      text.append("]")
    case .dict(let dict):
      var members: [(key: TemplateText, value: TemplateValue)] = []
      for entry in dict.entries { members.append((try jsonKey(entry.key, line), entry.value)) }
      if style.sortsKeys { members.sort { $0.key.lexicographicallyPrecedes($1.key) } }
      text.append("{")
      for (index, member) in members.enumerated() {
        if index > 0 { text += style.itemSeparator }
        try breakLine(style, level + 1, &text, line)
        TemplateRenderer.jsonQuote(member.key, style, into: &text)
        text += style.keySeparator
        try json(member.value, style, level: level + 1, into: &text, line)
      }
      if !members.isEmpty { try breakLine(style, level, &text, line) }
      text.append("}")
    default:
      if value.isUndefined { throw undefined(value, line) }
      throw TemplateFault.value.at(
        line, "the value cannot be written as JSON", found: value.sort)
    }
    try spend(max(0, text.count - before), line)
  }

  private mutating func breakLine(
    _ style: JSONStyle, _ level: Int, _ text: inout TemplateText, _ line: Int
  ) throws(TinctureError) {
    guard let indent = style.indent else { return }
    try spend(indent.count * level, line)
    text.append("\n")
    for _ in 0..<level { text += indent }
  }

  private static func jsonNumber(_ value: Double) -> String {
    value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : "\(value)"
  }

  private func jsonKey(_ key: TemplateValue, _ line: Int) throws(TinctureError) -> TemplateText {
    switch key {
    case .string(let text): text
    case .int(let value): TemplateText("\(value)")
    case .bool(let value): TemplateText(value ? "true" : "false")
    case .float(let value): TemplateText(TemplateRenderer.jsonNumber(value))
    case .none: TemplateText("null")
    default: throw TemplateFault.value.at(line, "not a key of JSON", found: key.sort)
    }
  }

  private static func jsonQuote(
    _ string: TemplateText, _ style: JSONStyle, into text: inout TemplateText
  ) {
    func unit(_ value: UInt32) {
      let digits = String(value, radix: 16)
      text += "\\u".unicodeScalars
      text += (String(repeating: "0", count: 4 - digits.utf8.count) + digits).unicodeScalars
    }
    text.append("\"")
    for scalar in string {
      switch scalar {
      case "\"", "\\": text += ["\\", scalar]
      case "\n": text += "\\n".unicodeScalars
      case "\r": text += "\\r".unicodeScalars
      case "\t": text += "\\t".unicodeScalars
      case "\u{8}": text += "\\b".unicodeScalars
      case "\u{C}": text += "\\f".unicodeScalars
      default:
        if scalar.value < 0x20 || style.asciiOnly && scalar.value > 0x7E {
          for part in UTF16.encode(scalar).map(Array.init) ?? [] { unit(UInt32(part)) }
        } else {
          text.append(scalar)
        }
      }
    }
    text.append("\"")
  }
}
