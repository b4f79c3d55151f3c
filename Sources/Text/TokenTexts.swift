/// Token texts as bytes, one after the other in one buffer.
///
/// Tokens are bytes, never `String`: `String` equality is canonical equivalence and would merge tokens that differ
/// in Unicode normalization only.
public struct TokenTexts: Sendable, Hashable {
  /// All texts one after the other.
  public private(set) var storage: [UInt8] = []
  /// `ends[i]` is where text i ends in `storage`.
  public private(set) var ends: [Int] = []

  public init() {}

  /// Texts that stand one after the other in `storage`, text i up to `ends[i]`; shares the arrays.
  package init(storage: [UInt8], ends: [Int]) {
    precondition((ends.last ?? 0) == storage.count, "the last text ends where the storage does")
    self.storage = storage
    self.ends = ends
  }

  public init(_ texts: [String]) {
    for text in texts { append(text.utf8) }
  }

  public var count: Int { ends.count }

  public subscript(index: Int) -> ArraySlice<UInt8> { storage[range(index)] }

  /// Where text `index` stands in `storage`.
  public func range(_ index: Int) -> Range<Int> {
    (index == 0 ? 0 : ends[index - 1])..<ends[index]
  }

  /// Whether text `index` is these bytes.
  package func equals(_ index: Int, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    let range = range(index)
    guard range.count == bytes.count else { return false }
    return storage.withUnsafeBufferPointer { storage in
      for offset in 0..<bytes.count where storage[range.lowerBound + offset] != bytes[offset] {
        return false
      }
      return true
    }
  }

  /// Whether text `index` is these bytes, one part after the other.
  package func equals(
    _ index: Int, _ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>
  ) -> Bool {
    let range = range(index)
    guard range.count == left.count + right.count else { return false }
    let middle = range.lowerBound + left.count
    return storage.withUnsafeBufferPointer { storage in
      for offset in 0..<left.count where storage[range.lowerBound + offset] != left[offset] {
        return false
      }
      for offset in 0..<right.count where storage[middle + offset] != right[offset] {
        return false
      }
      return true
    }
  }

  /// Bytes of the longest text.
  package var longest: Int {
    var longest = 0
    var start = 0
    for end in ends {
      longest = max(longest, end - start)
      start = end
    }
    return longest
  }

  /// The text for people, invalid bytes replaced.
  public func text(_ index: Int) -> String { String(decoding: self[index], as: UTF8.self) }

  public mutating func append(_ bytes: some Sequence<UInt8>) {
    storage.append(contentsOf: bytes)
    ends.append(storage.count)
  }

  /// The same texts with some of them replaced.
  package func replacing(_ replacements: [Int: [UInt8]]) -> TokenTexts {
    guard !replacements.isEmpty else { return self }
    var result = TokenTexts()
    result.reserve(count: count, byteCount: storage.count)
    var kept = 0
    for index in replacements.keys.sorted() {
      result.appendAll(self, kept..<index)
      result.append(replacements[index] ?? [])
      kept = index + 1
    }
    result.appendAll(self, kept..<count)
    return result
  }

  private mutating func appendAll(_ texts: TokenTexts, _ indices: Range<Int>) {
    guard !indices.isEmpty else { return }
    let start = texts.range(indices.lowerBound).lowerBound
    let shift = storage.count - start
    storage.append(contentsOf: texts.storage[start..<texts.ends[indices.upperBound - 1]])
    for index in indices { ends.append(texts.ends[index] + shift) }
  }

  /// Appends the two texts as one, with `separator` between them.
  package mutating func append(
    _ left: UnsafeBufferPointer<UInt8>, separator: UInt8, _ right: UnsafeBufferPointer<UInt8>
  ) {
    storage.append(contentsOf: left)
    storage.append(separator)
    storage.append(contentsOf: right)
    ends.append(storage.count)
  }

  public mutating func reserve(count: Int, byteCount: Int) {
    storage.reserveCapacity(byteCount)
    ends.reserveCapacity(count)
  }
}
