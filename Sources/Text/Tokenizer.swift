import TinctureCore

/// Text to token ids and back, as the tokenizers library does it.
///
/// Made from a checkpoint's files or from a GGUF's metadata, with equal results; ``notes`` tells where a GGUF cannot say
/// what the files said. Safe from several threads.
public struct Tokenizer: Sendable {
  /// How text between added tokens becomes words.
  enum Cutting: Sendable {
    /// All of it is one word.
    case whole
    case byteLevel([WordCut], addsPrefixSpace: Bool)
    case bert
    /// ▁ for the space; `prepend` is `always`, `first` or `never`.
    case metaspace(replacement: [UInt8], prepend: String, splits: Bool)
  }

  enum Model: Sendable {
    case merges(MergeModel)
    case wordPiece(WordPieceModel)
  }

  /// The number of tokens: ids are below it.
  public let count: Int
  /// The token before a text, when the tokenizer has one (BERT's [CLS]).
  public let bosID: Int32?
  /// The token after a text (BERT's [SEP]).
  public let eosID: Int32?
  public let unknownID: Int32?
  /// Ids after which generation ends, in ascending order.
  public let endOfGeneration: [Int32]
  /// What is worth telling about it, in order.
  public let notes: [String]

  let texts: TokenTexts
  /// Index in `texts` by id, -1 for none; empty when they are the same.
  let textIndex: [Int32]
  let special: Set<Int32>
  let rawMatcher: AddedTokenMatcher
  let normalizedMatcher: AddedTokenMatcher
  let normalizer: Normalizer
  let cutting: Cutting
  let model: Model
  let decoder: TokenDecoder
  /// What is put around a text.
  package let prefix: [Int32]
  package let suffix: [Int32]

  /// Everything a tokenizer is made of.
  struct Parts {
    var texts = TokenTexts()
    var textIndex: [Int32] = []
    var count = 0
    var bosID: Int32?
    var eosID: Int32?
    var endOfGeneration: Set<Int32> = []
    var notes: [String] = []
    var special: Set<Int32> = []
    var rawMatcher = AddedTokenMatcher()
    var normalizedMatcher = AddedTokenMatcher()
    var normalizer: Normalizer
    var cutting = Cutting.whole
    var model: Model
    var decoder: TokenDecoder
    var prefix: [Int32] = []
    var suffix: [Int32] = []
  }

  init(_ parts: Parts) {
    texts = parts.texts
    textIndex = parts.textIndex
    count = parts.count
    bosID = parts.bosID
    eosID = parts.eosID
    endOfGeneration = parts.endOfGeneration.sorted()
    notes = parts.notes
    special = parts.special
    rawMatcher = parts.rawMatcher
    normalizedMatcher = parts.normalizedMatcher
    normalizer = parts.normalizer
    cutting = parts.cutting
    model = parts.model
    decoder = parts.decoder
    prefix = parts.prefix
    suffix = parts.suffix
    switch parts.model {
    case .merges(let model): unknownID = model.unknownID
    case .wordPiece(let model): unknownID = model.unknownID
    }
  }

  // MARK: Tokens

  /// The token's text as the vocabulary spells it (`▁the`, `##ing`, `Ġthe`); nil for an id without a token.
  public func text(of id: Int32) -> ArraySlice<UInt8>? {
    guard id >= 0, Int(id) < count else { return nil }
    if textIndex.isEmpty { return texts[Int(id)] }
    let index = textIndex[Int(id)]
    return index < 0 ? nil : texts[Int(index)]
  }

  /// Whether the id is a control token, which decoding leaves out.
  public func isSpecial(_ id: Int32) -> Bool { special.contains(id) }

  public func endsGeneration(_ id: Int32) -> Bool { endOfGeneration.contains(id) }

  // MARK: Encoding

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - addSpecial: puts the tokens around the text that its post-processor asks for.
  ///   - parseSpecial: finds control tokens written in the text (`<bos>`); otherwise they are ordinary text.
  /// - Throws: `tokenizer.text` when the bytes are not well-formed UTF-8, with the offset.
  /// - Complexity: O(n log n) in the bytes of the text.
  public func encode(
    _ text: some Sequence<UInt8>, addSpecial: Bool = true, parseSpecial: Bool = true
  ) throws(TinctureError) -> [Int32] {
    var fault: Int?
    var ids: [Int32] = []
    let done: Void? = text.withContiguousStorageIfAvailable { bytes in
      (ids, fault) = encode(bytes, addSpecial, parseSpecial)
    }
    if done == nil {
      (ids, fault) = Array(text).withUnsafeBufferPointer { encode($0, addSpecial, parseSpecial) }
    }
    if let fault {
      throw TinctureError(
        .init("tokenizer.text", .invalidInput), "the text is not well-formed UTF-8",
        place: .init(byteOffset: UInt64(fault)), advice: "convert the text to UTF-8")
    }
    return ids
  }

  /// The ids of a text; see ``encode(_:addSpecial:parseSpecial:)``.
  public func encode(
    _ text: String, addSpecial: Bool = true, parseSpecial: Bool = true
  ) -> [Int32] {
    var text = text
    return text.withUTF8 { encode($0, addSpecial, parseSpecial).ids }
  }

  /// Room that encoding keeps from word to word.
  private struct Scratch {
    var merges = MergeModel.Scratch()
    var bytes: [UInt8] = []
  }

  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, _ addSpecial: Bool, _ parseSpecial: Bool
  ) -> (ids: [Int32], fault: Int?) {
    if let fault = UTF8Text.firstFault(text) { return ([], fault) }
    var ids: [Int32] = addSpecial ? prefix : []
    ids.reserveCapacity(ids.count + text.count / 3 + 2)
    var scratch = Scratch()
    var done = 0
    for match in rawMatcher.matches(text, skipsSpecial: !parseSpecial) {
      if match.range.lowerBound > done {
        encodePart(
          UnsafeBufferPointer(rebasing: text[done..<match.range.lowerBound]), isFirst: done == 0,
          parseSpecial, &ids, &scratch)
      }
      ids.append(match.id)
      done = match.range.upperBound
    }
    if done < text.count {
      encodePart(
        UnsafeBufferPointer(rebasing: text[done...]), isFirst: done == 0, parseSpecial, &ids,
        &scratch)
    }
    if addSpecial { ids += suffix }
    return (ids, nil)
  }

  /// A part without tokens that are found in raw text.
  private func encodePart(
    _ part: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ parseSpecial: Bool, _ ids: inout [Int32],
    _ scratch: inout Scratch
  ) {
    guard !normalizer.isIdentity else {
      encodeNormalized(part, isFirst: isFirst, parseSpecial, &ids, &scratch)
      return
    }
    normalizer.apply(part).withUnsafeBufferPointer {
      encodeNormalized($0, isFirst: isFirst, parseSpecial, &ids, &scratch)
    }
  }

  private func encodeNormalized(
    _ part: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ parseSpecial: Bool, _ ids: inout [Int32],
    _ scratch: inout Scratch
  ) {
    var done = 0
    for match in normalizedMatcher.matches(part, skipsSpecial: !parseSpecial) {
      if match.range.lowerBound > done {
        encodeWords(
          UnsafeBufferPointer(rebasing: part[done..<match.range.lowerBound]),
          isFirst: isFirst && done == 0, &ids, &scratch)
      }
      ids.append(match.id)
      done = match.range.upperBound
    }
    if done < part.count {
      encodeWords(
        UnsafeBufferPointer(rebasing: part[done...]), isFirst: isFirst && done == 0, &ids, &scratch)
    }
  }

  private func encodeWords(
    _ part: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ ids: inout [Int32],
    _ scratch: inout Scratch
  ) {
    switch cutting {
    case .whole: encodeWord(part, &ids, &scratch)
    case .byteLevel(let cuts, let addsPrefixSpace):
      if addsPrefixSpace, part.first != 0x20 {
        ([0x20] + part).withUnsafeBufferPointer { cut($0, cuts, &ids, &scratch) }
      } else {
        cut(part, cuts, &ids, &scratch)
      }
    case .bert:
      BertWords.forEach(part) { range in
        encodeWord(UnsafeBufferPointer(rebasing: part[range]), &ids, &scratch)
      }
    case .metaspace(let replacement, let prepend, let splits):
      var text = Normalizer.replace(part, [0x20], replacement)
      if prepend == "always" || prepend == "first" && isFirst, !text.starts(with: replacement) {
        text = replacement + text
      }
      text.withUnsafeBufferPointer { text in
        guard splits else { return encodeWord(text, &ids, &scratch) }
        var start = 0
        for index in 1..<max(1, text.count)
        where text[index] == replacement.first && text[index...].starts(with: replacement) {
          encodeWord(UnsafeBufferPointer(rebasing: text[start..<index]), &ids, &scratch)
          start = index
        }
        encodeWord(UnsafeBufferPointer(rebasing: text[start...]), &ids, &scratch)
      }
    }
  }

  private func cut(
    _ part: UnsafeBufferPointer<UInt8>, _ cuts: [WordCut], _ ids: inout [Int32],
    _ scratch: inout Scratch
  ) {
    var pieces = [0..<part.count]
    for cut in cuts {
      if pieces.count == 1 {
        pieces = cut.pieces(part, pieces[0])
      } else {
        pieces = pieces.flatMap { cut.pieces(part, $0) }
      }
    }
    for piece in pieces {
      encodeWord(UnsafeBufferPointer(rebasing: part[piece]), &ids, &scratch)
    }
  }

  private func encodeWord(
    _ word: UnsafeBufferPointer<UInt8>, _ ids: inout [Int32], _ scratch: inout Scratch
  ) {
    switch model {
    case .merges(let model): model.encode(word, into: &ids, &scratch.merges)
    case .wordPiece(let model): model.encode(word, into: &ids, &scratch.bytes)
    }
  }

  // MARK: Decoding

  /// The text of `ids`, always well-formed UTF-8: bytes that make no character are U+FFFD.
  ///
  /// - Parameter skipSpecial: leaves control tokens out. Ids without a token give nothing.
  public func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool = true) -> [UInt8] {
    var tokens: [ArraySlice<UInt8>] = []
    for id in ids where !(skipSpecial && special.contains(id)) {
      if let text = text(of: id) { tokens.append(text) }
    }
    return decoder.decode(tokens)
  }

  /// A decoder for ids that come one at a time.
  public func streamingDecoder(skipSpecial: Bool = true) -> StreamingDecoder {
    StreamingDecoder(self, skipsSpecial: skipSpecial)
  }
}

/// BertPreTokenizer: words at white space, punctuation alone.
enum BertWords {
  /// Source: huggingface/tokenizers `pre_tokenizers/bert.rs`.
  static func forEach(_ text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    var start = 0
    var index = 0
    while index < text.count {
      let (value, length) = UTF8Text.scalar(text, at: index)
      let isSpace: Bool
      let isMark: Bool
      if value < 0x80 {
        isSpace = value == 0x20 || (9...13).contains(value)
        isMark = !isSpace && isASCIIPunctuation(value)
      } else {
        isSpace = UnicodeClasses.flags(value).contains(.space)
        isMark = Unicode.Scalar(value).map(UnicodeClasses.isBertPunctuation) == true
      }
      if isSpace || isMark {
        if start < index { body(start..<index) }
        if isMark { body(index..<index + length) }
        start = index + length
      }
      index += length
    }
    if start < index { body(start..<index) }
  }

  private static func isASCIIPunctuation(_ value: UInt32) -> Bool {
    switch value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
    default: false
    }
  }
}
