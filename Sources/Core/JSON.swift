/// A node of a parsed JSON document (RFC 8259); a small value that shares the document.
///
/// Own scanner because the file is evidence: key order, byte offsets and duplicate keys must survive parsing.
/// Cost: one pass, 16 bytes a node beside the file's bytes.
package struct JSON: Sendable {
  package enum Mode: Sendable {
    /// RFC 8259, UTF-8, no duplicate keys, nothing after the value.
    case strict
    /// Also comments, trailing commas and unquoted keys, for the files of `formats/`.
    case lenient
  }

  package enum Kind: String, Sendable {
    case null, bool, number, string, array, object
  }

  let document: JSONDocument
  let index: Int

  /// Parses `bytes`.
  ///
  /// - Parameters:
  ///   - file: its path, for errors.
  ///   - code: first part of the codes of every error of this document.
  ///   - advice: what an error advises; nil: for a strict text to download or copy it again.
  /// - Throws: `CODE.syntax`, `CODE.utf8`, `CODE.depth`, `CODE.duplicateKey`, each with the byte offset.
  package static func parse(
    _ bytes: [UInt8], file: String?, mode: Mode = .strict, code: String = "json",
    advice: String? = nil
  ) throws(TinctureError) -> JSON {
    var parser = JSONParser(mode: mode, file: file, code: code, advice: advice)
    let nodes = try parser.parse(bytes)
    return JSON(
      document: JSONDocument(bytes: bytes, nodes: nodes, file: file, code: code), index: 0)
  }

  var node: JSONNode { document.nodes[index] }

  package var kind: Kind { node.kind }
  package var byteOffset: UInt64 { UInt64(node.start) }
  /// Number of elements of an array or members of an object, else 0.
  package var count: Int { node.count }

  /// Array elements in file order; empty when this is no array.
  package var elements: Elements {
    Elements(document: document, first: index + 1, count: kind == .array ? count : 0)
  }

  /// Object members in file order; empty when this is no object.
  package var members: Members {
    Members(document: document, first: index + 1, count: kind == .object ? count : 0)
  }

  /// The member named `key`, nil when absent or when this is no object. Cost: linear in the members.
  package subscript(_ key: String) -> JSON? {
    for (name, value) in members where name.equals(key) { return value }
    return nil
  }

  /// The member named `key` unless it is absent or null.
  package func present(_ key: String) -> JSON? {
    guard let value = self[key], value.kind != .null else { return nil }
    return value
  }

  /// The member named `key`.
  ///
  /// - Throws: `CODE.type` when this is no object, `CODE.missing` when there is no such member.
  package func member(_ key: String) throws(TinctureError) -> JSON {
    guard kind == .object else { throw wrongType(.object) }
    guard let value = self[key] else {
      throw error("missing", "the member \"\(key)\" is missing")
    }
    return value
  }

  /// The way from the root, `text_config.layer_types[3]`; empty for the root. Cost: linear in the document.
  package var path: String {
    var text = ""
    var current = 0
    descent: while current != index {
      let node = document.nodes[current]
      var child = current + 1
      for position in 0..<node.count {
        let value = node.kind == .object ? child + 1 : child
        let end = Int(document.nodes[value].next)
        guard index < end else {
          child = end
          continue
        }
        if node.kind == .object {
          text += (text.isEmpty ? "" : ".") + JSON(document: document, index: child).displayText
          if index == child { return text }
        } else {
          text += "[\(position)]"
        }
        current = value
        continue descent
      }
      return text
    }
    return text
  }

  /// An error about this node, with file, byte offset and key path.
  package func error(
    _ code: String, _ message: String, expected: String? = nil, found: String? = nil,
    advice: String? = nil
  ) -> TinctureError {
    let path = path
    return TinctureError(
      .init(document.code + "." + code, .invalidInput), message,
      place: .init(
        file: document.file, byteOffset: byteOffset, key: path.isEmpty ? nil : path),
      expected: expected, found: found, advice: advice)
  }

  func wrongType(_ wanted: Kind) -> TinctureError {
    error("type", "wrong type of value", expected: wanted.rawValue, found: shortText)
  }

  /// The source text, cut to a length fit for a message.
  package var shortText: String {
    let node = node
    let quote = node.kind == .string ? 1 : 0
    let start = Int(node.start)
    let end = min(Int(node.end), start + 60)
    guard node.kind != .array && node.kind != .object else { return "an \(node.kind.rawValue)" }
    var text = String(decoding: document.bytes[start..<end], as: UTF8.self)
    if end < Int(node.end) { text += "…" }
    return quote == 1 ? "\"\(text)\"" : text
  }

  var displayText: String {
    String(decoding: document.bytes[Int(node.start)..<Int(node.end)], as: UTF8.self)
  }
}

/// The parsed text and its nodes in document order; a container's node comes before its children.
final class JSONDocument: Sendable {
  let bytes: [UInt8]
  let nodes: [JSONNode]
  let file: String?
  let code: String

  init(bytes: [UInt8], nodes: [JSONNode], file: String?, code: String) {
    self.bytes = bytes
    self.nodes = nodes
    self.file = file
    self.code = code
  }
}

struct JSONNode: Sendable {
  /// Byte range of the text; a string's is what stands between the quotes.
  var start: UInt32
  var end: UInt32
  /// Index of the first node after this one's subtree.
  var next: UInt32
  /// Kind in bits 0–2, escapes in bit 3, child count above.
  private var info: UInt32

  init(kind: JSON.Kind, start: Int, end: Int, next: Int, count: Int = 0, escaped: Bool = false) {
    self.start = UInt32(truncatingIfNeeded: start)
    self.end = UInt32(truncatingIfNeeded: end)
    self.next = UInt32(truncatingIfNeeded: next)
    let number: UInt32 =
      switch kind {
      case .null: 0
      case .bool: 1
      case .number: 2
      case .string: 3
      case .array: 4
      case .object: 5
      }
    info = number | (escaped ? 8 : 0) | UInt32(truncatingIfNeeded: count) << 4
  }

  var kind: JSON.Kind {
    switch info & 7 {
    case 0: .null
    case 1: .bool
    case 2: .number
    case 3: .string
    case 4: .array
    default: .object
    }
  }
  var isEscaped: Bool { info & 8 != 0 }
  var count: Int { Int(info >> 4) }
}

extension JSON {
  package struct Elements: Sequence, IteratorProtocol, Sendable {
    let document: JSONDocument
    var first: Int
    package fileprivate(set) var count: Int

    package mutating func next() -> JSON? {
      guard count > 0 else { return nil }
      count -= 1
      defer { first = Int(document.nodes[first].next) }
      return JSON(document: document, index: first)
    }
  }

  package struct Members: Sequence, IteratorProtocol, Sendable {
    let document: JSONDocument
    var first: Int
    package fileprivate(set) var count: Int

    package mutating func next() -> (key: JSON, value: JSON)? {
      guard count > 0 else { return nil }
      count -= 1
      let key = JSON(document: document, index: first)
      let value = JSON(document: document, index: first + 1)
      first = Int(document.nodes[first + 1].next)
      return (key, value)
    }
  }
}
