import TinctureCore

/// What a `tokenizer.model` says: pieces with scores and types, and the flags that decide how text is prepared.
///
/// Source: google/sentencepiece `src/sentencepiece_model.proto`. Only the fields named here are read; unknown ones
/// are stepped over as protocol buffers ask.
public struct SentencePieceModel: Sendable {
  /// `TrainerSpec.model_type`.
  public enum Algorithm: UInt64, Sendable {
    case unigram = 1
    case bytePair = 2
  }

  /// `SentencePiece.Type`; the numbers are also those of GGUF's token types.
  public enum PieceType: UInt64, Sendable {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  public private(set) var algorithm = Algorithm.unigram
  public private(set) var pieces = TokenTexts()
  public private(set) var scores: [Float] = []
  public private(set) var types: [PieceType] = []
  /// `NormalizerSpec.name`, e.g. `identity` or `nmt_nfkc`.
  public private(set) var normalizerName = ""
  public private(set) var precompiledCharacterMap: [UInt8] = []
  public private(set) var addsDummyPrefix = true
  public private(set) var removesExtraWhitespaces = true
  public private(set) var escapesWhitespaces = true
  /// Whether the mark of a space stands after a word, not before it.
  package private(set) var marksSpacesAfterWords = false

  /// Parses the bytes of a `tokenizer.model`. Cost: one pass, the pieces' bytes copied once.
  ///
  /// - Throws: `sentencepiece.truncated`, `.wireType`, `.utf8`, `.score`, `.emptyPiece`, `.duplicatePiece`,
  ///   `.noPieces`, `.noTrainerSpec`, `.algorithm`, each with the byte offset.
  public init(_ bytes: [UInt8], file: String) throws(TinctureError) {
    var reader = ProtobufReader(bytes, 0..<bytes.count, file: file)
    var sawTrainer = false
    var seen = TokenTable(capacity: bytes.count / 16)
    while let field = try reader.next() {
      switch field.number {
      case 1:
        try readPiece(bytes, try field.message(reader), file: file, seen: &seen)
      case 2:
        sawTrainer = true
        try readTrainer(bytes, try field.message(reader), file: file)
      case 3:
        try readNormalizer(bytes, try field.message(reader), file: file)
      default:
        continue
      }
    }
    guard pieces.count > 0 else {
      throw SentencePieceModel.error(
        "noPieces", "the SentencePiece model has no pieces", file: file)
    }
    guard sawTrainer else {
      throw SentencePieceModel.error(
        "noTrainerSpec", "the SentencePiece model has no trainer_spec, so its algorithm is unknown",
        file: file)
    }
  }

  private mutating func readPiece(
    _ bytes: [UInt8], _ range: Range<Int>, file: String, seen: inout TokenTable
  ) throws(TinctureError) {
    var reader = ProtobufReader(bytes, range, file: file)
    var text: Range<Int> = range.lowerBound..<range.lowerBound
    var score: Float = 0
    var type = PieceType.normal
    while let field = try reader.next() {
      switch field.number {
      case 1:
        text = try field.message(reader)
      case 2:
        score = Float(bitPattern: try field.fixed32(reader))
      case 3:
        let number = try field.varint(reader)
        guard let known = PieceType(rawValue: number) else {
          throw SentencePieceModel.error(
            "pieceType", "unknown type of a piece", at: field.offset, file: file,
            expected: "1 to 6", found: "\(number)")
        }
        type = known
      default:
        continue
      }
    }
    guard score.isFinite else {
      throw SentencePieceModel.error(
        "score", "the score of piece \(pieces.count) is not a finite number", at: range.lowerBound,
        file: file, found: "\(score)")
    }
    guard !text.isEmpty else {
      throw SentencePieceModel.error(
        "emptyPiece", "piece \(pieces.count) is empty", at: range.lowerBound, file: file)
    }
    guard isValidUTF8(bytes[text]) else {
      throw SentencePieceModel.error(
        "utf8", "piece \(pieces.count) is not valid UTF-8", at: text.lowerBound, file: file)
    }
    let isNew = bytes.withUnsafeBufferPointer {
      seen.insert(UnsafeBufferPointer(rebasing: $0[text])).isNew
    }
    guard isNew else {
      throw SentencePieceModel.error(
        "duplicatePiece",
        "piece \(pieces.count), \"\(String(decoding: bytes[text], as: UTF8.self))\", occurs twice",
        at: text.lowerBound, file: file)
    }
    pieces.append(bytes[text])
    scores.append(score)
    types.append(type)
  }

  private mutating func readTrainer(
    _ bytes: [UInt8], _ range: Range<Int>, file: String
  ) throws(TinctureError) {
    var reader = ProtobufReader(bytes, range, file: file)
    while let field = try reader.next() {
      if field.number == 24 { marksSpacesAfterWords = try field.varint(reader) != 0 }
      guard field.number == 3 else { continue }
      let number = try field.varint(reader)
      guard let known = Algorithm(rawValue: number) else {
        throw SentencePieceModel.error(
          "algorithm", "the SentencePiece model is of a kind no checkpoint in scope uses",
          at: field.offset, file: file, expected: "model_type 1 (unigram) or 2 (BPE)",
          found: "model_type \(number)")
      }
      algorithm = known
    }
  }

  private mutating func readNormalizer(
    _ bytes: [UInt8], _ range: Range<Int>, file: String
  ) throws(TinctureError) {
    var reader = ProtobufReader(bytes, range, file: file)
    while let field = try reader.next() {
      switch field.number {
      case 1:
        normalizerName = String(decoding: bytes[try field.message(reader)], as: UTF8.self)
      case 2: precompiledCharacterMap = Array(bytes[try field.message(reader)])
      case 3: addsDummyPrefix = try field.varint(reader) != 0
      case 4: removesExtraWhitespaces = try field.varint(reader) != 0
      case 5: escapesWhitespaces = try field.varint(reader) != 0
      default: continue
      }
    }
  }

  /// Whether an added token may take the piece's place: a spare piece, or one that merging never gives.
  func isReplaceable(_ id: Int) -> Bool {
    switch types[id] {
    case .unknown, .control, .userDefined, .unused: true
    case .normal, .byte: VocabularyWitness.looksSpare(Array(pieces[id]))
    }
  }

  static func error(
    _ code: String, _ message: String, at offset: Int? = nil, file: String,
    expected: String? = nil, found: String? = nil
  ) -> TinctureError {
    TinctureError(
      .init("sentencepiece." + code, .invalidInput), message,
      place: .init(file: file, byteOffset: offset.map(UInt64.init)), expected: expected,
      found: found, advice: "download tokenizer.model again")
  }
}

/// Whether the bytes are well-formed UTF-8.
func isValidUTF8(_ bytes: some Sequence<UInt8>) -> Bool {
  var decoder = UTF8()
  var iterator = bytes.makeIterator()
  while true {
    switch decoder.decode(&iterator) {
    case .scalarValue: continue
    case .emptyInput: return true
    case .error: return false
    }
  }
}
