import TinctureCore

/// Classes of characters as the parts of the tokenizers library see them, each of its own version of Unicode.
///
/// General categories are those of the standard library; characters that are younger than a part's tables count as
/// unassigned there.
enum UnicodeClasses {
  /// What a regular expression asks about a character.
  struct Flags: OptionSet {
    let rawValue: UInt8
    static let letter = Flags(rawValue: 1)
    static let number = Flags(rawValue: 2)
    static let space = Flags(rawValue: 4)
    static let mark = Flags(rawValue: 8)
    static let word = Flags(rawValue: 16)
  }

  /// `\p{L}`, `\p{N}`, `\p{M}` and `\s` as Oniguruma 6.9.10 has them (Unicode 16), and the regex crate's `\w`.
  static func flags(_ scalar: UInt32) -> Flags {
    scalar < 0x1_0000 ? Flags(rawValue: plane[Int(scalar)]) : Flags(rawValue: compute(scalar))
  }

  /// Flags of U+0000 to U+FFFF; made at the first use, about 5 ms.
  static let plane: [UInt8] = (0..<0x1_0000).map(compute)

  private static func compute(_ scalar: UInt32) -> UInt8 {
    guard let scalar = Unicode.Scalar(scalar) else { return 0 }
    let properties = scalar.properties
    var flags: Flags = []
    if !isYounger(scalar, than: 16) {
      switch properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
        flags = .letter
      case .decimalNumber, .letterNumber, .otherNumber: flags = .number
      case .nonspacingMark, .spacingMark, .enclosingMark: flags = .mark
      default: break
      }
    }
    if properties.isWhitespace { flags.insert(.space) }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
      flags.insert(.word)
    default: if properties.isAlphabetic || properties.isJoinControl { flags.insert(.word) }
    }
    return flags.rawValue
  }

  /// Whether the character came after Unicode `version`.0, or is not assigned at all.
  static func isYounger(_ scalar: Unicode.Scalar, than version: Int) -> Bool {
    guard let age = scalar.properties.age else { return true }
    return age.major > version || age.major == version && age.minor > 0
  }

  // MARK: BERT

  /// Characters that BertNormalizer's clean_text drops: category Cc, Cf or Co, zero and U+FFFD; line ends and tabs stay.
  ///
  /// The categories are Unicode 8's (crate unicode_categories), in which unassigned characters are not dropped.
  static func isDroppedByBert(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 9, 10, 13: return false
    case 0xFFFD: return true
    default: break
    }
    switch scalar.properties.generalCategory {
    case .control, .privateUse: return true
    case .format: return !isYounger(scalar, than: 8)
    default: return false
    }
  }

  /// Characters that BertPreTokenizer sets alone: ASCII's punctuation and symbols, and category P of Unicode 8.
  static func isBertPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: return true
    case 0..<0x80: return false
    // Of category Po in Unicode 8, of another one today.
    case 0x166D, 0x111C9: return true
    default: break
    }
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      return !isYounger(scalar, than: 8)
    default: return false
    }
  }

  /// Category Mn of Unicode 8, which strip_accents removes.
  static func isBertAccent(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    // Of another category in Unicode 8.
    case 0..<0x300, 0x1885, 0x1886, 0xA9BD, 0x111C9: return false
    // Spacing marks today.
    case 0x1734, 0x1171E: return true
    default: break
    }
    return scalar.properties.generalCategory == .nonspacingMark && !isYounger(scalar, than: 8)
  }

  /// The blocks that BertNormalizer sets between spaces. The library's list has 2B920 where Unicode has 2B820.
  static func isBertIdeograph(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F,
      0x2B920...0x2CEAF, 0x2F800...0x2FA1F:
      return true
    default: return false
    }
  }
}

/// Reading scalars from well-formed UTF-8.
enum UTF8Text {
  /// The scalar that starts at `index`, and its length in bytes.
  @inline(__always)
  static func scalar(
    _ bytes: UnsafeBufferPointer<UInt8>, at index: Int
  ) -> (value: UInt32, length: Int) {
    let first = UInt32(bytes[index])
    if first < 0x80 { return (first, 1) }
    let second = UInt32(bytes[index + 1]) & 0x3F
    if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
    let third = UInt32(bytes[index + 2]) & 0x3F
    if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
    let fourth = UInt32(bytes[index + 3]) & 0x3F
    return ((first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4)
  }

  /// The scalar that ends before `index`.
  static func scalar(_ bytes: UnsafeBufferPointer<UInt8>, before index: Int) -> UInt32 {
    var start = index - 1
    while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
    return scalar(bytes, at: start).value
  }

  static func length(_ first: UInt8) -> Int {
    first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
  }

  static func append(_ scalar: UInt32, to bytes: inout [UInt8]) {
    switch scalar {
    case 0..<0x80: bytes.append(UInt8(scalar))
    case 0..<0x800:
      bytes.append(UInt8(0xC0 | scalar >> 6))
      bytes.append(UInt8(0x80 | scalar & 0x3F))
    case 0..<0x1_0000:
      bytes.append(UInt8(0xE0 | scalar >> 12))
      bytes.append(UInt8(0x80 | scalar >> 6 & 0x3F))
      bytes.append(UInt8(0x80 | scalar & 0x3F))
    default:
      bytes.append(UInt8(0xF0 | scalar >> 18 & 0x07))
      bytes.append(UInt8(0x80 | scalar >> 12 & 0x3F))
      bytes.append(UInt8(0x80 | scalar >> 6 & 0x3F))
      bytes.append(UInt8(0x80 | scalar & 0x3F))
    }
  }

  /// Offset of the first byte that is not well-formed UTF-8, nil when all are.
  static func firstFault(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    var index = 0
    let count = bytes.count
    while index < count {
      let first = bytes[index]
      if first < 0x80 {
        index += 1
        continue
      }
      let length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0
      guard length > 0, index + length <= count else { return index }
      for offset in 1..<length where bytes[index + offset] & 0xC0 != 0x80 { return index }
      let second = bytes[index + 1]
      switch first {
      case 0xE0 where second < 0xA0, 0xED where second > 0x9F, 0xF0 where second < 0x90,
        0xF4 where second > 0x8F:
        return index
      default: index += length
      }
    }
    return nil
  }
}
