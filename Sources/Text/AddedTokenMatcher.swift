import TinctureCore

/// Finds added tokens in a text: from the left, the longest first.
///
/// Source: huggingface/tokenizers `tokenizer/added_vocabulary.rs`, find_matches. Cost: a table look-up for a byte that
/// starts no token; at worst the length of the longest token for each byte of the text.
struct AddedTokenMatcher: Sendable {
  struct Token: Sendable {
    let id: Int32
    let isSpecial: Bool
    let stripsLeft: Bool
    let stripsRight: Bool
    let isWord: Bool
  }

  struct Match {
    let id: Int32
    let range: Range<Int>
  }

  private var tokens: [Token] = []
  /// `node << 8 | byte` + 1 in slots of an open-addressing table, and the child each leads to.
  private var keys: [UInt64]
  private var children: [Int32]
  private var edgeCount = 0
  private var roots = [Int32](repeating: -1, count: 256)
  /// Index of the token that ends at a node, or -1.
  private var ends: [Int32] = [-1]

  init() {
    keys = [UInt64](repeating: 0, count: 64)
    children = [Int32](repeating: 0, count: 64)
  }

  var isEmpty: Bool { tokens.isEmpty }

  /// Adds a token; of two with one text the first counts.
  mutating func insert(_ text: some Sequence<UInt8>, _ token: Token) {
    var node: Int32 = 0
    var isFirst = true
    for byte in text {
      if isFirst {
        if roots[Int(byte)] < 0 { roots[Int(byte)] = addNode() }
        node = roots[Int(byte)]
        isFirst = false
        continue
      }
      let key = AddedTokenMatcher.key(node, byte)
      var slot = find(key)
      if keys[slot] == 0 {
        if edgeCount * 2 >= keys.count {
          grow()
          slot = find(key)
        }
        keys[slot] = key
        children[slot] = addNode()
        edgeCount += 1
      }
      node = children[slot]
    }
    guard !isFirst, ends[Int(node)] < 0 else { return }
    ends[Int(node)] = Int32(truncatingIfNeeded: tokens.count)
    tokens.append(token)
  }

  private mutating func addNode() -> Int32 {
    ends.append(-1)
    return Int32(truncatingIfNeeded: ends.count - 1)
  }

  private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
    UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte) + 1 << 40
  }

  private func find(_ key: UInt64) -> Int {
    let mask = keys.count - 1
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
    while keys[slot] != 0, keys[slot] != key { slot = (slot + 1) & mask }
    return slot
  }

  private mutating func grow() {
    let old = (keys, children)
    keys = [UInt64](repeating: 0, count: old.0.count * 2)
    children = [Int32](repeating: 0, count: keys.count)
    for (index, key) in old.0.enumerated() where key != 0 {
      let slot = find(key)
      keys[slot] = key
      children[slot] = old.1[index]
    }
  }

  /// The token that starts at `start`, the longest one.
  private func longest(
    _ text: UnsafeBufferPointer<UInt8>, _ start: Int
  ) -> (token: Int, end: Int)? {
    var node = roots[Int(text[start])]
    guard node >= 0 else { return nil }
    var found: (token: Int, end: Int)?
    var index = start + 1
    while true {
      if ends[Int(node)] >= 0 { found = (Int(ends[Int(node)]), index) }
      guard index < text.count else { return found }
      let slot = find(AddedTokenMatcher.key(node, text[index]))
      guard keys[slot] != 0 else { return found }
      node = children[slot]
      index += 1
    }
  }

  /// The tokens in `text`, in order.
  ///
  /// - Parameter skipsSpecial: leaves special tokens as ordinary text.
  func matches(_ text: UnsafeBufferPointer<UInt8>, skipsSpecial: Bool) -> [Match] {
    guard !tokens.isEmpty else { return [] }
    var matches: [Match] = []
    var index = 0
    var done = 0
    while index < text.count {
      guard let found = longest(text, index) else {
        index += 1
        continue
      }
      var start = index
      var end = found.end
      index = end
      let token = tokens[found.token]
      if skipsSpecial, token.isSpecial { continue }
      if token.isWord {
        let touchesLeft = start > 0 && isWord(UTF8Text.scalar(text, before: start))
        let touchesRight = end < text.count && isWord(UTF8Text.scalar(text, at: end).value)
        if touchesLeft || touchesRight { continue }
      }
      if token.stripsLeft {
        while start > 0, isSpace(UTF8Text.scalar(text, before: start)) {
          start -= 1
          while text[start] & 0xC0 == 0x80 { start -= 1 }
        }
        start = max(start, done)
      }
      if token.stripsRight {
        while end < text.count, isSpace(UTF8Text.scalar(text, at: end).value) {
          end += UTF8Text.length(text[end])
        }
      }
      // A token may start in the spaces that the one before has taken.
      matches.append(Match(id: token.id, range: min(start, end)..<end))
      done = end
    }
    return matches
  }

  private func isSpace(_ scalar: UInt32) -> Bool { UnicodeClasses.flags(scalar).contains(.space) }
  private func isWord(_ scalar: UInt32) -> Bool { UnicodeClasses.flags(scalar).contains(.word) }
}
