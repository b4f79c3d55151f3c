import TinctureCore

/// A BPE over characters or bytes: the pair that stands first in the order of merges is joined, again and again.
///
/// Source: huggingface/tokenizers `models/bpe/model.rs` and `word.rs`; for the order that scores give,
/// google/sentencepiece `src/bpe_model.cc`. Cost: O(n log n) for a word of n characters.
struct MergeModel: Sendable {
  /// Where the order of merges comes from.
  enum Order: Sendable {
    /// A list of merges.
    case listed(PairTable)
    /// Every two tokens whose text together is a token may be joined: those of a higher score first, then lower
    /// ids, then shorter left parts. `priority[id]` is smaller for tokens that are made earlier.
    case implied(priority: [UInt32])
  }

  /// Most tokens of an implied order: an id must fit 24 bits beside score and length.
  static let impliedLimit = 1 << 24

  /// Token texts and their ids; only tokens that merging or a whole word may give.
  let table: TokenTable
  /// Ids by index in `table`; empty when they are the same.
  let ids: [Int32]
  let order: Order
  /// Ids of the 256 bytes when words are bytes (-1 for none), else nil: words are characters.
  let byteIDs: [Int32]?
  /// Ids of `<0x00>` to `<0xFF>`, for characters that have no token; -1 for none.
  let fallbackIDs: [Int32]?
  let unknownID: Int32?
  let fusesUnknown: Bool
  /// Whether a word that is a token is taken whole.
  let ignoresMerges: Bool
  /// No token is longer.
  let longestToken: Int
  /// Ids of ASCII characters, -1 for none.
  private let asciiIDs: [Int32]

  init(
    table: TokenTable, ids: [Int32], order: Order, byteIDs: [Int32]?, fallbackIDs: [Int32]?,
    unknownID: Int32?, fusesUnknown: Bool, ignoresMerges: Bool
  ) {
    self.table = table
    self.ids = ids
    self.order = order
    self.byteIDs = byteIDs
    self.fallbackIDs = fallbackIDs
    self.unknownID = unknownID
    self.fusesUnknown = fusesUnknown
    self.ignoresMerges = ignoresMerges
    longestToken = table.texts.longest
    asciiIDs = (0..<128).map { byte in
      guard let index = table.find(CollectionOfOne(UInt8(byte))) else { return -1 }
      return ids.isEmpty ? Int32(truncatingIfNeeded: index) : ids[index]
    }
  }

  @inline(__always)
  private func id(_ text: UnsafeBufferPointer<UInt8>) -> Int32 {
    guard let index = table.find(text) else { return -1 }
    return ids.isEmpty ? Int32(truncatingIfNeeded: index) : ids[index]
  }

  /// A token of the word while it is being merged.
  struct Symbol {
    /// -1 once it is part of its left neighbour.
    var id: Int32
    var start: Int32
    var end: Int32
    var previous: Int32
    var next: Int32
    /// Whether its text may be joined: no byte of a character without a token, nothing unknown.
    var isWhole: Bool
  }

  fileprivate struct Candidate {
    let key: UInt64
    let place: Int32
    let left: Int32
    let right: Int32
    let result: Int32

    @inline(__always)
    static func < (one: Candidate, two: Candidate) -> Bool {
      one.key != two.key ? one.key < two.key : one.place < two.place
    }
  }

  /// Room for the work on one word, kept from word to word.
  struct Scratch {
    fileprivate var symbols: [Symbol] = []
    fileprivate var heap: [Candidate] = []
    fileprivate var visible: [UInt8] = []
  }

  /// Appends the ids of the tokens of `word`.
  func encode(
    _ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ scratch: inout Scratch
  ) {
    guard !word.isEmpty else { return }
    if ignoresMerges {
      let whole: Int32
      if byteIDs == nil {
        whole = id(word)
      } else {
        scratch.visible.removeAll(keepingCapacity: true)
        for byte in word { ByteLevel.appendVisible(byte, to: &scratch.visible) }
        whole = scratch.visible.withUnsafeBufferPointer(id)
      }
      if whole >= 0 {
        output.append(whole)
        return
      }
    }
    scratch.symbols.removeAll(keepingCapacity: true)
    scratch.heap.removeAll(keepingCapacity: true)
    split(word, &scratch.symbols)
    merge(word, &scratch)
    for symbol in scratch.symbols where symbol.id >= 0 { output.append(symbol.id) }
  }

  // MARK: Characters

  private func split(_ word: UnsafeBufferPointer<UInt8>, _ symbols: inout [Symbol]) {
    func add(_ id: Int32, _ start: Int, _ end: Int, _ isWhole: Bool) {
      let count = Int32(truncatingIfNeeded: symbols.count)
      symbols.append(
        Symbol(
          id: id, start: Int32(truncatingIfNeeded: start), end: Int32(truncatingIfNeeded: end),
          previous: count - 1, next: count + 1, isWhole: isWhole))
    }
    var unknown: (start: Int, end: Int)?
    var index = 0
    while index < word.count {
      let start = index
      var found: Int32
      if let byteIDs {
        found = byteIDs[Int(word[index])]
        index += 1
      } else if word[index] < 0x80 {
        found = asciiIDs[Int(word[index])]
        index += 1
      } else {
        index += UTF8Text.length(word[index])
        found = id(UnsafeBufferPointer(rebasing: word[start..<index]))
      }
      if found >= 0 {
        if let range = unknown, let unknownID { add(unknownID, range.start, range.end, false) }
        unknown = nil
        add(found, start, index, true)
        continue
      }
      if let fallbackIDs,
        word[start..<index].allSatisfy({ fallbackIDs[Int($0)] >= 0 })
      {
        for place in start..<index { add(fallbackIDs[Int(word[place])], place, place + 1, false) }
        continue
      }
      guard let unknownID else { continue }
      if let range = unknown {
        if fusesUnknown {
          unknown = (range.start, index)
          continue
        }
        add(unknownID, range.start, range.end, false)
      }
      unknown = (start, index)
    }
    if let range = unknown, let unknownID { add(unknownID, range.start, range.end, false) }
    if !symbols.isEmpty { symbols[symbols.count - 1].next = -1 }
  }

  // MARK: Merging

  private func merge(_ word: UnsafeBufferPointer<UInt8>, _ scratch: inout Scratch) {
    guard scratch.symbols.count > 1 else { return }
    scratch.symbols.withUnsafeMutableBufferPointer { symbols in
      for place in 0..<symbols.count - 1 {
        if let candidate = candidate(word, symbols, place, place + 1) {
          scratch.heap.append(candidate)
        }
      }
      MergeModel.heapify(&scratch.heap)
      while let top = MergeModel.popFirst(&scratch.heap) {
        let place = Int(top.place)
        guard symbols[place].id == top.left else { continue }
        let next = Int(symbols[place].next)
        guard next >= 0, symbols[next].id == top.right else { continue }
        // Equal ids at the same place have equal texts, so this is the pair that was meant.
        symbols[place].id = top.result
        symbols[place].end = symbols[next].end
        symbols[next].id = -1
        let after = symbols[next].next
        symbols[place].next = after
        if after >= 0 { symbols[Int(after)].previous = top.place }
        let before = Int(symbols[place].previous)
        if before >= 0, let made = candidate(word, symbols, before, place) {
          MergeModel.push(made, &scratch.heap)
        }
        if after >= 0, let made = candidate(word, symbols, place, Int(after)) {
          MergeModel.push(made, &scratch.heap)
        }
      }
    }
  }

  @inline(__always)
  private func candidate(
    _ word: UnsafeBufferPointer<UInt8>, _ symbols: UnsafeMutableBufferPointer<Symbol>, _ left: Int,
    _ right: Int
  ) -> Candidate? {
    let (one, two) = (symbols[left], symbols[right])
    switch order {
    case .listed(let pairs):
      guard let found = pairs.find(one.id, two.id) else { return nil }
      return Candidate(
        key: UInt64(found.rank), place: Int32(truncatingIfNeeded: left), left: one.id,
        right: two.id, result: found.result)
    case .implied(let priority):
      let length = Int(two.end - one.start)
      guard one.isWhole, two.isWhole, length <= longestToken else { return nil }
      let result = id(UnsafeBufferPointer(rebasing: word[Int(one.start)..<Int(two.end)]))
      guard result >= 0 else { return nil }
      let key =
        UInt64(priority[Int(result)]) << 32 | UInt64(UInt32(bitPattern: result)) << 8
        | UInt64(min(255, one.end - one.start))
      return Candidate(
        key: key, place: Int32(truncatingIfNeeded: left), left: one.id, right: two.id,
        result: result)
    }
  }

  // MARK: A binary heap, the least first

  private static func heapify(_ heap: inout [Candidate]) {
    guard heap.count > 1 else { return }
    for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(&heap, index) }
  }

  private static func sink(_ heap: inout [Candidate], _ start: Int) {
    heap.withUnsafeMutableBufferPointer { heap in
      let moved = heap[start]
      var index = start
      while true {
        var child = 2 * index + 1
        guard child < heap.count else { break }
        if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
        guard heap[child] < moved else { break }
        heap[index] = heap[child]
        index = child
      }
      heap[index] = moved
    }
  }

  private static func popFirst(_ heap: inout [Candidate]) -> Candidate? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink(&heap, 0)
    }
    return first
  }

  private static func push(_ item: Candidate, _ heap: inout [Candidate]) {
    heap.append(item)
    heap.withUnsafeMutableBufferPointer { heap in
      var index = heap.count - 1
      while index > 0 {
        let parent = (index - 1) / 2
        guard item < heap[parent] else { break }
        heap[index] = heap[parent]
        index = parent
      }
      heap[index] = item
    }
  }
}

/// The merges of a BPE by their two ids.
struct PairTable: Sendable {
  /// `left << 32 | right`, + 1 in the top bit; 0 is empty.
  private var keys: [UInt64]
  private var values: [(rank: UInt32, result: Int32)]

  init(capacity: Int) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    keys = [UInt64](repeating: 0, count: size)
    values = [(rank: UInt32, result: Int32)](repeating: (0, 0), count: size)
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right)) | 1 << 63
  }

  @inline(__always)
  private func slot(_ key: UInt64) -> Int {
    let product = key.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    let mask = keys.count - 1
    var slot = Int(truncatingIfNeeded: product.high ^ product.low) & mask
    return keys.withUnsafeBufferPointer { keys in
      while keys[slot] != 0, keys[slot] != key { slot = (slot + 1) & mask }
      return slot
    }
  }

  /// Adds a merge; of two with one pair the last counts, as in the library. Not more than the capacity.
  mutating func insert(_ left: Int32, _ right: Int32, rank: Int, result: Int32) {
    let key = PairTable.key(left, right)
    let slot = slot(key)
    keys[slot] = key
    values[slot] = (UInt32(truncatingIfNeeded: rank), result)
  }

  @inline(__always)
  func find(_ left: Int32, _ right: Int32) -> (rank: UInt32, result: Int32)? {
    let slot = slot(PairTable.key(left, right))
    return keys[slot] == 0 ? nil : values[slot]
  }
}

/// GPT-2's spelling of bytes as visible characters.
enum ByteLevel {
  /// The character of each byte.
  static let visible: [UInt32] = {
    var list = [UInt32](repeating: 0, count: 256)
    for scalar in UInt32(0x21)...0x143 {
      if let byte = Vocabulary.byte(ofVisible: scalar) { list[Int(byte)] = scalar }
    }
    return list
  }()

  /// SentencePiece's name of a byte, `<0x0A>`.
  static func fallbackName(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (byte < 16 ? "0" : "") + digits + ">"
  }

  static func appendVisible(_ byte: UInt8, to bytes: inout [UInt8]) {
    UTF8Text.append(visible[Int(byte)], to: &bytes)
  }
}
