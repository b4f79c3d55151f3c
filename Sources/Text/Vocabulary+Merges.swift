import TinctureCore

extension Vocabulary {
  /// For every trained token minus the rank of the merges that make it; tokens no merge makes get 0.
  ///
  /// A token with several merges has one score, so tokens whose merges lie interleaved share it: they had equal scores
  /// in the SentencePiece model that the merges were written from.
  static func mergeScores(_ trained: TrainedVocabulary) -> [Float] {
    let results = trained.merges.result
    var last = [Int32](repeating: -1, count: trained.count)
    for (rank, result) in results.enumerated() {
      last[Int(result)] = Int32(truncatingIfNeeded: rank)
    }
    var scores = [Float](repeating: 0, count: trained.count)
    var group: Float = 0
    var groupEnd: Int32 = -1
    for (rank, result) in results.enumerated() {
      let index = Int(result)
      scores[index] = -group
      groupEnd = max(groupEnd, last[index])
      if Int(groupEnd) == rank { group += 1 }
    }
    return scores
  }

  /// llama.cpp's SentencePiece tokenizer merges any two tokens whose text together is a token. That is what the merges
  /// say only if they list every such pair.
  ///
  /// - Throws: `tokenizer.merges` (unsupported) naming a pair that they leave out. Cost: two probes a split, about
  ///   0.1 s for 262,144 tokens.
  static func checkMergesComplete(
    _ trained: TrainedVocabulary, _ isAdded: [Bool], _ file: String
  ) throws(TinctureError) {
    var listed = [Int32](repeating: 0, count: trained.count)
    for result in trained.merges.result { listed[Int(result)] += 1 }
    let texts = trained.texts
    let table = trained.table
    var missing = 0
    var example: Int?
    texts.storage.withUnsafeBufferPointer { storage in
      for index in 0..<texts.count where !isAdded[index] {
        let text = UnsafeBufferPointer(rebasing: storage[texts.range(index)])
        var pairs: Int32 = 0
        for split in 1..<max(1, text.count) where text[split] & 0xC0 != 0x80 {
          if table.find(UnsafeBufferPointer(rebasing: text[..<split])) != nil,
            table.find(UnsafeBufferPointer(rebasing: text[split...])) != nil
          {
            pairs += 1
          }
        }
        if pairs > listed[index] {
          missing += Int(pairs - listed[index])
          if example == nil { example = index }
        }
      }
    }
    guard let example else { return }
    throw TinctureError(
      .init("tokenizer.merges", .unsupported),
      "llama.cpp's SentencePiece tokenizer would merge pairs that this tokenizer never merges",
      place: .init(file: file, key: "model.merges"),
      expected: "a merge for every two tokens whose text together is a token",
      found: "\(missing) such pairs without a merge, the first in \"\(texts.text(example))\"",
      advice:
        "add the tokenizer.model that the tokenizer was made from, or accept the difference with "
        + "--pre-tokenizer default")
  }

  /// Every id below the last trained one must be a token, and every trained token must have a row.
  static func checkIDs(
    _ trained: TrainedVocabulary, _ added: [AddedToken], count: Int, file: String
  ) throws(TinctureError) {
    guard trained.idLimit <= count else {
      let index = trained.index(ofID: trained.idLimit - 1) ?? 0
      throw TinctureError(
        .init("tokenizer.tooManyTokens", .invalidInput),
        "the vocabulary has tokens for which the embedding has no row", place: .init(file: file),
        expected: "ids below \(count)",
        found: "\"\(trained.texts.text(index))\" with id \(trained.idLimit - 1)",
        advice: "check that the tokenizer belongs to this checkpoint")
    }
    guard trained.idLimit > trained.count else { return }
    let ids = Set(added.map(\.id))
    for id in 0..<trained.idLimit where trained.index(ofID: id) == nil && !ids.contains(id) {
      throw TinctureError(
        .init("tokenizer.idGap", .invalidInput), "an id below the last one has no token",
        place: .init(file: file, key: "model.vocab"),
        expected: "a token for every id below \(trained.idLimit)", found: "none with id \(id)",
        advice: "download tokenizer.json again or save the tokenizer anew")
    }
  }
}
