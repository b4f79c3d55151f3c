import TinctureCore

/// Turns tokens back into text, one after the other; the text is always well-formed UTF-8.
///
/// Source: huggingface/tokenizers `tokenizers/src/decoders`.
struct TokenDecoder: Sendable {
  enum Style: Sendable {
    /// Tokens are bytes, spelled as visible characters.
    case byteLevel
    /// Words with a space between, parts of words after a prefix; `cleansUp` mends English punctuation.
    case wordPiece(prefix: [UInt8], cleansUp: Bool)
    /// Texts with ▁ for the space, and `<0xHH>` for bytes.
    case sentencePiece(SentencePiece)
    /// Texts with a space between.
    case words
  }

  struct SentencePiece: Sendable {
    var replacements: [(old: [UInt8], new: [UInt8])] = []
    var joinsBytes = false
    /// The character of which up to `count` are dropped from the start.
    var strips: [UInt8] = []
    var stripCount = 0
    /// Whether every ▁ of the first token is dropped (Metaspace).
    var dropsFirst: [UInt8] = []
  }

  let style: Style

  /// The decoder of a tokenizer.json.
  ///
  /// - Throws: `tokenizer.decoder` (unsupported) naming the steps.
  init(_ steps: [DecoderStep], file: String) throws(TinctureError) {
    if steps.isEmpty {
      style = .words
      return
    }
    if steps == [.byteLevel] {
      style = .byteLevel
      return
    }
    if steps.count == 1, case .wordPiece(let prefix, let cleansUp) = steps[0] {
      style = .wordPiece(prefix: Array(prefix.utf8), cleansUp: cleansUp)
      return
    }
    var pieces = SentencePiece()
    var isKnown = true
    var isFused = false
    for step in steps {
      switch step {
      case .replace(.literal(let old), with: let new) where !old.isEmpty && !isFused:
        pieces.replacements.append((Array(old.utf8), Array(new.utf8)))
      case .byteFallback: pieces.joinsBytes = true
      case .fuse: isFused = true
      case .strip(let content, let start, stop: 0) where isFused && content.utf8.count == 1:
        pieces.strips = Array(content.utf8)
        pieces.stripCount = start
      case .metaspace(let replacement, let prepend) where !replacement.isEmpty:
        if prepend != "never" { pieces.dropsFirst = Array(replacement.utf8) }
        pieces.replacements.append((Array(replacement.utf8), [0x20]))
      default: isKnown = false
      }
    }
    guard isKnown else {
      throw TinctureError(
        .init("tokenizer.decoder", .unsupported), "this decoder is not carried out",
        place: .init(file: file, key: "decoder"),
        expected: "ByteLevel, WordPiece, or Replace, ByteFallback, Fuse and Strip, or Metaspace",
        found: steps.map { "\($0)" }.joined(separator: ", "))
    }
    style = .sentencePiece(pieces)
  }

  init(_ style: Style) { self.style = style }

  /// What decoding carries from token to token.
  struct State: Sendable {
    /// Bytes that are no whole character yet.
    var pending: [UInt8] = []
    var isFirst = true
    var stripsLeft: Int?
  }

  /// The text of all tokens.
  func decode(_ tokens: [ArraySlice<UInt8>]) -> [UInt8] {
    var state = State()
    var text: [UInt8] = []
    for token in tokens { append(token, to: &text, &state, isStreaming: false) }
    finish(&text, &state)
    return text
  }

  /// Appends what `token` adds to the text.
  ///
  /// - Parameter isStreaming: whether whole characters made of byte tokens are given at once. Otherwise a run of byte
  ///   tokens is judged as a whole, as the library does: not well-formed, each byte becomes U+FFFD.
  func append(
    _ token: ArraySlice<UInt8>, to text: inout [UInt8], _ state: inout State, isStreaming: Bool
  ) {
    defer { state.isFirst = false }
    switch style {
    case .byteLevel:
      TokenDecoder.appendBytes(token, to: &state.pending)
      TokenDecoder.drain(&state.pending, to: &text, isEnd: false)
    case .wordPiece(let prefix, let cleansUp):
      var word: [UInt8]
      if state.isFirst {
        word = Array(token)
      } else if !prefix.isEmpty, token.starts(with: prefix) {
        word = Array(token.dropFirst(prefix.count))
      } else {
        word = [0x20] + token
      }
      if cleansUp { TokenDecoder.cleanUp(&word) }
      text += word
    case .sentencePiece(let pieces):
      if pieces.joinsBytes, let byte = TokenDecoder.byte(token) {
        state.pending.append(byte)
        if isStreaming { flushBytes(to: &text, &state, pieces, isEnd: false, isStreaming: true) }
        return
      }
      flushBytes(to: &text, &state, pieces, isEnd: true, isStreaming: isStreaming)
      var part = Array(token)
      if state.isFirst, !pieces.dropsFirst.isEmpty {
        part = part.withUnsafeBufferPointer { Normalizer.replace($0, pieces.dropsFirst, []) }
      }
      for (old, new) in pieces.replacements {
        part = part.withUnsafeBufferPointer { Normalizer.replace($0, old, new) }
      }
      emit(part[...], to: &text, &state, pieces)
    case .words:
      if !state.isFirst { text.append(0x20) }
      text += token
    }
  }

  /// Appends what is left: bytes that never became a character are U+FFFD.
  func finish(_ text: inout [UInt8], _ state: inout State, isStreaming: Bool = false) {
    switch style {
    case .byteLevel: TokenDecoder.drain(&state.pending, to: &text, isEnd: true)
    case .sentencePiece(let pieces):
      flushBytes(to: &text, &state, pieces, isEnd: true, isStreaming: isStreaming)
    case .wordPiece, .words: break
    }
  }

  private func flushBytes(
    to text: inout [UInt8], _ state: inout State, _ pieces: SentencePiece, isEnd: Bool,
    isStreaming: Bool
  ) {
    guard !state.pending.isEmpty else { return }
    var made: [UInt8] = []
    if isStreaming {
      TokenDecoder.drain(&state.pending, to: &made, isEnd: isEnd)
    } else {
      let isWhole = state.pending.withUnsafeBufferPointer { UTF8Text.firstFault($0) == nil }
      if isWhole {
        made = state.pending
      } else {
        for _ in state.pending { made += TokenDecoder.replacement }
      }
      state.pending.removeAll(keepingCapacity: true)
    }
    emit(made[...], to: &text, &state, pieces)
  }

  /// Appends to the text; the first characters may have to go.
  private func emit(
    _ part: ArraySlice<UInt8>, to text: inout [UInt8], _ state: inout State,
    _ pieces: SentencePiece
  ) {
    var part = part
    var left = state.stripsLeft ?? pieces.stripCount
    while left > 0, let first = part.first {
      guard first == pieces.strips.first else {
        left = 0
        break
      }
      part.removeFirst()
      left -= 1
    }
    state.stripsLeft = left
    text += part
  }

  // MARK: Bytes

  private static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

  /// The byte of `<0x0A>`.
  static func byte(_ token: ArraySlice<UInt8>) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token.last == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: token.dropFirst(3).dropLast(), as: UTF8.self), radix: 16)
  }

  /// The bytes that a token's visible characters stand for; a token with another character stands for itself.
  static func appendBytes(_ token: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
    let start = bytes.count
    for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
      guard let byte = Vocabulary.byte(ofVisible: scalar.value) else {
        bytes.removeSubrange(start...)
        bytes += token
        return
      }
      bytes.append(byte)
    }
  }

  /// Moves whole characters from `pending` to `text`; bytes that cannot become one are U+FFFD.
  static func drain(_ pending: inout [UInt8], to text: inout [UInt8], isEnd: Bool) {
    var start = 0
    while start < pending.count {
      let fault = pending[start...].withUnsafeBufferPointer { UTF8Text.firstFault($0) }
      guard let fault else {
        text += pending[start...]
        start = pending.count
        break
      }
      text += pending[start..<start + fault]
      start += fault
      let length = faultLength(pending[start...])
      if length == nil, !isEnd { break }
      text += replacement
      start += length ?? pending.count - start
    }
    pending.removeSubrange(..<start)
  }

  /// Bytes of the ill-formed sequence at the start that count as one; nil when more bytes could make it whole.
  ///
  /// Source: Unicode 16, section 3.9, "maximal subpart".
  private static func faultLength(_ bytes: ArraySlice<UInt8>) -> Int? {
    guard let first = bytes.first else { return nil }
    let needed = first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1
    guard needed > 1 else { return 1 }
    for (offset, byte) in bytes.dropFirst().prefix(needed - 1).enumerated() {
      var allowed: ClosedRange<UInt8> = 0x80...0xBF
      if offset == 0 {
        switch first {
        case 0xE0: allowed = 0xA0...0xBF
        case 0xED: allowed = 0x80...0x9F
        case 0xF0: allowed = 0x90...0xBF
        case 0xF4: allowed = 0x80...0x8F
        default: break
        }
      }
      if !allowed.contains(byte) { return offset + 1 }
    }
    return nil
  }

  // MARK: WordPiece

  private static let mends: [(old: [UInt8], new: [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

  /// Source: `decoders/wordpiece.rs`, cleanup.
  private static func cleanUp(_ word: inout [UInt8]) {
    guard word.contains(0x20) else { return }
    for (old, new) in mends {
      word = word.withUnsafeBufferPointer { Normalizer.replace($0, old, new) }
    }
  }
}

/// Turns ids into text as they come; no character is ever split between two pieces of text.
///
/// The pieces together are ``Tokenizer/decode(_:skipSpecial:)`` of all ids, save that of a run of `<0xHH>` tokens that is not
/// well-formed only the faulty bytes become U+FFFD.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipsSpecial: Bool
  private var state = TokenDecoder.State()

  init(_ tokenizer: Tokenizer, skipsSpecial: Bool) {
    self.tokenizer = tokenizer
    self.skipsSpecial = skipsSpecial
  }

  /// The text that is certain once `id` is known; empty while a character is incomplete. Unknown ids give nothing.
  public mutating func next(_ id: Int32) -> [UInt8] {
    var text: [UInt8] = []
    guard !(skipsSpecial && tokenizer.isSpecial(id)), let token = tokenizer.text(of: id) else {
      return text
    }
    tokenizer.decoder.append(token, to: &text, &state, isStreaming: true)
    return text
  }

  /// What is left at the end: U+FFFD for an incomplete character.
  public mutating func finish() -> [UInt8] {
    var text: [UInt8] = []
    tokenizer.decoder.finish(&text, &state, isStreaming: true)
    state = TokenDecoder.State()
    return text
  }
}
