import TinctureCore

/// The ids and pieces of all prompts in one frame: for each prompt the ids, the pieces' lengths, the pieces.
enum TokenFrame {
  static func encoded(_ prompts: [PackPrompt]) -> [UInt8] {
    var bytes: [UInt8] = []
    func append(_ value: UInt32) {
      for shift in stride(from: UInt32(0), to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: value >> shift))
      }
    }
    for prompt in prompts {
      for id in prompt.ids { append(UInt32(bitPattern: id)) }
      for piece in prompt.pieces { append(UInt32(piece.count)) }
      for piece in prompt.pieces { bytes += piece }
    }
    return bytes
  }

  /// - Throws: `pack.tokens` when the lengths do not add up, an id is negative or passes the vocabulary.
  static func decode(_ bytes: [UInt8], _ index: PackIndex) throws(TinctureError) -> [PackPrompt] {
    var at = 0
    func failure(_ message: String, _ found: String) -> TinctureError {
      TinctureError(.init("pack.tokens", .invalidInput), message, found: found)
    }
    func word() -> UInt32 {
      defer { at += 4 }
      return (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }
    let limit = UInt32(index.description.vocabularySize ?? PackIndex.vocabularyLimit)
    var prompts: [PackPrompt] = []
    for (number, prompt) in index.prompts.enumerated() {
      let count = prompt.tokenCount
      guard bytes.count - at >= 8 * count else {
        throw failure("the prompts' tokens are cut short", "prompt \(number)")
      }
      var ids: [Int32] = []
      ids.reserveCapacity(count)
      for position in 0..<count {
        let id = word()
        guard id < limit else {
          throw failure(
            "a token lies outside the vocabulary",
            "\(id) at position \(position) of prompt \(number)")
        }
        ids.append(Int32(id))
      }
      var lengths: [Int] = []
      lengths.reserveCapacity(count)
      for _ in 0..<count { lengths.append(Int(word())) }
      var pieces: [[UInt8]] = []
      pieces.reserveCapacity(count)
      for length in lengths {
        guard length <= bytes.count - at else {
          throw failure("the prompts' texts are cut short", "prompt \(number)")
        }
        pieces.append(Array(bytes[at..<at + length]))
        at += length
      }
      prompts.append(
        PackPrompt(
          text: prompt.text, form: prompt.form, isCut: prompt.isCut, ids: ids, pieces: pieces))
    }
    guard at == bytes.count else {
      throw failure("bytes follow the prompts' tokens", "\(bytes.count - at) bytes")
    }
    return prompts
  }
}
