import TinctureCore

/// An object of a file in `formats/` that is read strictly: members that nobody asked for are errors.
struct FormatObject {
  let node: JSON
  private var seen: Set<String> = []

  init(_ node: JSON) throws(TinctureError) {
    _ = try node.object()
    self.node = node
  }

  /// The member, nil when absent (null is a value).
  mutating func optional(_ key: String) -> JSON? {
    seen.insert(key)
    return node[key]
  }

  mutating func required(_ key: String) throws(TinctureError) -> JSON {
    seen.insert(key)
    return try node.member(key)
  }

  mutating func strings(_ key: String) throws(TinctureError) -> [String] {
    guard let list = optional(key) else { return [] }
    var texts: [String] = []
    for element in try list.array() { texts.append(try element.string()) }
    return texts
  }

  mutating func pattern(_ key: String) throws(TinctureError) -> NamePattern? {
    guard let member = optional(key) else { return nil }
    return try Self.pattern(member)
  }

  /// One pattern or a list of them.
  mutating func patterns(_ key: String) throws(TinctureError) -> [NamePattern] {
    guard let member = optional(key) else { return [] }
    guard member.kind == .array else { return [try Self.pattern(member)] }
    var patterns: [NamePattern] = []
    for element in member.elements { patterns.append(try Self.pattern(element)) }
    return patterns
  }

  private static func pattern(_ node: JSON) throws(TinctureError) -> NamePattern {
    guard let pattern = NamePattern(try node.string()) else {
      throw node.error(
        "pattern", "not a name pattern", expected: "at most one {i}, {rest} only at the end",
        found: node.shortText)
    }
    return pattern
  }

  /// A word of a closed vocabulary.
  mutating func word<W: RawRepresentable & CaseIterable>(
    _ key: String, _ type: W.Type
  ) throws(TinctureError) -> W? where W.RawValue == String {
    guard let member = optional(key) else { return nil }
    return try Self.word(member, type)
  }

  static func word<W: RawRepresentable & CaseIterable>(
    _ node: JSON, _ type: W.Type
  ) throws(TinctureError) -> W where W.RawValue == String {
    guard let word = W(rawValue: try node.string()) else {
      throw node.error(
        "word", "not a word of the vocabulary",
        expected: W.allCases.map(\.rawValue).joined(separator: ", "), found: node.shortText)
    }
    return word
  }

  mutating func flag(_ key: String) throws(TinctureError) -> Bool {
    try optional(key)?.bool() ?? false
  }

  /// Throws when a member was never asked for.
  func finish() throws(TinctureError) {
    for (key, _) in node.members {
      let name = try key.string()
      guard seen.contains(name) else {
        throw key.error(
          "unknownKey", "unknown key", expected: seen.sorted().joined(separator: ", "), found: name)
      }
    }
  }
}
