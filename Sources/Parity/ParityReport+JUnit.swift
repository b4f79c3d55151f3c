import TinctureCore

extension ParityReport {
  /// JUnit XML as continuous integrations read it: one test case a limit and one a reading check,
  /// then the notes, a line each; UTF-8.
  ///
  /// - Parameter seconds: how long the comparison took.
  package func junit(seconds: Double) -> [UInt8] {
    let time = Figure.fixed(max(0, seconds), 3)
    let failures = verdict.failed.count + reading.filter { $0.result == .fails }.count
    let counts =
      "tests=\"\(verdict.checks.count + reading.count)\" failures=\"\(failures)\" errors=\"0\" "
      + "skipped=\"\(reading.filter { $0.result == .notChecked }.count)\" time=\"\(time)\""
    var lines = [
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
      "<testsuites \(counts)>",
      "  <testsuite name=\"\(Markup.escaped("tincture verify " + candidate.modelName))\" \(counts)>",
      "    <properties>",
    ]
    for (name, value) in [
      ("reference", reference.path), ("candidate", candidate.path),
      ("arithmetic", candidate.arithmetic), ("tolerance", verdict.toleranceName),
    ] {
      lines.append("      <property name=\"\(name)\" value=\"\(Markup.escaped(value))\"/>")
    }
    lines.append("    </properties>")
    for check in verdict.checks {
      let head =
        "    <testcase classname=\"\(Markup.escaped(verdict.toleranceName))\" name=\"\(Markup.escaped(check.key.title))\""
      let bound = check.key.isFloor ? "at least" : "at most"
      let text =
        "\(Figure.text(check.value, of: check.key)), \(bound) \(Figure.text(check.limit, of: check.key)) is allowed"
        + (check.detail.map { "; \($0)" } ?? "")
      if check.isPassed {
        lines.append("\(head)><system-out>\(Markup.escaped(text))</system-out></testcase>")
      } else {
        lines.append("\(head)><failure message=\"\(Markup.escaped(text))\"/></testcase>")
      }
    }
    lines += reading.map { $0.testCase }
    if !notes.isEmpty {
      let text = notes.map { Markup.escaped($0) }.joined(separator: "\n")
      lines.append("    <system-out>\(text)</system-out>")
    }
    lines += ["  </testsuite>", "</testsuites>"]
    return Array((lines.joined(separator: "\n") + "\n").utf8)
  }
}

extension TinctureError {
  /// JUnit XML of a comparison that was not made: one test case, with this error.
  ///
  /// - Parameters:
  ///   - candidate: the model's path.
  ///   - reference: that of what it was to be held against.
  ///   - seconds: how long it took until the error.
  package func junit(candidate: String, reference: String, seconds: Double) -> [UInt8] {
    let counts =
      "tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"\(Figure.fixed(max(0, seconds), 3))\""
    let facts = facts + [("exit status", "\(ExitStatus(code.kind).rawValue)")]
    let lines = [
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
      "<testsuites \(counts)>",
      "  <testsuite name=\"\(Markup.escaped("tincture verify " + Self.name(candidate)))\" \(counts)>",
      "    <properties>",
      "      <property name=\"reference\" value=\"\(Markup.escaped(reference))\"/>",
      "      <property name=\"candidate\" value=\"\(Markup.escaped(candidate))\"/>",
      "    </properties>",
      "    <testcase classname=\"verify\" name=\"the comparison can be made\">",
      "      <error type=\"\(Markup.escaped(code.name))\" message=\"\(Markup.escaped(message))\">"
        + Markup.escaped(facts.map { "\($0.0): \($0.1)" }.joined(separator: "; ")) + "</error>",
      "    </testcase>",
      "  </testsuite>", "</testsuites>",
    ]
    return Array((lines.joined(separator: "\n") + "\n").utf8)
  }

  /// Where it is, what was expected and found, what to do: what is known of it, with its label.
  var facts: [(label: String, text: String)] {
    var file = place.file
    if let offset = place.byteOffset {
      file = (file.map { $0 + ", " } ?? "") + "byte \(offset)"
    }
    return [
      ("file", file), ("key", place.key), ("tensor", place.tensor),
      ("layer", place.layer.map(String.init)), ("expected", expected), ("found", found),
      ("advice", advice),
    ].compactMap { (label, text) in text.map { (label, $0) } }
  }

  /// The last part of a path.
  static func name(_ path: String) -> String {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return Folder.split(path).name
  }
}

extension ReadingCheck {
  /// Its test case; what was not checked is a skipped one.
  fileprivate var testCase: String {
    let head =
      "    <testcase classname=\"reading\" name=\"\(Markup.escaped(subject.title))\""
    let text = Markup.escaped(detail)
    switch result {
    case .holds: return "\(head)><system-out>\(text)</system-out></testcase>"
    case .differs: return "\(head)><system-out>differs: \(text)</system-out></testcase>"
    case .fails: return "\(head)><failure message=\"\(text)\"/></testcase>"
    case .notChecked: return "\(head)><skipped message=\"\(text)\"/></testcase>"
    }
  }
}

/// Text inside HTML and XML.
enum Markup {
  /// `text` with what could be taken for markup written out, and without characters that XML 1.0 cannot hold.
  static func escaped(_ text: String) -> String {
    var safe = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": safe += "&amp;"
      case "<": safe += "&lt;"
      case ">": safe += "&gt;"
      case "\"": safe += "&quot;"
      case "'": safe += "&#39;"
      case "\t": safe += "&#9;"
      case "\n": safe += "&#10;"
      case "\r": safe += "&#13;"
      case "\u{0}"..<"\u{20}", "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}":
        safe += "\u{FFFD}"
      default: safe.unicodeScalars.append(scalar)
      }
    }
    return safe
  }
}
