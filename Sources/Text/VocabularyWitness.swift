import TinctureCore

/// The vocabulary of a second file beside a tokenizer.json (`tokenizer.model` or `vocab.txt`), held against it.
///
/// Which of two files counts is not the same everywhere: transformers takes tokenizer.json, llama.cpp's converter
/// tokenizer.model. Where both say the same of every id that does not matter; where they do not, one of them belongs
/// to another model.
struct VocabularyWitness {
  /// The file's name.
  let name: String
  /// The text of each id.
  let texts: TokenTexts
  /// With scores and types, when it is a tokenizer.model.
  let model: SentencePieceModel?
  /// Texts that tokenizer_config.json and added_tokens.json give to ids.
  let renamed: [AddedToken]

  init(_ model: SentencePieceModel, renamed: [AddedToken]) {
    name = "tokenizer.model"
    texts = model.pieces
    self.model = model
    self.renamed = renamed
  }

  /// The lines of a `vocab.txt`; empty ones at its end are none.
  init(lines bytes: [UInt8], renamed: [AddedToken]) {
    name = "vocab.txt"
    var texts = TokenTexts()
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)[...]
    while lines.last?.isEmpty == true { lines.removeLast() }
    texts.reserve(count: lines.count, byteCount: bytes.count)
    for line in lines { texts.append(line.last == 0x0D ? line.dropLast() : line) }
    self.texts = texts
    model = nil
    self.renamed = renamed
  }

  /// Compares texts by id and, beside a tokenizer.model, the order of merges with the scores.
  ///
  /// Rule: an id of which both files say something else is an error, unless tokenizer.json's text is an added token, one
  /// of the two is a spare one (`<unused7>`), which no text contains, or both are the same byte; that is a note. So is
  /// another order of merges.
  /// - Parameters:
  ///   - node: `model` of the tokenizer.json.
  ///   - added: its `added_tokens`.
  /// - Returns: what is worth telling.
  /// - Throws: `tokenizer.contradiction` with the first id, both texts and both files.
  /// - Complexity: one pass over vocabulary and merges; Gemma's 262,144 tokens take 10 ms, its merges 25 ms.
  func check(
    _ node: JSON, kind: TokenizerJSON.Model, added: [AddedToken], path: String
  ) throws(TinctureError) -> [String] {
    if model == nil, kind != .wordPiece {
      return ["\(name) is not read: tokenizer.json is of the kind \(kind.rawValue)"]
    }
    try checkKind(kind, path)
    var findings = Findings(
      renamed: Dictionary(
        (renamed + added).filter(renames).map { ($0.id, $0) }, uniquingKeysWith: { $1 }),
      added: Dictionary(
        (renamed + added).map { ($0.id, $0.content) }, uniquingKeysWith: { $1 }))
    let vocabulary = try node.member("vocab")
    var seen = 0
    if vocabulary.kind == .array {
      for (id, entry) in try vocabulary.array().enumerated() {
        var parts = try entry.array()
        guard let text = parts.next() else { continue }
        seen += id < texts.count ? 1 : 0
        try compare(text, id, &findings)
      }
    } else {
      seen = try compareMembers(of: vocabulary, &findings)
    }
    if seen < texts.count { try findMissing(in: vocabulary, &findings) }
    if !findings.renamed.isEmpty { try checkRenamed(in: vocabulary, &findings) }
    if let first = findings.first { throw contradiction(first, findings.count, path) }
    let notes = findings.notes(name, isReplaced: model == nil)
    return try notes + checkMerges(node)
  }

  // MARK: Texts

  private struct Difference {
    let id: Int
    /// What tokenizer.json and the other file say; nil where there is no such token.
    let json: [UInt8]?
    let other: [UInt8]?
    /// The added token of the id, when it is what differs.
    var added: AddedToken?
  }

  private struct Findings {
    /// Added tokens of another text than this file's, by id.
    let renamed: [Int: AddedToken]
    /// Texts of all added tokens by id.
    let added: [Int: [UInt8]]
    /// The contradiction of the smallest id.
    private(set) var first: Difference?
    private(set) var count = 0
    /// Differences that change no text's tokens.
    private(set) var spare: [String] = []
    private var spareCount = 0

    init(renamed: [Int: AddedToken], added: [Int: [UInt8]]) {
      self.renamed = renamed
      self.added = added
    }

    mutating func add(_ difference: Difference) {
      count += 1
      if difference.id < first?.id ?? .max { first = difference }
    }

    mutating func addSpare(_ difference: Difference) {
      spareCount += 1
      if spare.count < 6 {
        spare.append(
          "\(VocabularyWitness.quoted(difference.other)) → \(VocabularyWitness.quoted(difference.json))"
        )
      }
    }

    func notes(_ name: String, isReplaced: Bool) -> [String] {
      guard spareCount > 0 else { return [] }
      let counts = isReplaced ? "tokenizer.json" : name
      return [
        "\(spareCount) \(spareCount == 1 ? "token has another text" : "tokens have other texts") in \(name) than in tokenizer.json (spare tokens, added or user-defined ones, bytes; "
          + "\(counts) counts): " + Vocabulary.list(spare)
      ]
    }
  }

  /// Compares an object of texts and ids; how many of the ids this file has too.
  private func compareMembers(
    of vocabulary: JSON, _ findings: inout Findings
  ) throws(TinctureError) -> Int {
    let count = try vocabulary.object().count
    return try vocabulary.withRaw { (raw, first) throws(TinctureError) in
      var seen = 0
      var key = first
      for _ in 0..<count {
        let value = key + 1
        if let id = raw.natural(value), id < texts.count, let text = raw.text(key),
          texts.equals(id, text)
        {
          seen += 1
        } else {
          let id = try vocabulary.node(number: value).int()
          seen += id < texts.count ? 1 : 0
          try compare(vocabulary.node(number: key), id, &findings)
        }
        key = raw.next(value)
      }
      return seen
    }
  }

  private func compare(_ text: JSON, _ id: Int, _ findings: inout Findings) throws(TinctureError) {
    if id >= 0, id < texts.count {
      let isSame = try text.withStringBytes { (bytes) throws(TinctureError) in
        texts.equals(id, bytes)
      }
      if isSame { return }
    }
    let other = id >= 0 && id < texts.count ? Array(texts[id]) : nil
    let own = try text.stringBytes()
    // Renamed tokens come last; a further one must be an added one.
    guard findings.renamed[id] == nil, findings.added[id] != own else { return }
    let difference = Difference(id: id, json: own, other: other)
    if let other,
      isSpare(id) || Self.looksSpare(own) || Self.looksSpare(other) || isByte(id, own)
    {
      findings.addSpare(difference)
    } else {
      findings.add(difference)
    }
  }

  /// Ids of this file that tokenizer.json does not have.
  private func findMissing(
    in vocabulary: JSON, _ findings: inout Findings
  ) throws(TinctureError) {
    var isThere = [Bool](repeating: false, count: texts.count)
    // Bytes that are texts themselves: their pieces are needed by none.
    var bytes: Set<UInt8> = []
    if vocabulary.kind == .array {
      for id in 0..<min(vocabulary.count, texts.count) { isThere[id] = true }
    } else {
      for (key, value) in try vocabulary.object() {
        let id = try value.int()
        if id >= 0, id < texts.count { isThere[id] = true }
        let text = try key.stringBytes()
        if text.count == 1 { bytes.insert(text[0]) }
      }
    }
    for id in 0..<texts.count where !isThere[id] && findings.added[id] == nil {
      let difference = Difference(id: id, json: nil, other: Array(texts[id]))
      // transformers gives the tab's piece the tab as text, which a later piece can have too.
      let byte = TokenDecoder.byte(texts[id])
      if isSpare(id) || byte.map({ bytes.contains($0) }) == true
        || Self.looksSpare(difference.other ?? [])
      {
        findings.addSpare(difference)
      } else {
        findings.add(difference)
      }
    }
  }

  private func renames(_ token: AddedToken) -> Bool {
    token.id < texts.count && !texts[token.id].elementsEqual(token.content)
  }

  /// Added tokens that give a token of this file another text.
  ///
  /// Rule: `model.vocab` must have the new text, or not have the id, which then must be that of a spare or control token:
  /// transformers gives an added token whose text `model.vocab` lacks an id of its own. Beside a tokenizer.model the
  /// renamed pieces are told with the vocabulary that is written.
  private func checkRenamed(
    in vocabulary: JSON, _ findings: inout Findings
  ) throws(TinctureError) {
    var left = findings.renamed
    func check(_ text: JSON, _ id: Int) throws(TinctureError) {
      guard let token = left.removeValue(forKey: id) else { return }
      let own = try text.stringBytes()
      let other = Array(texts[id])
      if own == token.content {
        if model == nil { findings.addSpare(Difference(id: id, json: own, other: other)) }
      } else {
        // The one of both that this file does not say.
        findings.add(
          own == other
            ? Difference(id: id, json: token.content, other: other, added: token)
            : Difference(id: id, json: own, other: other))
      }
    }
    if vocabulary.kind == .array {
      for (id, entry) in try vocabulary.array().enumerated() where left[id] != nil {
        if let text = entry.elements.first(where: { _ in true }) { try check(text, id) }
      }
    } else {
      for (key, value) in try vocabulary.object() { try check(key, value.int()) }
    }
    for (id, token) in left.sorted(by: { $0.key < $1.key }) {
      let difference = Difference(
        id: id, json: token.content, other: Array(texts[id]), added: token)
      if !isReplaceable(id) {
        findings.add(difference)
      } else if model == nil {
        findings.addSpare(difference)
      }
    }
  }

  /// Whether no text has the token, so that an added token may take its id.
  private func isReplaceable(_ id: Int) -> Bool {
    model?.isReplaceable(id) ?? Self.looksSpare(Array(texts[id]))
  }

  /// Whether the token is the byte that is `text`: transformers writes Gemma's `<0x09>` as a tab
  /// (convert_slow_tokenizer.py, GemmaConverter), and both give a text the same id.
  private func isByte(_ id: Int, _ text: [UInt8]) -> Bool {
    guard model?.types[id] == .byte, text.count == 1, let byte = text.first, byte < 0x80 else {
      return false
    }
    return texts[id].elementsEqual(ByteLevel.fallbackName(byte).utf8)
  }

  /// Pieces that no merge makes: kept free, or put into the vocabulary by hand, which published tokenizer.json files
  /// name otherwise or leave out here and there.
  private func isSpare(_ id: Int) -> Bool {
    [.unused, .userDefined].contains(model?.types[id])
  }

  /// `<unused7>`, `[unused7]`, `<reserved_106>`: kept free for fine-tunes.
  static func looksSpare(_ text: [UInt8]) -> Bool {
    guard text.last == UInt8(ascii: ">") || text.last == UInt8(ascii: "]") else { return false }
    return ["<unused", "[unused", "<reserved", "<|reserved", "<extra_id"].contains {
      text.starts(with: $0.utf8)
    }
  }

  /// The text in quotes, control characters as escapes.
  private static func quoted(_ text: [UInt8]?) -> String {
    guard let text else { return "no such token" }
    var result = "\""
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      if scalar.properties.generalCategory == .control {
        result += "\\u{" + String(scalar.value, radix: 16) + "}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  private func contradiction(_ first: Difference, _ count: Int, _ path: String) -> TinctureError {
    let more = count > 1 ? "; \(count) ids differ" : ""
    if let token = first.added {
      return token.contradiction(
        first.other ?? [], name, folder: Folder.split(path).folder, more: more,
        isCounted: model != nil)
    }
    return TinctureError(
      .init("tokenizer.contradiction", .invalidInput),
      "tokenizer.json and \(name) say different things of token \(first.id)",
      place: .init(file: path, key: "model.vocab"),
      expected: "\(VocabularyWitness.quoted(first.other)), as in \(name)",
      found: VocabularyWitness.quoted(first.json) + more, advice: advice)
  }

  private var advice: String {
    model == nil
      ? "take both from the model's own folder; if tokenizer.json is right, remove \(name): transformers and "
        + "llama.cpp's converter read the former"
      : "take both from the model's own folder; if one of them is right, remove the other: transformers reads "
        + "tokenizer.json, llama.cpp's converter \(name)"
  }

  /// - Throws: `tokenizer.contradiction` when the two files are tokenizers of different kinds.
  private func checkKind(_ kind: TokenizerJSON.Model, _ path: String) throws(TinctureError) {
    guard let algorithm = model?.algorithm else { return }
    let expected: TokenizerJSON.Model = algorithm == .bytePair ? .bytePair : .unigram
    guard kind != expected else { return }
    throw TinctureError(
      .init("tokenizer.contradiction", .invalidInput),
      "tokenizer.json and \(name) are tokenizers of different kinds",
      place: .init(file: path, key: "model.type"),
      expected: "\(expected.rawValue), as \(name)", found: kind.rawValue, advice: advice)
  }

  // MARK: Merges

  /// Notes when merges do not come in the order of the scores, which is the order llama.cpp merges in, or when there is
  /// none for a piece that llama.cpp merges two others into.
  private func checkMerges(_ node: JSON) throws(TinctureError) -> [String] {
    guard let model, model.algorithm == .bytePair else { return [] }
    var walk = ScoreWalk(model)
    var notes: [String] = []
    if let list = node.present("merges"), let (rank, text) = try firstFault(list, &walk) {
      notes.append(
        "merge \(rank) of tokenizer.json, which makes \(Self.quoted(text)), does not come in the order "
          + "of tokenizer.model's scores: \(Self.cutsOtherwise), which goes by the scores")
    }
    let (count, first) = walk.unmade()
    if let first {
      notes.append(
        "\(count) \(count == 1 ? "piece" : "pieces") of tokenizer.model that two others make "
          + "\(count == 1 ? "has" : "have") no merge in tokenizer.json, the first "
          + "\(Self.quoted(Array(model.pieces[first]))): \(Self.cutsOtherwise), which needs none")
    }
    return notes
  }

  private static let cutsOtherwise =
    "transformers cuts some texts into other tokens than llama.cpp"

  /// The first merge out of order, every merge being stepped through.
  private func firstFault(
    _ list: JSON, _ walk: inout ScoreWalk
  ) throws(TinctureError) -> (Int, [UInt8])? {
    let count = try list.array().count
    return try list.withRaw { (raw, first) throws(TinctureError) -> (Int, [UInt8])? in
      var fault: (Int, [UInt8])?
      var merge = first
      for rank in 0..<count {
        if !Self.isNext(raw, merge, &walk) {
          var text: [UInt8] = []
          try TrainedVocabulary.readMerge(list.node(number: merge), into: &text)
          if !walk.follows(text), fault == nil { fault = (rank, text) }
        }
        merge = raw.next(merge)
      }
      return fault
    }
  }

  /// Whether the merge is spelled plainly and makes one of the pieces that come next by score.
  private static func isNext(_ raw: RawJSON, _ merge: Int, _ walk: inout ScoreWalk) -> Bool {
    if raw.elementCount(merge) == 2 {
      let left = merge + 1
      guard let start = raw.text(left), let end = raw.text(raw.next(left)) else { return false }
      return walk.takes(start, end)
    }
    guard let line = raw.text(merge), let space = line.firstIndex(of: 0x20) else { return false }
    return walk.takes(
      UnsafeBufferPointer(rebasing: line[..<space]),
      UnsafeBufferPointer(rebasing: line[(space + 1)...]))
  }
}

/// Steps through the pieces of a model by falling score, as merges name them.
private struct ScoreWalk {
  private let model: SentencePieceModel
  /// Trained pieces, the greatest score first.
  private let order: [Int32]
  private var position = 0
  /// Whether a merge makes the piece, by place in `order`.
  private var isMade: [Bool]
  /// Texts and their places in `order`, made when a merge leaves the order of ids.
  private var index: (table: TokenTable, places: [Int32])?

  init(_ model: SentencePieceModel) {
    self.model = model
    let trained = model.types.indices.filter { model.types[$0] == .normal }
    let scores = model.scores
    let isSorted = zip(trained, trained.dropFirst()).allSatisfy { scores[$0] >= scores[$1] }
    order = (isSorted ? trained : trained.sorted { (-scores[$0], $0) < (-scores[$1], $1) })
      .map { Int32(truncatingIfNeeded: $0) }
    isMade = [Bool](repeating: false, count: order.count)
  }

  /// Whether the text of both parts together is one of the next three pieces: several merges make one piece, and most
  /// pieces are followed by the next one.
  mutating func takes(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>)
    -> Bool
  {
    guard !left.isEmpty, !right.isEmpty else { return false }
    for place in position..<min(position + 3, order.count)
    where model.pieces.equals(Int(order[place]), left, right) {
      position = place
      isMade[place] = true
      return true
    }
    return false
  }

  /// Whether the score of the piece `text` is at most that of the last one; pieces without a trained score are passed
  /// over.
  mutating func follows(_ text: [UInt8]) -> Bool {
    text.withUnsafeBufferPointer { jumps($0) }
  }

  private mutating func jumps(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    if index == nil { index = makeIndex() }
    guard let index, let piece = index.table.find(bytes), index.places[piece] >= 0 else {
      return true
    }
    isMade[Int(index.places[piece])] = true
    guard model.scores[piece] <= model.scores[Int(order[position])] else { return false }
    position = Int(index.places[piece])
    return true
  }

  /// Trained pieces that no merge makes though two pieces together are their text: how many, and the one that llama.cpp
  /// would make first.
  func unmade() -> (count: Int, first: Int?) {
    let candidates = order.indices.filter { !isMade[$0] && isLong(Int(order[$0])) }
    guard !candidates.isEmpty else { return (0, nil) }
    let table = TokenTable(model.pieces) { _ in true }
    let unmade = candidates.filter { place in
      let text = model.pieces[Int(order[place])]
      return text.indices.dropFirst().contains { split in
        text[split] & 0xC0 != 0x80 && table.find(text[..<split]) != nil
          && table.find(text[split...]) != nil
      }
    }
    return (unmade.count, unmade.first.map { Int(order[$0]) })
  }

  /// Whether the piece is more than one character.
  private func isLong(_ piece: Int) -> Bool {
    let text = model.pieces[piece]
    return text.indices.dropFirst().contains { text[$0] & 0xC0 != 0x80 }
  }

  private func makeIndex() -> (TokenTable, [Int32]) {
    var places = [Int32](repeating: -1, count: model.pieces.count)
    for (place, piece) in order.enumerated() {
      places[Int(piece)] = Int32(truncatingIfNeeded: place)
    }
    return (TokenTable(model.pieces) { places[$0] >= 0 }, places)
  }
}
