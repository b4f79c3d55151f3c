import Tincture

/// Numbers and paragraphs as people read them.
enum Text {
  /// `value` with `decimals` digits after the point, rounded half away from zero.
  static func fixed(_ value: Double, _ decimals: Int) -> String {
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = (abs(value) * scale).rounded()
    guard scaled < 9e15 else { return "\(value)" }
    let sign = value < 0 && scaled > 0 ? "-" : ""
    let whole = Int(scaled) / Int(scale)
    guard decimals > 0 else { return sign + String(whole) }
    let fraction = String(Int(scaled) % Int(scale))
    return sign + String(whole) + "."
      + String(repeating: "0", count: decimals - fraction.count) + fraction
  }

  /// Bytes with a decimal unit and three figures: `540 MB`, `1.23 GB`.
  static func bytes(_ count: UInt64) -> String {
    var value = Double(count)
    var unit = "B"
    for next in ["kB", "MB", "GB", "TB"] {
      guard value >= 999.5 else { break }
      value /= 1000
      unit = next
    }
    if unit == "B" { return "\(count) B" }
    return fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + " " + unit
  }

  /// The same of a number that was divided; one that is too large for bytes shows as the largest.
  static func bytes(_ count: Double) -> String {
    bytes(UInt64(exactly: count.rounded(.down)) ?? (count > 0 ? .max : 0))
  }

  /// A duration in seconds.
  static func seconds(_ duration: Duration) -> Double {
    let parts = duration.components
    return Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
  }

  /// A count with its thousands set apart: `268,098,176`.
  static func grouped(_ count: Int) -> String {
    let digits = Array(String(abs(count)))
    var text = count < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return text
  }

  static func padded(_ text: String, _ width: Int, right: Bool = false) -> String {
    let fill = String(repeating: " ", count: max(0, width - text.count))
    return right ? fill + text : text + fill
  }

  /// `text` broken at spaces so that no line passes `width` columns, each line after `indent` spaces.
  static func wrapped(_ text: String, width: Int = 100, indent: Int = 0) -> String {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      if !line.isEmpty, indent + line.count + 1 + word.count > width {
        lines.append(margin + line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    if !line.isEmpty { lines.append(margin + line) }
    return lines.joined(separator: "\n")
  }

  /// Rows of cells in columns; the columns in `rightAligned` end flush.
  static func table(_ rows: [[String]], rightAligned: Set<Int> = [], indent: Int = 0) -> String {
    let columnCount = rows.map(\.count).max() ?? 0
    let widths = (0..<columnCount).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    let margin = String(repeating: " ", count: indent)
    return rows.map { row in
      var line = margin
      for (column, cell) in row.enumerated() {
        let isLast = column == row.count - 1
        line +=
          rightAligned.contains(column)
          ? padded(cell, widths[column], right: true) : isLast ? cell : padded(cell, widths[column])
        if !isLast { line += "  " }
      }
      return line
    }.joined(separator: "\n")
  }
}
