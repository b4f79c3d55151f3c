import TinctureCore

/// WordPiece: the longest token from the left, again and again; a word that does not come out is unknown as a whole.
///
/// Source: huggingface/tokenizers `models/wordpiece/mod.rs`.
struct WordPieceModel: Sendable {
  let table: TokenTable
  /// Ids by index in `table`; empty when they are the same.
  let ids: [Int32]
  /// What marks a token inside a word, `##`.
  let prefix: [UInt8]
  let unknownID: Int32
  /// Words of more characters are unknown.
  let characterLimit: Int
  private let longestToken: Int

  init(
    table: TokenTable, ids: [Int32], prefix: [UInt8], unknownID: Int32, characterLimit: Int
  ) {
    self.table = table
    self.ids = ids
    self.prefix = prefix
    self.unknownID = unknownID
    self.characterLimit = characterLimit
    longestToken = table.texts.longest
  }

  /// Appends the ids of the tokens of `word`.
  ///
  /// - Complexity: O(characters × length of the longest token) look-ups.
  func encode(
    _ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ scratch: inout [UInt8]
  ) {
    var characters = 0
    for byte in word where byte & 0xC0 != 0x80 { characters += 1 }
    guard characters <= characterLimit else {
      output.append(unknownID)
      return
    }
    let first = output.count
    var start = 0
    while start < word.count {
      var end = min(word.count, start + longestToken)
      var found: Int?
      while end > start {
        if end == word.count || word[end] & 0xC0 != 0x80 {
          let part = UnsafeBufferPointer(rebasing: word[start..<end])
          if start == 0 {
            found = table.find(part)
          } else {
            scratch.removeAll(keepingCapacity: true)
            scratch.append(contentsOf: prefix)
            scratch.append(contentsOf: part)
            found = scratch.withUnsafeBufferPointer { table.find($0) }
          }
          if found != nil { break }
        }
        end -= 1
      }
      guard let found else {
        output.removeSubrange(first...)
        output.append(unknownID)
        return
      }
      output.append(ids.isEmpty ? Int32(truncatingIfNeeded: found) : ids[found])
      start = end
    }
  }
}
