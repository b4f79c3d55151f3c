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

  public init(_ texts: [String]) {
    for text in texts { append(text.utf8) }
  }

  public var count: Int { ends.count }

  public subscript(index: Int) -> ArraySlice<UInt8> { storage[range(index)] }

  /// Where text `index` stands in `storage`.
  public func range(_ index: Int) -> Range<Int> {
    (index == 0 ? 0 : ends[index - 1])..<ends[index]
  }

  /// The text for people, invalid bytes replaced.
  public func text(_ index: Int) -> String { String(decoding: self[index], as: UTF8.self) }

  public mutating func append(_ bytes: some Sequence<UInt8>) {
    storage.append(contentsOf: bytes)
    ends.append(storage.count)
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
