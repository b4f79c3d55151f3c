/// One pass over the bytes; see ``JSON/parse(_:file:mode:code:)``.
struct JSONParser {
  static let depthLimit = 64

  let mode: JSON.Mode
  let file: String?
  let code: String
  let advice: String?
  private var nodes: [JSONNode] = []
  private var position = 0
  private var failure: TinctureError?

  init(mode: JSON.Mode, file: String?, code: String, advice: String?) {
    self.mode = mode
    self.file = file
    self.code = code
    self.advice = advice ?? (mode == .strict ? "download or copy the file again" : nil)
  }

  mutating func parse(_ bytes: [UInt8]) throws(TinctureError) -> [JSONNode] {
    guard bytes.count < Int(UInt32.max) else {
      throw fail("size", "the text is too long", found: "\(bytes.count) bytes")
    }
    let bound = bytes.withUnsafeBufferPointer { JSONParser.nodeBound($0) }
    try located(file: file) { () throws(TinctureError) in
      try Allocation.check(bound * MemoryLayout<JSONNode>.stride, for: "the text's structure")
    }
    var failure: TinctureError?
    bytes.withUnsafeBufferPointer { buffer in
      nodes.reserveCapacity(bound)
      do throws(TinctureError) {
        try skipSpace(buffer)
        try value(buffer, depth: 0)
        try skipSpace(buffer)
        if position != buffer.count { throw fail("syntax", "text after the end of the value") }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return nodes
  }

  /// At least the number of nodes: the root, and one after each comma, colon and opening bracket.
  ///
  /// Reserving them at once keeps the peak at 16 bytes a node, where growing would hold three times that.
  private static func nodeBound(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    var total = 1
    var start = 0
    while start < bytes.count {
      // Small counters let the compiler count sixteen bytes at once.
      let end = min(start + 128, bytes.count)
      var count: UInt8 = 0
      for index in start..<end {
        let byte = bytes[index]
        count &+= byte == UInt8(ascii: ",") || byte == UInt8(ascii: ":") ? 1 : 0
        count &+= byte | 0x20 == UInt8(ascii: "{") ? 1 : 0
      }
      total += Int(count)
      start = end
    }
    return total
  }

  private func fail(
    _ name: String, _ message: String, at offset: Int? = nil, expected: String? = nil,
    found: String? = nil
  ) -> TinctureError {
    TinctureError(
      .init(code + "." + name, .invalidInput), message,
      place: .init(file: file, byteOffset: UInt64(offset ?? position)), expected: expected,
      found: found, advice: advice)
  }

  private func unexpected(_ bytes: UnsafeBufferPointer<UInt8>, expected: String) -> TinctureError {
    guard position < bytes.count else {
      return fail("syntax", "the text ends too early", expected: expected)
    }
    let byte = bytes[position]
    let found =
      byte > 0x20 && byte < 0x7F
      ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x" + String(byte, radix: 16)
    return fail("syntax", "not valid JSON", expected: expected, found: found)
  }

  private mutating func skipSpace(_ bytes: UnsafeBufferPointer<UInt8>) throws(TinctureError) {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      case UInt8(ascii: "/") where mode == .lenient: try skipComment(bytes)
      default: return
      }
    }
  }

  private mutating func skipComment(_ bytes: UnsafeBufferPointer<UInt8>) throws(TinctureError) {
    let start = position
    guard position + 1 < bytes.count else { throw unexpected(bytes, expected: "a value") }
    switch bytes[position + 1] {
    case UInt8(ascii: "/"):
      while position < bytes.count, bytes[position] != 0x0A { position += 1 }
    case UInt8(ascii: "*"):
      position += 2
      while position + 1 < bytes.count {
        if bytes[position] == UInt8(ascii: "*"), bytes[position + 1] == UInt8(ascii: "/") {
          position += 2
          return
        }
        position += 1
      }
      throw fail("syntax", "a comment without end", at: start)
    default: throw unexpected(bytes, expected: "a value")
    }
  }

  private mutating func value(_ bytes: UnsafeBufferPointer<UInt8>, depth: Int)
    throws(TinctureError)
  {
    guard position < bytes.count else { throw unexpected(bytes, expected: "a value") }
    switch bytes[position] {
    case UInt8(ascii: "\""): try string(bytes)
    case UInt8(ascii: "{"): try object(bytes, depth: depth)
    case UInt8(ascii: "["): try array(bytes, depth: depth)
    case UInt8(ascii: "t"): try word("true", .bool, bytes)
    case UInt8(ascii: "f"): try word("false", .bool, bytes)
    case UInt8(ascii: "n"): try word("null", .null, bytes)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number(bytes)
    default: throw unexpected(bytes, expected: "a value")
    }
  }

  private mutating func word(
    _ text: StaticString, _ kind: JSON.Kind, _ bytes: UnsafeBufferPointer<UInt8>
  ) throws(TinctureError) {
    let start = position
    for index in 0..<text.utf8CodeUnitCount {
      guard position < bytes.count, bytes[position] == text.utf8Start[index] else {
        throw unexpected(bytes, expected: "\(text)")
      }
      position += 1
    }
    append(kind, start: start, end: position)
  }

  private mutating func append(_ kind: JSON.Kind, start: Int, end: Int, escaped: Bool = false) {
    nodes.append(
      JSONNode(kind: kind, start: start, end: end, next: nodes.count + 1, escaped: escaped))
  }

  private mutating func number(_ bytes: UnsafeBufferPointer<UInt8>) throws(TinctureError) {
    let start = position
    if bytes[position] == UInt8(ascii: "-") { position += 1 }
    let first = position
    try digits(bytes)
    if bytes[first] == UInt8(ascii: "0"), position > first + 1 {
      position = first
      throw fail("syntax", "a number with a leading zero")
    }
    if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      position += 1
      try digits(bytes)
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < bytes.count,
        bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-")
      {
        position += 1
      }
      try digits(bytes)
    }
    append(.number, start: start, end: position)
  }

  private mutating func digits(_ bytes: UnsafeBufferPointer<UInt8>) throws(TinctureError) {
    let start = position
    while position < bytes.count, bytes[position] &- UInt8(ascii: "0") < 10 { position += 1 }
    if position == start { throw unexpected(bytes, expected: "a digit") }
  }

  private mutating func array(_ bytes: UnsafeBufferPointer<UInt8>, depth: Int)
    throws(TinctureError)
  {
    let start = position
    guard depth < JSONParser.depthLimit else {
      throw fail("depth", "nested too deeply", expected: "at most \(JSONParser.depthLimit) levels")
    }
    let own = nodes.count
    append(.array, start: start, end: start)
    position += 1
    try skipSpace(bytes)
    var count = 0
    if position < bytes.count, bytes[position] == UInt8(ascii: "]") {
      position += 1
    } else {
      while true {
        try value(bytes, depth: depth + 1)
        count += 1
        if try separator(bytes, closing: UInt8(ascii: "]")) { break }
      }
    }
    nodes[own] = JSONNode(
      kind: .array, start: start, end: position, next: nodes.count, count: count)
  }

  /// Passes a comma or the closing bracket (true).
  private mutating func separator(_ bytes: UnsafeBufferPointer<UInt8>, closing: UInt8)
    throws(TinctureError) -> Bool
  {
    try skipSpace(bytes)
    guard position < bytes.count else { throw unexpected(bytes, expected: "',' or the end") }
    if bytes[position] == closing {
      position += 1
      return true
    }
    guard bytes[position] == UInt8(ascii: ",") else {
      throw unexpected(bytes, expected: "',' or '\(Character(Unicode.Scalar(closing)))'")
    }
    position += 1
    try skipSpace(bytes)
    if mode == .lenient, position < bytes.count, bytes[position] == closing {
      position += 1
      return true
    }
    return false
  }

  private mutating func object(_ bytes: UnsafeBufferPointer<UInt8>, depth: Int)
    throws(TinctureError)
  {
    let start = position
    guard depth < JSONParser.depthLimit else {
      throw fail("depth", "nested too deeply", expected: "at most \(JSONParser.depthLimit) levels")
    }
    let own = nodes.count
    append(.object, start: start, end: start)
    position += 1
    try skipSpace(bytes)
    var count = 0
    if position < bytes.count, bytes[position] == UInt8(ascii: "}") {
      position += 1
    } else {
      while true {
        guard position < bytes.count else { throw unexpected(bytes, expected: "a key") }
        if bytes[position] == UInt8(ascii: "\"") {
          try string(bytes)
        } else if mode == .lenient {
          try bareKey(bytes)
        } else {
          throw unexpected(bytes, expected: "a key in quotes")
        }
        try skipSpace(bytes)
        guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else {
          throw unexpected(bytes, expected: "':'")
        }
        position += 1
        try skipSpace(bytes)
        try value(bytes, depth: depth + 1)
        count += 1
        if try separator(bytes, closing: UInt8(ascii: "}")) { break }
      }
    }
    nodes[own] = JSONNode(
      kind: .object, start: start, end: position, next: nodes.count, count: count)
    if count > 1 { try refuseDuplicates(own, bytes) }
  }

  private mutating func bareKey(_ bytes: UnsafeBufferPointer<UInt8>) throws(TinctureError) {
    let start = position
    while position < bytes.count {
      let byte = bytes[position]
      let isLetter = (byte | 0x20) &- UInt8(ascii: "a") < 26
      let isDigit = byte &- UInt8(ascii: "0") < 10
      guard isLetter || byte == UInt8(ascii: "_") || (isDigit && position > start) else { break }
      position += 1
    }
    if position == start { throw unexpected(bytes, expected: "a key") }
    append(.string, start: start, end: position)
  }

  private mutating func string(_ bytes: UnsafeBufferPointer<UInt8>) throws(TinctureError) {
    position += 1
    let start = position
    var escaped = false
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        append(.string, start: start, end: position, escaped: escaped)
        position += 1
        return
      }
      if byte == UInt8(ascii: "\\") {
        escaped = true
        guard let length = JSONText.escapeLength(bytes, at: position) else {
          throw fail("syntax", "not a valid escape in a string")
        }
        position += length
      } else if byte < 0x20 {
        throw fail("syntax", "a control character in a string", found: "byte \(byte)")
      } else if byte < 0x80 {
        position += 1
      } else {
        guard let length = JSONText.scalarLength(bytes, at: position) else {
          throw fail("utf8", "not valid UTF-8")
        }
        position += length
      }
    }
    throw fail("syntax", "a string without end", at: start - 1)
  }

  /// Compares the keys of the object at node `own` as the characters they mean, escapes resolved.
  private func refuseDuplicates(_ own: Int, _ bytes: UnsafeBufferPointer<UInt8>)
    throws(TinctureError)
  {
    let count = nodes[own].count
    var capacity = 4
    while capacity < count * 2 { capacity *= 2 }
    var table = [UInt32](repeating: 0, count: capacity)
    var key = own + 1
    for _ in 0..<count {
      let node = nodes[key]
      var hasher = Hasher()
      if node.isEscaped {
        JSONText.unescaped(bytes, node).withUnsafeBytes { hasher.combine(bytes: $0) }
      } else {
        hasher.combine(
          bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[node.range]))
      }
      var slot = hasher.finalize() & (capacity - 1)
      while table[slot] != 0 {
        if sameText(nodes[Int(table[slot])], node, bytes) {
          throw fail(
            "duplicateKey", "a key stands twice in one object", at: Int(node.start),
            found: String(decoding: bytes[node.range], as: UTF8.self))
        }
        slot = (slot + 1) & (capacity - 1)
      }
      table[slot] = UInt32(key)
      key = Int(nodes[key + 1].next)
    }
  }

  private func sameText(_ a: JSONNode, _ b: JSONNode, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    if a.isEscaped || b.isEscaped {
      return JSONText.unescaped(bytes, a) == JSONText.unescaped(bytes, b)
    }
    guard a.range.count == b.range.count else { return false }
    for offset in 0..<a.range.count
    where bytes[Int(a.start) + offset] != bytes[Int(b.start) + offset] {
      return false
    }
    return true
  }
}

extension JSONNode {
  var range: Range<Int> { Int(start)..<Int(end) }
}
