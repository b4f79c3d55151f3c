import TinctureCore

/// The front matter of a model card: the YAML between two lines `---` at the top of README.md.
///
/// A subset of YAML, enough for what cards hold: `key: value`, `key:` with a list of `- value`, `[a, b]`,
/// quotes.
/// Keys with anything else (maps, block texts) are passed over: a card never changes what a model computes.
package struct ModelCard {
  package private(set) var values: [String: [String]] = [:]
  /// Keys whose value was a list.
  private(set) var lists: Set<String> = []

  private static let limit = 16 << 20

  /// The card of `folder`; empty when there is none.
  static func open(folder: String) throws(TinctureError) -> ModelCard {
    let path = Folder.join(folder, "README.md")
    guard Folder.kind(path) == .file else { return ModelCard() }
    let bytes = try InputFile(path: path).contents(limit: limit)
    return ModelCard(String(decoding: bytes, as: UTF8.self))
  }

  init() {}

  package init(_ text: String) {
    var lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)[...]
    guard lines.popFirst() == "---", let end = lines.firstIndex(of: "---") else { return }
    var key: String?
    for line in lines[..<end] {
      let content = line.drop(while: { $0 == " " || $0 == "\t" })
      if content.isEmpty || content.hasPrefix("#") { continue }
      if content.hasPrefix("- ") || content == "-" {
        guard let key, let item = Self.scalar(content.dropFirst(1)) else {
          key.map { _ = values.removeValue(forKey: $0) }
          key = nil
          continue
        }
        lists.insert(key)
        values[key, default: []].append(item)
        continue
      }
      guard content.startIndex == line.startIndex, let colon = content.firstIndex(of: ":") else {
        // Inside a map or a block text: the key's value is none of ours.
        key.map { _ = values.removeValue(forKey: $0) }
        key = nil
        continue
      }
      let name = Self.scalar(content[..<colon]) ?? String(content[..<colon])
      let rest = content[content.index(after: colon)...]
      key = name
      if let list = Self.flowList(rest) {
        lists.insert(name)
        values[name] = list
        key = nil
      } else if let value = Self.scalar(rest) {
        values[name] = [value]
      }
    }
  }

  /// The only value of `key`; nil when absent or a list.
  package func text(_ key: String) -> String? {
    guard !lists.contains(key), let value = values[key], value.count == 1 else { return nil }
    return value[0]
  }

  /// All values of `key`, one or a list.
  package func texts(_ key: String) -> [String]? { values[key] }

  private static func flowList(_ text: Substring) -> [String]? {
    let text = trimmed(text)
    guard text.hasPrefix("["), text.hasSuffix("]"), text.count > 1 else { return nil }
    return text.dropFirst().dropLast().split(separator: ",").compactMap { scalar($0) }
  }

  /// A plain or quoted scalar; nil when it is empty, null or no scalar.
  private static func scalar(_ text: Substring) -> String? {
    var text = trimmed(text)
    guard let first = text.first else { return nil }
    if first == "\"" || first == "'" {
      guard let end = text.dropFirst().firstIndex(of: first) else { return nil }
      return String(text[text.index(after: text.startIndex)..<end])
    }
    if "|>{[&*!".contains(first) { return nil }
    if let comment = text.firstRange(of: " #") { text = trimmed(text[..<comment.lowerBound]) }
    if text.contains(": ") || text.hasSuffix(":") { return nil }
    return text.isEmpty || text == "null" || text == "~" ? nil : String(text)
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var text = text.drop(while: \.isWhitespace)
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
  }
}
