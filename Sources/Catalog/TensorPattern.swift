import TinctureCore

/// A regular expression looked for anywhere in a tensor's name, as llama-quantize's `--tensor-type` has it.
///
/// The part of ECMAScript's syntax that answers yes or no: literals, `.`, classes, `\d \w \s` and their
/// opposites, groups, `|`, `* + ? {m,n}`, `^ $ \b \B`. Letters match in either case. No back references and
/// no look-ahead, hence a match costs O(name × pattern) whatever the pattern.
package struct TensorPattern: Sendable {
  /// Longest pattern in bytes.
  static let longest = 1000
  /// Most states after repetitions are written out.
  static let mostStates = 20_000

  package let text: String
  private let states: [State]
  private let start: Int

  /// A state of the automaton; numbers are those of the states that follow.
  enum State: Sendable {
    case byte(ByteClass, next: Int)
    case split(Int, Int)
    case assertion(Assertion, next: Int)
    case found
  }

  enum Assertion: Sendable { case start, end, wordBoundary, noWordBoundary }

  /// Compiles `text`.
  ///
  /// - Throws: `override.pattern` with the byte of the pattern where it goes wrong.
  package init(_ text: String) throws(TinctureError) {
    self.text = text
    var parser = PatternParser(Array(text.utf8), text: text)
    let tree = try parser.parse()
    var states: [State] = [.found]
    start = try parser.compile(tree, into: &states, next: 0)
    self.states = states
  }

  /// Whether the pattern is found in `name`.
  package func isFound(in name: String) -> Bool {
    let bytes = Array(name.utf8)
    var marks = [Int](repeating: -1, count: states.count)
    var current: [Int] = []
    var following: [Int] = []
    var stack: [Int] = []
    for position in 0...bytes.count {
      // Every state that is reachable here without taking a byte; the search may start anywhere.
      stack = following + [start]
      following.removeAll(keepingCapacity: true)
      current.removeAll(keepingCapacity: true)
      while let state = stack.popLast() {
        guard marks[state] != position else { continue }
        marks[state] = position
        switch states[state] {
        case .found: return true
        case .split(let first, let second): stack += [first, second]
        case .assertion(let assertion, let next):
          if holds(assertion, bytes, position) { stack.append(next) }
        case .byte: current.append(state)
        }
      }
      guard position < bytes.count else { break }
      for state in current {
        if case .byte(let set, let next) = states[state], set.contains(bytes[position]) {
          following.append(next)
        }
      }
    }
    return false
  }

  private func holds(_ assertion: Assertion, _ bytes: [UInt8], _ position: Int) -> Bool {
    func isWord(_ index: Int) -> Bool {
      bytes.indices.contains(index) && ByteClass.word.contains(bytes[index])
    }
    switch assertion {
    case .start: return position == 0
    case .end: return position == bytes.count
    case .wordBoundary: return isWord(position - 1) != isWord(position)
    case .noWordBoundary: return isWord(position - 1) == isWord(position)
    }
  }
}

/// A set of bytes.
struct ByteClass: Sendable {
  private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  static let digit = ByteClass("0"..."9")
  static let word = ByteClass("a"..."z", "A"..."Z", "0"..."9", "_"..."_")
  static let space = ByteClass(" "..." ", "\t"..."\r")
  /// Every byte but the ends of a line.
  static let any: ByteClass = {
    var set = ByteClass()
    set.insert(UInt8(ascii: "\n"))
    set.insert(UInt8(ascii: "\r"))
    return set.inverted
  }()

  init(_ ranges: ClosedRange<Unicode.Scalar>...) {
    for range in ranges {
      for value in range.lowerBound.value...range.upperBound.value {
        insert(UInt8(truncatingIfNeeded: value))
      }
    }
  }

  func contains(_ byte: UInt8) -> Bool {
    let bit = UInt64(1) << (byte & 63)
    switch byte >> 6 {
    case 0: return words.0 & bit != 0
    case 1: return words.1 & bit != 0
    case 2: return words.2 & bit != 0
    default: return words.3 & bit != 0
    }
  }

  mutating func insert(_ byte: UInt8) {
    let bit = UInt64(1) << (byte & 63)
    switch byte >> 6 {
    case 0: words.0 |= bit
    case 1: words.1 |= bit
    case 2: words.2 |= bit
    default: words.3 |= bit
    }
  }

  /// Inserts a letter in both cases.
  mutating func insertFolded(_ byte: UInt8) {
    insert(byte)
    let other = byte ^ 0x20
    if (0x61...0x7A).contains(byte | 0x20) { insert(other) }
  }

  mutating func formUnion(_ other: ByteClass) {
    words.0 |= other.words.0
    words.1 |= other.words.1
    words.2 |= other.words.2
    words.3 |= other.words.3
  }

  var inverted: ByteClass {
    var set = ByteClass()
    set.words = (~words.0, ~words.1, ~words.2, ~words.3)
    return set
  }
}
