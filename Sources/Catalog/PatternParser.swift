import TinctureCore

/// Recursive descent over a pattern's bytes, and the automaton made of its tree.
struct PatternParser {
  indirect enum Node {
    case empty
    case byte(ByteClass)
    case assertion(TensorPattern.Assertion)
    case sequence([Node])
    case choice([Node])
    /// At least `least` times, at most `most` (no end when nil).
    case repeated(Node, least: Int, most: Int?)
  }

  /// How deep groups may nest.
  private static let deepest = 50

  private let bytes: [UInt8]
  private let text: String
  private var position = 0
  private var depth = 0

  init(_ bytes: [UInt8], text: String) {
    self.bytes = bytes
    self.text = text
  }

  /// Parses the whole pattern.
  mutating func parse() throws(TinctureError) -> Node {
    guard bytes.count <= TensorPattern.longest else {
      throw error("longer than \(TensorPattern.longest) bytes")
    }
    guard !bytes.isEmpty else { throw error("empty: it would match every tensor") }
    let node = try choice()
    guard position == bytes.count else { throw error("a ) without its (") }
    return node
  }

  private func error(_ problem: String) -> TinctureError {
    TinctureError(
      .init("override.pattern", .usage), "the pattern \"\(text)\" is wrong: \(problem)",
      found: "at character \(characterNumber)")
  }

  /// The place in the pattern, counted from 1 as people do.
  private var characterNumber: Int {
    String(decoding: bytes.prefix(position), as: UTF8.self).count + 1
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard peek == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func choice() throws(TinctureError) -> Node {
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(TinctureError) -> Node {
    var nodes: [Node] = []
    while let byte = peek, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
      let atom = try atom()
      nodes.append(try repetition(of: atom))
    }
    return nodes.isEmpty ? .empty : .sequence(nodes)
  }

  private mutating func atom() throws(TinctureError) -> Node {
    guard let byte = peek else { return .empty }
    position += 1
    switch byte {
    case UInt8(ascii: "."): return .byte(.any)
    case UInt8(ascii: "^"): return .assertion(.start)
    case UInt8(ascii: "$"): return .assertion(.end)
    case UInt8(ascii: "("): return try group()
    case UInt8(ascii: "["): return .byte(try characterClass())
    case UInt8(ascii: "\\"): return try escape()
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"):
      position -= 1
      throw error("nothing to repeat")
    default: return .byte(literal(byte))
    }
  }

  private func literal(_ byte: UInt8) -> ByteClass {
    var set = ByteClass()
    set.insertFolded(byte)
    return set
  }

  private mutating func group() throws(TinctureError) -> Node {
    depth += 1
    guard depth <= Self.deepest else { throw error("groups are nested too deep") }
    if take("?"), !take(":") { throw unsupportedGroup() }
    let node = try choice()
    guard take(")") else { throw error("a ( without its )") }
    depth -= 1
    return node
  }

  /// What stands after `(?` and is not carried out.
  private func unsupportedGroup() -> TinctureError {
    switch peek {
    case UInt8(ascii: "="), UInt8(ascii: "!"): return error("look-ahead is not supported")
    case UInt8(ascii: "<"): return error("look-behind and named groups are not supported")
    default:
      return error("settings such as (?i) are not supported; letters match in either case anyway")
    }
  }

  private mutating func repetition(of node: Node) throws(TinctureError) -> Node {
    var least = 0
    var most: Int?
    if take("*") {
    } else if take("+") {
      least = 1
    } else if take("?") {
      most = 1
    } else if take("{") {
      least = try number()
      if take(",") {
        if let byte = peek, byte != UInt8(ascii: "}") { most = try number() }
      } else {
        most = least
      }
      guard take("}") else { throw error("a { without its }") }
      if let most, most < least { throw error("the repetition counts downwards") }
    } else {
      return node
    }
    if case .assertion = node { throw error("nothing to repeat") }
    // A lazy repetition finds the same names.
    _ = take("?")
    if let byte = peek, [UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "{")].contains(byte) {
      throw error("nothing to repeat")
    }
    return .repeated(node, least: least, most: most)
  }

  private mutating func number() throws(TinctureError) -> Int {
    var value = 0
    let first = position
    while let byte = peek, ByteClass.digit.contains(byte) {
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
      guard value <= 1000 else { throw error("a repetition beyond 1000") }
      position += 1
    }
    guard position > first else { throw error("a repetition needs a number") }
    return value
  }

  private mutating func escape() throws(TinctureError) -> Node {
    switch peek {
    case UInt8(ascii: "b"):
      position += 1
      return .assertion(.wordBoundary)
    case UInt8(ascii: "B"):
      position += 1
      return .assertion(.noWordBoundary)
    default: return .byte(try escapedClass())
    }
  }

  /// What stands after a backslash, inside a class or outside.
  private mutating func escapedClass() throws(TinctureError) -> ByteClass {
    guard let byte = peek else { throw error("a \\ at the end") }
    position += 1
    switch byte {
    case UInt8(ascii: "d"): return .digit
    case UInt8(ascii: "D"): return ByteClass.digit.inverted
    case UInt8(ascii: "w"): return .word
    case UInt8(ascii: "W"): return ByteClass.word.inverted
    case UInt8(ascii: "s"): return .space
    case UInt8(ascii: "S"): return ByteClass.space.inverted
    default:
      guard !ByteClass.word.contains(byte) else {
        position -= 1
        throw error("\\\(Unicode.Scalar(byte)) is not supported")
      }
      return literal(byte)
    }
  }

  private mutating func characterClass() throws(TinctureError) -> ByteClass {
    let isNegated = take("^")
    var set = ByteClass()
    while true {
      guard let byte = peek else { throw error("a [ without its ]") }
      position += 1
      if byte == UInt8(ascii: "]") { break }
      if byte == UInt8(ascii: "\\") {
        set.formUnion(try escapedClass())
        continue
      }
      if byte == UInt8(ascii: "["), let next = peek, ":.=".utf8.contains(next) {
        throw error("named classes are not supported")
      }
      guard take("-") else {
        set.insertFolded(byte)
        continue
      }
      guard let last = peek, last != UInt8(ascii: "]") else {
        set.insertFolded(byte)
        set.insert(UInt8(ascii: "-"))
        continue
      }
      position += 1
      guard last != UInt8(ascii: "\\"), byte <= last else {
        throw error("a range runs backwards or ends in \\")
      }
      for value in byte...last { set.insertFolded(value) }
    }
    return isNegated ? set.inverted : set
  }

  /// Adds the states of `node` that lead to state `next`; returns the one to enter by.
  func compile(
    _ node: Node, into states: inout [TensorPattern.State], next: Int
  ) throws(TinctureError) -> Int {
    func add(_ state: TensorPattern.State) throws(TinctureError) -> Int {
      guard states.count < TensorPattern.mostStates else {
        throw error("its repetitions make it too large")
      }
      states.append(state)
      return states.count - 1
    }
    switch node {
    case .empty: return next
    case .byte(let set): return try add(.byte(set, next: next))
    case .assertion(let assertion): return try add(.assertion(assertion, next: next))
    case .sequence(let nodes):
      var entry = next
      for node in nodes.reversed() { entry = try compile(node, into: &states, next: entry) }
      return entry
    case .choice(let nodes):
      var entry = try compile(nodes[nodes.count - 1], into: &states, next: next)
      for node in nodes.dropLast().reversed() {
        entry = try add(.split(try compile(node, into: &states, next: next), entry))
      }
      return entry
    case .repeated(let inner, let least, let most):
      var entry = next
      if let most {
        for _ in least..<most {
          entry = try add(.split(try compile(inner, into: &states, next: entry), next))
        }
      } else {
        let loop = try add(.split(next, next))
        states[loop] = .split(try compile(inner, into: &states, next: loop), next)
        entry = loop
      }
      for _ in 0..<least { entry = try compile(inner, into: &states, next: entry) }
      return entry
    }
  }
}
