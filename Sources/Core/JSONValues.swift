extension JSON {
  /// Whether this is a string of exactly these bytes (no Unicode equivalence).
  package func equals(_ text: String) -> Bool {
    let node = node
    guard node.kind == .string else { return false }
    if node.isEscaped {
      return document.bytes.withUnsafeBufferPointer {
        JSONText.unescaped($0, node).elementsEqual(text.utf8)
      }
    }
    guard node.range.count == text.utf8.count else { return false }
    return document.bytes[node.range].elementsEqual(text.utf8)
  }

  /// The text. - Throws: `CODE.type`.
  package func string() throws(TinctureError) -> String {
    String(decoding: try stringBytes(), as: UTF8.self)
  }

  /// The text's UTF-8 bytes, escapes resolved. - Throws: `CODE.type`.
  package func stringBytes() throws(TinctureError) -> [UInt8] {
    let node = node
    guard node.kind == .string else { throw wrongType(.string) }
    return document.bytes.withUnsafeBufferPointer { JSONText.unescaped($0, node) }
  }

  /// Appends the text's bytes to `buffer`; for long lists of strings. - Throws: `CODE.type`.
  package func appendString(to buffer: inout [UInt8]) throws(TinctureError) {
    let node = node
    guard node.kind == .string else { throw wrongType(.string) }
    if node.isEscaped {
      buffer += try stringBytes()
    } else {
      buffer.append(contentsOf: document.bytes[node.range])
    }
  }

  /// Gives `body` the text's bytes, without a copy when there are no escapes. - Throws: `CODE.type`.
  package func withStringBytes<R>(
    _ body: (UnsafeBufferPointer<UInt8>) throws(TinctureError) -> R
  ) throws(TinctureError) -> R {
    let node = node
    guard node.kind == .string else { throw wrongType(.string) }
    let outcome: Result<R, TinctureError>
    if node.isEscaped {
      outcome = try stringBytes().withUnsafeBufferPointer { buffer in
        Result { () throws(TinctureError) in try body(buffer) }
      }
    } else {
      outcome = document.bytes.withUnsafeBufferPointer { buffer in
        Result { () throws(TinctureError) in
          try body(UnsafeBufferPointer(rebasing: buffer[node.range]))
        }
      }
    }
    return try outcome.get()
  }

  private var isIntegerLiteral: Bool {
    !document.bytes[node.range].contains {
      $0 == UInt8(ascii: ".") || $0 | 0x20 == UInt8(ascii: "e")
    }
  }

  /// The value of a number of one to eighteen digits and nothing else, such as a token id.
  private var shortNatural: Int? {
    let node = node
    guard node.kind == .number, node.range.count <= 18 else { return nil }
    var value = 0
    for byte in document.bytes[node.range] {
      guard byte &- UInt8(ascii: "0") < 10 else { return nil }
      value = value * 10 + Int(byte &- UInt8(ascii: "0"))
    }
    return value
  }

  /// An integer written without fraction or exponent. - Throws: `CODE.type`, `CODE.range`.
  package func int() throws(TinctureError) -> Int {
    if let short = shortNatural { return short }
    guard kind == .number, isIntegerLiteral else { throw notInteger() }
    guard let value = Int(displayText) else { throw outOfRange("a 64-bit integer") }
    return value
  }

  /// A non-negative integer. - Throws: `CODE.type`, `CODE.range`.
  package func uint64() throws(TinctureError) -> UInt64 {
    guard kind == .number, isIntegerLiteral else { throw notInteger() }
    guard let value = UInt64(displayText) else { throw outOfRange("an integer from 0 to 2^64-1") }
    return value
  }

  private func notInteger() -> TinctureError {
    error("type", "wrong type of value", expected: "integer", found: shortText)
  }

  private func outOfRange(_ expected: String) -> TinctureError {
    error("range", "the number is out of range", expected: expected, found: shortText)
  }

  /// A finite number. - Throws: `CODE.type`, `CODE.range`.
  package func double() throws(TinctureError) -> Double {
    guard kind == .number else { throw wrongType(.number) }
    guard let value = Double(displayText), value.isFinite else {
      throw outOfRange("a finite number")
    }
    return value
  }

  package func bool() throws(TinctureError) -> Bool {
    guard kind == .bool else { throw wrongType(.bool) }
    return document.bytes[Int(node.start)] == UInt8(ascii: "t")
  }

  /// The elements. - Throws: `CODE.type` when this is no array.
  package func array() throws(TinctureError) -> Elements {
    guard kind == .array else { throw wrongType(.array) }
    return elements
  }

  /// The members. - Throws: `CODE.type` when this is no object.
  package func object() throws(TinctureError) -> Members {
    guard kind == .object else { throw wrongType(.object) }
    return members
  }
}

/// A JSON text to be written; members keep their order.
package indirect enum JSONValue: Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case uint(UInt64)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([(String, JSONValue)])

  /// UTF-8 text; `pretty` breaks lines and indents by two. A number that is not finite becomes null.
  package func serialized(pretty: Bool) -> [UInt8] {
    var text: [UInt8] = []
    write(into: &text, pretty: pretty, indent: 0)
    return text
  }

  private func write(into text: inout [UInt8], pretty: Bool, indent: Int) {
    switch self {
    case .null: text += "null".utf8
    case .bool(let value): text += (value ? "true" : "false").utf8
    case .int(let value): text += String(value).utf8
    case .uint(let value): text += String(value).utf8
    case .double(let value): text += (value.isFinite ? "\(value)" : "null").utf8
    case .string(let value): JSONValue.quote(value, into: &text)
    case .array(let values):
      text.append(UInt8(ascii: "["))
      for (index, value) in values.enumerated() {
        JSONValue.breakLine(&text, first: index == 0, pretty: pretty, indent: indent + 1)
        value.write(into: &text, pretty: pretty, indent: indent + 1)
      }
      if !values.isEmpty, pretty { JSONValue.newLine(&text, indent) }
      text.append(UInt8(ascii: "]"))
    case .object(let members):
      text.append(UInt8(ascii: "{"))
      for (index, member) in members.enumerated() {
        JSONValue.breakLine(&text, first: index == 0, pretty: pretty, indent: indent + 1)
        JSONValue.quote(member.0, into: &text)
        text += (pretty ? ": " : ":").utf8
        member.1.write(into: &text, pretty: pretty, indent: indent + 1)
      }
      if !members.isEmpty, pretty { JSONValue.newLine(&text, indent) }
      text.append(UInt8(ascii: "}"))
    }
  }

  private static func breakLine(_ text: inout [UInt8], first: Bool, pretty: Bool, indent: Int) {
    if !first { text.append(UInt8(ascii: ",")) }
    if pretty { newLine(&text, indent) }
  }

  private static func newLine(_ text: inout [UInt8], _ indent: Int) {
    text.append(0x0A)
    text += [UInt8](repeating: 0x20, count: indent * 2)
  }

  private static func quote(_ value: String, into text: inout [UInt8]) {
    text.append(UInt8(ascii: "\""))
    for byte in value.utf8 {
      switch byte {
      case UInt8(ascii: "\""): text += "\\\"".utf8
      case UInt8(ascii: "\\"): text += "\\\\".utf8
      case 0x0A: text += "\\n".utf8
      case 0x0D: text += "\\r".utf8
      case 0x09: text += "\\t".utf8
      case 0..<0x20, 0x7F:
        let digits = String(byte, radix: 16)
        text += ("\\u00" + (digits.utf8.count < 2 ? "0" : "") + digits).utf8
      default: text.append(byte)
      }
    }
    text.append(UInt8(ascii: "\""))
  }
}
