import TinctureCore

/// How a byte-level BPE cuts text into words: the regular expressions of GPT-2's family, each written out as a scanner.
///
/// Every pattern of the family matches every character, so its matches are the words. The names are those of
/// `formats/pretokenizers`.
struct WordPattern: Sendable, Hashable {
  enum Contractions: Sendable, Hashable { case none, lowercase, anyCase }

  let contractions: Contractions
  /// What may stand before letters: any character but line ends, letters and numbers; else only a space.
  let anyBeforeLetters: Bool
  /// Whether marks are letters.
  let marksAreLetters: Bool
  /// Most digits in a word.
  let digitLimit: Int
  /// Whether a space may stand before digits.
  let spaceBeforeDigits: Bool
  /// Whether line ends after punctuation belong to it, and white space ends after its last line end.
  let keepsLineEnds: Bool

  /// The pattern of a cut; nil when there is no scanner for it.
  static func named(_ name: String) -> WordPattern? {
    switch name {
    case "gpt2":
      WordPattern(
        contractions: .lowercase, anyBeforeLetters: false, marksAreLetters: false,
        digitLimit: .max, spaceBeforeDigits: true, keepsLineEnds: false)
    case "llama3": modern(.anyCase, digits: 3)
    case "qwen2": modern(.anyCase, digits: 1)
    case "qwen35": modern(.anyCase, digits: 1, marks: true)
    case "minicpm5": modern(.anyCase, digits: .max)
    case "ufakzeka": modern(.none, digits: 1)
    default: nil
    }
  }

  private static func modern(
    _ contractions: Contractions, digits: Int, marks: Bool = false
  ) -> WordPattern {
    WordPattern(
      contractions: contractions, anyBeforeLetters: true, marksAreLetters: marks,
      digitLimit: digits, spaceBeforeDigits: false, keepsLineEnds: true)
  }

  /// Where the word that starts at `start` ends.
  func end(_ text: UnsafeBufferPointer<UInt8>, from start: Int, _ plane: UnsafePointer<UInt8>)
    -> Int
  {
    var scan = Scan(text: text, plane: plane, marksAreLetters: marksAreLetters)
    let first = text[start]
    if contractions != .none, first == UInt8(ascii: "'"), let end = contraction(text, start + 1) {
      return end
    }
    let (kind, next) = scan.kind(start)
    if kind == .letter { return scan.skip(.letter, from: next) }
    let mayLead =
      anyBeforeLetters
      ? kind != .number && first != 0x0A && first != 0x0D : first == 0x20
    if mayLead, next < text.count {
      let (second, after) = scan.kind(next)
      if second == .letter { return scan.skip(.letter, from: after) }
      if first == 0x20 {
        if second == .number, spaceBeforeDigits { return digits(&scan, from: next) }
        if second == .other { return punctuation(&scan, from: after) }
      }
    }
    switch kind {
    case .number: return digits(&scan, from: start)
    case .other: return punctuation(&scan, from: next)
    case .letter, .space: return space(&scan, from: start)
    }
  }

  /// `s`, `t`, `re`, `ve`, `m`, `ll`, `d` after an apostrophe.
  private func contraction(_ text: UnsafeBufferPointer<UInt8>, _ index: Int) -> Int? {
    guard index < text.count else { return nil }
    let fold: UInt8 = contractions == .anyCase ? 0x20 : 0
    let first = text[index] | (text[index] < 0x80 ? fold : 0)
    let second = index + 1 < text.count ? text[index + 1] | (text[index + 1] < 0x80 ? fold : 0) : 0
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return index + 1
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return second == UInt8(ascii: "e") ? index + 2 : nil
    case UInt8(ascii: "l"): return second == UInt8(ascii: "l") ? index + 2 : nil
    case 0xC5:
      // The long s is an s when case does not count.
      return contractions == .anyCase && index + 1 < text.count && text[index + 1] == 0xBF
        ? index + 2 : nil
    default: return nil
    }
  }

  private func digits(_ scan: inout Scan, from start: Int) -> Int {
    var index = start
    var count = 0
    while index < scan.text.count, count < digitLimit {
      let (kind, next) = scan.kind(index)
      guard kind == .number else { break }
      index = next
      count += 1
    }
    return index
  }

  private func punctuation(_ scan: inout Scan, from start: Int) -> Int {
    var index = scan.skip(.other, from: start)
    if keepsLineEnds {
      while index < scan.text.count, scan.text[index] == 0x0A || scan.text[index] == 0x0D {
        index += 1
      }
    }
    return index
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`, the first part only where line ends are kept.
  private func space(_ scan: inout Scan, from start: Int) -> Int {
    var index = start
    var last = start
    var lineEnd: Int?
    while index < scan.text.count {
      let (kind, next) = scan.kind(index)
      guard kind == .space else { break }
      if scan.text[index] == 0x0A || scan.text[index] == 0x0D { lineEnd = next }
      last = index
      index = next
    }
    if keepsLineEnds, let lineEnd { return lineEnd }
    // The last one belongs to the word that follows.
    return index == scan.text.count || last == start ? index : last
  }

  struct Scan {
    enum Kind { case letter, number, space, other }

    let text: UnsafeBufferPointer<UInt8>
    let plane: UnsafePointer<UInt8>
    let marksAreLetters: Bool

    /// The kind of the character at `index`, and where the next one starts.
    @inline(__always)
    func kind(_ index: Int) -> (kind: Kind, next: Int) {
      let (scalar, length) = UTF8Text.scalar(text, at: index)
      let flags =
        scalar < 0x1_0000
        ? UnicodeClasses.Flags(rawValue: plane[Int(scalar)]) : UnicodeClasses.flags(scalar)
      let next = index + length
      if flags.contains(.letter) || marksAreLetters && flags.contains(.mark) {
        return (.letter, next)
      }
      if flags.contains(.number) { return (.number, next) }
      return (flags.contains(.space) ? .space : .other, next)
    }

    func skip(_ wanted: Kind, from start: Int) -> Int {
      var index = start
      while index < text.count {
        let (kind, next) = kind(index)
        guard kind == wanted else { break }
        index = next
      }
      return index
    }
  }
}

/// A cut of text, before or instead of a ``WordPattern``: numbers set apart.
enum WordCut: Sendable, Hashable {
  case words(WordPattern)
  /// Runs of at most so many digits stand alone.
  case digits(limit: Int)

  /// What is carried out, for errors.
  static let supported =
    "the cuts of GPT-2, Llama 3, Qwen 2, Qwen 3.5, MiniCPM 5 and ufakzeka, with or without numbers apart"

  static func named(_ name: String) -> WordCut? {
    switch name {
    case "digit": .digits(limit: 1)
    case "upTo3Digits": .digits(limit: 3)
    case "digits": .digits(limit: .max)
    default: WordPattern.named(name).map(WordCut.words)
    }
  }

  /// The pieces of `range` of `text`, in order.
  func pieces(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> [Range<Int>] {
    var pieces: [Range<Int>] = []
    let part = UnsafeBufferPointer(rebasing: text[range])
    UnicodeClasses.plane.withUnsafeBufferPointer { plane in
      guard let plane = plane.baseAddress else { return }
      var index = 0
      switch self {
      case .words(let pattern):
        while index < part.count {
          let end = pattern.end(part, from: index, plane)
          pieces.append(range.lowerBound + index..<range.lowerBound + end)
          index = end
        }
      case .digits(let limit):
        let scan = WordPattern.Scan(text: part, plane: plane, marksAreLetters: false)
        while index < part.count {
          let start = index
          var count = 0
          let isNumber = scan.kind(index).kind == .number
          while index < part.count, count < limit || !isNumber {
            let (kind, next) = scan.kind(index)
            guard (kind == .number) == isNumber else { break }
            index = next
            count += 1
          }
          pieces.append(range.lowerBound + start..<range.lowerBound + index)
        }
      }
    }
    return pieces
  }
}
