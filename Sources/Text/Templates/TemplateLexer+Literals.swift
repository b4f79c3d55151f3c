import TinctureCore

extension TemplateLexer {
  /// Reads digits with single underscores between them from `start`; where they end, nil when there are none.
  private func digitsEnd(_ start: Int, _ isDigit: (Unicode.Scalar) -> Bool) -> Int? {
    var index = start
    while let scalar = at(index) {
      if isDigit(scalar) {
        index += 1
      } else if scalar == "_", index > start, let next = at(index + 1), isDigit(next) {
        index += 1
      } else {
        break
      }
    }
    return index > start ? index : nil
  }

  /// Where the number at `position` ends if it is one with a fraction or an exponent.
  private func floatEnd() -> Int? {
    guard let whole = digitsEnd(position, \.isTemplateDigit) else { return nil }
    var end = whole
    if at(end) == ".", let fraction = digitsEnd(end + 1, \.isTemplateDigit) { end = fraction }
    if at(end) == "e" || at(end) == "E" {
      let hasSign = at(end + 1) == "+" || at(end + 1) == "-"
      if let exponent = digitsEnd(end + (hasSign ? 2 : 1), \.isTemplateDigit) { return exponent }
    }
    return end > whole ? end : nil
  }

  mutating func readNumber(mayBeFloat: Bool) throws(TinctureError) {
    if mayBeFloat, let end = floatEnd() {
      guard let value = Double(plain(position..<end)), value.isFinite else {
        throw TemplateFault.unsupported.at(line, "a number beyond the range of floats")
      }
      append(.float(value))
      return advance(to: end)
    }
    var radix = 10
    var start = position
    var end: Int?
    if source[position] == "0" {
      switch at(position + 1) {
      case "x", "X": radix = 16
      case "o", "O": radix = 8
      case "b", "B": radix = 2
      default: end = digitsEnd(position) { $0 == "0" }
      }
      if radix != 10 {
        start += at(position + 2) == "_" ? 3 : 2
        end = digitsEnd(start) { Int(String($0), radix: radix) != nil }
        // Not such a number: a lone zero, and whatever follows is the parser's to refuse.
        if end == nil { (radix, start, end) = (10, position, position + 1) }
      }
    } else {
      end = digitsEnd(position, \.isTemplateDigit)
    }
    guard let end, let value = Int(plain(start..<end), radix: radix) else {
      throw TemplateFault.unsupported.at(line, "a number beyond 64 bits")
    }
    append(.integer(value))
    advance(to: end)
  }

  private func plain(_ range: Range<Int>) -> String {
    TemplateText(source[range].filter { $0 != "_" }).string
  }

  mutating func readString(quote: Unicode.Scalar) throws(TinctureError) {
    var end = position + 1
    while let scalar = at(end), scalar != quote { end += scalar == "\\" ? 2 : 1 }
    guard end < source.count else {
      throw TemplateFault.syntax.at(line, "a string without end")
    }
    append(.string(try unescaped(position + 1..<end)))
    advance(to: end + 1)
  }

  /// The text between quotes with Python's escapes resolved; an unknown escape stands for itself.
  private func unescaped(_ range: Range<Int>) throws(TinctureError) -> TemplateText {
    var result: TemplateText = []
    var index = range.lowerBound
    while index < range.upperBound {
      let scalar = source[index]
      index += 1
      guard scalar == "\\" else {
        result.append(scalar)
        continue
      }
      let escape = source[index]
      index += 1
      switch escape {
      case "\n": break
      case "\\", "'", "\"": result.append(escape)
      case "a": result.append("\u{7}")
      case "b": result.append("\u{8}")
      case "f": result.append("\u{C}")
      case "n": result.append("\n")
      case "r": result.append("\r")
      case "t": result.append("\t")
      case "v": result.append("\u{B}")
      case "0"..."7":
        var value = escape.value - 48
        var digits = 1
        while digits < 3, index < range.upperBound, ("0"..."7").contains(source[index]) {
          value = value * 8 + source[index].value - 48
          index += 1
          digits += 1
        }
        result.append(try scalarOf(value))
      case "x": result.append(try hexadecimal(&index, range.upperBound, 2))
      case "u": result.append(try hexadecimal(&index, range.upperBound, 4))
      case "U": result.append(try hexadecimal(&index, range.upperBound, 8))
      case "N":
        throw TemplateFault.unsupported.at(line, "a character by its name in a string")
      default:
        result.append("\\")
        // Jinja spells what is beyond ASCII as an escape first, and the backslash takes that escape's own.
        result += escape.isASCII ? [escape] : TemplateText(TemplateLexer.escape(escape))
      }
    }
    return result
  }

  private static func escape(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    let (letter, width) =
      scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
    return letter + String(repeating: "0", count: width - digits.utf8.count) + digits
  }

  private func scalarOf(_ value: UInt32) throws(TinctureError) -> Unicode.Scalar {
    guard let scalar = Unicode.Scalar(value) else {
      throw TemplateFault.unsupported.at(line, "an escape that is no character in a string")
    }
    return scalar
  }

  private func hexadecimal(
    _ index: inout Int, _ end: Int, _ count: Int
  ) throws(TinctureError) -> Unicode.Scalar {
    let digits = source[index..<min(end, index + count)]
    guard digits.count == count, digits.allSatisfy({ $0.isASCII && $0.properties.isASCIIHexDigit }),
      let value = UInt32(TemplateText(digits).string, radix: 16)
    else { throw TemplateFault.syntax.at(line, "an escape cut short in a string") }
    index += count
    return try scalarOf(value)
  }
}
