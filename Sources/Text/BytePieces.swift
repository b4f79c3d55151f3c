import TinctureCore

/// The pieces `<0x00>` to `<0xFF>` of a SentencePiece vocabulary, into which text without a token is cut.
package enum BytePieces {
  /// The first byte for which llama.cpp finds no piece: neither `<0xHH>`, whatever its type, nor the byte itself.
  ///
  /// Source: llama.cpp `src/llama-vocab.cpp`, llama_vocab::impl::byte_to_token. It ends its process at a character
  /// that has no token and whose bytes have none.
  /// - Complexity: one pass over the texts' lengths.
  package static func firstMissing(in texts: TokenTexts) -> UInt8? {
    var isThere = [Bool](repeating: false, count: 256)
    for id in 0..<texts.count {
      switch texts.range(id).count {
      case 1: isThere[Int(texts[id].first ?? 0)] = true
      case 6:
        if let byte = byte(of: texts[id]) { isThere[Int(byte)] = true }
      default: continue
      }
    }
    return isThere.firstIndex(of: false).map { UInt8(truncatingIfNeeded: $0) }
  }

  /// The byte of `<0x0A>` as llama.cpp spells it: `<0x0a>` is none.
  static func byte(of text: ArraySlice<UInt8>) -> UInt8? {
    guard let byte = TokenDecoder.byte(text), text.elementsEqual(name(byte).utf8) else {
      return nil
    }
    return byte
  }

  package static func name(_ byte: UInt8) -> String { ByteLevel.fallbackName(byte) }

  package static let message =
    "the vocabulary has no piece for a byte, at which llama.cpp ends"

  package static func expected(_ missing: UInt8) -> String {
    "pieces \(name(0)) to \(name(255)), of which \(name(missing)) is the first that is missing"
  }

  package static let advice =
    "llama.cpp's SentencePiece tokenizer ends its process at a character without a token; take a "
    + "model whose tokenizer has byte fallback"
}

extension Vocabulary {
  /// - Throws: `tokenizer.bytes` (unsupported) when llama.cpp's SentencePiece tokenizer would end at some texts.
  package func checkBytes(_ files: TokenizerFiles) throws(TinctureError) {
    guard model == .sentencePiece, let byte = BytePieces.firstMissing(in: texts) else { return }
    let file =
      files.sentencePiece == nil ? files.json?.path : Folder.join(files.folder, "tokenizer.model")
    throw TinctureError(
      .init("tokenizer.bytes", .unsupported), BytePieces.message,
      place: .init(file: file ?? files.folder), expected: BytePieces.expected(byte),
      found: "no \(BytePieces.name(byte))", advice: BytePieces.advice)
  }
}
