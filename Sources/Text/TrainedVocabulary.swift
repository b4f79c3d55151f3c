import TinctureCore

/// The vocabulary of a model as it was trained: texts with ids, and the merges of a BPE.
///
/// Cost for 262,144 tokens and 514,906 merges: see the speed test in `tools/bench`; one pass over the parsed file, no
/// object per token.
public struct TrainedVocabulary: Sendable {
  /// Texts in the order of the file; `ids[i]` is the id of text i.
  package let table: TokenTable
  public let ids: [Int32]
  /// `indexOfID[id]` is the text's index or -1.
  private let indexOfID: [Int32]
  public let merges: Merges

  public var texts: TokenTexts { table.texts }
  public var count: Int { ids.count }
  /// The largest id and one more.
  public var idLimit: Int { indexOfID.count }

  /// Merges in order of rank, as indices into ``TrainedVocabulary/texts``.
  public struct Merges: Sendable, Hashable {
    public fileprivate(set) var left: [Int32] = []
    public fileprivate(set) var right: [Int32] = []
    public fileprivate(set) var result: [Int32] = []
    public var count: Int { left.count }
  }

  public func id(of text: some Sequence<UInt8>) -> Int? {
    table.find(text).map { Int(ids[$0]) }
  }

  public func index(ofID id: Int) -> Int? {
    guard id >= 0, id < indexOfID.count, indexOfID[id] >= 0 else { return nil }
    return Int(indexOfID[id])
  }

  /// Reads `vocab` and `merges` of a model.
  ///
  /// - Throws: `tokenizer.json.` + `id`, `duplicateID`, `idGap`, `emptyToken`, `noTokens`, `merge`, `mergeToken`.
  init(model: JSON, hasMerges: Bool) throws(TinctureError) {
    let node = try model.member("vocab")
    let members = try node.object()
    guard node.count > 0 else { throw node.error("noTokens", "the vocabulary is empty") }
    var table = TokenTable(capacity: node.count, byteCount: node.count * 8)
    var ids: [Int32] = []
    ids.reserveCapacity(node.count)
    // Ids may have holes that added tokens fill, but a list cannot be twice as sparse as it is long.
    let limit = node.count * 2 + 64
    var indexOfID = [Int32](repeating: -1, count: node.count)
    var scratch: [UInt8] = []
    for member in members {
      let id = try member.value.int()
      guard id >= 0, id < limit else {
        throw member.value.error(
          "id", "the token id is out of range",
          expected: "0 to \(limit - 1) in a vocabulary of "
            + "\(node.count) tokens", found: "\(id)")
      }
      scratch.removeAll(keepingCapacity: true)
      try member.key.appendString(to: &scratch)
      if scratch.isEmpty { throw member.key.error("emptyToken", "token \(id) is empty") }
      scratch.withUnsafeBufferPointer { _ = table.insert($0) }
      if id >= indexOfID.count {
        indexOfID += [Int32](repeating: -1, count: id + 1 - indexOfID.count)
      }
      guard indexOfID[id] < 0 else {
        throw member.value.error("duplicateID", "two tokens have the id \(id)")
      }
      indexOfID[id] = Int32(truncatingIfNeeded: ids.count)
      ids.append(Int32(truncatingIfNeeded: id))
    }
    while indexOfID.last == -1 { indexOfID.removeLast() }
    self.table = table
    self.ids = ids
    self.indexOfID = indexOfID
    merges = hasMerges ? try TrainedVocabulary.readMerges(model, table) : Merges()
  }

  /// The lines of a `vocab.txt`: token i stands in line i + 1.
  ///
  /// - Throws: `vocab.txt.utf8`, `.emptyToken`, `.duplicateToken`, `.noTokens` with the byte offset.
  package init(lines bytes: [UInt8], file: String) throws(TinctureError) {
    var table = TokenTable(capacity: bytes.count / 8, byteCount: bytes.count)
    var start = 0
    func fail(_ code: String, _ message: String) -> TinctureError {
      TinctureError(
        .init("vocab.txt." + code, .invalidInput), message,
        place: .init(file: file, byteOffset: UInt64(start)),
        expected: "one token a line, each once, UTF-8", advice: "download vocab.txt again")
    }
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      let line = bytes[start..<end].last == 0x0D ? bytes[start..<(end - 1)] : bytes[start..<end]
      let number = table.count + 1
      guard !line.isEmpty else { throw fail("emptyToken", "line \(number) is empty") }
      guard isValidUTF8(line) else { throw fail("utf8", "line \(number) is not valid UTF-8") }
      guard table.insert(line).isNew else {
        throw fail(
          "duplicateToken",
          "line \(number) repeats the token \"\(String(decoding: line, as: UTF8.self))\"")
      }
      start = end + 1
    }
    guard table.count > 0 else { throw fail("noTokens", "the vocabulary is empty") }
    ids = (0..<Int32(table.count)).map { $0 }
    indexOfID = ids
    self.table = table
    merges = Merges()
  }

  private static func readMerges(
    _ model: JSON, _ table: TokenTable
  ) throws(TinctureError) -> Merges {
    var merges = Merges()
    guard let list = model.present("merges") else { return merges }
    merges.left.reserveCapacity(list.count)
    merges.right.reserveCapacity(list.count)
    merges.result.reserveCapacity(list.count)
    var scratch: [UInt8] = []
    for merge in try list.array() {
      scratch.removeAll(keepingCapacity: true)
      let split = try readMerge(merge, into: &scratch)
      let found = scratch.withUnsafeBufferPointer { bytes in
        (
          table.find(UnsafeBufferPointer(rebasing: bytes[..<split])),
          table.find(UnsafeBufferPointer(rebasing: bytes[split...])), table.find(bytes)
        )
      }
      guard let left = found.0, let right = found.1, let result = found.2 else {
        let missing =
          found.0 == nil ? scratch[..<split] : found.1 == nil ? scratch[split...] : scratch[...]
        throw merge.error(
          "mergeToken", "merge \(merges.count) names a token that the vocabulary lacks",
          expected: "two tokens whose text together is a token",
          found: "\"\(String(decoding: missing, as: UTF8.self))\"",
          advice: "download tokenizer.json again or save the tokenizer anew")
      }
      merges.left.append(Int32(truncatingIfNeeded: left))
      merges.right.append(Int32(truncatingIfNeeded: right))
      merges.result.append(Int32(truncatingIfNeeded: result))
    }
    return merges
  }

  /// The two parts of a merge, one after the other; the result is where the right one starts.
  @discardableResult
  static func readMerge(
    _ merge: JSON, into scratch: inout [UInt8]
  ) throws(TinctureError) -> Int {
    merge.kind == .string
      ? try readLine(merge, into: &scratch) : try readPair(merge, into: &scratch)
  }

  /// The older form "left right"; bytes go to `scratch`, the result is where the right part starts.
  private static func readLine(
    _ merge: JSON, into scratch: inout [UInt8]
  ) throws(TinctureError) -> Int {
    try merge.appendString(to: &scratch)
    let split = scratch.firstIndex(of: 0x20) ?? 0
    if split > 0 { scratch.remove(at: split) }
    guard split > 0, split < scratch.count, !scratch.contains(0x20) else {
      throw merge.error(
        "merge", "a merge is malformed", expected: "two tokens with one space between",
        found: merge.shortText)
    }
    return split
  }

  /// The form ["left", "right"], in which tokens may hold spaces.
  private static func readPair(
    _ merge: JSON, into scratch: inout [UInt8]
  ) throws(TinctureError) -> Int {
    var split = 0
    var parts = 0
    for part in try merge.array() {
      split = scratch.count
      try part.appendString(to: &scratch)
      parts += 1
    }
    guard parts == 2, split > 0, split < scratch.count else {
      throw merge.error(
        "merge", "a merge is malformed", expected: "two tokens, neither empty",
        found: "\(parts) parts")
    }
    return split
  }
}
