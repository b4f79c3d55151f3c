import Tincture

/// Understands the values of options.
enum ValueParser {
  /// A count from `least` to `limit`.
  static func count(
    _ text: String, option: String, from least: Int = 1, limit: Int
  ) throws(TinctureError) -> Int {
    guard !text.isEmpty,
      text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let value = Int(text), value >= least, value <= limit
    else {
      throw TinctureError(
        .init("argument.count", .usage), "--\(option) is not a possible number",
        expected: "a whole number from \(least) to \(limit)", found: "'\(text)'",
        advice: "give --\(option) a number in digits, such as \(max(least, min(limit, 16)))")
    }
    return value
  }

  /// A size in bytes: digits, perhaps a fraction, and a unit. `K M G T` and `KiB MiB GiB TiB` count in
  /// 1024s, `KB MB GB TB` in 1000s; no unit or `B` is bytes.
  static func size(_ text: String, option: String) throws(TinctureError) -> UInt64 {
    let wrong = TinctureError(
      .init("argument.size", .usage), "--\(option) is not a size",
      expected: "a number with a unit: 512M, 1.5G (1024s), 2GB (1000s)", found: "'\(text)'")
    var number = 0.0
    var divisor = 0.0
    var digits = 0
    var rest = text.utf8[...]
    while let byte = rest.first {
      if byte == UInt8(ascii: "."), divisor == 0, digits > 0 {
        divisor = 1
      } else if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), digits < 15 {
        number = number * 10 + Double(byte - UInt8(ascii: "0"))
        divisor *= 10
        digits += 1
      } else {
        break
      }
      rest = rest.dropFirst()
    }
    guard digits > 0, divisor != 1 else { throw wrong }
    if divisor > 0 { number /= divisor }
    let unit = String(decoding: rest, as: UTF8.self).uppercased()
    guard let factor = units[unit] else { throw wrong }
    let bytes = (number * factor).rounded()
    guard bytes >= 1, bytes < 9e18 else { throw wrong }
    return UInt64(bytes)
  }

  private static let units: [String: Double] = {
    var units: [String: Double] = ["": 1, "B": 1]
    for (index, letter) in ["K", "M", "G", "T"].enumerated() {
      var binary = 1.0
      var decimal = 1.0
      for _ in 0...index {
        binary *= 1024
        decimal *= 1000
      }
      units[letter] = binary
      units[letter + "IB"] = binary
      units[letter + "B"] = decimal
    }
    return units
  }()

  /// The path of a file to write. `-`, which other programs take for standard output, is none: an output appears under
  /// its name only when it is whole.
  static func output(_ path: String, option: String) throws(TinctureError) -> String {
    guard path != "-" else {
      throw TinctureError(
        .init("argument.output", .usage), "--\(option) cannot be standard output",
        expected: "the name of a file, which appears only when it is whole", found: "'-'",
        advice: "name a file; one that is called - is ./-")
    }
    return path
  }

  /// One of `choices`, letter case ignored.
  static func choice(_ text: String, option: String, among choices: [String]) throws(TinctureError)
    -> String
  {
    let wanted = text.lowercased()
    if let found = choices.first(where: { $0.lowercased() == wanted }) { return found }
    throw TinctureError(
      .init("argument.choice", .usage), "--\(option) is none of its choices",
      expected: choices.joined(separator: " "), found: "'\(text)'",
      advice: Nearest.name(to: wanted, among: choices).map { "did you mean \($0)?" }
        ?? "give --\(option) one of them")
  }

  /// A format's name, `q4_k` or `Q4_K`.
  static func format(_ text: String, option: String) throws(TinctureError) -> BlockFormat {
    let names = BlockFormat.all.map { $0.name.lowercased() }
    let name = try choice(text, option: option, among: names)
    guard let format = BlockFormat.named(name) else {
      throw TinctureError(
        .init("argument.choice", .internalError), "the format \(name) is listed but not known")
    }
    return format
  }
}
